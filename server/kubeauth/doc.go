// Package kubeauth finds out which ServiceAccount of Kubernetes calls, and what RBAC lets it do. It
// asks the API server with TokenReviews and SubjectAccessReviews, and remembers the answers for a
// while. How long, and what bounds it, is told in docs/design/0023.
//
//   - kubeauth.go: an Auth, and how long answers are used.
//
// Who calls:
//
//   - authenticate.go: finds out who holds a token.
//   - claims.go: what a token says of itself, which costs nothing to refuse.
//   - keys.go: the keys of the cluster, which tell forged tokens before a review.
//   - token_cache.go: the answers to reviews of tokens.
//   - screen.go: refuses tokens before somebody else reviews them.
//
// What they may do:
//
//   - authorize.go: finds out whether a caller has a right.
//   - subjects.go: the ServiceAccounts that called lately, and what each may ask for.
//   - decisions.go: what is known of the rights of one.
//
// For both:
//
//   - api_server.go: makes the reviews.
//   - breaker.go: knows whether the API server answers.
//   - lane.go: bounds how many reviews are in flight, and shares them out fairly.
//   - limiters.go: rates, one for each ServiceAccount.
//   - problems.go: what callers are told.
//   - metrics.go: what is counted.
package kubeauth
