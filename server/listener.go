package server

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
)

// DefaultMaxConnections is how many connections may be open at a time, unless the configuration
// says otherwise.
const DefaultMaxConnections = 2048

// socketBuffer is what the kernel keeps at most of what was received on a connection, and of what
// is to be sent. On its own it would keep megabytes, which count as the pod's memory.
const socketBuffer = 64 << 10

// Listen listens on a TCP address, for up to so many connections at a time. One more takes the
// place of that which has sent nothing for the longest, so that no number of idle or slow callers
// keeps others out.
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
		TCPListener: tcp, limit: maxConnections, log: newLimitedLog(logger), open: map[*limitedConn]struct{}{},
	}, nil
}

// limitedListener keeps the number of its connections.
type limitedListener struct {
	*net.TCPListener
	limit int
	log   *limitedLog
	// accepted counts all connections, and is the clock by which it is told which one was silent.
	accepted atomic.Int64
	mu       sync.Mutex
	open     map[*limitedConn]struct{}
}

// limitedConn is a connection that knows when it was last heard of.
type limitedConn struct {
	*net.TCPConn
	listener *limitedListener
	heard    atomic.Int64 // how many connections had been accepted then
}

// Accept waits for a connection, and makes room for it.
func (l *limitedListener) Accept() (net.Conn, error) {
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	// Without these it works as well.
	_ = errors.Join(tcp.SetReadBuffer(socketBuffer), tcp.SetWriteBuffer(socketBuffer))
	c := &limitedConn{TCPConn: tcp, listener: l}
	c.heard.Store(l.accepted.Add(1))
	if victim := l.add(c); victim != nil {
		l.log.info("", "connection limit", "closed the connection that was silent the longest",
			"client", victim.RemoteAddr().String(), "max-connections", l.limit)
		_ = victim.Close()
	}
	return c, nil
}

// add counts a connection. Where there is one too many, it returns the one to close.
func (l *limitedListener) add(c *limitedConn) (victim *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.limit {
		for other := range l.open {
			if victim == nil || other.heard.Load() < victim.heard.Load() {
				victim = other
			}
		}
		delete(l.open, victim)
	}
	l.open[c] = struct{}{}
	return victim
}

// Read notes that the connection is in use.
func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.heard.Store(c.listener.accepted.Load())
	return n, err
}

// Close counts the connection no longer.
func (c *limitedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}
