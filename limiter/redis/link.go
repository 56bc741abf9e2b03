package redis

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"

	"github.com/valkey-io/valkey-go"
)

// errNotConnected is why there is no answer before the first connection, or while there is none.
var errNotConnected = errors.New("there is no connection to the server yet")

// link is the client in use. It connects anew by itself where a connection breaks, but stays with a
// server that has become a replica: then another client takes its place.
type link struct {
	options valkey.ClientOption
	client  atomic.Pointer[valkey.Client]
	stale   atomic.Bool     // the next probe makes another client
	nodes   map[string]bool // the processes that the last good probe found; of the prober alone
	epoch   string          // that it found
}

// get returns the client, or an error if there is none yet.
func (l *link) get() (valkey.Client, error) {
	if c := l.client.Load(); c != nil {
		return *c, nil
	}
	return nil, errNotConnected
}

// connect makes a client, unless there is one that is of use.
func (l *link) connect() (valkey.Client, error) {
	if c := l.client.Load(); c != nil && !l.stale.Load() {
		return *c, nil
	}
	made, err := valkey.NewClient(l.options)
	if err != nil {
		return nil, err
	}
	l.stale.Store(false)
	if old := l.client.Swap(&made); old != nil {
		go (*old).Close() // waits for the calls in it
	}
	return made, nil
}

func (l *link) close() {
	if c := l.client.Swap(nil); c != nil {
		(*c).Close()
	}
}

// watched has each new connection noticed: at its other end may be another server, or one that
// has lost something. It also has what the server says of changes reach the denials.
func (s *Store) watched(o valkey.ClientOption) valkey.ClientOption {
	dial := o.DialCtxFn
	o.DialCtxFn = func(
		ctx context.Context, to string, d *net.Dialer, t *tls.Config,
	) (net.Conn, error) {
		c, err := dial(ctx, to, d, t)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: c, health: &s.health}, nil
	}
	if s.denials.on {
		o.DisableCache, o.CacheSizeEachConn = false, cacheOfReads
		o.ClientTrackingOptions = []string{"OPTIN"}
		o.OnInvalidations = s.denials.changed
	}
	return o
}

// watchedConn notices when calls may reach another server from now on: when it is of use, because
// the server has not refused what a client begins with; when it ends; and when the server says that
// a slot has moved, perhaps to a server to which there was a connection before.
type watchedConn struct {
	net.Conn
	health *health
	open   bool
	tail   []byte // the end of what was read before
}

var moved = []byte("-MOVED ")

// Read implements [net.Conn].
func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	opens := !c.open && n > 0 && b[0] != '-'
	c.open = c.open || opens
	seam := slices.Concat(c.tail, b[:min(n, len(moved))])
	if opens || c.open && err != nil || bytes.Contains(b[:n], moved) || bytes.Contains(seam, moved) {
		c.health.connected()
	}
	c.tail = append(c.tail[:0], b[max(0, n-len(moved)):n]...)
	return n, err
}
