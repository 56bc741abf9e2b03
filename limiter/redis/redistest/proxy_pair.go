package redistest

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// pair is a connection of a client and the one of the proxy that goes with it. The proxy's lock
// guards its fields.
type pair struct {
	proxy          *Proxy
	client, server net.Conn // no server until there is a connection to it
	closed         bool

	waits   bool   // the client has sent, and has not received since
	tail    []byte // of the requests, as a word may come in two parts
	doomed  bool   // a reply of it gets lost
	left    int    // how many bytes of the replies come, if it is doomed
	spoiled bool   // something got lost, and it is still there
}

// chunk is bytes that are on their way until an instant.
type chunk struct {
	bytes []byte
	due   time.Time
}

// serve is one connection, from its begin to its end.
func (p *Proxy) serve(l net.Listener, client net.Conn) {
	c := &pair{proxy: p, client: client}
	refused, to := false, ""
	p.change(func() {
		to = p.to
		refused = p.listener != l // meanwhile
		if !refused {
			p.pairs[c] = struct{}{}
			p.counts.Connections++
			c.spoiled = p.silent
		}
	})
	if refused {
		_ = client.Close()
		return
	}
	defer func() {
		p.change(func() {
			delete(p.pairs, c)
			c.close()
		})
	}()
	server, err := net.DialTimeout("tcp", to, commandTimeout)
	if err != nil {
		return
	}
	p.change(func() {
		c.server = server
		if c.closed { // meanwhile
			_ = server.Close()
		}
	})
	var both sync.WaitGroup
	both.Go(func() { c.pump(client, server, c.request, &p.delay.Requests) })
	both.Go(func() { c.pump(server, client, c.reply, &p.delay.Replies) })
	both.Wait()
}

// close ends both connections. The caller holds the proxy's lock.
func (c *pair) close() {
	if c.closed {
		return
	}
	c.closed = true
	_ = c.client.Close()
	if c.server != nil {
		_ = c.server.Close()
	}
}

// pump forwards one way until either end closes, and then closes both.
func (c *pair) pump(
	from, to net.Conn, pass func([]byte) (rest []byte, more bool), delay *time.Duration,
) {
	p := c.proxy
	onTheWay := make(chan chunk, 1000)
	go func() {
		defer close(onTheWay)
		for {
			b := make([]byte, 1<<14)
			n, err := from.Read(b)
			if err != nil {
				return
			}
			due := time.Now()
			p.change(func() {
				due = due.Add(*delay)
				if p.delay.Jitter > 0 {
					due = due.Add(rand.N(p.delay.Jitter))
				}
			})
			onTheWay <- chunk{b[:n], due}
		}
	}()
	more := true
	for next := range onTheWay {
		if !more {
			continue // until the reader has ended, too
		}
		time.Sleep(time.Until(next.due))
		var rest []byte
		sliced := false
		p.change(func() {
			rest, more = pass(next.bytes)
			sliced = p.sliced
		})
		if write(to, rest, sliced) != nil || !more {
			more = false
			p.change(c.close)
		}
	}
	p.change(c.close)
}

// write writes, each byte by itself or all together.
func write(to net.Conn, b []byte, sliced bool) error {
	size := max(1, len(b))
	if sliced {
		size = 1
	}
	for part := range slices.Chunk(b, size) {
		if _, err := to.Write(part); err != nil {
			return err
		}
		if sliced {
			time.Sleep(20 * time.Microsecond) // or they share a packet
		}
	}
	return nil
}

// request returns what comes through of a request. The caller holds the proxy's lock.
func (c *pair) request(b []byte) (rest []byte, more bool) {
	p := c.proxy
	if c.silenced() {
		return nil, true
	}
	if !c.waits {
		p.counts.RoundTrips++
		c.waits = true
	}
	word := []byte(p.loss.To)
	seen := slices.Concat(c.tail, b)
	if p.loss.Times > 0 && !c.doomed && bytes.Contains(seen, word) {
		p.loss.Times--
		p.counts.Lost++
		c.doomed, c.left = true, p.loss.After
	}
	c.tail = slices.Clone(seen[max(0, len(seen)-max(0, len(word)-1)):])
	return b, true
}

// reply returns what comes through of a reply. The caller holds the proxy's lock.
func (c *pair) reply(b []byte) (rest []byte, more bool) {
	if c.silenced() {
		return nil, true
	}
	c.waits = false
	if !c.doomed {
		return b, true
	}
	rest = b[:min(len(b), c.left)]
	c.left -= len(rest)
	if len(rest) == len(b) && c.left > 0 {
		return rest, true
	}
	c.spoiled = true
	return rest, c.proxy.loss.Silent
}

// silenced reports whether nothing comes through any more.
func (c *pair) silenced() bool { return c.proxy.silent || c.spoiled }
