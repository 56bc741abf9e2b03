package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// errNoAnswer tells of a reply that no script of ours makes.
var errNoAnswer = errors.New("the server's reply is not one of the script's")

// call is one call of a script.
type call struct {
	script *script
	now    limiter.Instant
	id     string // of the reservation
	args   [2]string
	// once must not be repeated where the answer got lost: it has no id by which the script would
	// know that it has been here already.
	once bool
}

// run calls a script, again as long as more reservations are due than one call expires. All that is
// not an answer is ErrStoreUnavailable.
func (a *account) run(ctx context.Context, c call) (answer, error) {
	if a.isClosed() {
		return answer{}, limiter.ErrAccountNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, a.store.options.Timeout)
	defer cancel()
	at := a.store.timeArgument(c.now)
	for {
		raw, err := a.store.eval(ctx, a.keys[:], c, at)
		if err != nil {
			return answer{}, a.store.unavailable(err)
		}
		reply, err := a.read(raw, c.now, at)
		if err != nil || reply.status != statusAgain {
			return reply, err
		}
	}
}

// read reads an answer, and learns what it tells of the account.
func (a *account) read(raw []byte, now limiter.Instant, at string) (answer, error) {
	reply, ok := readAnswer(raw)
	if !ok {
		return answer{}, a.store.unavailable(errNoAnswer)
	}
	if at != "" {
		reply.called = now.Mono // also before 1970
	}
	a.life.CompareAndSwap(0, reply.life)
	if reply.status != statusNotFound {
		a.learn(reply.version, reply.count)
	}
	return reply, nil
}

// eval makes one round trip, or two where the server does not know the script yet.
func (s *Store) eval(ctx context.Context, keys []string, c call, at string) ([]byte, error) {
	raw, err := s.client.Do(ctx, s.byHash(keys, &c, at)).AsBytes()
	if isNoScript(err) {
		raw, err = s.client.Do(ctx, s.inFull(keys, &c, at)).AsBytes()
	}
	return raw, err
}

// isNoScript reports whether the server does not know the script, and has done nothing.
func isNoScript(err error) bool {
	refusal, ok := valkey.IsValkeyErr(err)
	return ok && refusal.IsNoScript()
}

// byHash is the command for a call of a script that the server knows.
func (s *Store) byHash(keys []string, c *call, at string) valkey.Completed {
	command := s.client.B().Evalsha().Sha1(c.script.sha).Numkeys(int64(len(keys))).Key(keys...).
		Arg(at, c.id, c.args[0], c.args[1]).Build()
	if !c.once {
		command = command.ToRetryable()
	}
	return command
}

// inFull is the command that has the server know the script, too.
func (s *Store) inFull(keys []string, c *call, at string) valkey.Completed {
	command := s.client.B().Eval().Script(c.script.text).Numkeys(int64(len(keys))).Key(keys...).
		Arg(at, c.id, c.args[0], c.args[1]).Build()
	if !c.once {
		command = command.ToRetryable()
	}
	return command
}

// unavailable tells why there was no answer, and returns what callers get.
func (s *Store) unavailable(err error) error {
	s.options.Failed(fmt.Errorf("redis: %w", err))
	return limiter.ErrStoreUnavailable
}
