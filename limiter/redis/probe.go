package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/valkey-io/valkey-go"
)

// How often the server is looked at.
const (
	probeEvery  = time.Second
	probeAgain  = 200 * time.Millisecond // while it is not good
	probeWithin = 2 * time.Second
	probeApart  = 10 * time.Millisecond // at the least
)

// RefusedError says that the server does not do as Sluice needs it, and which setting to change.
type RefusedError struct{ What string }

func (e *RefusedError) Error() string { return e.What }

// Run watches the server, and brings to it what calls could not, until the context ends. Without
// it no check is answered. It returns an error only if, before the server was found good once, it
// refuses in a way that only another setting changes.
func (s *Store) Run(ctx context.Context) error {
	defer s.link.close()
	go s.late.run(ctx, s)
	seen, told, pause := false, "", time.Duration(0)
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.health.kick:
			time.Sleep(probeApart - time.Since(last)) // connections come and go together
		case <-time.After(pause):
		}
		last = time.Now()
		made, err := s.probeThrough(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if refused := (*RefusedError)(nil); errors.As(err, &refused) && !seen {
			return err
		}
		seen = seen || err == nil
		s.health.probed(made, err)
		told = s.tell(err, told)
		pause = probeEvery
		if err != nil {
			pause = probeAgain
		}
	}
}

// probeThrough is probe, again where the connection broke under it, as the next may hold, and where
// it took too long, but calls on the same connections were answered meanwhile.
func (s *Store) probeThrough(ctx context.Context) (made uint64, err error) {
	for range 3 {
		state, answers := s.health.state(), s.health.answers.Load()
		made, err = s.probe(ctx)
		broken := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
		busy := errors.Is(err, context.DeadlineExceeded) && state != 0 &&
			s.health.state() == state && s.health.answers.Load() > answers
		if !broken && !busy {
			break
		}
	}
	return made, err
}

// tell tells what a probe has found, unless that was told last. It returns what is told now.
func (s *Store) tell(err error, last string) string {
	now, lost := "redis is away: checks are refused", (*LostError)(nil)
	switch {
	case err == nil:
		now = "redis answers"
	case errors.As(err, &lost):
		now = "redis has lost what was sent: checks are refused"
	}
	switch {
	case now == last:
	case err == nil:
		s.options.Log.Info(now)
	default:
		s.options.Log.Error(err, now)
		if lost != nil {
			s.options.Tell("Warning", "StoreLost", err.Error())
		}
	}
	return now
}

