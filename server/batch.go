package server

import (
	"slices"
	"sync"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// A batch as a whole is refused if its JSON is wrong, or if the limiter would refuse every item
// now: a caller who looks at the status alone must be safe. What is wrong with one item is the
// result of that item.

func (s *Server) checkBatch(q *request, r *response) error {
	var batch httpv1.CheckBatchRequest
	if err := s.read(q, httpv1.MaxBatchBytes, &batch); err != nil {
		return err
	}
	if err := s.limiter.Admits(); err != nil {
		return err
	}
	return s.callAll(q, r, len(batch.Checks), func(i int, c *limiter.Call) {
		item := &batch.Checks[i]
		c.Verb = limiter.ToCheck
		if c.Key, c.Err = itemKey(item.Account); c.Err == nil {
			c.Ask, c.Err = s.ask(&item.CheckRequest)
		}
	})
}

func (s *Server) commitBatch(q *request, r *response) error {
	var batch httpv1.CommitBatchRequest
	if err := s.read(q, httpv1.MaxBatchBytes, &batch); err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	return s.callAll(q, r, len(batch.Commits), func(i int, c *limiter.Call) {
		item := &batch.Commits[i]
		c.Verb = limiter.ToCommit
		if c.Key, c.Err = itemKey(item.Account); c.Err == nil {
			c.Ask, c.Err = sent(&item.CommitRequest)
		}
	})
}

func (s *Server) releaseBatch(q *request, r *response) error {
	var batch httpv1.ReleaseBatchRequest
	if err := s.read(q, httpv1.MaxBatchBytes, &batch); err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	return s.callAll(q, r, len(batch.Releases), func(i int, c *limiter.Call) {
		item := &batch.Releases[i]
		c.Verb = limiter.ToRelease
		if c.Key, c.Err = itemKey(item.Account); c.Err == nil {
			c.Ask.ID, c.Err = optionalID("reservation", item.Reservation)
		}
	})
}

// callLists are lists of calls for batches, so that not each makes its own.
var callLists = sync.Pool{New: func() any { return new([]limiter.Call) }}

// callAll reads the items of a batch into calls, has the limiter make them all at once, and
// responds with a list of their results, in order.
func (s *Server) callAll(
	q *request, r *response, items int, read func(i int, into *limiter.Call),
) error {
	if !r.share.acquire(s.responses, itemBytes*items) {
		return errResponses
	}
	list, _ := callLists.Get().(*[]limiter.Call)
	*list = slices.Grow((*list)[:0], items)[:items]
	calls := *list
	defer func() {
		clear(calls)
		callLists.Put(list)
	}()
	for i := range calls {
		read(i, &calls[i])
	}
	if err := s.authorizeCalls(q, verbUse, calls); err != nil {
		return err
	}
	now := s.clock.Now()
	if err := s.limiter.Do(q.http.Context(), now, calls); err != nil {
		return err
	}
	r.body = append(r.body, `{"results":[`...)
	for i := range calls {
		if i > 0 {
			r.body = append(r.body, ',')
		}
		r.body = s.appendResult(r.body, q, &calls[i], now)
	}
	r.body = append(r.body, "]}\n"...)
	return nil
}

// appendResult appends the result of a call, and counts it.
func (s *Server) appendResult(
	b []byte, q *request, c *limiter.Call, now limiter.Instant,
) []byte {
	switch {
	case c.Err != nil:
		return s.appendFailure(b, q, c.Err)
	case c.Verb == limiter.ToCheck:
		s.metrics.decided(&c.Decision)
		return checkResponse{c.Decision, c.Ask.ID, now}.AppendJSON(b)
	default:
		s.metrics.ended(c.Outcome)
		return endResponse{c.Outcome}.AppendJSON(b)
	}
}

// itemKey returns the account that an item names.
func itemKey(a httpv1.Account) (limiter.Key, error) {
	if a.Namespace == "" || a.Name == "" {
		return limiter.Key{}, httpv1.InvalidField.Problem(
			"namespace and name must say which MailAccount is meant.")
	}
	return limiter.Key{Namespace: a.Namespace, Name: a.Name}, nil
}

// appendFailure appends the result of an item that failed, and counts it.
func (s *Server) appendFailure(b []byte, q *request, err error) []byte {
	p := s.problem(q, err)
	s.metrics.itemFailed(q.operation, p)
	b = append(b, `{"problem":`...)
	return append(appendProblem(b, p), '}')
}
