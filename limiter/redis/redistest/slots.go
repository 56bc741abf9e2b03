package redistest

import (
	"strconv"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// Move is a slot on its way from one node to another.
type Move struct {
	From, To *Server
	slot     int
	cluster  *Cluster
}

// MoveSlot moves a slot with all its keys.
func (c *Cluster) MoveSlot(t limitertest.TB, slot int, to *Server) {
	t.Helper()
	m := c.BeginMove(t, slot, to)
	m.AllKeys(t)
	m.End(t)
}

// BeginMove has a slot begin to move. Until its end the old owner answers for keys that it still
// has, says ASK for others, and TRYAGAIN for several keys of which it has some; new ones are made
// at the new owner.
func (c *Cluster) BeginMove(t limitertest.TB, slot int, to *Server) *Move {
	t.Helper()
	m := &Move{c.Owner(t, slot), to, slot, c}
	if m.From == to {
		t.Fatalf("slot %d is there already", slot)
	}
	m.set(t, to, "IMPORTING", m.From.clusterID(t))
	m.set(t, m.From, "MIGRATING", to.clusterID(t))
	return m
}

// Keys moves up to n of the keys, and returns how many it has moved.
func (m *Move) Keys(t limitertest.TB, n int) (moved int) {
	t.Helper()
	keys, err := m.From.Command(t,
		"CLUSTER", "GETKEYSINSLOT", strconv.Itoa(m.slot), strconv.Itoa(n)).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		m.Key(t, keys...)
	}
	return len(keys)
}

// AllKeys moves all keys that the old owner still has.
func (m *Move) AllKeys(t limitertest.TB) {
	t.Helper()
	for m.Keys(t, 100) > 0 {
		continue
	}
}

// Key moves certain keys.
func (m *Move) Key(t limitertest.TB, keys ...string) {
	t.Helper()
	m.From.Command(t, append([]string{
		"MIGRATE", m.To.options.Host, strconv.Itoa(m.To.port.number), "", "0", "5000",
		"AUTH2", adminName, adminPassword, "KEYS",
	}, keys...)...)
}

// End makes the new owner the only one, and all nodes know it: the old owner says MOVED. Where keys
// were left behind, that is an error.
func (m *Move) End(t limitertest.TB) {
	t.Helper()
	id := m.To.clusterID(t)
	m.set(t, m.To, "NODE", id) // first, or nobody owns the slot for a moment
	m.set(t, m.From, "NODE", id)
	for _, node := range m.cluster.Nodes {
		if node != m.To && node != m.From {
			m.set(t, node, "NODE", id)
		}
	}
}

// Abort leaves the slot to the old owner. Keys that were moved must have been moved back.
func (m *Move) Abort(t limitertest.TB) {
	t.Helper()
	m.set(t, m.From, "STABLE")
	m.set(t, m.To, "STABLE")
}

func (m *Move) set(t limitertest.TB, node *Server, words ...string) {
	t.Helper()
	node.Command(t, append([]string{"CLUSTER", "SETSLOT", strconv.Itoa(m.slot)}, words...)...)
}
