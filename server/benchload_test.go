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

// benchLoad sends as many checks as each line asks for, in batches of this size, over as many
// connections, and commits each if it is to. The connections have numbers from the first on, which
// their ids begin with. It prints how long that took, and the 99th percentile of how long one
// request with checks took.
func benchLoad(address string, accounts, batch, connections, first int, commits bool) error {
	conns := make([]*benchConn, connections)
	for i := range conns {
		conn, err := benchDial(address)
		if err != nil {
			return err
		}
		conns[i] = newBenchConn(conn, first+i, accounts, batch, commits)
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
			go func() { done <- c.send(max(1, n/batch/connections)) }()
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

// benchConn is a connection with prepared requests.
type benchConn struct {
	net.Conn
	checks         []*benchRequest // one, or one for each token
	commit         *benchRequest   // nil if there are none
	answer         []byte
	accounts, sent int
	latencies      []time.Duration
}

// benchRequest is a prepared request. Its accounts and ids are overwritten for each.
type benchRequest struct {
	text   []byte
	digits []benchDigits // of each item in it
}

// benchDigits are the places in a request that differ from one item to the next.
type benchDigits struct{ account, id []byte }

// Placeholders in the prepared request, as long as what replaces them.
const accountDigits, idDigits = "######", "@@@@@@@@@@@@"

func newBenchConn(conn net.Conn, number, accounts, batch int, commits bool) *benchConn {
	c := &benchConn{
		Conn: conn, answer: make([]byte, 1<<20), accounts: accounts, sent: number * 1_000_000_000,
	}
	for _, header := range benchTokenHeaders() {
		c.checks = append(c.checks,
			newBenchRequest("check", header, `"id":"mail-`+idDigits+`","ttlSeconds":1`, batch))
	}
	if commits {
		c.commit = newBenchRequest("commit", "", `"reservation":"mail-`+idDigits+`"`, batch)
	}
	return c
}

func newBenchRequest(verb, header, fields string, batch int) *benchRequest {
	path := "/v1/accounts/marketing/newsletter-" + accountDigits + "/" + verb
	body := "{" + fields + "}"
	if batch > 1 {
		path = "/v1/" + verb
		item := `{"namespace":"marketing","name":"newsletter-` + accountDigits + `",` + fields + `}`
		body = `{"` + verb + `s":[` + strings.Repeat(item+",", batch-1) + item + `]}`
	}
	r := &benchRequest{text: []byte("POST " + path + " HTTP/1.1\r\nHost: sluice\r\n" +
		"Content-Type: application/json\r\n" + header +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)}
	for at, i := 0, 0; i < batch; i++ {
		account := at + bytes.Index(r.text[at:], []byte(accountDigits))
		id := account + bytes.Index(r.text[account:], []byte(idDigits))
		at = id + len(idDigits)
		r.digits = append(r.digits,
			benchDigits{r.text[account : account+len(accountDigits)], r.text[id:at]})
	}
	return r
}

// send sends n requests with checks, and their commits, each after the response to the one before.
func (c *benchConn) send(n int) error {
	c.latencies = c.latencies[:0]
	for range n {
		first := c.sent
		start := time.Now()
		check := c.checks[first%len(c.checks)]
		if err := c.exchange(check, first); err != nil {
			return err
		}
		c.latencies = append(c.latencies, time.Since(start))
		if c.commit != nil {
			if err := c.exchange(c.commit, first); err != nil {
				return err
			}
		}
		c.sent += len(check.digits)
	}
	return nil
}

// exchange sends a request for the items from the first on, and reads the response.
func (c *benchConn) exchange(r *benchRequest, first int) error {
	for i, d := range r.digits {
		writeDigits(d.account, (first+i)*7919%c.accounts)
		writeDigits(d.id, first+i)
	}
	if _, err := c.Write(r.text); err != nil {
		return err
	}
	return c.receive()
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
