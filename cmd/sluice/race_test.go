//go:build race

package main

// unfinishedBatches are fewer with the race detector, which takes memory and time of its own.
const unfinishedBatches = 50
