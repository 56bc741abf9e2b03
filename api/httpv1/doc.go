// Package httpv1 is the HTTP API of Sluice, version 1: the shape of its requests, answers and problems, and
// openapi.yaml, which says the same for everybody else. It imports the standard library alone, so that callers written
// in Go can use it as it is.
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
	// MaxBatch is how many checks, commits or releases one batch can have.
	MaxBatch = 1000
	// MaxIDLength is the longest reservation id, in visible ASCII characters: ! to ~, no space.
	MaxIDLength = 255
	// MaxCost is the largest cost of one check or commit: the largest limit there can be.
	MaxCost = 1<<31 - 1
	// MaxTTLSeconds is the longest time for which a reservation can be held.
	MaxTTLSeconds = 900
	// DefaultPageSize is how many accounts one page of the list has, unless the caller says otherwise.
	DefaultPageSize = 100
	// MaxPageSize is how many a caller can ask for.
	MaxPageSize = 1000
)
