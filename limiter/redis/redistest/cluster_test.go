package redistest_test

import (
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestMoveSlot has two keys of a slot move one by one, and wants the nodes to say so.
func TestMoveSlot(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, redistest.Options{})
	slot := c.Slot(t, "{n}:a")
	from, to := c.Owner(t, slot), c.Another(t, slot)
	from.Command(t, "MSET", "{n}:a", "1", "{n}:b", "2")
	wantRefused := func(begin string, words ...string) {
		t.Helper()
		err := from.Try(t.Context(), words...).Error()
		if err == nil || !strings.HasPrefix(err.Error(), begin) {
			t.Errorf("%q: %v, want %s", words, err, begin)
		}
	}
	m := c.BeginMove(t, slot, to)
	m.Key(t, "{n}:a")
	wantRefused("ASK", "GET", "{n}:a")
	wantRefused("TRYAGAIN", "MGET", "{n}:a", "{n}:b")
	if got := text(t, from, "GET", "{n}:b"); got != "2" {
		t.Errorf("what has not moved is %q", got)
	}
	m.AllKeys(t)
	m.End(t)
	wantRefused("MOVED", "GET", "{n}:a")
	if c.Owner(t, slot) != to || text(t, to, "GET", "{n}:b") != "2" {
		t.Error("the slot is not where it should be")
	}
	c.MoveSlot(t, slot, from)
	if got := text(t, from, "GET", "{n}:a"); got != "1" {
		t.Errorf("after the way back it is %q", got)
	}
	c.AwaitWhole(t)
}
