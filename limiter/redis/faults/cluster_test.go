package faults

import (
	"fmt"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// tenants are accounts of several namespaces, and so of several slots.
func tenants(n int) (all []limiter.Key) {
	for i := range n {
		all = append(all, limiter.Key{Namespace: fmt.Sprint("tenant-", i), Name: "newsletter"})
	}
	return all
}

// slotOf is the slot of all keys of a namespace.
func slotOf(t *testing.T, c *redistest.Cluster, k limiter.Key) int {
	t.Helper()
	return c.Slot(t, "sl:{"+k.Namespace+"}:")
}

// TestSlotsThatMove has the accounts move from node to node while mails are sent. Clients are told
// MOVED and ASK, and TRYAGAIN when only some keys of an account have moved.
func TestSlotsThatMove(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, redistest.Options{})
	keys := tenants(3)
	all := pair(t, options(c.URL()), keys...)
	var loads []*load
	for _, key := range keys {
		loads = append(loads, sendFrom(t, key, all...))
	}
	for range 3 {
		for n, key := range keys {
			loads[n].awaitAllowed(10)
			slot := slotOf(t, c, key)
			m := c.BeginMove(t, slot, c.Another(t, slot))
			m.Keys(t, 2)
			loads[n].pause(again)
			m.AllKeys(t)
			m.End(t)
		}
	}
	for _, l := range loads {
		l.finish(limits)
	}
}

// TestEmptiedNode has one node of a cluster start empty. The accounts on it are refused until an
// operator accepts that.
func TestEmptiedNode(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, redistest.Options{})
	o := options(c.URL())
	o.Keeper = &keeper{}
	all := pair(t, o)
	l := send(t, all...)
	l.awaitAllowed(20)
	c.Owner(t, slotOf(t, c, account)).Restart(t)
	c.AwaitWhole(t)
	var epoch string
	for _, r := range all {
		epoch = r.awaitLost(t)
		l.wantRefused(r)
	}
	acceptLoss(t, c.URL(), epoch)
	l.awaitAllowed(20)
	l.finish(limits)
}
