package redistest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// text is what a command says.
func text(t *testing.T, s *redistest.Server, words ...string) string {
	t.Helper()
	said, err := s.Command(t, words...).ToString()
	if err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return said
}

// exists reports whether a server has a key.
func exists(t *testing.T, s *redistest.Server, key string) bool {
	t.Helper()
	n, err := s.Command(t, "EXISTS", key).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// TestRestart has a server keep after a kill what its AOF says, at the same address.
func TestRestart(t *testing.T) {
	for aof, kept := range map[string]bool{"": false, "always": true, "everysec": true} {
		t.Run("aof "+aof, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, redistest.Options{AOF: aof})
			address, pid := s.Address(), s.Pid()
			s.Command(t, "SET", "k", "v")
			s.Kill(t)
			if err := s.Try(t.Context(), "PING").Error(); err == nil {
				t.Error("it answers although it was killed")
			}
			s.Restart(t)
			if got := exists(t, s, "k"); got != kept {
				t.Errorf("the key is there: %t, want %t", got, kept)
			}
			if s.Address() != address || s.Pid() == pid {
				t.Errorf("it was %d at %s, now it is %d at %s", pid, address, s.Pid(), s.Address())
			}
		})
	}
}

// TestStop has a server end in order, and keep what an AOF without fsync has.
func TestStop(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{AOF: "no"})
	s.Command(t, "SET", "k", "v")
	s.Stop(t)
	s.Restart(t)
	if !exists(t, s, "k") {
		t.Error("the key is lost")
	}
}

// TestFreeze has a frozen server answer when it goes on, and not before.
func TestFreeze(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	s.Freeze(t)
	answered := make(chan error, 1)
	go func() { answered <- s.Try(t.Context(), "SET", "k", "v").Error() }()
	select {
	case err := <-answered:
		t.Errorf("it answers although it is frozen: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.Thaw(t)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestWrongArguments wants the error to say what the server does.
func TestWrongArguments(t *testing.T) {
	t.Parallel()
	_, err := redistest.Start(redistest.Options{Arguments: []string{"--no-such-setting", "1"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Error(err)
	}
}

// TestUsers has a file of users, a user of the tests' own, and arguments that have several words.
func TestUsers(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{
		ACL:       []string{"user default off", "user sluice on >secret ~sl:* +get"},
		Arguments: []string{"--client-output-buffer-limit", "normal", "1mb", "0", "0"},
	})
	if got := text(t, s, "ACL", "WHOAMI"); got != "redistest" {
		t.Errorf("the tests are %s", got)
	}
	if got := text(t, s, "ACL", "DRYRUN", "sluice", "GET", "sl:x"); got != "OK" {
		t.Error(got)
	}
	if got := text(t, s, "ACL", "DRYRUN", "sluice", "SET", "sl:x", "y"); got == "OK" {
		t.Error("the user may do more than it should")
	}
	limits, err := s.Command(t, "CONFIG", "GET", "client-output-buffer-limit").AsStrMap()
	if !strings.Contains(fmt.Sprint(limits), "normal 1048576 0 0") {
		t.Error(limits, err)
	}
}

// TestShiftClock has the time of a server jump both ways, while that of the machine does not.
func TestShiftClock(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{ShiftableClock: true})
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		s.ShiftClock(t, by)
		words, err := s.Command(t, "TIME").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		var seconds int64
		if _, err := fmt.Sscan(words[0], &seconds); err != nil {
			t.Fatal(err)
		}
		off := time.Since(time.Unix(seconds, 0)) + by
		if off < -time.Minute || off > time.Minute {
			t.Errorf("shifted by %s it is wrong by %s", by, off)
		}
	}
}

// TestKillScript ends a script that would run forever, and is an error where none runs.
func TestKillScript(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{Arguments: []string{"--lua-time-limit", "20"}})
	if err := s.KillScript(); err == nil || !strings.Contains(err.Error(), "NOTBUSY") {
		t.Error(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Try(t.Context(), "EVAL", "while true do end", "0").Error() }()
	for {
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "SCRIPT KILL") {
				t.Error(err)
			}
			return
		case <-time.After(5 * time.Millisecond):
			_ = s.KillScript() // until it may be killed
		}
	}
}

// TestCPU wants a server that works to have used more than one that waits.
func TestCPU(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	before := s.CPU(t)
	s.Command(t, "EVAL", "for n = 1, 5000000 do end return 1", "0")
	if after := s.CPU(t); after <= before {
		t.Errorf("%s before, %s after", before, after)
	}
}
