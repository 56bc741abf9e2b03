package limiter

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// accountMap finds accounts by key. Reading takes no lock, so that checks of different accounts
// never wait for each other; writers, which come from the controller alone, take turns.
//
// It is a hash table with linear probing. A table that became too full is replaced as a whole:
// readers of the old one finish there undisturbed, and whoever finds an account there that was
// removed meanwhile finds it purged.
type accountMap struct {
	seed  maphash.Seed
	table atomic.Pointer[table]

	mu      sync.Mutex // held by writers, and by readers of inOrder
	count   int
	inUse   int // slots of the table that are not nil
	inOrder keyOrder
}

// table has a power of two of slots, at most two thirds of them in use. A slot that was used never
// becomes nil again, as those behind it could not be found any more; it is vacant until the next
// table.
type table []atomic.Pointer[account]

// vacant is in the slots of removed accounts.
var vacant = new(account)

func newAccountMap() *accountMap {
	m := &accountMap{seed: maphash.MakeSeed()}
	m.resize()
	return m
}

// home returns where to look for a key first.
func (m *accountMap) home(t table, k Key) int {
	// A name alone is nearly unique; the namespace is mixed in by a shift, so that both orders
	// differ.
	h := maphash.String(m.seed, k.Name) ^ maphash.String(m.seed, k.Namespace)<<1
	return int(h) & (len(t) - 1)
}

func (t table) after(s int) int { return (s + 1) & (len(t) - 1) }

// find returns the slot of a key and what is in it, or else a slot that the key may be put into,
// and nil.
func (m *accountMap) find(t table, k Key) (s int, a *account) {
	free := -1
	for s = m.home(t, k); ; s = t.after(s) {
		switch a := t[s].Load(); {
		case a == nil && free >= 0:
			return free, nil
		case a == nil:
			return s, nil
		case a == vacant:
			if free < 0 {
				free = s
			}
		case a.key == k:
			return s, a
		}
	}
}

// get returns the account, or nil.
func (m *accountMap) get(k Key) *account {
	_, a := m.find(*m.table.Load(), k)
	return a
}

// getOrAdd returns the account with a key. If there is none it adds the one that open makes, and
// reports that.
func (m *accountMap) getOrAdd(k Key, open func() *account) (a *account, added bool) {
	if a := m.get(k); a != nil {
		return a, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, a := m.find(*m.table.Load(), k); a != nil {
		return a, false
	}
	if t := *m.table.Load(); 3*(m.inUse+1) > 2*len(t) {
		m.resize()
	}
	a = open()
	m.set(*m.table.Load(), a)
	m.inOrder.insert(a)
	return a, true
}

// set puts an account whose key is not there into a table that has room. The caller holds mu.
func (m *accountMap) set(t table, a *account) {
	s, _ := m.find(t, a.key)
	m.count++
	if t[s].Load() == nil {
		m.inUse++
	}
	t[s].Store(a)
}

// remove removes an account, if it is there.
func (m *accountMap) remove(a *account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := *m.table.Load()
	if s, found := m.find(t, a.key); found == a {
		t[s].Store(vacant)
		m.count--
		m.inOrder.remove(a.key)
	}
}

// resize makes a table that has room for twice as many accounts as there are. The caller holds mu.
func (m *accountMap) resize() {
	t := make(table, max(64, 1<<bits.Len(uint(3*m.count))))
	old := m.table.Load()
	m.count, m.inUse = 0, 0
	if old != nil {
		old.each(func(a *account) { m.set(t, a) })
	}
	m.table.Store(&t)
}

// size is the number of accounts.
func (m *accountMap) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// keysAfter returns the first n keys after a key, of a namespace, or of all if that is empty.
func (m *accountMap) keysAfter(namespace string, after Key, n int) []Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inOrder.after(namespace, after, n)
}

// each visits the accounts of a table, in no order.
func (t table) each(visit func(*account)) {
	for s := range t {
		if a := t[s].Load(); a != nil && a != vacant {
			visit(a)
		}
	}
}
