package redistest_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// asParent is set where this binary is the process of other tests.
const asParent = "REDISTEST_AS_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) == "" {
		os.Exit(m.Run())
	}
	s, err := redistest.Start(redistest.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Pid())
	select {}
}

// TestServersEndWithTheirTest kills a process of tests, which has no chance to clean up.
func TestServersEndWithTheirTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // what it leaves goes with it
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), asParent+"=1", "TMPDIR="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, parent.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the server %d outlives its test", pid)
}
