package sluice

import (
	"context"
	"iter"
	"net/url"
	"strconv"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// ListRequest says which page of the list of accounts to return. The zero value is the first page
// of all namespaces.
type ListRequest struct {
	// Namespace is the only one to list; empty is all.
	Namespace string
	// Limit is the most accounts of a page, 1 to httpv1.MaxPageSize; 0 is httpv1.DefaultPageSize.
	Limit int
	// Continue is that of the page before; empty is the first page.
	Continue string
}

// List returns one page of accounts and their usage, ordered by namespace and name. Continue of the
// response asks for the next page; it is empty on the last.
func (c *Client) List(ctx context.Context, request ListRequest) (httpv1.ListResponse, error) {
	query := url.Values{}
	if request.Namespace != "" {
		query.Set("namespace", request.Namespace)
	}
	if request.Limit != 0 {
		query.Set("limit", strconv.Itoa(request.Limit))
	}
	if request.Continue != "" {
		query.Set("continue", request.Continue)
	}
	path := "/v1/accounts"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return do(ctx, c, path, nil, true, func(r *httpv1.ListResponse) bool { return r.Accounts != nil })
}

// Accounts returns an iterator over all accounts of a namespace and their usage, ordered by
// namespace and name; an empty namespace is all of them. It asks page by page, while the loop goes
// on. An error ends the loop, with a usage that means nothing.
func (c *Client) Accounts(ctx context.Context, namespace string) iter.Seq2[httpv1.Usage, error] {
	return func(yield func(httpv1.Usage, error) bool) {
		request := ListRequest{Namespace: namespace, Limit: httpv1.MaxPageSize}
		for {
			page, err := c.List(ctx, request)
			if err != nil {
				yield(httpv1.Usage{}, err)
				return
			}
			for _, usage := range page.Accounts {
				if !yield(usage, nil) {
					return
				}
			}
			if page.Continue == "" {
				return
			}
			request.Continue = page.Continue
		}
	}
}
