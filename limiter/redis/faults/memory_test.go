package faults

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestServerThatForgets has a server that may evict what was sent. A replica refuses to start with
// it, and says which setting to change; one that runs lets nobody through meanwhile.
func TestServerThatForgets(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	r := ready(t, options(s.URL()), limits)
	l := send(t, r)
	l.awaitAllowed(20)
	s.Command(t, "CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru")
	if why := r.awaitAway(t); !strings.Contains(why.Error(), "maxmemory-policy") {
		t.Error(why)
	}
	l.wantRefused(r)
	fresh := open(t, options(s.URL()), limits)
	_ = fresh.awaitAway(t)
	wantRefusal(t, fresh, "set maxmemory-policy to noeviction")
	s.Command(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	l.awaitAllowed(20)
	l.finish(limits)
}

// wantRefusal wants a replica to have ended by itself, and to say what to change.
func wantRefusal(t *testing.T, r *replica, help string) {
	t.Helper()
	err := r.ended(t)
	if refused := (*redis.RefusedError)(nil); !errors.As(err, &refused) ||
		!strings.Contains(err.Error(), help) {
		t.Errorf("it ended with %v, want %q", err, help)
	}
}

// TestFullServer has the server have no memory for more.
func TestFullServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	l := send(t, pair(t, options(s.URL()))...)
	l.awaitAllowed(20)
	s.Command(t, "CONFIG", "SET", "maxmemory", "1")
	l.awaitRefused(100)
	s.Command(t, "CONFIG", "SET", "maxmemory", "0")
	l.awaitAllowed(20)
	l.finish(limits)
}
