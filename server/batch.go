package server

import (
	"encoding/json"
	"net/http"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// batch is a pointer to a list of requests that can be read from JSON.
type batch[Req, List any] interface {
	*List
	Decode([]byte) error
	Len() int
	Item(i int) (httpv1.Account, *Req)
}

// handleBatch makes an endpoint of a call that is made for each item of a batch, in order. What an item is refused with
// is its result. An error is what is wrong with the request as a whole, or that the limiter refuses every item now: a
// caller who looks at the status alone must be safe.
func handleBatch[Req, List any, P batch[Req, List]](
	operation string, refuses func(*limiter.Limiter) error, do call[Req],
) endpoint {
	return func(s *Server, r *http.Request, a *answer) error {
		body, err := s.readBody(r, a, httpv1.MaxBatchBytes)
		if err != nil {
			return err
		}
		var list List
		if err := P(&list).Decode(body); err != nil {
			return err
		}
		if err := refuses(s.limiter); err != nil {
			return err
		}
		if !a.reply.take(s.answers, itemBytes*P(&list).Len()) {
			return errAnswers
		}
		a.now = s.clock.Now()
		a.out = append(a.out, `{"results":[`...)
		for i := range P(&list).Len() {
			if i > 0 {
				a.out = append(a.out, ',')
			}
			account, req := P(&list).Item(i)
			if err := do.item(s, account, req, a); err != nil {
				p := s.problem(r, operation, err)
				s.metrics.itemFailed(operation, p)
				a.failItem(p)
			}
		}
		a.out = append(a.out, "]}\n"...)
		a.retryAfter = 0 // each result has its own
		return nil
	}
}

// item makes the call for one item and appends its result.
func (do call[Req]) item(s *Server, account httpv1.Account, req *Req, a *answer) error {
	if account.Namespace == "" || account.Name == "" {
		return httpv1.InvalidField.Problem("namespace and name must say which MailAccount is meant.")
	}
	reply, err := do(s, limiter.Key{Namespace: account.Namespace, Name: account.Name}, req, a)
	if err == nil {
		a.out = reply.AppendJSON(a.out)
	}
	return err
}

// failItem appends the problem of one item.
func (a *answer) failItem(p *httpv1.Problem) {
	a.out = append(a.out, `{"problem":`...)
	a.out = append(appendProblem(a.out, p), '}')
}

func appendProblem(b []byte, p *httpv1.Problem) []byte {
	text, err := json.Marshal(p)
	if err != nil { // cannot be: a problem is three strings and a number
		panic(err)
	}
	return append(b, text...)
}
