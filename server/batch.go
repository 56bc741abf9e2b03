package server

import (
	"context"

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
	return handleItems(s, q, r, batch.Checks, s.checkItem)
}

func (s *Server) commitBatch(q *request, r *response) error {
	var batch httpv1.CommitBatchRequest
	if err := s.read(q, httpv1.MaxBatchBytes, &batch); err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	return handleItems(s, q, r, batch.Commits, s.commitItem)
}

func (s *Server) releaseBatch(q *request, r *response) error {
	var batch httpv1.ReleaseBatchRequest
	if err := s.read(q, httpv1.MaxBatchBytes, &batch); err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	return handleItems(s, q, r, batch.Releases, s.releaseItem)
}

func (s *Server) checkItem(
	ctx context.Context, item *httpv1.CheckItem, now limiter.Instant,
) (checkResponse, error) {
	k, err := itemKey(item.Account)
	if err != nil {
		return checkResponse{}, err
	}
	return s.check(ctx, k, &item.CheckRequest, now)
}

func (s *Server) commitItem(
	ctx context.Context, item *httpv1.CommitItem, now limiter.Instant,
) (endResponse, error) {
	k, err := itemKey(item.Account)
	if err != nil {
		return endResponse{}, err
	}
	return s.commit(ctx, k, &item.CommitRequest, now)
}

func (s *Server) releaseItem(
	ctx context.Context, item *httpv1.ReleaseItem, now limiter.Instant,
) (endResponse, error) {
	k, err := itemKey(item.Account)
	if err != nil {
		return endResponse{}, err
	}
	return s.release(ctx, k, &item.ReleaseRequest, now)
}

// handleItems handles the items of a batch in order, and responds with a list of their results. If
// the store has to make what they changed durable, it does so once, at the end. If that fails, no
// result may be told.
func handleItems[Item any, Resp encoder](
	s *Server, q *request, r *response, items []Item,
	do func(context.Context, *Item, limiter.Instant) (Resp, error),
) error {
	if !r.share.acquire(s.responses, itemBytes*len(items)) {
		return errResponses
	}
	var batch limiter.Batch
	ctx := batch.Context(q.http.Context())
	now := s.clock.Now()
	r.body = append(r.body, `{"results":[`...)
	for i := range items {
		if i > 0 {
			r.body = append(r.body, ',')
		}
		result, err := do(ctx, &items[i], now)
		if err != nil {
			r.body = s.appendFailure(r.body, q, err)
			continue
		}
		r.body = result.AppendJSON(r.body)
	}
	r.body = append(r.body, "]}\n"...)
	return batch.Wait(ctx)
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
