package server

import (
	"net/http"
	"slices"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// Operation is a row of the route table, for tests outside of the package.
type Operation struct {
	Name, Method, Pattern string
	Query, Body           []string // names of what it takes
}

// Operations are those of the route table.
func Operations() []Operation {
	all := make([]Operation, 0, len(routes))
	for _, r := range routes {
		all = append(all, Operation{r.name, r.method, r.pattern, r.takes.query, r.takes.body})
	}
	return all
}

// NewBefore is New, but one operation first does something else: takes its time, fails, or panics.
func NewBefore(o Options, operation string, first func() error) *Server {
	table := slices.Clone(routes)
	for i := range table {
		if serve := table[i].serve; table[i].name == operation {
			table[i].serve = func(s *Server, r *http.Request, a *answer) error {
				if err := first(); err != nil {
					return err
				}
				return serve(s, r, a)
			}
		}
	}
	s := New(o)
	s.router = s.newRouter(table)
	return s
}

// NewWithFailingItems is New, but each item of a checkBatch fails.
func NewWithFailingItems(o Options, err error) *Server {
	table := slices.Clone(routes)
	for i := range table {
		if table[i].name == "checkBatch" {
			table[i].serve = handleBatch[httpv1.CheckRequest, httpv1.CheckBatchRequest]("checkBatch", isLoaded,
				func(*Server, limiter.Key, *httpv1.CheckRequest, *answer) (encoder, error) { return nil, err })
		}
	}
	s := New(o)
	s.router = s.newRouter(table)
	return s
}

// SetBudgets sets what requests in flight may hold: bytes of bodies, and of answers.
func (s *Server) SetBudgets(bodies, answers int64) { s.bodies.limit, s.answers.limit = bodies, answers }

// InFlight is what requests hold of the budgets.
func (s *Server) InFlight() (bodies, answers int64) {
	return s.bodies.used.Load(), s.answers.used.Load()
}

// After is after, for tests outside of the package.
var After = after
