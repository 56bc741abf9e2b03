//go:build faults

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// network is a network namespace that two links lead to. Its host is the one of the test.
type network struct{ name string }

// The addresses are of a range for documentation, on links that nobody else has.
func address(link int) string { return fmt.Sprintf("198.51.100.%d", 4*link+2) }

func newNetwork(t *testing.T) network {
	t.Helper()
	n := network{fmt.Sprint("sluice-", os.Getpid())}
	ip(t, "netns", "add", n.name)
	t.Cleanup(func() { ip(t, "netns", "del", n.name) })
	for link := range 2 {
		here, there := fmt.Sprint("slh", link, "-", os.Getpid()), n.end(link)
		ip(t, "link", "add", here, "type", "veth", "peer", "name", there, "netns", n.name)
		t.Cleanup(func() { ip(t, "link", "del", here) }) // that of the namespace goes only later
		ip(t, "addr", "add", fmt.Sprintf("198.51.100.%d/30", 4*link+1), "dev", here)
		ip(t, "link", "set", here, "up")
		ip(t, "-n", n.name, "addr", "add", address(link)+"/30", "dev", there)
		n.set(t, link, "up")
	}
	return n
}

func (n network) end(link int) string { return fmt.Sprint("slt", link) }

// set has the far end of a link be up or down. While it is down all packets get lost.
func (n network) set(t *testing.T, link int, state string) {
	t.Helper()
	ip(t, "-n", n.name, "link", "set", n.end(link), state)
}

func ip(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(words, " "), err, out)
	}
}

// TestPartitionOfNetworks is TestPartition with packets that the kernel drops: connections neither
// end nor come about.
func TestPartitionOfNetworks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatal("network namespaces need ip: apt-get install iproute2")
	}
	n := newNetwork(t)
	s := redistest.New(t, redistest.Options{
		Host:      address(0),
		Wrapper:   []string{"ip", "netns", "exec", n.name},
		Arguments: []string{"--bind", address(0), address(1)},
	})
	partitionIsClosed(t, s.URL(), strings.Replace(s.URL(), address(0), address(1), 1),
		func() { n.set(t, 1, "down") }, func() { n.set(t, 1, "up") })
}
