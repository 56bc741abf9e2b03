//go:build faults

package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// fleet is dispatchers that send without end. What was not answered they ask again, under the same
// id, until it is.
type fleet struct {
	p        *process
	boxes    []*mailbox
	stopping chan struct{}
	running  sync.WaitGroup
	// recalled is how many reservations were still outstanding after a restart, and drift the most
	// by which the deadline of one has moved.
	recalled int
	drift    time.Duration
}

const (
	dispatchers = 12
	// repeatAfter is how long a dispatcher waits before it asks again.
	repeatAfter = 10 * time.Millisecond
	// getsThrough is how long it may take until all dispatchers have been answered.
	getsThrough = 15 * time.Second
	// maxDrift is by how much a deadline may move in a restart: it is told in milliseconds, and the
	// clocks are not read at the same instant.
	maxDrift = 5 * time.Millisecond
)

// fleetAccounts are the accounts of a fleet. All but the first fill up within seconds.
var fleetAccounts = map[string]int{"large": 0, "medium": 300, "small": 40, "tiny": 3}

func startFleet(p *process) *fleet {
	f := &fleet{p: p, stopping: make(chan struct{})}
	for name, limit := range fleetAccounts {
		f.boxes = append(f.boxes, newMailbox(name, limit))
	}
	for i := range dispatchers {
		f.running.Go(func() { f.dispatch(f.boxes[i%len(f.boxes)]) })
	}
	return f
}

func (f *fleet) stopped() bool {
	select {
	case <-f.stopping:
		return true
	default:
		return false
	}
}

// dispatch makes one attempt after the other.
func (f *fleet) dispatch(m *mailbox) {
	for !f.stopped() {
		id := newID()
		ttl := []int64{2, 60}[rand.IntN(2)]
		m.update(func() { m.asked++ })
		d, err := f.ask(m, id, ttl)
		switch {
		case errors.Is(err, sluice.ErrReservationConflict):
			// The answer was lost, and meanwhile the reservation has expired.
		case err != nil:
			f.p.t.Errorf("%s: a check: %v", m.name, err)
			return
		case d.Decision != httpv1.Allow:
			m.update(func() { m.asked-- })
			time.Sleep(repeatAfter)
		default:
			until := d.Reservation.ExpiresAt.Time
			m.allow(id, until)
			f.use(m, id, until)
		}
	}
}

// ask checks until there is an answer.
func (f *fleet) ask(m *mailbox, id string, ttl int64) (d httpv1.CheckResponse, err error) {
	asked := 0
	err = f.repeat(func() (err error) {
		asked++
		d, err = f.p.check(m.name, id, ttl)
		return err
	})
	if asked == 1 && errors.Is(err, sluice.ErrReservationConflict) {
		err = errors.New("an id that nobody has used is called used")
	}
	return d, err
}

// use sends the mail of a reservation. One in ten does not leave, and of one in twenty nobody hears
// any more.
func (f *fleet) use(m *mailbox, id string, until time.Time) {
	if rand.IntN(4) == 0 {
		time.Sleep(rand.N(20 * time.Millisecond))
	}
	switch rand.IntN(20) {
	case 0, 1:
		m.update(func() { m.releasing++ })
		err := f.repeat(func() error { return f.p.release(m.name, id) })
		switch {
		case err == nil:
			m.update(func() { m.released++ })
		case !errors.Is(err, sluice.ErrReservationConflict): // it has expired
			f.p.t.Errorf("%s: a release: %v", m.name, err)
		}
	case 2:
		m.send(until)
	default:
		m.send(until)
		f.tell(m, id)
	}
}

// tell commits until there is an answer. It must be that there was a reservation.
func (f *fleet) tell(m *mailbox, id string) {
	var r httpv1.CommitResponse
	err := f.repeat(func() (err error) {
		request := httpv1.CommitRequest{Reservation: &id}
		r, err = f.p.client.Commit(context.Background(), key(m.name), request)
		return err
	})
	if err != nil || r.Outcome == httpv1.Unreserved {
		f.p.t.Errorf("%s: a commit: %q, %v", m.name, r.Outcome, err)
	}
}

