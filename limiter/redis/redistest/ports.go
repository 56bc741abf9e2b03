package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

const (
	// Ports are below those that the system gives to clients: a client of a server that is down
	// could otherwise connect to itself, and keep the port.
	firstPort, lastPort = 11000, 19999
	// busOffset is how far above its port a node of a cluster listens for the others.
	busOffset = 10000
)

// port is a TCP port, and the one busOffset above it. A locked file says whose they are, so that
// they are still there when a server has been down for a while.
type port struct {
	number int
	lock   *os.File
}

func newPort() (port, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprint("sluice-test-ports-", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return port{}, err
	}
	for range 1000 {
		n := firstPort + rand.IntN(lastPort-firstPort+1)
		lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return port{}, err
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil &&
			isFree(n) && isFree(n+busOffset) {
			return port{n, lock}, nil
		}
		_ = lock.Close()
	}
	return port{}, fmt.Errorf("there is no free port between %d and %d", firstPort, lastPort)
}

func isFree(n int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(n)))
	return err == nil && l.Close() == nil
}

func (p port) release() {
	if p.lock != nil {
		_ = p.lock.Close()
	}
}

func (p port) on(host string) string { return net.JoinHostPort(host, strconv.Itoa(p.number)) }

// FreeAddress is an address on loopback that is the test's until it ends.
func FreeAddress(t limitertest.TB) string {
	t.Helper()
	p, err := newPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.release)
	return p.on(loopback)
}

const loopback = "127.0.0.1"
