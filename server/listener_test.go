package server_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/sluice-mail/sluice/server"
)

// caller is a connection that sends a request when a test says so.
type caller struct {
	t    *testing.T
	conn net.Conn
}

func connect(t *testing.T, address string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &caller{t, conn}
}

// ask sends a request, and wants a response.
func (c *caller) ask() {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: sluice\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c.conn), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// closed wants the server to close the connection.
func (c *caller) closed() {
	c.t.Helper()
	var timeout net.Error
	n, err := c.conn.Read(make([]byte, 1))
	if n > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("the connection is open: %d, %v", n, err)
	}
}

// limited starts a server for up to this many connections.
func limited(t *testing.T, connections int) (address string, log chan string) {
	t.Helper()
	log = make(chan string, 1000)
	logger := funcr.NewJSON(func(line string) { log <- line }, funcr.Options{})
	listener, err := server.Listen("127.0.0.1:0", connections, logger)
	if err != nil {
		t.Fatal(err)
	}
	s := server.HTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), logger)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	return listener.Addr().String(), log
}

// TestTheSilentMakeRoom wants one connection too many to take the place of one that is silent:
// idle, in the middle of a request, or not reading its response.
func TestTheSilentMakeRoom(t *testing.T) {
	address, log := limited(t, 3)
	idle, busy, slow := connect(t, address), connect(t, address), connect(t, address)
	for _, c := range []*caller{idle, busy} {
		c.ask()
	}
	if _, err := io.WriteString(slow.conn, "GET / HTTP"); err != nil {
		t.Fatal(err)
	}
	// On the listener's clock, each of these was heard after those before it.
	first := connect(t, address) // takes the place of one of three
	first.ask()
	for range 20 {
		next := connect(t, address)
		next.ask()
	}
	for _, c := range []*caller{idle, busy, slow} {
		c.closed()
	}
	select {
	case <-log:
	case <-time.After(patience):
		t.Error("nothing was logged")
	}
}

// TestTheBusyStay wants a connection in use to survive any number of connections that are not.
func TestTheBusyStay(t *testing.T) {
	address, _ := limited(t, 4)
	busy := connect(t, address)
	for range 50 {
		busy.ask()
		other := connect(t, address)
		other.ask() // so that it has been accepted
		_, err := io.WriteString(other.conn,
			"POST / HTTP/1.1\r\nHost: sluice\r\nContent-Length: 9\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
	}
	busy.ask()
}

// TestClosedConnectionsMakeRoom wants closed connections not to count.
func TestClosedConnectionsMakeRoom(t *testing.T) {
	address, log := limited(t, 2)
	kept := connect(t, address)
	kept.ask()
	for range 20 {
		other := connect(t, address)
		other.ask()
		if err := other.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		other.closed() // and counted no longer, as it was closed after that
	}
	kept.ask()
	if len(log) > 0 {
		t.Errorf("logged %s", <-log)
	}
}

// TestTheIdleStayBeforeTheSlow wants a connection that was answered, and is idle for long, to
// survive any number of connections that send a byte now and then and finish no request.
func TestTheIdleStayBeforeTheSlow(t *testing.T) {
	address, _ := limited(t, 8)
	idle := connect(t, address)
	idle.ask()
	slow := []*caller{}
	for range 100 {
		next := connect(t, address)
		slow = append(slow, next)
		for _, s := range slow {
			_, _ = s.conn.Write([]byte("G")) // fails once it was closed
		}
	}
	for range 3 { // so that all before have been accepted
		connect(t, address).ask()
	}
	idle.ask()
	slow[0].closed()
}

// TestTheIdleCannotFillTheRoom wants a new connection to be answered though all others were
// answered once, and more of those come before it asks.
func TestTheIdleCannotFillTheRoom(t *testing.T) {
	address, _ := limited(t, 8)
	once := func(n int) {
		for range n {
			connect(t, address).ask()
		}
	}
	once(20)
	fresh := connect(t, address)
	once(6)
	fresh.ask()
}
