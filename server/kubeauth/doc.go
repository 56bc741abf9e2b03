// Package kubeauth finds out which ServiceAccount of Kubernetes calls, and what RBAC lets it do. It
// asks the API server with TokenReviews and SubjectAccessReviews, and remembers the answers for a
// while. All of it is in kubeauth.go.
package kubeauth
