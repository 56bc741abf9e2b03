package redistest_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// line is a connection that says lines and hears them.
type line struct {
	net.Conn
	*bufio.Reader
}

// newLine is one through a proxy.
func newLine(t *testing.T, p *redistest.Proxy) line {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return line{c, bufio.NewReader(c)}
}

func (l line) say(t *testing.T, words string) {
	t.Helper()
	if _, err := l.Write([]byte(words + "\r\n")); err != nil {
		t.Fatal(err)
	}
}

// hear returns what comes within a time, up to the end of the line or of the connection. It reports
// whether the connection is still open.
func (l line) hear(t *testing.T, within time.Duration) (said string, open bool) {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	said, err := l.ReadString('\n')
	late, isNet := err.(net.Error) //nolint:errorlint // it is not wrapped
	return strings.TrimSpace(said), err == nil || isNet && late.Timeout()
}

// want wants a line to be heard, in time.
func (l line) want(t *testing.T, want string, wantOpen bool) {
	t.Helper()
	within := 10 * time.Second
	if want == "" && wantOpen {
		within = 100 * time.Millisecond // for what must not come
	}
	if said, open := l.hear(t, within); said != want || open != wantOpen {
		t.Errorf("it says %q, and is open: %t; want %q, %t", said, open, want, wantOpen)
	}
}

// TestProxy has each of the faults, and wants it to be over when it is healed.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	for name, fault := range map[string]func(t *testing.T, p *redistest.Proxy, l line){
		"none": func(t *testing.T, _ *redistest.Proxy, l line) {
			l.say(t, "PING")
			l.want(t, "+PONG", true)
		},
		"delay": func(t *testing.T, p *redistest.Proxy, l line) {
			const each = 50 * time.Millisecond
			p.SetDelay(redistest.Delay{Requests: each, Replies: each, Jitter: each / 10})
			start := time.Now()
			l.say(t, "PING")
			l.want(t, "+PONG", true)
			if took := time.Since(start); took < 2*each {
				t.Errorf("it took %s", took)
			}
		},
		"sliced": func(t *testing.T, p *redistest.Proxy, l line) {
			p.SetSliced(true)
			l.say(t, "PING")
			l.want(t, "+PONG", true)
		},
		"a reply that is lost": func(t *testing.T, p *redistest.Proxy, l line) {
			p.Lose(redistest.Loss{Times: 1, To: "INCR"})
			l.say(t, "PING")
			l.want(t, "+PONG", true)
			l.say(t, "INCR lost")
			l.want(t, "", false)
			if got := text(t, s, "GET", "lost"); got != "1" {
				t.Errorf("the server did it %s times", got)
			}
			again := newLine(t, p)
			again.say(t, "INCR lost")
			again.want(t, ":2", true)
			if n := p.Counts().Lost; n != 1 {
				t.Errorf("%d were lost", n)
			}
		},
		"half a reply, and then nothing": func(t *testing.T, p *redistest.Proxy, l line) {
			p.Lose(redistest.Loss{Times: 1, After: 3, Silent: true})
			l.say(t, "PING")
			l.say(t, "PING")
			if said, open := l.hear(t, 100*time.Millisecond); said != "+PO" || !open {
				t.Errorf("it says %q, and is open: %t", said, open)
			}
			p.Heal(t)
			l.want(t, "", false)
		},
		"silence": func(t *testing.T, p *redistest.Proxy, l line) {
			p.Silence()
			l.say(t, "PING")
			l.want(t, "", true)
			p.Heal(t)
			l.want(t, "", false)
		},
		"cut": func(t *testing.T, p *redistest.Proxy, l line) {
			p.Cut()
			l.want(t, "", false)
		},
		"refused": func(t *testing.T, p *redistest.Proxy, l line) {
			p.Refuse()
			l.want(t, "", false)
			if c, err := net.Dial("tcp", p.Address()); err == nil {
				_ = c.Close()
				t.Error("it accepts")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := redistest.NewProxy(t, s.Address())
			l := newLine(t, p)
			l.say(t, "PING")
			l.want(t, "+PONG", true)
			fault(t, p, l)
			p.Heal(t)
			again := newLine(t, p)
			again.say(t, "PING")
			again.want(t, "+PONG", true)
		})
	}
}

// TestSetTo has a proxy lead to another server.
func TestSetTo(t *testing.T) {
	t.Parallel()
	one, other := redistest.New(t, redistest.Options{}), redistest.New(t, redistest.Options{})
	p := redistest.NewProxy(t, one.Address())
	old := newLine(t, p)
	old.say(t, "PING")
	old.want(t, "+PONG", true)
	p.SetTo(other.Address())
	l := newLine(t, p)
	l.say(t, "SET k v")
	l.want(t, "+OK", true)
	old.say(t, "EXISTS k")
	old.want(t, ":0", true)
	if !exists(t, other, "k") {
		t.Error("it leads nowhere")
	}
}

// TestProxyCounts has requests that share a pipeline be one round trip.
func TestProxyCounts(t *testing.T) {
	t.Parallel()
	p := redistest.NewProxy(t, redistest.New(t, redistest.Options{}).Address())
	l := newLine(t, p)
	for range 3 {
		l.say(t, "PING\r\nPING")
		l.want(t, "+PONG", true)
		l.want(t, "+PONG", true)
	}
	if got, want := p.Counts(), (redistest.Counts{Connections: 1, RoundTrips: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
