package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// Signal sends a signal to the process.
func (s *Server) Signal(t limitertest.TB, which syscall.Signal) {
	t.Helper()
	if err := s.command.Process.Signal(which); err != nil {
		t.Fatal(err)
	}
}

// Freeze stops the process by SIGSTOP: connections stay, and nothing is answered. What was asked
// meanwhile is done after Thaw.
func (s *Server) Freeze(t limitertest.TB) { t.Helper(); s.Signal(t, syscall.SIGSTOP) }

// Thaw has the process go on.
func (s *Server) Thaw(t limitertest.TB) { t.Helper(); s.Signal(t, syscall.SIGCONT) }

// Kill ends the process by SIGKILL, also a frozen one. It is gone when Kill returns.
func (s *Server) Kill(t limitertest.TB) {
	t.Helper()
	if !s.running() {
		t.Fatal("the server is down already")
	}
	s.kill()
}

// Stop ends the process by SIGTERM, so that it syncs what it keeps.
func (s *Server) Stop(t limitertest.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatalf("SIGTERM has not ended the server; its log ends with\n%s", s.tail())
	}
}

// Restart starts the server at the same address, with what it kept. If it runs, it is killed first.
func (s *Server) Restart(t limitertest.TB) {
	t.Helper()
	if err := s.TryRestart(); err != nil {
		t.Fatal(err)
	}
}

// TryRestart is [Server.Restart] for who has no test.
func (s *Server) TryRestart() error {
	s.kill()
	return s.Start()
}

// KillScript ends a script that runs, as SCRIPT KILL does. A busy server takes that and AUTH, and
// nothing by which a client begins.
func (s *Server) KillScript() error {
	c, err := net.DialTimeout("tcp", s.Address(), commandTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintf(c, "AUTH %s %s\r\nSCRIPT KILL\r\n", adminName, adminPassword)
	if err := errors.Join(err, c.SetReadDeadline(time.Now().Add(commandTimeout))); err != nil {
		return err
	}
	replies := bufio.NewReader(c)
	for range 2 {
		reply, err := replies.ReadString('\n')
		if err == nil && reply != "+OK\r\n" {
			err = errors.New(strings.TrimSpace(reply))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func (s *Server) kill() {
	if s.running() {
		_ = s.command.Process.Kill()
		<-s.ended
	}
}
