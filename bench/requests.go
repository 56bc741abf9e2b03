package bench

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// mail is what a check asks for.
type mail struct {
	account *account
	id      string
	asked   time.Duration // since the start of the run, when the check was sent
}

// ending is the commit or the release of mails.
type ending struct {
	verb  verb
	mails []mail
}

// nextMails are those of the next check. The accounts take turns.
func (r *run) nextMails() []mail {
	n := int64(r.config.Batch)
	last := r.asked.Add(n)
	mails := make([]mail, n)
	for i := range mails {
		k := last - n + int64(i)
		mails[i] = mail{account: r.accounts[k%int64(len(r.accounts))], id: r.idPrefix + strconv.FormatInt(k, 10)}
	}
	return mails
}

// check asks for the next mails, and queues what is to become of those that are allowed.
func (r *run) check(ctx context.Context, t turn) (answered bool) {
	mails := r.nextMails()
	a, results, err := r.postChecks(ctx, mails)
	sent, received := a.sent.Sub(r.pacer.start), a.received.Sub(r.pacer.start)
	committed, released := ending{verb: commit}, ending{verb: release}
	for i, result := range results {
		m := mails[i]
		if m.asked = sent; result.CheckResponse == nil || result.CheckResponse.Decision != httpv1.Allow {
			continue
		}
		if m.account.granted.grant(sent, received, 1) {
			r.stats.exceeded.Add(1)
		}
		if r.commits(r.allowed.Add(1)) {
			committed.mails = append(committed.mails, m)
		} else {
			released.mails = append(released.mails, m)
		}
	}
	r.stats.checked(t, &a, len(mails), results, err)
	r.end(committed)
	r.end(released)
	return a.err == nil
}

// commits says whether the n-th allowed check is committed, so that the wanted part of all is.
func (r *run) commits(n int64) bool {
	return math.Floor(float64(n)*r.config.Commit) > math.Floor(float64(n-1)*r.config.Commit)
}

// finish commits or releases mails.
func (r *run) finish(ctx context.Context, t turn, e ending) (answered bool) {
	if e.verb == release { // from now on the server may give the slots to others
		for _, m := range e.mails {
			m.account.granted.giveBack(m.asked, 1)
		}
	}
	a, results, err := r.postEnding(ctx, e)
	for i, result := range results {
		if e.verb == commit && result.CommitResponse != nil {
			e.mails[i].account.granted.commit(1, result.Outcome)
		}
	}
	r.stats.ended(t, &a, e.verb, results, err)
	return a.err == nil
}

// errLength is an answer to a batch with more or fewer results than the batch has items.
var errLength = fmt.Errorf("%w: it has another length than the batch", errUnreadable)

// postChecks sends one check, or a batch. It returns as many results as mails, or an error.
func (r *run) postChecks(ctx context.Context, mails []mail) (answer, []httpv1.CheckItemResponse, error) {
	if r.config.Batch == 1 {
		m := &mails[0]
		a := r.client.post(ctx, m.account.path+"/check", httpv1.CheckRequest{ID: &m.id})
		var d httpv1.CheckResponse
		if err := a.decode(&d); err != nil {
			return a, nil, err
		}
		return a, []httpv1.CheckItemResponse{{CheckResponse: &d}}, nil
	}
	batch := httpv1.CheckBatchRequest{Checks: make([]httpv1.CheckItem, len(mails))}
	for i := range mails {
		batch.Checks[i] = httpv1.CheckItem{Account: mails[i].account.Account, CheckRequest: httpv1.CheckRequest{ID: &mails[i].id}}
	}
	var answers httpv1.CheckBatchResponse
	a := r.client.post(ctx, "/v1/check", batch)
	if err := a.decode(&answers); err != nil {
		return a, nil, err
	}
	if len(answers.Results) != len(mails) {
		return a, nil, errLength
	}
	return a, answers.Results, nil
}

// postEnding sends one commit or release, or a batch. It returns as many results as mails, or an error.
func (r *run) postEnding(ctx context.Context, e ending) (answer, []httpv1.CommitItemResponse, error) {
	if r.config.Batch == 1 {
		m := &e.mails[0]
		// A release has the same body: the id alone.
		a := r.client.post(ctx, m.account.path+"/"+e.verb.String(), httpv1.CommitRequest{Reservation: &m.id})
		var result httpv1.CommitResponse
		if err := a.decode(&result); err != nil {
			return a, nil, err
		}
		return a, []httpv1.CommitItemResponse{{CommitResponse: &result}}, nil
	}
	var answers httpv1.CommitBatchResponse
	a := r.client.post(ctx, "/v1/"+e.verb.String(), e.batch())
	if err := a.decode(&answers); err != nil {
		return a, nil, err
	}
	if len(answers.Results) != len(e.mails) {
		return a, nil, errLength
	}
	return a, answers.Results, nil
}

func (e *ending) batch() any {
	if e.verb == release {
		batch := httpv1.ReleaseBatchRequest{Releases: make([]httpv1.ReleaseItem, len(e.mails))}
		for i, m := range e.mails {
			batch.Releases[i] = httpv1.ReleaseItem{Account: m.account.Account, ReleaseRequest: httpv1.ReleaseRequest{Reservation: &e.mails[i].id}}
		}
		return batch
	}
	batch := httpv1.CommitBatchRequest{Commits: make([]httpv1.CommitItem, len(e.mails))}
	for i, m := range e.mails {
		batch.Commits[i] = httpv1.CommitItem{Account: m.account.Account, CommitRequest: httpv1.CommitRequest{Reservation: &e.mails[i].id}}
	}
	return batch
}
