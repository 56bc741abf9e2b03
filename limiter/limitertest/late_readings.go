package limitertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// Callers read the clock, and then race to the account's lock. Here the later reading comes first:
// the account is at 10 s, and a caller comes with 9 s. What it is told counts from its own reading;
// what becomes of its mail counts from what the account has seen.

// durations is a timeline that knows three more verbs, for the durations in an answer:
//
//	10s  expires a ttl=30s -> 30s           # of an allowed check: ExpiresIn
//	10s  denied b          -> 50s/-/-       # of a denied check: FreeIn of each full window
//	10s  free              -> 50s/-/- 50s   # of the usage: the same, and NextSlot
type durations struct{ *timeline }

func (d durations) play(script string) {
	d.t.Helper()
	for line := range strings.Lines(script) {
		call, want, _ := strings.Cut(line, "->")
		fields := strings.Fields(call)
		if len(fields) < 2 {
			continue
		}
		got, ok := d.perform(duration(fields[0], 0), fields[1], fields[2:])
		switch {
		case !ok:
			d.timeline.play(line)
		case got != strings.TrimSpace(want):
			d.t.Errorf("%s\n got %q\nwant %q", call, got, strings.TrimSpace(want))
		}
	}
}

// perform makes one of the three calls.
func (d durations) perform(at time.Duration, verb string, args []string) (got string, ok bool) {
	now := limiter.Instant{Mono: int64(at), Wall: start.Add(at).UnixNano()}
	if verb == "free" {
		u, err := d.l.Usage(now, account)
		if err != nil {
			return err.Error(), true
		}
		return fmt.Sprint(freeIn(u.Windows), " ", u.NextSlot), true
	}
	if verb != "expires" && verb != "denied" {
		return "", false
	}
	ask := limiter.Ask{ID: args[0], Cost: 1, TTL: 2 * time.Minute}
	for _, arg := range args[1:] {
		if ttl, ok := strings.CutPrefix(arg, "ttl="); ok {
			ask.TTL = duration(ttl, 0)
		}
	}
	decision, err := d.l.Check(now, account, ask)
	switch {
	case err != nil:
		return err.Error(), true
	case (decision.Verdict == limiter.Allowed) != (verb == "expires"):
		return describe(decision, nil), true
	case verb == "expires":
		return decision.ExpiresIn.String(), true
	}
	return freeIn(decision.Exhausted), true
}

// freeIn spells out when minute, hour and day are free.
func freeIn(windows []limiter.WindowUsage) string {
	each := []string{"-", "-", "-"}
	for _, w := range windows {
		if w.Full {
			each[w.Window-limiter.Minute] = w.FreeIn.String()
		}
	}
	return strings.Join(each, "/")
}

func (s suite) testLateReadings(t *testing.T) {
	for name, c := range map[string]timelineCase{
		"a deadline counts from what the account has seen": {limiter.Policy{}, `
			10s      usage             -> 0/0/0 + 0
			9s       expires a ttl=30s -> 31s
			39.999s  usage             -> 0/0/0 + 1
			40s      usage             -> 1/1/1 + 0`},
		"a TTL shorter than the reading is late does not end in the past": {limiter.Policy{}, `
			10s      commit            -> unreserved
			5s       expires a ttl=1s  -> 6s
			10s      usage             -> 1/1/1 + 1
			10.999s  usage             -> 1/1/1 + 1
			11s      usage             -> 2/2/2 + 0
			69.999s  usage             -> 2/2/2 + 0
			70s      usage             -> 1/2/2 + 0
			71s      usage             -> 0/2/2 + 0`},
		"a repeated check is told what is left from its own reading": {limiter.Policy{}, `
			0s       expires a ttl=30s -> 30s
			10s      expires a ttl=30s -> 20s
			9s       expires a ttl=30s -> 21s
			29.999s  usage             -> 0/0/0 + 1
			30s      usage             -> 1/1/1 + 0`},
		"a wait for what was sent counts from the caller's reading": {perMinute(1), `
			0s       commit            -> unreserved
			10s      denied a          -> 50s/-/-
			9s       denied a          -> 51s/-/-
			9s       check a           -> defer 51s
			9s       free              -> 51s/-/- 51s
			60s      check a           -> allow 0`},
		"a wait for what is in flight counts from the caller's reading, too": {perMinute(1), `
			0s       check a           -> allow 0
			10s      denied b          -> 1m0s/-/-
			9s       denied b          -> 1m1s/-/-
			9s       check b           -> defer 1m1s
			9s       free              -> 1m1s/-/- 1m1s
			10s      commit a          -> committed
			69.999s  check b           -> defer 1ms
			70s      check b           -> allow 0`},
		"so does the longest wait of several windows": {limiter.Policy{Limits: Limits(1, 1, 9)}, `
			0s       commit            -> unreserved
			10s      usage             -> 1/1/1 + 0
			9s       denied a          -> 51s/59m51s/-
			9s       free              -> 51s/59m51s/- 59m51s`},
		"a boundary is one of the caller's own wall clock": {
			limiter.Policy{Limits: Limits(1, 0, 0), DeferTo: limiter.WindowBoundary}, `
			0s       commit            -> unreserved
			10s      check a           -> defer 37.5s
			9s       check a           -> defer 38.5s`},
		"a reservation whose deadline another has seen pass has expired": {limiter.Policy{}, `
			0s       check a ttl=10s   -> allow
			0s       check b ttl=10s   -> allow
			0s       check c ttl=10s   -> allow
			10s      usage             -> 3/3/3 + 0
			9s       check a ttl=10s   -> ended
			9s       release b         -> ended
			9s       commit c          -> late
			69.999s  usage             -> 3/3/3 + 0
			70s      usage             -> 0/3/3 + 0`},
		"a commit counts from what the account has seen": {limiter.Policy{}, `
			0s       check a           -> allow
			10s      usage             -> 0/0/0 + 1
			9s       commit a          -> committed
			69.999s  usage             -> 1/1/1 + 0
			70s      usage             -> 0/1/1 + 0`},
		"so does a late one, one of an unknown id, and one of a released one": {limiter.Policy{}, `
			0s       check a ttl=1s    -> allow
			0s       check b           -> allow
			0s       release b         -> released
			10s      usage             -> 1/1/1 + 0
			9s       commit a          -> late
			9s       commit b          -> unreserved
			9s       commit z          -> unreserved
			9s       commit            -> unreserved
			69.999s  usage             -> 4/4/4 + 0
			70s      usage             -> 0/4/4 + 0`},
		"ids are remembered from what the account has seen on": {limiter.Policy{}, `
			0s       check a           -> allow
			0s       check b           -> allow
			10s      usage             -> 0/0/0 + 2
			9s       commit a          -> committed
			9s       release b         -> released
			9s       commit z          -> unreserved
			909.999s commit a          -> committed
			909.999s release b         -> released
			909.999s commit z          -> unreserved
			909.999s usage             -> 0/2/2 + 0
			910s     release a         -> no reservation
			910s     release b         -> no reservation
			910s     release z         -> no reservation`},
		"nothing that is past comes back": {limiter.Policy{}, `
			0s       commit            -> unreserved
			0s       check a ttl=30s   -> allow
			60s      usage             -> 1/2/2 + 0
			59s      usage             -> 1/2/2 + 0
			59s      sweep
			59s      usage             -> 1/2/2 + 0
			0s       check a           -> ended`},
	} {
		t.Run(name, func(t *testing.T) {
			l := s.open(t, Options{MaxReservations: 4})
			l.Apply(account, "uid-1", c.policy)
			durations{&timeline{t: t, l: l}}.play(c.script)
		})
	}
}
