package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestLeastRightsUnderLoad has replicas do what they do with the rights that the example has:
// on one server that is killed and starts empty, and on a cluster whose slots move.
func TestLeastRightsUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		s := redistest.New(t, redistest.Options{ACL: exampleUsers(t)})
		o := exampleUser(t, s.URL())
		o.Keeper = &keeper{}
		all := pair(t, o)
		l := send(t, all...)
		l.awaitAllowed(20)
		s.Command(t, "SCRIPT", "FLUSH")
		l.awaitAllowed(20)
		until(t, "denials are remembered", func() error {
			if n := l.denied.Load(); n < 50 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		wantNoDenial(t, s)
		s.Restart(t)
		epoch := all[0].awaitLost(t)
		_ = all[1].awaitLost(t)
		until(t, "the loss is accepted", func() error {
			c, err := redis.Connect(o.Connection)
			if err != nil {
				return err
			}
			defer c.Close()
			return redis.AcceptLoss(t.Context(), c, redis.DefaultPrefix, epoch)
		})
		l.awaitAllowed(20)
		l.finish(limits)
		wantNoDenial(t, s)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		c := redistest.NewCluster(t, redistest.Options{ACL: exampleUsers(t)})
		l := send(t, pair(t, exampleUser(t, c.URL()))...)
		l.awaitAllowed(20)
		slot := slotOf(t, c, account)
		m := c.BeginMove(t, slot, c.Another(t, slot))
		l.awaitAllowed(1)
		m.AllKeys(t)
		m.End(t)
		l.awaitAllowed(20)
		l.finish(limits)
		wantNoDenial(t, c.Nodes...)
	})
}

// exampleUsers are the users of the example.
func exampleUsers(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("../../../examples/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "user ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// exampleUser is the one of them that Sluice is.
func exampleUser(t *testing.T, url string) redis.Options {
	t.Helper()
	o := options(url)
	f := newSecret(t, "sluice", "change-me-too")
	o.Connection.UsernameFile, o.Connection.PasswordFile = f.username, f.password
	return o
}

// wantNoDenial wants servers to have refused nothing for want of rights.
func wantNoDenial(t *testing.T, servers ...*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		entries, err := s.Command(t, "ACL", "LOG").ToArray()
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(entries, isOfSluice); i >= 0 {
			entry, err := entries[i].AsStrMap()
			t.Errorf("it may not do this: %v, %v", entry, err)
		}
	}
}

func isOfSluice(entry valkey.ValkeyMessage) bool {
	of, _ := entry.AsStrMap()
	return of["username"] == "sluice"
}
