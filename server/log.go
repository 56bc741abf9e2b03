package server

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// Of each kind so many lines are logged in such a time; the others are counted. Any caller can
// make requests fail, and must not fill the disk with what is logged about them.
const (
	logLines  = 10
	logWindow = 10 * time.Second
)

// maxErrorText is how much is logged of what net/http has to say, in bytes.
const maxErrorText = 500

// limitedLog is a log that leaves out lines.
type limitedLog struct {
	logger  logr.Logger
	mu      sync.Mutex
	windows map[lineKind]*lineWindow
}

// lineKind is what lines have in common. There are few kinds: no caller can make one up.
type lineKind struct {
	operation, kind string
	isError         bool
}

// lineWindow is what became of the lines of one kind since its first.
type lineWindow struct {
	logged, leftOut int
	lastID          string // of the last that was logged, if they have ids
}

func newLimitedLog(logger logr.Logger) *limitedLog {
	return &limitedLog{logger: logger, windows: map[lineKind]*lineWindow{}}
}

// info logs a line, or counts it.
func (l *limitedLog) info(operation, kind, message string, fields ...any) {
	if _, logs := l.take(lineKind{operation, kind, false}, ""); logs {
		l.logger.Info(message, fields...)
	}
}

// internal logs an error that nobody expected, and returns an id by which the line is found. If
// the line is left out, it is the id of the last one like it.
func (l *limitedLog) internal(operation string, err error, fields ...any) (id string) {
	id, logs := l.take(lineKind{operation, httpv1.InternalError.Name, true}, rand.Text())
	if logs {
		l.logger.Error(err, "internal error", append(fields, "errorId", id)...)
	}
	return id
}

// take reports whether a line is logged, which may have an id, and the id of the last that was.
func (l *limitedLog) take(kind lineKind, id string) (lastID string, logs bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.windows[kind]
	if w == nil {
		w = &lineWindow{}
		l.windows[kind] = w
		time.AfterFunc(logWindow, func() { l.end(kind) })
	}
	if w.logged == logLines {
		w.leftOut++
		return w.lastID, false
	}
	w.logged++
	w.lastID = id
	return id, true
}

// end says how many lines of a kind were left out, and lets the next ones through.
func (l *limitedLog) end(kind lineKind) {
	l.mu.Lock()
	leftOut := l.windows[kind].leftOut
	delete(l.windows, kind)
	l.mu.Unlock()
	if leftOut == 0 {
		return
	}
	fields := []any{
		"operation", kind.operation, "kind", kind.kind, "lines", leftOut, "seconds", logWindow.Seconds(),
	}
	if kind.isError {
		l.logger.Error(nil, leftOutLines, fields...)
		return
	}
	l.logger.Info(leftOutLines, fields...)
}

// leftOutLines is the message of the line that counts others.
const leftOutLines = "lines were left out of the log"

// Write logs what net/http has to say: a *limitedLog is the output of an http.Server's ErrorLog.
func (l *limitedLog) Write(text []byte) (int, error) {
	said := strings.TrimSpace(string(text[:min(len(text), maxErrorText)]))
	l.info("", "net/http", strings.ToValidUTF8(said, ""))
	return len(text), nil
}