// repeat calls until there is an answer.
func (f *fleet) repeat(call func() error) error {
	for {
		err := call()
		if !errors.Is(err, sluice.ErrNoAnswer) && !errors.Is(err, sluice.ErrNotReady) &&
			!errors.Is(err, sluice.ErrStoreUnavailable) {
			return err
		}
		time.Sleep(repeatAfter)
	}
}

// verify wants the process to know all that it, or the one before, has acknowledged, and to count
// nothing twice.
func (f *fleet) verify() {
	f.p.t.Helper()
	for _, m := range f.boxes {
		before := m.now()
		inFlight, used := f.p.counted(m.name)
		after := m.now()
		counted := int(inFlight + used)
		if least := before.acknowledged - after.releasing; counted < least {
			f.p.t.Errorf("%s counts %d, but %d were acknowledged", m.name, counted, least)
		}
		if counted > after.asked {
			f.p.t.Errorf("%s counts %d, but only %d were asked for", m.name, counted, after.asked)
		}
		f.recall(m, m.take())
	}
}

// recall repeats checks that were allowed. The answer must be the same reservation, or that it has
// ended.
func (f *fleet) recall(m *mailbox, allowed map[string]time.Time) {
	f.p.t.Helper()
	var batch httpv1.CheckBatchRequest
	for id := range allowed {
		batch.Checks = append(batch.Checks,
			httpv1.CheckItem{Account: key(m.name), CheckRequest: httpv1.CheckRequest{ID: &id}})
	}
	for begin := 0; begin < len(batch.Checks); begin += httpv1.MaxBatch {
		part := batch.Checks[begin:min(begin+httpv1.MaxBatch, len(batch.Checks))]
		var r httpv1.CheckBatchResponse
		err := f.repeat(func() (err error) {
			r, err = f.p.client.CheckBatch(context.Background(),
				httpv1.CheckBatchRequest{Checks: part})
			return err
		})
		if err != nil {
			f.p.t.Fatal(err)
		}
		for i, result := range r.Results {
			f.same(m, allowed[*part[i].ID], &result)
		}
	}
}

func (f *fleet) same(m *mailbox, until time.Time, r *httpv1.CheckItemResponse) {
	f.p.t.Helper()
	if r.Problem != nil {
		if err := sluice.ProblemError(r.Problem); !errors.Is(err, sluice.ErrReservationConflict) {
			f.p.t.Errorf("%s: a check that was allowed before: %v", m.name, err)
		}
		return
	}
	if r.Decision != httpv1.Allow {
		f.p.t.Errorf("%s: a check that was allowed before: %+v", m.name, r.CheckResponse)
		return
	}
	f.recalled++
	drift := r.Reservation.ExpiresAt.Sub(until).Abs()
	f.drift = max(f.drift, drift)
	if drift > maxDrift {
		f.p.t.Errorf("%s: a check that was allowed before got another reservation, until %s "+
			"instead of %s", m.name, r.Reservation.ExpiresAt, until)
	}
}

// finish stops the dispatchers, which must all get through, and asks the providers.
func (f *fleet) finish() {
	f.p.t.Helper()
	close(f.stopping)
	through := make(chan struct{})
	go func() { f.running.Wait(); close(through) }()
	select {
	case <-through:
	case <-time.After(getsThrough):
		f.p.t.Fatalf("a dispatcher does not get through; the log is\n%s", f.p.log)
	}
	f.verify()
	f.content()
}

// content wants no provider to have seen more than its limit in any minute, and some to have seen
// all of it: otherwise nothing was tried.
func (f *fleet) content() {
	f.p.t.Helper()
	full := false
	for _, m := range f.boxes {
		most, t := m.fullest(), m.now()
		f.p.t.Logf("%s: %d mails, at most %d in a minute (limit %d); %d allowed, %d released",
			m.name, len(m.sent), most, m.limit, t.acknowledged, t.released)
		if m.limit > 0 && most > m.limit {
			f.p.t.Errorf("%s: %d mails left in a minute, the limit is %d", m.name, most, m.limit)
		}
		full = full || m.limit > 0 && t.acknowledged-t.released >= m.limit
	}
	if !full {
		f.p.t.Error("no account was full: nothing was tried")
	}
}
