package redistest

import (
	"net"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// Proxy stands between clients and a server, and fails as a network does. It knows nothing of TLS,
// so that it serves that, too.
type Proxy struct {
	port port

	mu       sync.Mutex
	to       string
	listener net.Listener // nil while it refuses
	pairs    map[*pair]struct{}
	delay    Delay
	sliced   bool
	silent   bool
	loss     Loss
	counts   Counts
}

// Delay is how long a proxy holds everything back. What was sent first still comes first.
type Delay struct {
	Requests, Replies time.Duration
	Jitter            time.Duration // at most so much more, at random, each way
}

// Loss says which replies get lost, though the server did what was asked. Requests of another kind
// are served, such as those by which a client begins.
type Loss struct {
	// Times is how many requests lose their replies.
	Times int
	// To is a word of these requests, as "EVALSHA". Empty is any.
	To string
	// After is how many bytes of the replies still come, from when the request was seen.
	After int
	// Silent has the connection stay, and say nothing more, until [Proxy.Heal]. Else it is cut.
	Silent bool
}

// Counts are of all connections since the proxy began.
type Counts struct {
	Connections int
	// RoundTrips is how often clients sent something after they had received something, or for the
	// first time. Requests that share a pipeline are one.
	RoundTrips int
	Lost       int // as Loss says
}

// NewProxy starts one that does no harm yet. It ends with the test.
func NewProxy(t limitertest.TB, to string) *Proxy {
	t.Helper()
	number, err := newPort()
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{port: number, to: to, pairs: map[*pair]struct{}{}}
	t.Cleanup(func() {
		p.Refuse()
		p.port.release()
	})
	p.listen(t)
	return p
}

// Address is where it listens, also while it refuses.
func (p *Proxy) Address() string { return p.port.on(loopback) }

// listen begins to accept, if it does not yet.
func (p *Proxy) listen(t limitertest.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	l, err := net.Listen("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	p.listener = l
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(l, client)
		}
	}()
}

// SetTo has new connections lead to another server.
func (p *Proxy) SetTo(address string) { p.change(func() { p.to = address }) }

// SetDelay changes how long everything takes from now on.
func (p *Proxy) SetDelay(d Delay) { p.change(func() { p.delay = d }) }

// SetSliced has every byte be written by itself, or not.
func (p *Proxy) SetSliced(sliced bool) { p.change(func() { p.sliced = sliced }) }

// Lose has replies get lost. It replaces what an earlier Lose has left.
func (p *Proxy) Lose(l Loss) { p.change(func() { p.loss = l }) }

// Silence makes it a black hole: it accepts, and nothing comes through, either way.
func (p *Proxy) Silence() {
	p.change(func() {
		p.silent = true
		for c := range p.pairs {
			c.spoiled = true
		}
	})
}

// Orphan makes black holes of the connections that are there. New ones work: so looks a network
// device that has forgotten its connections.
func (p *Proxy) Orphan() {
	p.change(func() {
		for c := range p.pairs {
			c.spoiled = true
		}
	})
}

// Cut closes all connections. New ones are accepted.
func (p *Proxy) Cut() {
	p.change(func() {
		for c := range p.pairs {
			c.close()
		}
	})
}

// Refuse closes all connections and accepts none.
func (p *Proxy) Refuse() {
	p.change(func() {
		if p.listener != nil {
			_ = p.listener.Close()
			p.listener = nil
		}
		for c := range p.pairs {
			c.close()
		}
	})
}

// Heal ends all faults. Connections on which something got lost are cut: a client would take the
// next reply for the one that it misses.
func (p *Proxy) Heal(t limitertest.TB) {
	t.Helper()
	p.change(func() {
		p.delay, p.sliced, p.silent, p.loss = Delay{}, false, false, Loss{}
		for c := range p.pairs {
			if c.spoiled {
				c.close()
			}
		}
	})
	p.listen(t)
}

// Counts returns what there was so far.
func (p *Proxy) Counts() (c Counts) {
	p.change(func() { c = p.counts })
	return c
}

func (p *Proxy) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}
