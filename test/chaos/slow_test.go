//go:build chaos

package chaos

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clients that are slow, silent or many. There are more of them than connections may be open.

const maxConnections = "1000"

// attackers keeps n connections, each of which does something until it is closed, and opens another
// one then. It pauses before that as a program would that does not want to be noticed.
func (p *process) attackers(
	n int, do func(c net.Conn, stop <-chan struct{}),
) (attack func(stop <-chan struct{})) {
	return func(stop <-chan struct{}) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				pause := time.Duration(i) * time.Millisecond / 2
				for wait(pause, stop) {
					pause = time.Second
					c, err := net.Dial("tcp", p.api)
					if err != nil {
						continue
					}
					do(c, stop)
					_ = c.Close()
				}
			})
		}
		all.Wait()
	}
}

// wait waits, and reports whether to go on.
func wait(pause time.Duration, stop <-chan struct{}) bool {
	select {
	case <-time.After(pause):
		return true
	case <-stop:
		return false
	}
}

// trickle sends a text one byte each ten seconds. Reading tells when the server closes.
func trickle(text string) func(net.Conn, <-chan struct{}) {
	return func(c net.Conn, stop <-chan struct{}) {
		closed := make(chan struct{})
		go func() { defer close(closed); _, _ = io.Copy(io.Discard, c) }()
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				break
			}
			select {
			case <-time.After(10 * time.Second):
				continue
			case <-closed:
			case <-stop:
			}
			break
		}
		_ = c.Close()
		<-closed
	}
}

const checkHead = "POST /v1/accounts/chaos/many-0001/check HTTP/1.1\r\nHost: sluice\r\n"

// TestSlowAndSilentClients has thousands of connections that keep what they have.
func TestSlowAndSilentClients(t *testing.T) {
	n := full(5000, 1500)
	for name, do := range map[string]func(net.Conn, <-chan struct{}){
		"slow in the head": trickle(checkHead),
		"slow in the body": func(c net.Conn, stop <-chan struct{}) {
			_, err := io.WriteString(c, checkHead+
				"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
			if err == nil {
				trickle(strings.Repeat(" ", 99))(c, stop)
			}
		},
		"silent": trickle(""),
		"gone": func(c net.Conn, stop <-chan struct{}) { // as if its machine had lost power
			closed := make(chan struct{})
			go func() { defer close(closed); _, _ = io.Copy(io.Discard, c) }()
			select {
			case <-closed:
			case <-stop:
				_ = c.Close()
			}
		},
		"do not read": func(c net.Conn, stop <-chan struct{}) {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			list := "GET /v1/accounts?limit=1000 HTTP/1.1\r\nHost: sluice\r\n\r\n"
			if _, err := io.WriteString(c, list); err == nil {
				wait(10*time.Second, stop)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "--max-connections", maxConnections)
			// Some of those that ask for lists are refused, and then more recently answered than a
			// connection that is idle.
			p.survives(t, name != "do not read", p.attackers(n, do))
		})
	}
}

// TestFloodOfConnections opens connections as fast as a program may that is one of many on a
// machine, and leaves them, or closes them at once, or after a request.
func TestFloodOfConnections(t *testing.T) {
	perSecond := full(1000, 500)
	for name, flood := range map[string]struct {
		end       func(net.Conn)
		keepsIdle bool
	}{
		"left open": {func(net.Conn) {}, true},
		"closed":    {func(c net.Conn) { _ = c.Close() }, true},
		// These were answered more recently than a connection that is idle.
		"asking once": {func(c net.Conn) { _, _ = io.WriteString(c, checkHead+"\r\n") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "--max-connections", maxConnections)
			p.survives(t, flood.keepsIdle, func(stop <-chan struct{}) {
				var open []net.Conn
				for wait(time.Second/time.Duration(perSecond), stop) {
					c, err := net.Dial("tcp", p.api)
					if err != nil {
						continue
					}
					flood.end(c)
					if open = append(open, c); len(open) > 5000 {
						_ = open[0].Close()
						open = open[1:]
					}
				}
				for _, c := range open {
					_ = c.Close()
				}
			})
		})
	}
}
