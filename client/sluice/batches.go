package sluice

import (
	"context"
	"slices"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// CheckBatch makes up to httpv1.MaxBatch checks in one request, in order, each on its own. The
// response has one result for each item, in the same order: a decision or a problem. [ProblemError]
// makes an error of a problem. Items are not repeated one by one, whatever their problem.
//
// An item without an ID gets a random one, as in Check. The caller's items are not changed.
func (c *Client) CheckBatch(
	ctx context.Context, request httpv1.CheckBatchRequest,
) (httpv1.CheckBatchResponse, error) {
	items := slices.Clone(request.Checks)
	for i := range items {
		c.giveID(&items[i].CheckRequest)
	}
	request.Checks = orEmpty(items)
	return do(ctx, c, "/v1/check", &request, true, func(r *httpv1.CheckBatchResponse) bool {
		return validResults(r.Results, len(items), func(i *httpv1.CheckItemResponse) bool {
			return validItem(i.CheckResponse, i.Problem, validDecision)
		})
	})
}

// CommitBatch makes up to httpv1.MaxBatch commits in one request, in order, each on its own. The
// response has one result for each item, in the same order: an outcome or a problem.
//
// If an item has no Reservation, the batch is repeated as seldom as a Commit without one.
func (c *Client) CommitBatch(
	ctx context.Context, request httpv1.CommitBatchRequest,
) (httpv1.CommitBatchResponse, error) {
	request.Commits = orEmpty(request.Commits)
	idempotent := !slices.ContainsFunc(request.Commits, func(i httpv1.CommitItem) bool {
		return i.Reservation == nil
	})
	return do(ctx, c, "/v1/commit", &request, idempotent, func(r *httpv1.CommitBatchResponse) bool {
		return validResults(r.Results, len(request.Commits), func(i *httpv1.CommitItemResponse) bool {
			return validItem(i.CommitResponse, i.Problem, validCommit)
		})
	})
}

// ReleaseBatch makes up to httpv1.MaxBatch releases in one request, in order, each on its own. The
// response has one result for each item, in the same order: an outcome or a problem.
//
// If an item has no Reservation, the batch is repeated as seldom as a Commit without one.
func (c *Client) ReleaseBatch(
	ctx context.Context, request httpv1.ReleaseBatchRequest,
) (httpv1.ReleaseBatchResponse, error) {
	request.Releases = orEmpty(request.Releases)
	idempotent := !slices.ContainsFunc(request.Releases, func(i httpv1.ReleaseItem) bool {
		return i.Reservation == nil
	})
	return do(ctx, c, "/v1/release", &request, idempotent, func(r *httpv1.ReleaseBatchResponse) bool {
		return validResults(r.Results, len(request.Releases), func(i *httpv1.ReleaseItemResponse) bool {
			return validItem(i.ReleaseResponse, i.Problem, validRelease)
		})
	})
}

// orEmpty makes an empty list of none: the API wants a list, and JSON writes none as null.
func orEmpty[Item any](items []Item) []Item {
	if items == nil {
		return []Item{}
	}
	return items
}

// validResults reports whether there are n results, all of them valid.
func validResults[Result any](results []Result, n int, valid func(*Result) bool) bool {
	if len(results) != n {
		return false
	}
	for i := range results {
		if !valid(&results[i]) {
			return false
		}
	}
	return true
}

// validItem reports whether an item has a valid response or a problem, and not both.
func validItem[Response any](r *Response, p *httpv1.Problem, valid func(*Response) bool) bool {
	if r == nil {
		return p != nil
	}
	return p == nil && valid(r)
}
