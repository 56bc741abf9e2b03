package memory

import (
	"testing"
	"unsafe"
)

// What one core writes, no other core may have in a cache line of its own business, or each waits
// for the other at every call although they share no data: with two cores at accounts of their own
// that cost up to half of their speed (BenchmarkCores). Processors fetch lines of 64 bytes in
// pairs. Objects of 128, 256, 384 or 512 bytes start at a multiple of 128, as the allocator has
// spans of these very sizes.
func TestAccountsShareNoCacheLine(t *testing.T) {
	t.Parallel()
	const pair = 128
	for name, size := range map[string]uintptr{
		"Account":      unsafe.Sizeof(Account{}),
		"reservations": unsafe.Sizeof(reservations{}),
		"initialBlock": unsafe.Sizeof(initialBlock{}),
		"stripe":       unsafe.Sizeof(stripe{}),
	} {
		if size%pair != 0 || size > 4*pair {
			t.Errorf("%s has %d bytes: pad it to a multiple of %d", name, size, pair)
		}
	}
}
