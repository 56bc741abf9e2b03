//go:build chaos

package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"
)

// client is a connection that sends one request after the other.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (p *process) connect() (*client, error) {
	conn, err := net.DialTimeout("tcp", p.api, patience)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 1<<10)}, nil
}

// ask sends a request, reads the response to its end, and returns the status.
func (c *client) ask(method, path, body string) (status int, err error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", method, path, len(body), body)
	if err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// check must be allowed.
func (c *client) check() error {
	status, err := c.ask(http.MethodPost, "/v1/accounts/chaos/many-0000/check", "{}")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("a check got %d", status)
	}
	return err
}

// felt is how long the calls of a healthy client took: of the connection that it keeps, and of one
// that it opens for a single check.
type felt struct{ kept, opened []time.Duration }

func p99(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)*99/100]
}

// healthy has a client check on its connection for some time, and now and then on a new one.
func (p *process) healthy(kept *client, lasts time.Duration) (f felt, err error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(lasts); time.Now().Before(end); <-tick.C {
		start := time.Now()
		if err := kept.check(); err != nil {
			return f, fmt.Errorf("the connection that is kept: %w", err)
		}
		f.kept = append(f.kept, time.Since(start))
		if len(f.kept)%20 != 0 {
			continue
		}
		start = time.Now()
		c, err := p.connect()
		if err != nil {
			return f, fmt.Errorf("a new connection: %w", err)
		}
		if err := errors.Join(c.check(), c.Close()); err != nil {
			return f, fmt.Errorf("a new connection: %w", err)
		}
		f.opened = append(f.opened, time.Since(start))
	}
	return f, nil
}

// survives wants a healthy client to have about the same 99th percentile during an attack as
// before it, and never to be cut off, also where it is idle meanwhile if keepsIdle says so.
// Machines that run tests have other things to do, so that it may have slack on top; the numbers
// are logged.
func (p *process) survives(t *testing.T, keepsIdle bool, attack func(stop <-chan struct{})) {
	t.Helper()
	const slack = 50 * time.Millisecond
	lasts := time.Duration(full(15, 4)) * time.Second
	kept, err := p.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	idle, err := p.connect() // is answered now, and once more when all is over
	if err == nil {
		err = idle.check()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	before, err := p.healthy(kept, lasts)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); attack(stop) }()
	during, err := p.healthy(kept, lasts/3) // the attack begins
	if err == nil {
		during, err = p.healthy(kept, lasts)
	}
	if err == nil && keepsIdle {
		err = idle.check()
	}
	resident, _ := p.memory()
	close(stop)
	<-done
	if err != nil {
		t.Fatalf("%v; the log is\n%s", err, p.log)
	}
	t.Logf("p99 of a kept connection: %v, was %v; of a new one: %v, was %v; %.0f MiB resident",
		p99(during.kept), p99(before.kept), p99(during.opened), p99(before.opened), resident)
	if p99(during.kept) > 3*p99(before.kept)+slack {
		t.Errorf("a healthy client feels it")
	}
	if resident > 256 {
		t.Errorf("%.0f MiB are resident", resident)
	}
}
