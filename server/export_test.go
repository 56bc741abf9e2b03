package server

import (
	"context"
	"math"
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
		all = append(all, Operation{r.name, r.method, r.pattern, r.inputs.query, r.inputs.body})
	}
	return all
}

// NewBefore is New, but one operation first does something else: takes its time, fails, or panics.
func NewBefore(o Options, operation string, first func() error) *Server {
	table := slices.Clone(routes)
	for i := range table {
		if serve := table[i].serve; table[i].name == operation {
			table[i].serve = func(s *Server, q *request, r *response) error {
				if err := first(); err != nil {
					return err
				}
				return serve(s, q, r)
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
			table[i].serve = func(s *Server, q *request, r *response) error {
				var batch httpv1.CheckBatchRequest
				if err := s.read(q, httpv1.MaxBatchBytes, &batch); err != nil {
					return err
				}
				return s.callAll(q, r, len(batch.Checks), func(_ int, c *limiter.Call) { c.Err = err })
			}
		}
	}
	s := New(o)
	s.router = s.newRouter(table)
	return s
}

// SetBudgets sets what requests in flight may hold: bytes of bodies, and of responses.
func (s *Server) SetBudgets(bodies, responses int64) {
	s.bodies.limit, s.responses.limit = bodies, responses
}

// InFlight returns what requests hold of the budgets.
func (s *Server) InFlight() (bodies, responses int64) {
	return s.bodies.used.Load(), s.responses.used.Load()
}

// After is after, for tests outside of the package.
var After = after

// Refusals returns what refuses a check when there are too many.
func Refusals() (refuse func(context.Context)) {
	p := newAdmission(1, newAdmissionMetrics(nil)).pools[checkPool]
	return func(ctx context.Context) { _ = p.refuse(ctx) }
}

// Overload makes the server take the next queue that is too long for overload, and no burst.
func (s *Server) Overload() { s.admission.bursts.until.Store(math.MaxInt64 / 2) }

// AdmitAll has the server admit any number of checks that wait for a core.
func (s *Server) AdmitAll() { s.admission.maxRunnable = math.MaxInt64 }
