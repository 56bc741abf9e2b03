package redistest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// Slots is how many a cluster has.
const Slots = 16384

const primaries = 3

// Cluster is three primaries that share the slots, a third each. They have no replicas.
type Cluster struct {
	Nodes []*Server
}

// NewCluster starts one, and waits until it is whole. It ends with the test.
func NewCluster(t limitertest.TB, o Options) *Cluster {
	t.Helper()
	o.Arguments = append([]string{
		"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
	}, o.Arguments...)
	c := &Cluster{}
	for range primaries {
		c.Nodes = append(c.Nodes, New(t, o))
	}
	for i, node := range c.Nodes {
		words := []string{"CLUSTER", "ADDSLOTS"} // ranges are of Redis 7
		for slot := i * Slots / primaries; slot < (i+1)*Slots/primaries; slot++ {
			words = append(words, strconv.Itoa(slot))
		}
		node.Command(t, words...)
		// Without that, two nodes may give themselves the same epoch, and need long to agree.
		node.Command(t, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	first := c.Nodes[0]
	for _, node := range c.Nodes[1:] {
		node.Command(t, "CLUSTER", "MEET", first.options.Host, strconv.Itoa(first.port.number))
	}
	c.AwaitWhole(t)
	return c
}

// AwaitWhole waits until all nodes run, know each other and serve all slots.
func (c *Cluster) AwaitWhole(t limitertest.TB) {
	t.Helper()
	until(t, "the cluster is whole", func() bool {
		return !slices.ContainsFunc(c.Nodes, func(node *Server) bool {
			text, err := node.Try(t.Context(), "CLUSTER", "INFO").ToString()
			info := fields(text)
			return err != nil || info["cluster_state"] != "ok" ||
				info["cluster_known_nodes"] != strconv.Itoa(primaries) ||
				info["cluster_slots_ok"] != strconv.Itoa(Slots)
		})
	})
}

// URL is how a client finds the nodes.
func (c *Cluster) URL() string {
	return c.Nodes[0].URL() + "?" + strings.TrimPrefix(others(c.Nodes), "&")
}

// others adds all servers but the first to the URL of that.
func others(all []*Server) string {
	var b strings.Builder
	for _, s := range all[1:] {
		b.WriteString("&addr=" + s.Address())
	}
	return b.String()
}

// Slot is that of a key.
func (c *Cluster) Slot(t limitertest.TB, key string) int {
	t.Helper()
	slot, err := c.Nodes[0].Command(t, "CLUSTER", "KEYSLOT", key).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return int(slot)
}

// Owner is the node that a slot belongs to, as the first node knows it.
func (c *Cluster) Owner(t limitertest.TB, slot int) *Server {
	t.Helper()
	ranges, err := c.Nodes[0].Command(t, "CLUSTER", "SLOTS").ToArray()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ranges {
		parts, err := r.ToArray()
		if err != nil || len(parts) < 3 {
			t.Fatalf("CLUSTER SLOTS: %v, %v", parts, err)
		}
		first, err1 := parts[0].AsInt64()
		last, err2 := parts[1].AsInt64()
		node, err3 := parts[2].ToArray()
		if err1 != nil || err2 != nil || err3 != nil || len(node) < 2 {
			t.Fatal("CLUSTER SLOTS: ", err1, err2, err3, node)
		}
		if int64(slot) < first || int64(slot) > last {
			continue
		}
		number, err := node[1].AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes {
			if int64(n.port.number) == number {
				return n
			}
		}
	}
	t.Fatalf("nobody owns slot %d", slot)
	return nil
}

// Another is a node that a slot does not belong to.
func (c *Cluster) Another(t limitertest.TB, slot int) *Server {
	t.Helper()
	owner := c.Owner(t, slot)
	return c.Nodes[(slices.Index(c.Nodes, owner)+1)%len(c.Nodes)]
}

func (s *Server) clusterID(t limitertest.TB) string { return s.text(t, "CLUSTER", "MYID") }
