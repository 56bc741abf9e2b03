package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// patience is how long a test waits for what must happen, before it fails.
const patience = 30 * time.Second

// dial opens a connection to the server that ends with the test.
func (a *api) dial() net.Conn {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		a.t.Fatal(err)
	}
	return conn
}

// whole sends a request of this size, and reads no response before it has sent all of it.
func (a *api) whole(method, path string, size int, chunked bool) response {
	a.t.Helper()
	conn := a.dial()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\n",
		method, path)
	part, end := strings.Repeat(" ", 1<<16), ""
	if chunked {
		head += "Transfer-Encoding: chunked\r\n\r\n"
		part, end = fmt.Sprintf("%x\r\n%s\r\n", len(part), part), "0\r\n\r\n"
	} else {
		head += fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
	}
	if _, err := io.WriteString(conn, head); err != nil {
		a.t.Fatal(err)
	}
	for range size >> 16 {
		if _, err := io.WriteString(conn, part); err != nil {
			a.t.Fatalf("the body was not taken: %v", err)
		}
	}
	if _, err := io.WriteString(conn, end); err != nil {
		a.t.Fatalf("the body was not taken: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		a.t.Fatalf("the response was lost: %v", err)
	}
	return readResponse(a.t, resp)
}

// TestRefusalsOfLargeBodiesAreSeen sends 8 MiB to operations that refuse them. Like many clients,
// it reads no response before it has sent everything.
func TestRefusalsOfLargeBodiesAreSeen(t *testing.T) {
	const account = "/v1/accounts/marketing/newsletter"
	for name, c := range map[string]struct {
		method, path string
		status       int
	}{
		"a check":            {"POST", account + "/check", 413},
		"a commit":           {"POST", account + "/commit", 413},
		"a batch":            {"POST", "/v1/check", 413},
		"a refused query":    {"POST", account + "/check?cost=1", 400},
		"an unknown account": {"GET", "/v1/accounts/marketing/nobody", 404},
		"an unknown path":    {"POST", "/v1/nothing", 404},
		"another method":     {"PUT", account + "/check", 405},
		"a body of a GET":    {"GET", account, 200},
	} {
		for framing, chunked := range map[string]bool{
			"its length declared": false, "chunked": true,
		} {
			t.Run(name+", "+framing, func(t *testing.T) {
				a := newAPI(t, limiter.Policy{}, setup{})
				if got := a.whole(c.method, c.path, 8<<20, chunked); got.status != c.status {
					t.Errorf("got %d %s", got.status, got.body)
				}
				a.unused()
			})
		}
	}
}

// TestADrainIsBounded sends a body without an end.
func TestADrainIsBounded(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	conn := a.dial()
	const head = "POST /v1/accounts/marketing/newsletter/check HTTP/1.1\r\nHost: sluice\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	part := fmt.Sprintf("%x\r\n%s\r\n", 1<<16, strings.Repeat(" ", 1<<16))
	for sent := 0; ; sent += len(part) {
		_, err := io.WriteString(conn, part)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatalf("after %d bytes the connection is still open, and takes no more", sent)
		case err != nil:
			return // closed
		case sent > 64<<20:
			t.Fatalf("%d bytes were taken", sent)
		}
	}
}

// TestABodyThatNobodyAskedFor wants a client that waits for "100 Continue" to be refused without
// it.
func TestABodyThatNobodyAskedFor(t *testing.T) {
	for name, headers := range map[string]string{
		"its length declared": "Content-Length: 8000000\r\n",
		"chunked":             "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{}, setup{})
			got := a.raw("POST /v1/accounts/marketing/newsletter/check?cost=1 HTTP/1.1\r\n" +
				"Host: sluice\r\nExpect: 100-continue\r\n" + headers + "\r\n")
			got.wantProblem(400, "malformed-request", "send it in the body")
		})
	}
	a := newAPI(t, limiter.Policy{}, setup{})
	got := a.raw("POST /v1/check HTTP/1.1\r\nHost: sluice\r\nExpect: 100-continue\r\n" +
		"Content-Length: 8000000\r\n\r\n")
	got.wantProblem(413, "body-too-large", "at most 1048576 bytes")
}
