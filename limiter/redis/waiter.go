package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Wait is what a check, a commit or a release waits for after the server has done it. Without, the
// server's answer is enough: a failover may then lose what it told in the moment before.
type Wait struct {
	// Replicas is how many replicas must have it, too.
	Replicas int
	// Fsync waits until the server has it on its disk, and so many replicas on theirs. It needs
	// Redis 7.2 or Valkey, and appendonly.
	Fsync bool
}

func (w Wait) any() bool { return w.Replicas > 0 || w.Fsync }

// errNotKept is why a call is in doubt that the server has answered.
var errNotKept = errors.New("too few replicas or disks had it in time, see --redis-wait-replicas")

// maxTogether is how many calls wait with one command.
const maxTogether = 256

// waiter makes calls on connections of their own: WAIT stops all that follows on its connection.
// Those that come while one batch waits are the next batch.
type waiter struct {
	wait    Wait
	timeout time.Duration

	mu     sync.Mutex
	groups map[string]*group
}

// group is what one connection carries: in a cluster, the calls of one namespace.
type group struct {
	waiting []waiting
	busy    bool
}

// waiting is a call that waits.
type waiting struct {
	ctx     context.Context // of the caller
	command valkey.Completed
	result  chan valkeyReply
}

type valkeyReply struct {
	raw []byte
	err error
}

func newWaiter(w Wait, timeout time.Duration) *waiter {
	return &waiter{wait: w, timeout: timeout, groups: map[string]*group{}}
}

// start has a command sent with others, and then waited for.
func (w *waiter) start(
	ctx context.Context, client valkey.Client, namespace string, command valkey.Completed,
) chan valkeyReply {
	if client.Mode() != valkey.ClientModeCluster {
		namespace = ""
	}
	one := waiting{ctx, command, make(chan valkeyReply, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[namespace]
	if g == nil {
		g = &group{}
		w.groups[namespace] = g
	}
	g.waiting = append(g.waiting, one)
	if !g.busy {
		g.busy = true
		go w.serve(client, g)
	}
	return one.result
}

// do is start, and waits for the result.
func (w *waiter) do(
	ctx context.Context, client valkey.Client, namespace string, command valkey.Completed,
) ([]byte, error) {
	select {
	case r := <-w.start(ctx, client, namespace, command):
		return r.raw, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve sends what waits until there is nothing left.
func (w *waiter) serve(client valkey.Client, g *group) {
	for {
		w.mu.Lock()
		n := min(len(g.waiting), maxTogether)
		if n == 0 {
			g.busy = false
			w.mu.Unlock()
			return
		}
		var batch []waiting
		for _, one := range g.waiting[:n] {
			if one.ctx.Err() == nil { // else nobody waits for it any more
				batch = append(batch, one)
			}
		}
		g.waiting = g.waiting[n:]
		w.mu.Unlock()
		if len(batch) > 0 {
			w.together(client, batch)
		}
	}
}

// together sends commands, and the one that waits for them.
func (w *waiter) together(client valkey.Client, batch []waiting) {
	ctx, cancel := context.WithTimeout(context.Background(), w.timeout)
	defer cancel()
	_ = client.Dedicated(func(own valkey.DedicatedClient) error {
		commands := make([]valkey.Completed, 0, len(batch)+1)
		for _, one := range batch {
			commands = append(commands, one.command)
		}
		results := own.DoMulti(ctx, append(commands, w.command(own))...)
		kept := w.kept(results[len(batch)])
		for i, one := range batch {
			raw, err := results[i].AsBytes()
			if err == nil && kept != nil {
				raw, err = nil, kept
			}
			one.result <- valkeyReply{raw, err}
		}
		return nil
	})
}

func (w *waiter) command(own valkey.DedicatedClient) valkey.Completed {
	limit := w.timeout.Milliseconds()
	if w.wait.Fsync {
		return own.B().Waitaof().Numlocal(1).Numreplicas(int64(w.wait.Replicas)).Timeout(limit).Build()
	}
	return own.B().Wait().Numreplicas(int64(w.wait.Replicas)).Timeout(limit).Build()
}

// kept returns why what was sent is not as durable as it must be, or nil.
func (w *waiter) kept(r valkey.ValkeyResult) error {
	if !w.wait.Fsync {
		n, err := r.AsInt64()
		if err == nil && n < int64(w.wait.Replicas) {
			err = errNotKept
		}
		return err
	}
	counts, err := r.AsIntSlice()
	if err == nil && (len(counts) != 2 || counts[0] < 1 || counts[1] < int64(w.wait.Replicas)) {
		err = fmt.Errorf("%w and --redis-wait-fsync", errNotKept)
	}
	return err
}
