package bench

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// mail is what a check asks about.
type mail struct {
	account *account
	id      string
	asked   time.Duration // since the start of the run, when the check was sent
}

// ending is a commit or release that is still to be sent: one, or a batch.
type ending struct {
	verb  verb
	mails []mail
}

// nextMails returns the mails of the next check. The accounts take turns.
func (r *run) nextMails() []mail {
	n := int64(r.config.Batch)
	last := r.asked.Add(n)
	mails := make([]mail, n)
	for i := range mails {
		k := last - n + int64(i)
		mails[i] = mail{
			account: r.accounts[k%int64(len(r.accounts))],
			id:      r.idPrefix + strconv.FormatInt(k, 10),
		}
	}
	return mails
}

// exchange is one request and what became of it.
type exchange struct {
	turn           turn
	sent, received time.Time
	err            error // of the request as a whole
}

// answered reports whether there was an answer, of whatever kind.
func (e *exchange) answered() bool { return !errors.Is(e.err, sluice.ErrNoAnswer) }

// check asks about the next mails, and queues the endings of those that are allowed.
func (r *run) check(ctx context.Context, t turn) (answered bool) {
	mails := r.nextMails()
	e := exchange{turn: t, sent: time.Now()}
	results, err := r.sendChecks(ctx, mails)
	e.received, e.err = time.Now(), err
	sent, received := e.sent.Sub(r.pacer.start), e.received.Sub(r.pacer.start)
	committed, released := ending{verb: commit}, ending{verb: release}
	for i, result := range results {
		m := mails[i]
		m.asked = sent
		if result.CheckResponse == nil || result.Decision != httpv1.Allow {
			continue
		}
		if m.account.granted.add(sent, received, 1) {
			r.stats.exceeded.Add(1)
		}
		if r.commits(r.allowed.Add(1)) {
			committed.mails = append(committed.mails, m)
		} else {
			released.mails = append(released.mails, m)
		}
	}
	r.stats.checked(&e, len(mails), results)
	r.queue(committed)
	r.queue(released)
	return e.answered()
}

// commits reports whether the n-th allowed check is committed, so that the wanted part of all is.
func (r *run) commits(n int64) bool {
	return math.Floor(float64(n)*r.config.Commit) > math.Floor(float64(n-1)*r.config.Commit)
}

// finish commits or releases mails.
func (r *run) finish(ctx context.Context, t turn, of ending) (answered bool) {
	if of.verb == release { // from now on the server may give the slots to others
		for _, m := range of.mails {
			m.account.granted.remove(m.asked, 1)
		}
	}
	e := exchange{turn: t, sent: time.Now()}
	results, err := r.sendEnding(ctx, &of)
	e.received, e.err = time.Now(), err
	for i, result := range results {
		if of.verb == commit && result.problem == nil {
			of.mails[i].account.granted.commit(1, result.outcome)
		}
	}
	r.stats.ended(&e, of.verb, results)
	return e.answered()
}

// sendChecks sends one check, or a batch. It returns as many results as mails, or an error.
func (r *run) sendChecks(ctx context.Context, mails []mail) ([]httpv1.CheckItemResponse, error) {
	if r.config.Batch == 1 {
		m := &mails[0]
		response, err := r.client.Check(ctx, m.account.Account, httpv1.CheckRequest{ID: &m.id})
		if err != nil {
			return nil, err
		}
		return []httpv1.CheckItemResponse{{CheckResponse: &response}}, nil
	}
	items := make([]httpv1.CheckItem, len(mails))
	for i := range mails {
		items[i] = httpv1.CheckItem{
			Account: mails[i].account.Account, CheckRequest: httpv1.CheckRequest{ID: &mails[i].id},
		}
	}
	response, err := r.client.CheckBatch(ctx, httpv1.CheckBatchRequest{Checks: items})
	return response.Results, err
}

// result is the outcome of one commit or release, or why there is none.
type result struct {
	outcome string
	problem *httpv1.Problem
}

// sendEnding sends one commit or release, or a batch. It returns as many results as mails, or an
// error.
func (r *run) sendEnding(ctx context.Context, e *ending) ([]result, error) {
	switch {
	case r.config.Batch > 1 && e.verb == commit:
		return r.sendCommits(ctx, e.mails)
	case r.config.Batch > 1:
		return r.sendReleases(ctx, e.mails)
	}
	outcome, err := r.sendOne(ctx, e.verb, &e.mails[0])
	if err != nil {
		return nil, err
	}
	return []result{{outcome: outcome}}, nil
}

func (r *run) sendOne(ctx context.Context, v verb, m *mail) (outcome string, err error) {
	if v == commit {
		request := httpv1.CommitRequest{Reservation: &m.id}
		response, err := r.client.Commit(ctx, m.account.Account, request)
		return response.Outcome, err
	}
	request := httpv1.ReleaseRequest{Reservation: &m.id}
	response, err := r.client.Release(ctx, m.account.Account, request)
	return response.Outcome, err
}

func (r *run) sendCommits(ctx context.Context, mails []mail) ([]result, error) {
	items := make([]httpv1.CommitItem, len(mails))
	for i := range mails {
		items[i].Account, items[i].Reservation = mails[i].account.Account, &mails[i].id
	}
	response, err := r.client.CommitBatch(ctx, httpv1.CommitBatchRequest{Commits: items})
	results := make([]result, len(response.Results))
	for i, item := range response.Results {
		results[i].problem = item.Problem
		if item.CommitResponse != nil {
			results[i].outcome = item.Outcome
		}
	}
	return results, err
}

func (r *run) sendReleases(ctx context.Context, mails []mail) ([]result, error) {
	items := make([]httpv1.ReleaseItem, len(mails))
	for i := range mails {
		items[i].Account, items[i].Reservation = mails[i].account.Account, &mails[i].id
	}
	response, err := r.client.ReleaseBatch(ctx, httpv1.ReleaseBatchRequest{Releases: items})
	results := make([]result, len(response.Results))
	for i, item := range response.Results {
		results[i].problem = item.Problem
		if item.ReleaseResponse != nil {
			results[i].outcome = item.Outcome
		}
	}
	return results, err
}
