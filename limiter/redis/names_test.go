package redis_test

import (
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestCallsWithoutIDsAreForgotten has a dispatcher that only tells what it has sent: what is kept
// of its calls, so that each may come again, must not grow for ever.
func TestCallsWithoutIDsAreForgotten(t *testing.T) {
	t.Parallel()
	o := options(t)
	l := limiter.New(redis.New(client(t), o))
	l.MarkLoaded()
	limitertest.Apply(t, l, account, "uid", limiter.Policy{})
	key := o.Prefix + ":{marketing}:newsletter:uid"
	now := int64(time.Hour)
	for _, c := range []struct {
		calls int
		pace  time.Duration
		most  int64
	}{
		{8_000, 50 * time.Millisecond, 4_000}, // 90 s of them, and those until some are forgotten
		{24_000, 100 * time.Microsecond, 18_000},
		{6_000, time.Second, 1_000},
	} {
		for range c.calls {
			now += int64(c.pace)
			o, err := l.Commit(ctx, limiter.Instant{Mono: now}, account, "", 1)
			if err != nil || o != limiter.Unreserved {
				t.Fatal(o, err)
			}
		}
		for _, command1 := range [][]string{{"HLEN", key}, {"ZCARD", key + ":o"}} {
			n, err := command(t, command1...).AsInt64()
			if err != nil || n > c.most {
				t.Errorf("%v is %d, want at most %d; %v", command1, n, c.most, err)
			}
		}
	}
}
