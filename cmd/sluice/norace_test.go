//go:build !race

package main

const unfinishedBatches = 1000
