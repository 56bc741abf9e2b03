package server_test

import (
	"bufio"
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The load of BenchmarkOverload: one thread that waits for all of its connections at once, so that
// thousands of them cost little more than a few, and answers are seen when they come.

// benchOverload runs a load for each line, which has the number of connections, checks a second
// over all of them, and seconds. It prints what became of it.
func benchOverload(address string, accounts int) error {
	l := &openLoad{accounts: accounts, began: time.Now()}
	var err error
	if l.epoll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var connections int
		var rate, seconds float64
		if _, err := fmt.Sscan(lines.Text(), &connections, &rate, &seconds); err != nil {
			return err
		}
		for len(l.all) < connections {
			if err := l.connect(address); err != nil {
				return err
			}
		}
		o, err := l.offer(connections, rate, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		fmt.Println(o.decided, o.refused, o.p99)
	}
	return nil
}

// openLoad is a heap of the connections that send nothing at the moment, by when they will.
type openLoad struct {
	epoll, accounts int
	began           time.Time
	all, idle       []*openConn
	// of the offer that runs
	interval, begin, end time.Duration
	latencies            []time.Duration
	refused              int
}

// openConn is one connection.
type openConn struct {
	fd, sent    int
	request     *benchRequest
	answer      [4 << 10]byte
	got         int
	due, sentAt time.Duration // since the load began
}

func (l *openLoad) Len() int           { return len(l.idle) }
func (l *openLoad) Less(i, j int) bool { return l.idle[i].due < l.idle[j].due }
func (l *openLoad) Swap(i, j int)      { l.idle[i], l.idle[j] = l.idle[j], l.idle[i] }
func (l *openLoad) Push(c any)         { l.idle = append(l.idle, c.(*openConn)) }
func (l *openLoad) Pop() any {
	last := len(l.idle) - 1
	c := l.idle[last]
	l.idle = l.idle[:last]
	return c
}

func (l *openLoad) now() time.Duration { return time.Since(l.began) }

func (l *openLoad) connect(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	c := &openConn{
		fd: fd, sent: len(l.all) * 100_000_000, // what its ids begin with
		request: newBenchRequest("check", "", `"id":"mail-`+idDigits+`","ttlSeconds":1`, 1),
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(l.all))}
	l.all = append(l.all, c)
	return errors.Join(
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// offer offers checks at a rate for some time, and counts what was sent and answered in the last
// two thirds of it. It returns when everything is answered.
func (l *openLoad) offer(
	connections int, rate float64, lasts time.Duration,
) (o offered, err error) {
	l.interval = time.Duration(float64(connections) / rate * float64(time.Second))
	l.idle, l.latencies, l.refused = l.idle[:0], l.latencies[:0], 0
	now := l.now()
	l.begin, l.end = now+lasts/3, now+lasts
	for _, c := range l.all[:connections] {
		c.due = now + time.Duration(rand.Int64N(int64(l.interval)+1))
		heap.Push(l, c)
	}
	events := make([]unix.EpollEvent, 256)
	for busy := 0; busy > 0 || l.now() < l.end; {
		for now := l.now(); now < l.end && len(l.idle) > 0 && l.idle[0].due <= now; busy++ {
			if err := l.send(heap.Pop(l).(*openConn)); err != nil {
				return o, err
			}
		}
		n, err := unix.EpollWait(l.epoll, events, 1)
		if err != nil && err != unix.EINTR { //nolint:errorlint // a system call returns it itself
			return o, err
		}
		for _, e := range events[:max(0, n)] {
			answered, err := l.receive(l.all[e.Fd])
			if err != nil {
				return o, err
			}
			if answered {
				busy--
			}
		}
	}
	if len(l.latencies) == 0 {
		return o, fmt.Errorf("none of %d checks a second was decided, and %d were refused (%.300s)",
			int(rate), l.refused, l.all[0].answer)
	}
	slices.Sort(l.latencies)
	seconds := (l.end - l.begin).Seconds()
	return offered{
		decided: float64(len(l.latencies)) / seconds, refused: float64(l.refused) / seconds,
		p99: float64(l.latencies[len(l.latencies)*99/100]),
	}, nil
}

func (l *openLoad) send(c *openConn) error {
	for _, d := range c.request.digits {
		writeDigits(d.account, c.sent*7919%l.accounts)
		writeDigits(d.id, c.sent)
	}
	c.sent++
	c.got, c.sentAt = 0, l.now()
	_, err := unix.Write(c.fd, c.request.text)
	return err
}

// receive reads what has come, and reports whether that is the whole answer. The connection is idle
// again then.
func (l *openLoad) receive(c *openConn) (answered bool, err error) {
	n, err := unix.Read(c.fd, c.answer[c.got:])
	if err != nil || n == 0 {
		return false, fmt.Errorf("the server has closed a connection: %d, %w", n, err)
	}
	c.got += n
	head, body, whole := bytes.Cut(c.answer[:c.got], []byte("\r\n\r\n"))
	_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	size, err := strconv.Atoi(string(length))
	if !whole || err != nil || len(body) < size {
		return false, nil
	}
	now := l.now()
	counts := c.sentAt >= l.begin && now < l.end
	switch {
	case bytes.HasPrefix(head, []byte("HTTP/1.1 200")) && counts:
		l.latencies = append(l.latencies, now-c.sentAt)
	case bytes.HasPrefix(head, []byte("HTTP/1.1 200")):
	case !bytes.HasPrefix(head, []byte("HTTP/1.1 503")):
		return false, fmt.Errorf("got %s", c.answer[:c.got])
	case now >= l.begin && now < l.end:
		l.refused++
	}
	if c.due += l.interval; c.due < now {
		if l.interval > 0 {
			c.due += (now - c.due) / l.interval * l.interval // those before are never sent
		} else {
			c.due = now
		}
	}
	heap.Push(l, c)
	return true, nil
}
