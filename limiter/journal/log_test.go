package journal

import (
	"errors"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// TestTheBacklogIsBounded appends to a log that is never written, and wants it to refuse in time.
func TestTheBacklogIsBounded(t *testing.T) {
	t.Parallel()
	l := newLog(1, nil)
	for bytes := 0; bytes <= maxBacklog; bytes += maxFrame {
		if err := l.accepts(); err != nil {
			t.Fatalf("after %d bytes: %v", bytes, err)
		}
		g := l.begin(0)
		g.body = append(g.body, make([]byte, maxFrame)...)
		l.end(g, 1)
	}
	if err := l.accepts(); !errors.Is(err, limiter.ErrStoreUnavailable) {
		t.Errorf("with %d bytes that wait it still accepts: %v", l.backlog.Load(), err)
	}
}
