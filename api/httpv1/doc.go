// Package httpv1 holds the requests, the responses and the problems of the HTTP API of Sluice,
// version 1. It imports the standard library only, so that callers in Go can use it as it is.
//
//   - openapi.yaml: the same as a contract, for callers in any language.
//   - doc.go: the contract, and the bounds of the API.
//   - requests.go: check, commit and release.
//   - batches.go: the requests of batches, and the responses to them.
//   - responses.go: the responses, and how they are written as JSON.
//   - problems.go: errors, as RFC 9457 has them.
//   - ids.go: which ids a reservation can have.
//   - strictjson.go: the strict reader of requests.
//   - integers.go: how it reads integers.
//   - excerpt.go: how much of a caller's text is repeated.
package httpv1

import _ "embed"

// OpenAPI is the contract, as served at /openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Bounds of the API.
const (
	// MaxBodyBytes is the largest request body, and MaxBatchBytes that of a batch.
	MaxBodyBytes  = 16 << 10
	MaxBatchBytes = 1 << 20
	// MaxBatch is how many checks, commits or releases a batch can have.
	MaxBatch = 1000
	// MaxIDLength is the longest reservation id, in visible ASCII characters: ! to ~, no space.
	MaxIDLength = 255
	// MaxCost is the largest cost of one check or commit: the largest limit there can be.
	MaxCost = 1<<31 - 1
	// MaxTTLSeconds is the longest time to hold a reservation.
	MaxTTLSeconds = 900
	// DefaultPageSize is how many accounts a page of the list has if the caller does not say.
	DefaultPageSize = 100
	// MaxPageSize is how many accounts a caller can ask for in one page.
	MaxPageSize = 1000
)
