package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The load of BenchmarkHTTP: it costs little enough to keep a server busy from one core.

// benchConnections is how many callers send at a time.
const benchConnections = 16

// benchLoad sends as many checks as each line asks for, in batches of this size. It prints how long
// that took, and the 99th percentile of how long one request took.
func benchLoad(address string, accounts, batch int) error {
	conns := make([]*benchConn, benchConnections)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		conns[i] = newBenchConn(conn, i, accounts, batch)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		start := time.Now()
		done := make(chan error)
		for _, c := range conns {
			go func() { done <- c.send(max(1, n/batch/benchConnections)) }()
		}
		var latencies []time.Duration
		for range conns {
			if err := <-done; err != nil {
				return err
			}
		}
		took := time.Since(start)
		for _, c := range conns {
			latencies = append(latencies, c.latencies...)
		}
		slices.Sort(latencies)
		fmt.Println(took.Nanoseconds(), latencies[len(latencies)*99/100].Nanoseconds())
	}
	return lines.Err()
}

// benchConn is a connection with a prepared request. send overwrites its accounts and ids.
type benchConn struct {
	net.Conn
	request, answer []byte
	digits          []benchDigits // of each check in it
	accounts, sent  int
	latencies       []time.Duration
}

// benchDigits are the places in a request that differ from one check to the next.
type benchDigits struct{ account, id []byte }

// Placeholders in the prepared request, as long as what replaces them.
const accountDigits, idDigits = "######", "@@@@@@@@@@@@"

func newBenchConn(conn net.Conn, number, accounts, batch int) *benchConn {
	path := "/v1/accounts/marketing/newsletter-" + accountDigits + "/check"
	body := `{"id":"mail-` + idDigits + `","ttlSeconds":1}`
	if batch > 1 {
		path = "/v1/check"
		item := `{"namespace":"marketing",` +
			`"name":"newsletter-` + accountDigits + `","id":"mail-` + idDigits + `","ttlSeconds":1}`
		body = `{"checks":[` + strings.Repeat(item+",", batch-1) + item + `]}`
	}
	request := []byte("POST " + path + " HTTP/1.1\r\nHost: sluice\r\n" +
		"Content-Type: application/json\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	c := &benchConn{
		Conn: conn, request: request, answer: make([]byte, 1<<20), accounts: accounts,
		sent: number * 1_000_000_000,
	}
	for at, i := 0, 0; i < batch; i++ {
		account := at + bytes.Index(request[at:], []byte(accountDigits))
		id := account + bytes.Index(request[account:], []byte(idDigits))
		at = id + len(idDigits)
		c.digits = append(c.digits,
			benchDigits{request[account : account+len(accountDigits)], request[id:at]})
	}
	return c
}

// send sends n requests, each after the response to the one before.
func (c *benchConn) send(n int) error {
	c.latencies = c.latencies[:0]
	for range n {
		for _, d := range c.digits {
			c.sent++
			writeDigits(d.account, c.sent*7919%c.accounts)
			writeDigits(d.id, c.sent)
		}
		start := time.Now()
		if _, err := c.Write(c.request); err != nil {
			return err
		}
		if err := c.receive(); err != nil {
			return err
		}
		c.latencies = append(c.latencies, time.Since(start))
	}
	return nil
}

func writeDigits(to []byte, n int) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// receive reads one response, which must be a 200 without problems.
func (c *benchConn) receive() error {
	for got := 0; ; {
		n, err := c.Read(c.answer[got:])
		if err != nil {
			return err
		}
		got += n
		head, body, whole := bytes.Cut(c.answer[:got], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
		length, _, _ = bytes.Cut(length, []byte("\r\n"))
		size, err := strconv.Atoi(string(length))
		if err != nil || !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("got %s", c.answer[:got])
		}
		if len(body) < size {
			continue
		}
		if bytes.Contains(body, []byte("problem")) {
			return fmt.Errorf("got %s", body)
		}
		return nil
	}
}
