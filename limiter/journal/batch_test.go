package journal

import (
	"context"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// doAll makes many calls at once, and wants none to fail.
func doAll(t testing.TB, l *limiter.Limiter, now limiter.Instant, calls []limiter.Call) {
	t.Helper()
	if err := l.Do(context.Background(), now, calls); err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		if calls[i].Err != nil {
			t.Fatal(i, calls[i].Err)
		}
	}
}
