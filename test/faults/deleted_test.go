//go:build faults

package faults

import "testing"

// TestDeletedWhileDown deletes an account while nobody watches. It comes back empty.
func TestDeletedWhileDown(t *testing.T) {
	both := map[string]int{"stays": 10, "goes": 10}
	p := newProcess(t, both)
	p.serve()
	for name := range both {
		ids := p.allow(name, 5, 900)
		if err := p.commit(name, ids[0]); err != nil {
			t.Fatal(err)
		}
		p.want(name, 4, 1)
	}
	p.stop()
	p.declare(map[string]int{"stays": 10})
	p.serve()
	p.untilLog("no longer exist, and were purged")
	p.want("stays", 4, 1)
	p.allow("stays", 1, 900) // after this, what was purged is on the disk as well
	p.kill()
	p.declare(both)
	p.serve()
	p.want("goes", 0, 0)
	p.want("stays", 5, 1)
	p.stop()
}
