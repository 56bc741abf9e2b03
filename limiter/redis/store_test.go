package redis_test

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

func TestStore(t *testing.T) {
	t.Parallel() // one caller leaves the server idle half the time
	limitertest.Run(t, func(t limitertest.TB, o limitertest.Options) limiter.Store {
		with := options(t)
		with.MaxReservations = o.MaxReservations
		with.MaxReservationsPerAccount = o.MaxReservationsPerAccount
		return redis.New(client(t), with)
	})
}
