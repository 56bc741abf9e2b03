package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

func TestHTTPServerHasLimits(t *testing.T) {
	s := server.HTTPServer(http.NotFoundHandler(), logr.Discard())
	got := map[string]time.Duration{
		"read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout,
	}
	want := map[string]time.Duration{
		"read": 10 * time.Second, "write": 10 * time.Second, "idle": 2 * time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s.MaxHeaderBytes != 16<<10 {
		t.Errorf("headers may have %d bytes", s.MaxHeaderBytes)
	}
	if p := s.Protocols; !p.HTTP1() || p.HTTP2() || p.UnencryptedHTTP2() {
		t.Errorf("it speaks %v", p)
	}
}

// TestSlowClientsAreCutOff sends one byte a second: that must not keep a connection forever. Pipes
// stand for the network, because a bubble's clock does not advance while somebody waits for a
// socket.
func TestSlowClientsAreCutOff(t *testing.T) {
	const head = "POST /v1/accounts/marketing/newsletter/check HTTP/1.1\r\nHost: sluice\r\n" +
		"Content-Type: application/json\r\n"
	for name, c := range map[string]struct {
		at once
		in time.Duration
	}{
		"in the headers": {
			once{sent: head, slowly: "X-Slow: " + strings.Repeat("a", 100)}, 10 * time.Second,
		},
		"before the first header": {once{slowly: head}, 10 * time.Second},
		"in the body": {
			once{sent: head + "Content-Length: 100\r\n\r\n{", slowly: strings.Repeat(" ", 100)},
			10 * time.Second,
		},
		"after a request": {once{sent: head + "\r\n"}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if took := c.at.cutOff(t); took < c.in || took > c.in+2*time.Second {
					t.Errorf("the connection was closed after %v, want %v", took, c.in)
				}
			})
		})
	}
}

// once is what a client sends: some at once, the rest a byte a second.
type once struct{ sent, slowly string }

// cutOff returns how long it takes the server to cut off a client.
func (o once) cutOff(t *testing.T) time.Duration {
	l := limiter.New(memory.New(memory.Options{}))
	limitertest.Apply(t, l, newsletter, "uid-1", limiter.Policy{})
	l.MarkLoaded()
	listener := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	s := server.HTTPServer(server.New(server.Options{Limiter: l}), logr.Discard())
	go func() { _ = s.Serve(listener) }()
	client, conn := net.Pipe()
	listener.conns <- conn
	start, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.WriteString(client, o.sent); err != nil {
			return
		}
		for _, b := range []byte(o.slowly) {
			if _, err := client.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second) // of the bubble's clock
		}
	}()
	_, _ = io.Copy(io.Discard, client) // until the server closes
	took := time.Since(start)
	<-done
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return took
}

// pipeListener accepts what is sent to it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestOversizedHeaders wants net/http to refuse them, in plain text. It allows 4 KiB more than
// told.
func TestOversizedHeaders(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	big := func(size int) string {
		return "GET /v1/accounts HTTP/1.1\r\nHost: sluice\r\n" +
			"X-Big: " + strings.Repeat("a", size) + "\r\n\r\n"
	}
	if got := a.raw(big(14 << 10)); got.status != 200 {
		t.Errorf("14 KiB: %d %s", got.status, got.body)
	}
	if got := a.raw(big(21 << 10)); got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("21 KiB: %d %s", got.status, got.body)
	}
}

// TestConnectionsAreKept wants the connection to survive problems: a dispatcher need not reconnect
// after each.
func TestConnectionsAreKept(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/accounts/marketing/newsletter/check", "", 200},
		{"POST", "/v1/accounts/marketing/nobody/check", "", 404},
		{"POST", "/v1/accounts/marketing/newsletter/check", "{}", 415},
		{"DELETE", "/v1/accounts/marketing/newsletter", "", 405},
		{"GET", "/v1/accounts/marketing/newsletter", "", 200},
	} {
		_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: s\r\nContent-Length: %d\r\n\r\n%s",
			c.method, c.path, len(c.body), c.body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := readResponse(t, resp)
		contract.hold(t,
			request{method: c.method, path: c.path, body: c.body, header: http.Header{}}, got)
		if got.status != c.status || resp.Close {
			t.Errorf("%s %s: %d, close %v", c.method, c.path, got.status, resp.Close)
		}
	}
}
