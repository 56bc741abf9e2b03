package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// Report is what [Inspect] finds.
type Report struct {
	Epoch  string   // of the store; empty if it has none
	Missed []string // the epochs that replicas miss: see [AcceptLoss]
	Nodes  []Node   // in the order of their addresses
}

// Node is a server.
type Node struct {
	Address  string
	Version  string // such as "Redis 7.0.15" or "Valkey 8.1.0"
	Role     string // "master" or "slave", as servers call it
	Replicas int    // how many are connected
	AOF      bool   // whether it writes to its disk what it is told
	Problem  string // why Sluice would refuse it; empty if it would not
}

// Inspect asks the servers what they are, and what the store says of itself. It changes nothing.
func Inspect(
	ctx context.Context, client valkey.Client, prefix string, wait Wait,
) (r Report, err error) {
	nodes := client.Nodes()
	for _, address := range slices.Sorted(maps.Keys(nodes)) {
		node := nodes[address]
		text, err := node.Do(ctx, node.B().Info().Build()).ToString()
		if err != nil {
			return r, fmt.Errorf("%s: %w", address, explain(err))
		}
		r.Nodes = append(r.Nodes, describeNode(address, readInfo(text), wait))
	}
	fields, err := client.Do(ctx, client.B().Hgetall().Key(epochsKey(prefix)).Build()).AsStrMap()
	if err != nil {
		return r, explain(err)
	}
	r.Epoch = fields["id"]
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if epoch, missed := strings.CutPrefix(field, "lost:"); missed {
			r.Missed = append(r.Missed, epoch)
		}
	}
	return r, nil
}

func describeNode(address string, info map[string]string, wait Wait) Node {
	n := Node{
		Address: address, Version: "Redis " + info["redis_version"], Role: info["role"],
		AOF: info["aof_enabled"] == "1",
	}
	if valkey := info["valkey_version"]; valkey != "" {
		n.Version = "Valkey " + valkey
	}
	_, _ = fmt.Sscan(info["connected_slaves"], &n.Replicas)
	if err := acceptable(info, wait); err != nil {
		n.Problem = err.Error()
	}
	return n
}
