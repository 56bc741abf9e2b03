package redis_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// server is a redis-server of the tests' own.
type server struct {
	arguments []string
	command   *exec.Cmd
	dir       string
	port      int
}

// startServer starts a redis-server on a free port, and waits until it answers.
func startServer(arguments ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-redis-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, port: port, arguments: append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", dir,
		"--logfile", filepath.Join(dir, "log"),
	}, arguments...)}
	return s, s.start()
}

func (s *server) start() error {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("these tests need redis-server: apt-get install redis-server")
	}
	s.command = exec.Command(binary, s.arguments...)
	if err := s.command.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		client, err := s.connect()
		if err == nil {
			client.Close()
			return nil
		}
		if time.Now().After(deadline) {
			s.stop()
			return fmt.Errorf("redis-server on port %d gives no answer: %w", s.port, err)
		}
	}
}

func (s *server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func (s *server) connect() (valkey.Client, error) {
	return redis.Connect(redis.Connection{URL: "redis://" + s.address(), Timeout: 10 * time.Second})
}

func (s *server) stop() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
	_ = os.RemoveAll(s.dir)
}

func (s *server) signal(t *testing.T, which os.Signal) {
	t.Helper()
	if err := s.command.Process.Signal(which); err != nil {
		t.Fatal(err)
	}
}

// shared is the server of most tests, and a client of it.
var shared = sync.OnceValues(func() (valkey.Client, error) {
	s, err := startServer()
	if err != nil {
		return nil, err
	}
	sharedServer, atExit = s, append(atExit, s.stop)
	return s.connect()
})

var (
	sharedServer *server
	atExit       []func()
)

func client(t limitertest.TB) valkey.Client {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newClient is another client of the shared server.
func newClient(t *testing.T) valkey.Client {
	t.Helper()
	client(t)
	c, err := sharedServer.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var prefixes atomic.Int64

// options are those of an empty store on a server that has many.
func options(t limitertest.TB) redis.Options {
	return redis.Options{
		Prefix: fmt.Sprint("t", prefixes.Add(1)), TimeOfCalls: true, Timeout: 30 * time.Second,
		Failed: func(err error) { t.Fatalf("no answer: %v", err) },
	}
}

// short is how many random histories are played: a fifth with -short.
func short(times uint64) uint64 {
	if testing.Short() {
		return times / 5
	}
	return times
}

// long leaves a test of one caller out with -short: it is long, and there are no races in it.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it is long: see it without -short")
	}
}

// command sends a command of the test's own.
func command(t limitertest.TB, words ...string) valkey.ValkeyResult {
	t.Helper()
	c := client(t)
	r := c.Do(context.Background(), c.B().Arbitrary(words...).Build())
	if err := r.Error(); err != nil && !valkey.IsValkeyNil(err) {
		t.Fatal(words, err)
	}
	return r
}

// open opens a store, and waits until its server was found good.
func open(t testing.TB, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return s
}

// run has a store watch its server, and waits until that was found good.
func run(t testing.TB, s *redis.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the store refuses: %v", err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); s.Ready() != nil; {
		if time.Now().After(deadline) {
			t.Fatal(s.Ready())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "100"); err != nil {
		panic(err)
	}
	flag.Parse()
	redis.HurryOthers(300 * time.Millisecond)
	code := m.Run()
	for _, stop := range atExit {
		stop()
	}
	os.Exit(code)
}
