// Package limitertest is the conformance suite that every [limiter.Store] passes. A store's own
// test is
//
//	func TestStore(t *testing.T) {
//		limitertest.Run(t, func(t limitertest.TB, o limitertest.Options) limiter.Store {
//			return memory.New(memory.Options{MaxReservations: o.MaxReservations})
//		})
//	}
//
// Time is an argument of all calls, so that the suite plays days within seconds. It plays timelines
// (timeline.go), random calls against a model (model.go), and random dispatchers and providers
// (observer.go, observer_plan.go), and compares to the nanosecond.
//
//   - limitertest.go: Run, and the table of all tests.
//   - harness.go: a limiter over the store under test.
//   - guarantees.go: a timeline or more for each guarantee of the design.
//   - decisions.go, predecessor.go, readme_day.go: what is answered, in full.
//   - earliest.go, earliest_merged.go, late_readings.go: G3, at random and with merged histories.
//   - history.go, ended_ids.go: what a history and remembered ids give up to stay small.
//   - table.go: seconds and messages, which are rows of the table of limits like all others.
//   - batches.go: many calls at once are the same calls one by one.
//   - clock.go, drain.go, purge.go, concurrency.go: clocks, the end of a process, purges, many
//     callers.
//
// Tests that break real servers cannot set the clock: provider.go has the observer's judgment for
// them.
//
// A store that outlives its process passes [RunDurable] besides, which kills it at any step:
//
//   - durable.go: RunDurable, and a limiter in one process after the other.
//   - durable_timelines.go: what must be there after a kill, and what must not.
//   - durable_model.go: random calls and kills, against the model and all that it may doubt.
//   - durable_observer.go: the observer, and many callers, while the process is killed.
package limitertest

import (
	"context"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// TB is what a store under test may use of the test: what a *testing.T and a *rapid.T both have.
type TB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
}

// Options are the bounds of a store under test. 0 is the store's own default.
type Options struct {
	MaxReservations           int
	MaxReservationsPerAccount int
}

// NewStore makes an empty store for a test, and has it closed by t.Cleanup if need be.
type NewStore func(t TB, o Options) limiter.Store

// suite runs its tests on one kind of store.
type suite struct{ newStore NewStore }

// Run runs all tests of the suite, each on stores of its own.
func Run(t *testing.T, newStore NewStore) {
	s := suite{newStore}
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"G1NeverOver", s.testG1NeverOver},
		{"G2DeniedCheckChangesNothing", s.testG2DeniedCheckChangesNothing},
		{"G3EarliestSlot", s.testG3EarliestSlot},
		{"G4NothingLeaks", s.testG4NothingLeaks},
		{"G5Once", s.testG5Once},
		{"G6ConsumingIsNeverRefused", s.testG6ConsumingIsNeverRefused},
		{"G7LimitsMoveHistoryStays", s.testG7LimitsMoveHistoryStays},
		{"G8TimeOnlyGoesForward", s.testG8TimeOnlyGoesForward},
		{"G10ClosedOnDoubt", s.testG10ClosedOnDoubt},
		{"G11PurgeIsComplete", s.testG11PurgeIsComplete},
		{"InvalidAsks", s.testInvalidAsks},
		{"DecisionsInFull", s.testDecisionsInFull},
		{"UsageInFull", s.testUsageInFull},
		{"OddCases", s.testOddCases},
		{"RoomComesBack", s.testRoomComesBack},
		{"Predecessor", s.testPredecessor},
		{"ReadmeDay", s.testReadmeDay},
		{"G5MemoryIsBounded", s.testG5MemoryIsBounded},
		{"G5EndedIDsAreRemembered", s.testG5EndedIDsAreRemembered},
		{"G9MergingFreesLateNeverEarly", s.testG9MergingFreesLateNeverEarly},
		{"G9FewStampsAreExact", s.testG9FewStampsAreExact},
		{"SecondsAndMessages", s.testSecondsAndMessages},
		{"JumpsOfTheWallClock", s.testJumpsOfTheWallClock},
		{"BoundariesFollowTheWallClock", s.testBoundariesFollowTheWallClock},
		{"LateReadings", s.testLateReadings},
		{"EarliestSlotIsTheFirstMillisecond", s.testEarliestSlotIsTheFirstMillisecond},
		{"WindowBoundaryIsTheNextMultiple", s.testWindowBoundaryIsTheNextMultiple},
		{"EarliestSlotOfMergedHistories", s.testEarliestSlotOfMergedHistories},
		{"Model", s.testModel},
		{"Observer", s.testObserver},
		{"PurgeUnlessUID", s.testPurgeUnlessUID},
		{"PolicyInForce", s.testPolicyInForce},
		{"PurgeGivesRoomBack", s.testPurgeGivesRoomBack},
		{"DrainAdmitsNothing", s.testDrainAdmitsNothing},
		{"ConcurrentCallers", s.testConcurrentCallers},
		{"ListPagesInOrder", s.testListPagesInOrder},
		{"BatchesAreSingleCalls", s.testBatchesAreSingleCalls},
	} {
		t.Run(c.name, c.test)
	}
}
