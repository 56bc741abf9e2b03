package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// Why a call got no answer.
var (
	errNoAnswer = errors.New("the server's reply is not one of the script's")
	errTooMany  = errors.New("too many calls wait for the server")
	errBehind   = errors.New("the server has forgotten what it told lately")
)

// maxRunning is how many calls may wait for the server at a time. It is below the size of the ring
// in which the client keeps them, where a caller would wait without regard to its deadline.
const (
	ringScale  = 12
	maxRunning = 1<<ringScale - 96
)

// call is one call of a script.
type call struct {
	script  *script
	now     limiter.Instant
	id      string     // of the reservation, or the name of this call
	numbers [5]int64   // the verb's
	count   int        // how many numbers that are
	policy  string     // policyArgument, or nothing
	kind    recentKind // what is asserted after a failover, if it takes effect
	sent    bool       // the server may have got it
	told    bool       // it is told anew
	lineage uint32     // of the store, when it was sent
}

func (c *call) with(numbers ...int64) { c.count = copy(c.numbers[:], numbers) }

// run calls a script, again as long as more reservations are due than one call expires, and where
// the server may have been replaced meanwhile. All that is not an answer is ErrStoreUnavailable.
func (a *account) run(ctx context.Context, c *call) (answer, error) {
	s := a.store
	if a.isClosed() {
		return answer{}, limiter.ErrAccountNotFound
	}
	if s.running.Add(1) > maxRunning {
		s.running.Add(-1)
		return answer{}, s.unavailable(errTooMany)
	}
	defer s.running.Add(-1)
	asked := s.clock.elapsed()
	within, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	for try := 1; ; try++ {
		state, err := s.health.await(within)
		if err != nil {
			return answer{}, s.unavailable(err)
		}
		raw, err := s.eval(within, a, c)
		if passing(err) && pause(within, try) {
			continue
		}
		if err != nil {
			return answer{}, s.failed(ctx, err)
		}
		reply, err := a.read(raw, c)
		if err != nil {
			return answer{}, err
		}
		if reply.status != statusAgain && s.health.state() == state {
			if !s.options.TimeOfCalls {
				reply.asked = reply.called - int64(s.clock.elapsed()-asked)
			}
			return reply, nil
		}
	}
}

// read reads an answer, and learns what it tells of the account.
func (a *account) read(raw []byte, c *call) (answer, error) {
	s := a.store
	reply, ok := readAnswer(raw)
	if !ok {
		return answer{}, s.unavailable(errNoAnswer)
	}
	s.health.answered()
	switch reply.status {
	case statusLost:
		return answer{}, s.unavailable(s.lost(a))
	case statusBehind:
		s.health.behind.Store(true)
		s.health.refuse(errBehind)
		return answer{}, s.unavailable(errBehind)
	}
	if s.options.TimeOfCalls {
		reply.called = c.now.Mono // also before 1970
	}
	reply.asked = reply.called
	a.life.CompareAndSwap(0, reply.life)
	if reply.status != statusNotFound {
		a.learn(reply.version, reply.count, c)
	}
	s.recent.note(a, c, &reply)
	return reply, nil
}

// eval makes one round trip, or two where the server does not know the script yet.
func (s *Store) eval(ctx context.Context, a *account, c *call) ([]byte, error) {
	client, err := s.link.get()
	if err != nil {
		return nil, err
	}
	epoch, err := s.epochOf(ctx, client, a)
	if err != nil {
		return nil, err
	}
	c.sent = true
	raw, err := s.send(ctx, client, a, a.byHash(client, c, epoch))
	if isNoScript(err) {
		raw, err = s.send(ctx, client, a, a.inFull(client, c, epoch))
	}
	return raw, err
}

func (s *Store) send(
	ctx context.Context, client valkey.Client, a *account, command valkey.Completed,
) ([]byte, error) {
	if s.waiter != nil {
		return s.waiter.do(ctx, client, a.namespace, command)
	}
	return client.Do(ctx, command).AsBytes()
}

// epochOf returns the epoch that the account's namespace must be of; nothing is any.
func (s *Store) epochOf(ctx context.Context, client valkey.Client, a *account) (string, error) {
	if s.epochs == nil {
		return "", nil
	}
	return s.epochs.of(ctx, client, a.namespace)
}

// lost has it found out why the account's namespace is not of that epoch.
func (s *Store) lost(a *account) error {
	s.epochs.suspect(a.namespace)
	s.health.probe()
	return &LostError{Namespace: a.namespace}
}

// isNoScript reports whether the server does not know the script, and has done nothing.
func isNoScript(err error) bool {
	refusal, ok := valkey.IsValkeyErr(err)
	return ok && refusal.IsNoScript()
}

// byHash is the command for a call of a script that the server knows.
func (a *account) byHash(client valkey.Client, c *call, epoch string) valkey.Completed {
	return client.B().Evalsha().Sha1(c.script.sha).Numkeys(keys).Key(a.keys[:]...).
		Arg(a.store.timeArgument(c.now), c.id, a.argument(c), c.policy, epoch).Build()
}

// inFull is the command that has the server know the script, too.
func (a *account) inFull(client valkey.Client, c *call, epoch string) valkey.Completed {
	return client.B().Eval().Script(c.script.text).Numkeys(keys).Key(a.keys[:]...).
		Arg(a.store.timeArgument(c.now), c.id, a.argument(c), c.policy, epoch).Build()
}

// failed takes note of an error of the server or of the connection, and returns what callers get.
// The context is the caller's: who gave up says nothing about the server.
func (s *Store) failed(ctx context.Context, err error) error {
	refusal, ok := valkey.IsValkeyErr(err)
	switch {
	case ok && isReadOnly(refusal):
		s.link.stale.Store(true)
		s.health.refuse(errReadOnly)
	case ok && !everyCall(refusal):
	case ctx.Err() == nil:
		if s.health.failed(err) {
			s.options.Log.Error(err, "redis gives no answer: checks are refused until it does")
		}
	}
	return s.unavailable(err)
}

// passing reports whether another try may have an answer at once: the connection broke, or the keys
// of a cluster are on the move.
func passing(err error) bool {
	if refusal, ok := valkey.IsValkeyErr(err); ok {
		return refusal.IsTryAgain()
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, valkey.ErrClosing) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// pause waits before the next try, a little longer each time. It reports whether time is left.
func pause(ctx context.Context, tries int) bool {
	timer := time.NewTimer(min(time.Duration(tries)*time.Millisecond, 20*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// everyCall reports whether a refusal is for what the server is, and not for what the call is.
func everyCall(refusal *valkey.ValkeyError) bool {
	kind, _, _ := strings.Cut(refusal.Error(), " ")
	switch kind {
	case "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM",
		"NOREPLICAS", "MISCONF":
		return true
	}
	return false
}

// isReadOnly reports whether the server is a replica.
func isReadOnly(refusal *valkey.ValkeyError) bool {
	return strings.Contains(refusal.Error(), "READONLY") // a script's error begins with ERR
}

// unavailable tells why there was no answer, and returns what callers get.
func (s *Store) unavailable(err error) error {
	s.metrics.failures.Inc()
	s.options.Failed(fmt.Errorf("redis: %w", err))
	return limiter.ErrStoreUnavailable
}