// Ready returns why no check is answered now, or nil.
func (s *Store) Ready() error {
	if err := s.health.up(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// probe looks at the server. It returns how many connections it knew of.
func (s *Store) probe(parent context.Context) (made uint64, err error) {
	ctx, cancel := context.WithTimeout(parent, probeWithin)
	defer cancel()
	client, err := s.link.connect()
	if err != nil {
		return 0, explain(err)
	}
	made = s.health.made.Load()
	nodes, young, err := s.examine(ctx, client)
	if errors.Is(err, errReadOnly) {
		s.link.stale.Store(true) // the name may lead to the primary by now
	}
	if err != nil {
		return made, explain(err)
	}
	if err := s.clock.probe(ctx, client, s.options.Prefix); err != nil {
		return made, explain(err)
	}
	if err := s.epochs.settle(ctx, client); err != nil {
		return made, err
	}
	back, err := s.probeBeats(ctx, client)
	if err != nil {
		return made, err
	}
	// Another process at the other end may not have what the one before it had; a store whose loss
	// was accepted has not.
	epoch := s.epochs.current.Load().epoch
	other := s.link.epoch != "" && s.link.epoch != epoch
	// This process may be the one that is new: those who were told before tell it now.
	first := s.link.nodes == nil && young
	if first || other || back || s.link.another(nodes) || s.health.behind.Load() {
		s.health.refuse(errAsserting) // so that nobody waits for it
		s.epochs.forget()
		if err := s.assert(parent, client); err != nil {
			return made, err
		}
		s.health.behind.Store(false)
	}
	s.link.nodes, s.link.epoch = nodes, epoch
	return made, nil
}

// probeBeats looks whether the store has gone back.
func (s *Store) probeBeats(ctx context.Context, client valkey.Client) (back bool, err error) {
	if epoch := s.epochs.current.Load().epoch; s.link.epoch != epoch {
		s.beats.forget() // it is another store
	}
	back, lost, err := s.beats.probe(ctx, client, s.clock.elapsed())
	if err != nil {
		return false, explain(err)
	}
	if lost {
		return true, s.epochs.outdated(ctx, client)
	}
	return back, nil
}

// another reports whether there is a server that was not there at the last good probe.
func (l *link) another(nodes map[string]bool) bool {
	if l.nodes == nil {
		return false
	}
	for id := range nodes {
		if !l.nodes[id] {
			return true
		}
	}
	return false
}

// examine asks every primary what it is. It returns the ids of their processes, and whether one of
// them may have become a primary within the last minute.
func (s *Store) examine(
	ctx context.Context, client valkey.Client,
) (ids map[string]bool, young bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin/2)
	defer cancel()
	nodes := client.Nodes()
	type answer struct {
		address, text string
		err           error
	}
	answers := make(chan answer, len(nodes))
	for address, node := range nodes {
		go func() {
			text, err := node.Do(ctx, node.B().Info().Build()).ToString()
			answers <- answer{address, text, err}
		}()
	}
	ids = map[string]bool{}
	silent := map[string]error{}
	for range nodes {
		one := <-answers
		if one.err != nil {
			silent[one.address] = fmt.Errorf("%s: %w", one.address, one.err)
			continue
		}
		info := readInfo(one.text)
		if info["role"] != "master" {
			continue
		}
		if err := acceptable(info, s.options.Wait); err != nil {
			return nil, false, fmt.Errorf("%s: %w", one.address, err)
		}
		if n, _ := strconv.Atoi(info["connected_slaves"]); n < s.options.Wait.Replicas {
			return nil, false, fmt.Errorf("%s has %d replicas, and --redis-wait-replicas is %d",
				one.address, n, s.options.Wait.Replicas)
		}
		ids[info["run_id"]] = true
		uptime, _ := strconv.Atoi(info["uptime_in_seconds"])
		promoted := info["second_repl_offset"] != "-1" // at some time since it was started
		young = young || promoted || time.Duration(uptime)*time.Second < rememberCalls
	}
	if client.Mode() == valkey.ClientModeCluster {
		for address := range primariesOf(ctx, client) {
			if nodes[address] == nil {
				s.link.stale.Store(true)
				return nil, false, fmt.Errorf("%s is a primary that is not known yet", address)
			}
		}
	}
	if err := needed(ctx, client, silent); err != nil {
		return nil, false, err
	}
	if len(ids) == 0 {
		return nil, false, errReadOnly
	}
	return ids, young, nil
}

// needed returns the error of a primary, of nodes that gave no answer: a cluster can do without a
// replica.
func needed(ctx context.Context, client valkey.Client, silent map[string]error) error {
	var primaries map[string]bool
	if len(silent) > 0 && client.Mode() == valkey.ClientModeCluster {
		primaries = primariesOf(ctx, client)
	}
	for address, err := range silent {
		if primaries == nil || primaries[address] {
			return err
		}
	}
	return nil
}

// primariesOf asks a cluster for the addresses of its primaries. Nil is not known.
func primariesOf(ctx context.Context, client valkey.Client) map[string]bool {
	ranges, err := client.Do(ctx, client.B().ClusterSlots().Build()).ToArray()
	if err != nil {
		return nil
	}
	primaries := map[string]bool{}
	for _, one := range ranges {
		parts, err := one.ToArray() // first and last slot, the primary, its replicas
		if err != nil || len(parts) < 3 {
			return nil
		}
		node, err := parts[2].ToArray()
		if err != nil || len(node) < 2 {
			return nil
		}
		host, hostErr := node[0].ToString()
		port, portErr := node[1].AsInt64()
		if hostErr != nil || portErr != nil || host == "" {
			return nil
		}
		primaries[net.JoinHostPort(host, strconv.FormatInt(port, 10))] = true
	}
	return primaries
}

// errReadOnly is what a replica is.
var errReadOnly = errors.New("the server is a read-only replica; " +
	"--redis-url must lead to the primary, such as by its Sentinels")

// acceptable returns why a server cannot be used as it is set up, or nil.
func acceptable(info map[string]string, wait Wait) error {
	version := info["redis_version"] // of Valkey, the one that it is compatible with: 7.2
	if !atLeast(version, 6, 2) {
		return &RefusedError{"Redis " + version + " is too old: 6.2 or newer is needed"}
	}
	if wait.Fsync {
		if !atLeast(version, 7, 2) {
			return &RefusedError{"--redis-wait-fsync needs Redis 7.2 or Valkey; this is Redis " + version +
				": leave it out, and set appendfsync always in the server"}
		}
		if info["aof_enabled"] != "1" {
			return &RefusedError{"--redis-wait-fsync needs a server that writes to its disk: " +
				"set appendonly yes"}
		}
	}
	policy := info["maxmemory_policy"]
	if limit := info["maxmemory"]; limit != "" && limit != "0" && policy != "noeviction" {
		return &RefusedError{"maxmemory-policy is " + policy + ", so that the server would forget what " +
			"was sent when its memory is full: set maxmemory-policy to noeviction"}
	}
	return nil
}

// atLeast reports whether a version is this or newer.
func atLeast(version string, major, minor int) bool {
	high, rest, _ := strings.Cut(version, ".")
	low, _, _ := strings.Cut(rest, ".")
	h, _ := strconv.Atoi(high)
	l, _ := strconv.Atoi(low)
	return h > major || h == major && l >= minor
}

// readInfo reads the answer to INFO.
func readInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// explain makes of what a server refuses what the operator may do.
func explain(err error) error {
	text := err.Error()
	for begin, help := range map[string]string{ //nolint:gosec // no password, but how to set one
		"WRONGPASS":            "check --redis-username-file and --redis-password-file, or the URL",
		"NOAUTH":               "it wants a password: set --redis-password-file",
		"NOPERM":               "the user may not do what Sluice needs: see examples/redis/users.acl",
		"ERR invalid password": "check --redis-password-file, or the URL",
	} {
		if strings.Contains(text, begin) {
			return &RefusedError{text + ": " + help}
		}
	}
	return err
}
