package redis

import (
	"sync"
	"time"
)

// A purge leaves a tombstone in the account's header, so that a replica that is slow cannot bring
// the account back. Kubernetes never uses a uid twice, but a folder of manifests has one uid for
// all: there the same account comes back. So a header counts the lives of its keys. A replica that
// opens the account after it has seen the purge asks for the next life, which a tombstone gives way
// to; one that opened it before does not.

// lives are the lives that come after the purges this replica has seen.
type lives struct {
	mu     sync.Mutex
	byBase map[string]uint32
	purged []purged // in the order of purges
}

type purged struct {
	base string
	at   time.Time
}

// next returns the life to open an account with: 0 is whichever there is.
func (l *lives) next(base string) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byBase[base]
}

// end notes that a life has ended. Notes older than the tombstones are dropped.
func (l *lives) end(base string, life uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byBase == nil {
		l.byBase = map[string]uint32{}
	}
	now := time.Now()
	for len(l.purged) > 0 && now.Sub(l.purged[0].at) > keepFor {
		oldest := l.purged[0].base
		l.purged = l.purged[1:]
		delete(l.byBase, oldest)
	}
	l.byBase[base] = max(l.byBase[base], life+1)
	l.purged = append(l.purged, purged{base, now})
}
