package server

import (
	"container/list"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
)

// DefaultMaxConnections is how many connections may be open at a time if the configuration does not
// say so.
const DefaultMaxConnections = 2048

// socketBuffer is how much the kernel buffers for a connection in each direction. By default it
// buffers megabytes, which count as the pod's memory.
const socketBuffer = 64 << 10

// Listen listens on a TCP address, for up to maxConnections at a time. A connection beyond that
// takes the place of another one: see limitedListener.victim. So idle or slow callers, however
// many, do not keep others out.
func Listen(address string, maxConnections int, logger logr.Logger) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(errors.New("not a TCP address"), listener.Close())
	}
	return &limitedListener{
		TCPListener: tcp,
		limit:       maxConnections,
		log:         newLimitedLog(logger),
		answered:    map[*limitedConn]struct{}{},
	}, nil
}

// limitedListener limits the number of its open connections.
type limitedListener struct {
	*net.TCPListener
	limit int
	log   *limitedLog
	// accepted counts all connections so far. It is the clock that tells which one was silent.
	accepted atomic.Int64
	mu       sync.Mutex
	fresh    list.List                 // of *limitedConn that were never answered, the oldest first
	answered map[*limitedConn]struct{} // the others
}

// limitedConn is a connection that knows when it was last used.
type limitedConn struct {
	*net.TCPConn
	listener *limitedListener
	// used is when a request began or was answered, on the listener's clock. It does not count that
	// bytes come in: a slow client sends some, too.
	used  atomic.Int64
	fresh atomic.Pointer[list.Element] // its place in the list, until it is answered
}

// Accept waits for a connection, and closes another one if there are too many.
func (l *limitedListener) Accept() (net.Conn, error) {
	runtime.Gosched() // a flood of connections leaves requests their turn
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	// The connection works without these, too.
	_ = errors.Join(tcp.SetReadBuffer(socketBuffer), tcp.SetWriteBuffer(socketBuffer))
	c := &limitedConn{TCPConn: tcp, listener: l}
	c.used.Store(l.accepted.Add(1))
	if victim := l.add(c); victim != nil {
		if l.log.admits("", "connection limit") {
			l.log.logger.Info("closed a connection, to make room for another one",
				"client", victim.RemoteAddr().String(), "max-connections", l.limit)
		}
		_ = victim.TCPConn.Close()
	}
	return c, nil
}

// add adds a connection. If there is one too many, add removes and returns the one to close.
func (l *limitedListener) add(c *limitedConn) (victim *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fresh.Len()+len(l.answered) >= l.limit {
		victim = l.victim()
		l.remove(victim)
	}
	c.fresh.Store(l.fresh.PushBack(c))
	return victim
}

// victim returns the connection to close. If those that were never answered are more than half of
// all, it is the oldest of them: a healthy client's connection is answered soon, and may then be
// idle for long. Otherwise it is the one that was not used for the longest time, so that
// nobody can fill the room with connections that were answered once. mu must be held.
func (l *limitedListener) victim() (victim *limitedConn) {
	if oldest := l.fresh.Front(); oldest != nil {
		victim, _ = oldest.Value.(*limitedConn)
	}
	if l.fresh.Len() > l.limit/2 {
		return victim
	}
	for c := range l.answered {
		if victim == nil || c.used.Load() < victim.used.Load() {
			victim = c
		}
	}
	return victim
}

// remove forgets a connection. mu must be held.
func (l *limitedListener) remove(c *limitedConn) {
	if place := c.fresh.Swap(nil); place != nil {
		l.fresh.Remove(place)
	}
	delete(l.answered, c)
}

// connState is the hook of an http.Server: it tells connections that they are used.
func connState(conn net.Conn, state http.ConnState) {
	if outer, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = outer.NetConn() // beneath TLS
	}
	c, ok := conn.(*limitedConn)
	if !ok || state != http.StateActive && state != http.StateIdle {
		return
	}
	c.used.Store(c.listener.accepted.Load())
	if state == http.StateIdle && c.fresh.Load() != nil {
		c.wasAnswered()
	}
}

// wasAnswered notes the first answer of a connection.
func (c *limitedConn) wasAnswered() {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if place := c.fresh.Swap(nil); place != nil {
		l.fresh.Remove(place)
		l.answered[c] = struct{}{}
	}
}

// Close removes the connection from its listener, and closes it.
func (c *limitedConn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}
