package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server"
)

// The processes that BenchmarkHTTP starts. They end when their standard input does.

// benchChild runs this process as one of those, if it is one.
func benchChild() (is bool) {
	var err error
	switch kind, address := os.Getenv("SLUICE_BENCH_SERVER"), os.Getenv("SLUICE_BENCH_LOAD"); {
	case kind != "":
		err = benchServer(kind, os.Getenv("SLUICE_BENCH_DECISION"))
	case address != "":
		err = benchLoad(address)
	default:
		return false
	}
	if err != nil {
		panic(err)
	}
	return true
}

// benchServer serves checks, or the bare handler, and says where.
func benchServer(kind, decision string) error {
	if dir := os.Getenv("SLUICE_BENCH_PROFILE"); dir != "" {
		f, err := os.Create(filepath.Join(dir, kind+"-for-"+decision+".pprof"))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := server.HTTPServer(checks(decision))
	if kind == "bare" {
		s = &http.Server{Handler: bare(decision)} // as everybody would write it: without timeouts, even
	}
	go func() { _ = s.Serve(listener) }()
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// checks is the server as it is run, with accounts of which all checks are allowed or denied.
func checks(decision string) http.Handler {
	l := limiter.New(0)
	clock := limiter.StartClock()
	for i := range benchAccounts {
		k := limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("newsletter-%02d", i)}
		p := limiter.Policy{Limits: limiter.Limits{1e9, 1e9, 2e9}}
		if decision == "deny" {
			p.Limits[limiter.Day] = 1
		}
		l.Apply(k, "uid", p)
	}
	l.MarkLoaded()
	if decision == "deny" {
		for i := range benchAccounts {
			k := limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("newsletter-%02d", i)}
			if _, err := l.Commit(clock.Now(), k, "", 1); err != nil {
				panic(err)
			}
		}
	}
	return server.New(server.Options{Limiter: l, Clock: clock, Registry: prometheus.NewRegistry()})
}

// bare reads the body and writes a constant of the size of the answer.
func bare(decision string) http.Handler {
	answer := []byte(`{"decision":"Allow","remaining":999999999,"reservation":{"id":"mail-00-000000000","cost":1,"expiresAt":"2000-01-01T00:00:01.000Z"}}` + "\n")
	if decision == "deny" {
		answer = []byte(`{"decision":"Defer","deferredUntil":"2000-01-02T00:00:00.000Z","retryAfterMillis":86390000,"exhausted":[{"window":"day","limit":1,"used":1,"inFlight":0,"freeAt":"2000-01-02T00:00:00.000Z"}]}` + "\n")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
}

const (
	benchAccounts    = 100
	benchConnections = 16
)

// benchLoad sends as many requests as each line asks for, and answers how long that took.
func benchLoad(address string) error {
	conns := make([]*benchConn, benchConnections)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		conns[i] = newBenchConn(conn, i)
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
			go func() { done <- c.send(n / benchConnections) }()
		}
		for range conns {
			if err := <-done; err != nil {
				return err
			}
		}
		fmt.Println(time.Since(start))
	}
	return lines.Err()
}

// benchConn is a connection with a request that was written before; account and id are overwritten in place.
type benchConn struct {
	net.Conn
	request, account, id, answer []byte
	sent                         int
}

func newBenchConn(conn net.Conn, number int) *benchConn {
	id := fmt.Sprintf("mail-%02d-%09d", number, 0)
	body := `{"id":"` + id + `","ttlSeconds":1}`
	text := "POST /v1/accounts/marketing/newsletter-00/check HTTP/1.1\r\nHost: sluice\r\n" +
		"Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	c := &benchConn{Conn: conn, request: []byte(text), answer: make([]byte, 4096), sent: number * 7}
	at := strings.Index(text, "newsletter-") + len("newsletter-")
	c.account = c.request[at : at+2]
	at = strings.Index(text, id) + len("mail-00-")
	c.id = c.request[at : at+9]
	return c
}

// send sends n requests, each after the answer to the one before.
func (c *benchConn) send(n int) error {
	for range n {
		c.sent++
		digits(c.account, c.sent%benchAccounts)
		digits(c.id, c.sent)
		if _, err := c.Write(c.request); err != nil {
			return err
		}
		if err := c.receive(); err != nil {
			return err
		}
	}
	return nil
}

func digits(to []byte, n int) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// receive reads one answer, which must be a 200.
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
		if len(body) == size {
			return nil
		}
	}
}
