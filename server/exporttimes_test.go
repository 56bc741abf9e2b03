package server

// After is after, for tests outside of the package.
var After = after
