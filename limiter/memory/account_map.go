package memory

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
	d := &accountMap{seed: maphash.MakeSeed()}
	d.resize()
	return d
}

// home returns where to look for a key first.
func (d *accountMap) home(t table, k Key) int {
	// A name alone is nearly unique; the namespace is mixed in by a shift, so that both orders
	// differ.
	h := maphash.String(d.seed, k.Name) ^ maphash.String(d.seed, k.Namespace)<<1
	return int(h) & (len(t) - 1)
}

func (t table) after(s int) int { return (s + 1) & (len(t) - 1) }

// find returns the slot of a key and what is in it, or else a slot that the key may be put into,
// and nil.
func (d *accountMap) find(t table, k Key) (s int, a *account) {
	free := -1
	for s = d.home(t, k); ; s = t.after(s) {
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
func (d *accountMap) get(k Key) *account {
	_, a := d.find(*d.table.Load(), k)
	return a
}

// put adds an account, unless there is one with its key. It reports whether it did.
func (d *accountMap) put(a *account) (added bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, other := d.find(*d.table.Load(), a.key); other != nil {
		return false
	}
	if t := *d.table.Load(); 3*(d.inUse+1) > 2*len(t) {
		d.resize()
	}
	d.set(*d.table.Load(), a)
	d.inOrder.insert(a)
	return true
}

// set puts an account whose key is not there into a table that has room. The caller holds mu.
func (d *accountMap) set(t table, a *account) {
	s, _ := d.find(t, a.key)
	d.count++
	if t[s].Load() == nil {
		d.inUse++
	}
	t[s].Store(a)
}

// remove removes an account, if it is there.
func (d *accountMap) remove(a *account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := *d.table.Load()
	if s, found := d.find(t, a.key); found == a {
		t[s].Store(vacant)
		d.count--
		d.inOrder.remove(a.key)
	}
}

// resize makes a table that has room for twice as many accounts as there are. The caller holds mu.
func (d *accountMap) resize() {
	t := make(table, max(64, 1<<bits.Len(uint(3*d.count))))
	old := d.table.Load()
	d.count, d.inUse = 0, 0
	if old != nil {
		old.each(func(a *account) bool { d.set(t, a); return true })
	}
	d.table.Store(&t)
}

// size is the number of accounts.
func (d *accountMap) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// keysAfter returns the first n keys after a key, of a namespace, or of all if that is empty.
func (d *accountMap) keysAfter(namespace string, after Key, n int) []Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inOrder.after(namespace, after, n)
}

// each visits the accounts, in no order, until visit returns false. Those added or removed
// meanwhile may be missed.
func (d *accountMap) each(visit func(*account) bool) { d.table.Load().each(visit) }

func (t table) each(visit func(*account) bool) {
	for s := range t {
		if a := t[s].Load(); a != nil && a != vacant && !visit(a) {
			return
		}
	}
}
