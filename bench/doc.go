// Package bench is a load generator for any Sluice: it checks and commits as dispatchers do, measures how long the
// answers take, and makes sure that no account is granted more than its limits.
//
//   - config.go: what can be chosen.
//   - accounts.go: which accounts are used, and the manifests of some to use.
//   - pacer.go: when a request is due.
//   - run.go, requests.go: the requests.
//   - granted.go, verify.go: what was granted, held against the limits.
//   - stats.go, report.go, progress.go: what is told about it.
package bench
