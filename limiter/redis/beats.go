package redis

import (
	"context"
	"time"

	"github.com/valkey-io/valkey-go"
)

// A server that starts with an old snapshot has its epoch, and lacks all that was sent since. So
// all replicas count up a number in the store, each once a second, and remember what it was when.
// If it goes back, that says how much is lost: no more than they tell anew, or more.

// beatsFor is how much the replicas tell anew. It changes for tests alone.
var beatsFor = rememberCalls

// beatScript counts up. It writes twice, so that it is a transaction for an append-only file, as
// what the other scripts write is: what loses those loses this, too.
const beatScript = `
redis.call('HINCRBY', KEYS[1], 'again', 1)
return redis.call('HINCRBY', KEYS[1], 'count', 1)`

// beat is what the number was at an instant of the monotonic clock.
type beat struct {
	count int64
	at    time.Duration
}

// beats are those of the last minute, and one before. They are of the prober alone.
type beats struct {
	key string
	all []beat
}

// probe counts up, and compares.
func (b *beats) probe(
	ctx context.Context, client valkey.Client, at time.Duration,
) (back, lost bool, err error) {
	count, err := client.Do(ctx, client.B().Eval().Script(beatScript).Numkeys(1).Key(b.key).
		Build()).AsInt64()
	if err != nil {
		return false, false, err
	}
	back, lost = b.see(beat{count, at})
	return back, lost, nil
}

// see takes the next beat. It reports whether the store went back, and if so, whether that is more
// than the replicas tell anew. A replica that is younger than a minute does not judge.
func (b *beats) see(next beat) (back, lost bool) {
	n := len(b.all)
	if n == 0 || next.count > b.all[n-1].count {
		b.all = append(b.all, next)
		for len(b.all) > 2 && next.at-b.all[1].at > beatsFor {
			b.all = b.all[1:]
		}
		return false, false
	}
	last := b.all[n-1]
	since := b.all[0] // the newest that the store has
	for _, one := range b.all {
		if one.count < next.count {
			since = one
		}
	}
	if last.at-since.at > beatsFor {
		return true, true // and no beat from now on is taken before that is accepted
	}
	b.forget()
	b.all = append(b.all, next)
	return true, false
}

func (b *beats) forget() { b.all = nil }
