package server

import (
	"errors"
	"net"
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
// takes the place of the one that has sent nothing for the longest time, so that idle or slow
// callers, however many, do not keep others out.
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
		open:        map[*limitedConn]struct{}{},
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
	open     map[*limitedConn]struct{}
}

// limitedConn is a connection that knows when it last received something.
type limitedConn struct {
	*net.TCPConn
	listener *limitedListener
	heard    atomic.Int64 // when it last received something, on the listener's clock
}

// Accept waits for a connection, and closes another one if there are too many.
func (l *limitedListener) Accept() (net.Conn, error) {
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	// The connection works without these, too.
	_ = errors.Join(tcp.SetReadBuffer(socketBuffer), tcp.SetWriteBuffer(socketBuffer))
	c := &limitedConn{TCPConn: tcp, listener: l}
	c.heard.Store(l.accepted.Add(1))
	if victim := l.add(c); victim != nil {
		if l.log.admits("", "connection limit") {
			l.log.logger.Info("closed the connection that was silent the longest",
				"client", victim.RemoteAddr().String(), "max-connections", l.limit)
		}
		_ = victim.Close()
	}
	return c, nil
}

// add adds a connection. If there is one too many, add returns the one to close.
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

// Read reads, and notes that the connection received something.
func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.heard.Store(c.listener.accepted.Load())
	return n, err
}

// Close removes the connection from its listener, and closes it.
func (c *limitedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}
