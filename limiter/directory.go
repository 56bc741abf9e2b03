package limiter

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// directory finds accounts by key. Reading takes no lock, so that checks of different accounts never wait for each
// other; writers, which come from the controller alone, take turns.
//
// It is a hash table with chains of immutable keys. A table that became too small is replaced as a whole, with new
// nodes: readers of the old one finish there undisturbed.
type directory struct {
	seed  maphash.Seed
	table atomic.Pointer[table]

	mu    sync.Mutex // held by writers
	count int
}

type table struct{ chains []atomic.Pointer[node] }

type node struct {
	key     Key
	account *account
	next    atomic.Pointer[node]
}

func newDirectory() *directory {
	d := &directory{seed: maphash.MakeSeed()}
	d.table.Store(&table{chains: make([]atomic.Pointer[node], 64)})
	return d
}

// chain returns where a key's chain starts. The number of chains is a power of two.
func (d *directory) chain(t *table, k Key) *atomic.Pointer[node] {
	// A name alone is nearly unique; the namespace is mixed in by a shift, so that both orders differ.
	h := maphash.String(d.seed, k.Name) ^ maphash.String(d.seed, k.Namespace)<<1
	return &t.chains[h&uint64(len(t.chains)-1)]
}

// get returns the account, or nil.
func (d *directory) get(k Key) *account {
	for n := d.chain(d.table.Load(), k).Load(); n != nil; n = n.next.Load() {
		if n.key == k {
			return n.account
		}
	}
	return nil
}

// put adds or replaces an account.
func (d *directory) put(k Key, a *account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.remove(k) == nil {
		d.grow()
	}
	d.link(d.table.Load(), k, a)
	d.count++
}

// take removes an account and returns it, or nil.
func (d *directory) take(k Key) *account {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(k)
}

// link adds a node in front of its chain. The caller holds mu.
func (d *directory) link(t *table, k Key, a *account) {
	chain := d.chain(t, k)
	n := &node{key: k, account: a}
	n.next.Store(chain.Load())
	chain.Store(n)
}

// remove unlinks a node. A reader who stands on it still finds the rest of the chain. The caller holds mu.
func (d *directory) remove(k Key) *account {
	for at := d.chain(d.table.Load(), k); ; {
		n := at.Load()
		if n == nil {
			return nil
		}
		if n.key == k {
			at.Store(n.next.Load())
			d.count--
			return n.account
		}
		at = &n.next
	}
}

// grow doubles the table once there are more keys than chains. The caller holds mu.
func (d *directory) grow() {
	old := d.table.Load()
	if d.count < len(old.chains) {
		return
	}
	t := &table{chains: make([]atomic.Pointer[node], 2*len(old.chains))}
	old.each(func(k Key, a *account) bool { d.link(t, k, a); return true })
	d.table.Store(t)
}

// size is the number of accounts.
func (d *directory) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// each visits the accounts, in no order, until visit returns false. Those added or removed meanwhile may be missed.
func (d *directory) each(visit func(Key, *account) bool) { d.table.Load().each(visit) }

func (t *table) each(visit func(Key, *account) bool) {
	for i := range t.chains {
		for n := t.chains[i].Load(); n != nil; n = n.next.Load() {
			if !visit(n.key, n.account) {
				return
			}
		}
	}
}
