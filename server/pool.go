package server

import (
	"net/http"
	"sync"

	"github.com/sluice-mail/sluice/limiter"
)

// exchange is a request and its response. Exchanges are pooled, with the buffers of both.
type exchange struct {
	request  request
	response response
}

// Both buffers together may have this size to go back to the pool of most requests, or to that of
// batches and lists, which keeps at most 16.
const (
	keepBuffers      = 64 << 10
	keepLargeBuffers = 512 << 10
)

var (
	exchanges      = sync.Pool{New: func() any { return new(exchange) }}
	largeExchanges = make(chan *exchange, 16)
)

// newExchange takes an exchange from a pool and begins it. A large one is for an operation that may
// need large buffers.
func newExchange(r *http.Request, operation string, account limiter.Key, large bool) *exchange {
	x := pooled(large)
	x.request = request{
		http: r, operation: operation, account: account,
		body: x.request.body[:0], unread: r.ContentLength != 0,
	}
	x.response = response{
		status: http.StatusOK, contentType: jsonType, body: x.response.body[:0],
	}
	return x
}

func pooled(large bool) *exchange {
	if large {
		select {
		case x := <-largeExchanges:
			return x
		default:
		}
	}
	x, _ := exchanges.Get().(*exchange)
	return x
}

// done returns the exchange to a pool, and its shares to the budgets. Nobody may use it afterwards.
func (x *exchange) done() {
	x.request.share.release()
	x.response.share.release()
	x.request.http, x.request.caller, x.response.problem = nil, nil, nil
	size := cap(x.request.body) + cap(x.response.body)
	switch {
	case size <= keepBuffers:
		exchanges.Put(x)
	case size <= keepLargeBuffers:
		select {
		case largeExchanges <- x:
		default:
		}
	}
}
