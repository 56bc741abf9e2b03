package server

import (
	"net/http"
	"slices"
)

// Operation is a row of the route table, for tests outside of the package.
type Operation struct{ Name, Method, Pattern string }

// Operations are those of the route table.
func Operations() []Operation {
	all := make([]Operation, 0, len(routes))
	for _, r := range routes {
		all = append(all, Operation{r.name, r.method, r.pattern})
	}
	return all
}

// NewBefore is New, but one operation first does something else: takes its time, or panics.
func NewBefore(o Options, operation string, first func()) *Server {
	table := slices.Clone(routes)
	for i := range table {
		if serve := table[i].serve; table[i].name == operation {
			table[i].serve = func(s *Server, r *http.Request, a *answer) error {
				first()
				return serve(s, r, a)
			}
		}
	}
	s := New(o)
	s.router = s.newRouter(table)
	return s
}
