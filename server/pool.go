package server

import (
	"net/http"
	"sync"

	"github.com/sluice-mail/sluice/limiter"
)

// Buffers that go back to a pool are at most this large: those of most answers, and those of
// batches and lists, of which a few are kept.
const (
	keepBuffers      = 64 << 10
	keepLargeBuffers = 512 << 10
)

var (
	answers      = sync.Pool{New: func() any { return new(answer) }}
	largeAnswers = make(chan *answer, 16)
)

// newAnswer takes an answer from a pool. A large one is for a request that may need large buffers.
func newAnswer(account limiter.Key, large bool) *answer {
	a := pooled(large)
	a.account = account
	a.status, a.contentType, a.problem = http.StatusOK, jsonType, nil
	a.retryAfter, a.allow, a.fixed = 0, "", nil
	a.in, a.started, a.rest = a.in[:0], false, false
	a.out = a.out[:0]
	return a
}

func pooled(large bool) *answer {
	if large {
		select {
		case a := <-largeAnswers:
			return a
		default:
		}
	}
	a, _ := answers.Get().(*answer)
	return a
}

// done gives back what the answer has taken. Nobody may use it any more.
func (a *answer) done() {
	a.body.giveBack()
	a.reply.giveBack()
	switch size := cap(a.in) + cap(a.out); {
	case size <= keepBuffers:
		answers.Put(a)
	case size <= keepLargeBuffers:
		select {
		case largeAnswers <- a:
		default:
		}
	}
}
