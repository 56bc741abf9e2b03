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
		reply, ok := readAnswer(raw)
		if !ok {
			return answer{}, a.store.unavailable(errNoAnswer)
		}
		if at != "" {
			reply.called = c.now.Mono // also before 1970
		}
		a.life.CompareAndSwap(0, reply.life)
		if reply.status != statusNotFound {
			a.learn(reply.version, reply.count)
		}
		if reply.status != statusAgain {
			return reply, nil
		}
	}
}

// eval makes one round trip, or two where the server does not know the script yet.
func (s *Store) eval(ctx context.Context, keys []string, c call, at string) ([]byte, error) {
	arguments := []string{at, c.id, c.args[0], c.args[1]}
	byHash := s.client.B().Evalsha().Sha1(c.script.sha).Numkeys(int64(len(keys))).Key(keys...).
		Arg(arguments...).Build()
	if !c.once {
		byHash = byHash.ToRetryable()
	}
	raw, err := s.client.Do(ctx, byHash).AsBytes()
	if refusal, ok := valkey.IsValkeyErr(err); ok && refusal.IsNoScript() {
		whole := s.client.B().Eval().Script(c.script.text).Numkeys(int64(len(keys))).
			Key(keys...).Arg(arguments...).Build()
		if !c.once {
			whole = whole.ToRetryable()
		}
		raw, err = s.client.Do(ctx, whole).AsBytes()
	}
	return raw, err
}

// unavailable tells why there was no answer, and returns what callers get.
func (s *Store) unavailable(err error) error {
	s.options.Failed(fmt.Errorf("redis: %w", err))
	return limiter.ErrStoreUnavailable
}
