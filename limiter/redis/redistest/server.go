package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// patience is how long the tests wait for what must happen.
const patience = time.Minute

// Server is one redis-server. It keeps its address and directory while it is down.
type Server struct {
	options   Options
	binary    string
	major     int // of its version
	dir       string
	port      port
	tlsPort   port
	authority *authority // with TLS
	clock     *clock     // with ShiftableClock

	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// New returns a server that has started and answers. It ends with the test.
func New(t limitertest.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t, ok := t.(verdict); ok && t.Failed() {
			t.Logf("the log of the server on port %d ends with\n%s", s.Port(), s.tail())
		}
		s.Close()
	})
	return s
}

// verdict is what a test says of itself, if it is a [testing.T].
type verdict interface {
	Failed() bool
	Logf(format string, args ...any)
}

// Start is [New] for a server that many tests share. The caller closes it.
func Start(o Options) (*Server, error) {
	s, err := prepare(o)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare returns a server that is not started yet. It can be closed also after an error.
func prepare(o Options) (s *Server, err error) {
	if o.Host == "" {
		o.Host = loopback
	}
	s = &Server{options: o}
	if s.binary, s.major, err = findBinary(); err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "sluice-redis-"); err != nil {
		return s, err
	}
	if s.port, err = newPort(); err != nil {
		return s, err
	}
	if o.TLS {
		if s.tlsPort, err = newPort(); err != nil {
			return s, err
		}
		if s.authority, err = newAuthority(s.CAFile()); err != nil {
			return s, err
		}
	}
	if o.ShiftableClock {
		if s.clock, err = newClock(s.dir); err != nil {
			return s, err
		}
	}
	return s, s.writeFiles()
}

// versionPattern is what both Redis and Valkey print.
var versionPattern = regexp.MustCompile(`server v=(\d+)\.`)

func findBinary() (path string, major int, err error) {
	name := "redis-server"
	if other := os.Getenv("SLUICE_REDIS_SERVER"); other != "" {
		name = other
	}
	if path, err = exec.LookPath(name); err != nil {
		return "", 0, fmt.Errorf("these tests need %s (apt-get install redis-server, or set "+
			"SLUICE_REDIS_SERVER to another binary): %w", name, err)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", 0, fmt.Errorf("%s --version: %w", path, err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return "", 0, fmt.Errorf("%s is no redis-server or valkey-server: %q", path, out)
	}
	major, err = strconv.Atoi(string(match[1]))
	return path, major, err
}

// Start starts a server that is down, and waits until it answers.
func (s *Server) Start() error {
	args := append(append([]string{}, s.options.Wrapper...), s.binary, s.configFile())
	if s.options.sentinel {
		args = append(args, "--sentinel")
	}
	s.command = exec.Command(args[0], args[1:]...)
	s.command.SysProcAttr = endsWithParent()
	if s.clock != nil {
		s.command.Env = append(os.Environ(), s.clock.environment()...)
	}
	ended := make(chan struct{})
	s.ended = ended
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	s.command.Stdout, s.command.Stderr = out, out // of a configuration that it cannot read
	if err := s.command.Start(); err != nil {
		close(ended)
		return err
	}
	go func(c *exec.Cmd) { _ = c.Wait(); close(ended) }(s.command)
	return s.untilAnswers()
}

// untilAnswers waits until the server has loaded what it kept.
func (s *Server) untilAnswers() error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for {
		err := s.Try(context.Background(), "PING").Error()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("%s has ended; its log ends with\n%s", s.binary, s.tail())
		case <-timeout:
			return fmt.Errorf("%s gives no answer: %w; its log ends with\n%s", s.binary, err, s.tail())
		}
	}
}

// Close kills the server and removes what it kept. It may be called again.
func (s *Server) Close() {
	s.kill()
	s.port.release()
	s.tlsPort.release()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Address is where it listens without TLS, and URL that as a URL.
func (s *Server) Address() string { return s.port.on(s.options.Host) }

// URL is that of [Server.Address].
func (s *Server) URL() string { return "redis://" + s.Address() }

// TLSURL is the URL of the port with TLS.
func (s *Server) TLSURL() string { return "rediss://" + s.tlsPort.on(s.options.Host) }

// CAFile has the certificate to trust.
func (s *Server) CAFile() string { return filepath.Join(s.dir, "ca.crt") }

// Port is that of [Server.Address].
func (s *Server) Port() int { return s.port.number }

// Pid is that of the process that runs, or ran last.
func (s *Server) Pid() int { return s.command.Process.Pid }

// Log is what it has logged, in all its starts.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(text)
}

// tail is the end of the log.
func (s *Server) tail() string {
	const lines = 40
	all := strings.SplitAfter(s.Log(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
