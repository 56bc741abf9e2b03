package redis

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/valkey-io/valkey-go"
)

// telling is a note in the store that this replica tells it anew what it was told: whoever had less
// to tell waits for it.
type telling struct {
	key, me string
	until   time.Time // so long the note holds
}

const (
	tellingFor  = 5 * time.Second
	tellingPoll = 50 * time.Millisecond
)

func newTelling(prefix string) telling {
	return telling{key: prefix + ":{sluice}:telling", me: rand.Text()}
}

// tellingScript notes the caller for so many seconds (0: not any more), and returns how many others
// there are.
const tellingScript = `
local now = tonumber(redis.call('TIME')[1])
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  redis.call('EXPIRE', KEYS[1], 60)
end
return redis.call('ZCOUNT', KEYS[1], now, '+inf')`

func (t *telling) say(ctx context.Context, client valkey.Client, seconds string) (int64, error) {
	return client.Do(ctx, client.B().Eval().Script(tellingScript).Numkeys(1).Key(t.key).
		Arg(t.me, seconds).Build()).AsInt64()
}

// begin notes that this replica tells, or still does.
func (t *telling) begin(ctx context.Context, client valkey.Client) error {
	if time.Until(t.until) > tellingFor/2 {
		return nil
	}
	until := time.Now().Add(tellingFor)
	_, err := t.say(ctx, client, "5")
	if err == nil {
		t.until = until
	}
	return err
}

// end notes that it has told all.
func (t *telling) end(ctx context.Context, client valkey.Client) error {
	t.until = time.Time{}
	_, err := t.say(ctx, client, "0")
	return err
}

// others returns how many others tell.
func (t *telling) others(ctx context.Context, client valkey.Client) (int64, error) {
	return t.say(ctx, client, "")
}
