package limitertest

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// testReadmeDay is the worked day of README.md, from 08:00:00 on.
func (s suite) testReadmeDay(t *testing.T) {
	s.play(t, limiter.Policy{Limits: Limits(3, 6, 9)}, `
		0s        check a         -> allow 2
		2s        commit a        -> committed
		10s       check b cost=2  -> allow 0
		11s       check c         -> defer 51s
		30s       commit b        -> committed
		61.999s   check c         -> defer 1ms
		62s       check c         -> allow 0
		3m2s      usage           -> 1/4/4 + 0
		10m       check d cost=2  -> allow 0
		10m5s     check e cost=3  -> defer 50m25s
		10m9s     release d       -> released
		10m10s    check e cost=3  -> defer 49m52s
		60m2s     check e cost=3  -> allow 0
		60m3s     commit e        -> committed
		60m3s     usage           -> 3/6/7 + 0
		65m       check f cost=3  -> defer 22h55m2s
		65m       check g         -> allow 1`)
}
