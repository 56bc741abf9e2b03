package server

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// Of each kind, logLines lines are logged in a logWindow; the others are counted. Any caller can
// make requests fail, and must not be able to fill the disk with log lines. See docs/design/0013.
const (
	logLines  = 10
	logWindow = 10 * time.Second
)

// maxErrorText is how many bytes are logged of a message of net/http.
const maxErrorText = 500

// limitedLog is a log that leaves out lines of a kind that has too many.
type limitedLog struct {
	logger  logr.Logger
	mu      sync.Mutex
	windows map[lineKind]*lineWindow
}

// lineKind is what log lines are counted by. There are few kinds: no caller can make one up.
type lineKind struct {
	operation, kind string
	isError         bool
}

// lineWindow counts the lines of one kind since the first of them.
type lineWindow struct {
	logged, leftOut int
	lastID          string // the id of the last line that was logged, if lines of its kind have ids
}

func newLimitedLog(logger logr.Logger) *limitedLog {
	return &limitedLog{logger: logger, windows: map[lineKind]*lineWindow{}}
}

// admits counts a line that is no error, and reports whether it is to be logged. Only then is it
// worth making.
func (l *limitedLog) admits(operation, kind string) bool {
	_, logs := l.count(lineKind{operation, kind, false}, "")
	return logs
}

// internal logs an error that nobody expected, and returns the id of its line. If the line is left
// out, that is the id of the last line of its kind.
func (l *limitedLog) internal(operation string, err error, fields ...any) (id string) {
	id, logs := l.count(lineKind{operation, httpv1.InternalError.Name, true}, rand.Text())
	if logs {
		l.logger.Error(err, "internal error", append(fields, "errorId", id)...)
	}
	return id
}

// count counts a line. It reports whether to log it, and returns the id of the last line that was
// logged: this one, or one before it.
func (l *limitedLog) count(kind lineKind, id string) (lastID string, logs bool) {
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

// end ends the window of a kind, and logs how many lines were left out.
func (l *limitedLog) end(kind lineKind) {
	l.mu.Lock()
	leftOut := l.windows[kind].leftOut
	delete(l.windows, kind)
	l.mu.Unlock()
	if leftOut == 0 {
		return
	}
	fields := []any{
		"operation", kind.operation, "kind", kind.kind,
		"lines", leftOut, "seconds", logWindow.Seconds(),
	}
	if kind.isError {
		l.logger.Error(nil, leftOutLines, fields...)
		return
	}
	l.logger.Info(leftOutLines, fields...)
}

// leftOutLines is the message of the line that tells how many others were left out.
const leftOutLines = "lines were left out of the log"

// Write logs a message of net/http: a *limitedLog is the output of an http.Server's ErrorLog.
func (l *limitedLog) Write(text []byte) (int, error) {
	if l.admits("", "net/http") {
		message := strings.TrimSpace(string(text[:min(len(text), maxErrorText)]))
		l.logger.Info(masked(strings.ToValidUTF8(message, "")))
	}
	return len(text), nil
}
