package limitertest

import (
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// inMemory is the suite on the store in memory.
var inMemory = suite{func(_ TB, o Options) limiter.Store {
	return memory.New(memory.Options{
		MaxReservations: o.MaxReservations, MaxReservationsPerAccount: o.MaxReservationsPerAccount,
	})
}}
