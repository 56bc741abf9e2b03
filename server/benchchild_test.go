package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/journal"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/server"
)

// The processes that the benchmarks start. They end when their standard input
// does.

// benchChild reports whether this process is one of those, after it has run as such.
func benchChild() (is bool) {
	number := func(name string) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			panic(err)
		}
		return n
	}
	var err error
	kind, address := os.Getenv("SLUICE_BENCH_SERVER"), os.Getenv("SLUICE_BENCH_LOAD")
	switch {
	case kind == "loop":
		loop()
	case kind != "":
		err = benchServer(kind, os.Getenv("SLUICE_BENCH_DECISION"), number("SLUICE_BENCH_ACCOUNTS"))
	case os.Getenv("SLUICE_BENCH_OVERLOAD") != "":
		err = benchOverload(os.Getenv("SLUICE_BENCH_OVERLOAD"), number("SLUICE_BENCH_ACCOUNTS"))
	case address != "":
		err = benchLoad(address, number("SLUICE_BENCH_ACCOUNTS"), number("SLUICE_BENCH_BATCH"),
			number("SLUICE_BENCH_CONNECTIONS"), number("SLUICE_BENCH_FIRST"),
			os.Getenv("SLUICE_BENCH_COMMITS") == "true")
	default:
		return false
	}
	if err != nil {
		panic(err)
	}
	return true
}

// benchServer serves checks, or the bare handler, and prints its address.
func benchServer(kind, decision string, accounts int) error {
	if dir := os.Getenv("SLUICE_BENCH_PROFILE"); dir != "" {
		f, err := os.Create(filepath.Join(dir,
			fmt.Sprintf("%s-%s-%d.pprof", kind, decision, accounts)))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// The reference is as everybody would write it, even without timeouts.
	s, listen := &http.Server{Handler: bare(decision)}, func() (net.Listener, error) {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	if kind == "evalsha" {
		client, err := redis.Connect(benchRedis())
		if err != nil {
			return err
		}
		defer client.Close()
		s.Handler = evalsha(client, s.Handler)
	} else if kind != "bare" {
		store, clock, closeStore, err := benchStore(kind)
		if err != nil {
			return err
		}
		defer closeStore()
		s = server.HTTPServer(decider(store, clock, decision, accounts), logr.Discard())
		listen = func() (net.Listener, error) {
			return server.Listen("127.0.0.1:0", server.DefaultMaxConnections, logr.Discard())
		}
	}
	listener, err := listen()
	if err != nil {
		return err
	}
	go func() { _ = s.Serve(benchListenTLS(listener)) }()
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// loop keeps its core busy between one line of its standard input and the next.
func loop() {
	var busy atomic.Bool
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			busy.Store(!busy.Load())
		}
		os.Exit(0)
	}()
	for {
		for busy.Load() {
		}
		time.Sleep(time.Millisecond)
	}
}

// benchStore returns the store in memory, with a journal, or the shared one.
func benchStore(kind string) (store limiter.Store, clock limiter.Clock, done func(), err error) {
	if kind == "memory" || kind == "auth" {
		return memory.New(memory.Options{}), limiter.StartClock(), func() {}, nil
	}
	if kind == "redis" {
		s, done, err := benchSharedStore()
		return s, limiter.StartClock(), done, err
	}
	o := journal.Options{
		Dir: os.Getenv("SLUICE_BENCH_DIR"), Registry: prometheus.NewRegistry(), Log: logr.Discard(),
	}
	if pace := os.Getenv("SLUICE_BENCH_SYNC"); pace != "always" {
		if o.Sync, err = time.ParseDuration(pace); err != nil {
			return nil, clock, nil, err
		}
	}
	j := journal.New(o)
	_, err = j.Recover(context.Background())
	return j, j.Clock(), func() { _ = j.Close() }, err
}

// benchSharedStore returns the shared store as replicas have it, once its server was found good.
func benchSharedStore() (*redis.Store, func(), error) {
	s, err := redis.Open(redis.Options{
		Connection: benchRedis(), Prefix: os.Getenv("SLUICE_BENCH_PREFIX"),
		Timeout: 10 * time.Second, Registry: prometheus.NewRegistry(),
		Failed: func(err error) { fmt.Fprintln(os.Stderr, err) },
	})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for s.Ready() != nil {
		select {
		case err := <-ended:
			cancel()
			return nil, nil, err
		case <-time.After(time.Millisecond):
		}
	}
	return s, func() { cancel(); _ = errors.Join(<-ended) }, nil
}

// benchRedis is where the Redis of the benchmark is.
func benchRedis() redis.Connection {
	return redis.Connection{URL: os.Getenv("SLUICE_BENCH_REDIS")}
}

// evalsha makes one call of a script before each answer.
func evalsha(client valkey.Client, answer http.Handler) http.Handler {
	script := valkey.NewLuaScript(`return 1`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := script.Exec(r.Context(), client, []string{"key"}, nil).Error()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

// decider returns the server as it is run, with accounts that allow or deny all checks.
func decider(
	store limiter.Store, clock limiter.Clock, decision string, accounts int,
) http.Handler {
	l := limiter.New(store)
	p := limiter.Policy{Limits: limitertest.Limits(1e9, 1e9, 2e9)}
	if decision == "deny" {
		p.Limits[limiter.Cost][limiter.Day] = 1
	}
	l.MarkLoaded()
	ctx := context.Background()
	for i := range accounts {
		k := limiter.Key{Namespace: "marketing", Name: fmt.Sprintf("newsletter-%06d", i)}
		if _, err := l.Apply(ctx, k, "uid", p); err != nil {
			panic(err)
		}
		if decision == "deny" {
			if _, err := l.Commit(ctx, clock.Now(), k, "", 1); err != nil {
				panic(err)
			}
		}
	}
	s := server.New(server.Options{
		Limiter: l, Clock: clock, Registry: prometheus.NewRegistry(), Auth: benchAuth(),
	})
	if os.Getenv("SLUICE_BENCH_SHEDS") != "true" {
		s.AdmitAll() // their loads have as many connections as they like, and take no refusal
	}
	return s
}

// bare reads the body, and writes a constant of the size of a response.
func bare(decision string) http.Handler {
	answer := []byte(`{"decision":"Allow","remaining":999999999,` +
		`"reservation":{"id":"mail-000000000000","cost":1,` +
		`"expiresAt":"2000-01-01T00:00:01.000Z"}}` + "\n")
	if decision == "deny" {
		answer = []byte(`{"decision":"Defer","deferredUntil":"2000-01-02T00:00:00.000Z",` +
			`"retryAfterMillis":86390000,"exhausted":[{"window":"day","limit":1,"used":1,` +
			`"inFlight":0,"freeAt":"2000-01-02T00:00:00.000Z"}]}` + "\n")
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
