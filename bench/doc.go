// Package bench is a load generator for any Sluice. It checks and commits as dispatchers do,
// measures how long the answers take, and verifies that no account is granted more than its limits.
//
//   - config.go: the settings of a run.
//   - accounts.go: which accounts a run uses; manifests of accounts to use.
//   - pacer.go: when a request is due.
//   - run.go: a run, from its start to its report.
//   - requests.go: the requests.
//   - granted.go: what each account was granted within any window.
//   - verify.go: that, and the usage at the end, against the limits.
//   - stats.go: the counts and latencies.
//   - report.go, progress.go: what a user reads about them.
package bench
