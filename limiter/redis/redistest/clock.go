package redistest

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// The library is ours as libfaketime recurses into the allocator of redis-server, and hangs.
//
//go:embed testdata/clock.c
var clockSource []byte

// clock shifts the wall clock of one process.
type clock struct {
	library string
	shift   string // a file with the seconds, in the order of bytes of this machine
}

func newClock(dir string) (*clock, error) {
	c := &clock{filepath.Join(dir, "clock.so"), filepath.Join(dir, "clock.shift")}
	compiler, err := exec.LookPath("cc")
	if err != nil {
		return nil, errors.New(
			"a server whose clock is shifted needs a C compiler: apt-get install gcc libc6-dev")
	}
	source := filepath.Join(dir, "clock.c")
	if err := errors.Join(c.set(0), os.WriteFile(source, clockSource, 0o600)); err != nil {
		return nil, err
	}
	out, err := exec.Command(compiler, "-shared", "-fPIC", "-O2", "-o", c.library, source).
		CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", compiler, err, out)
	}
	return c, nil
}

func (c *clock) environment() []string {
	return []string{"LD_PRELOAD=" + c.library, "REDISTEST_CLOCK=" + c.shift}
}

// set writes in place: the process has the file mapped.
func (c *clock) set(seconds int64) error {
	file, err := os.OpenFile(c.shift, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(binary.NativeEndian.AppendUint64(nil, uint64(seconds)))
	return errors.Join(err, file.Close())
}

// ShiftClock has the server's wall clock, and so its TIME and what expires, differ from the
// machine's by whole seconds from now on. Its monotonic clock goes on as it was.
func (s *Server) ShiftClock(t limitertest.TB, by time.Duration) {
	t.Helper()
	if s.clock == nil {
		t.Fatal("the server was started without ShiftableClock")
	}
	if err := s.clock.set(int64(by / time.Second)); err != nil {
		t.Fatal(err)
	}
}
