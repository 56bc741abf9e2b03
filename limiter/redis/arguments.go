package redis

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// maxLimit stands for all limits above it: no sum of a day reaches it.
const maxLimit = 1 << 51

// maxTTL is the longest time that a script can hold a slot, 68 years.
const maxTTL = math.MaxInt32 * time.Second

// timeArgument is the time of a call, or nothing where the server's counts.
func (s *Store) timeArgument(now limiter.Instant) string {
	if !s.options.TimeOfCalls {
		return ""
	}
	s.see(now)
	mono := max(0, now.Mono)
	var b [8]byte
	binary.BigEndian.PutUint32(b[:], uint32(mono/int64(time.Second)))
	binary.BigEndian.PutUint32(b[4:], uint32(mono%int64(time.Second)))
	return string(b[:])
}

// idArgument stands for an id: callers choose ids, and they may be long. No id stays none.
func idArgument(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(id))
	return string(sum[:16])
}

// numbers is numbers of 32 bits, one after the other. Larger ones are taken for the largest.
func numbers(all ...int64) string {
	b := make([]byte, 0, 32)
	for _, n := range all {
		b = binary.BigEndian.AppendUint32(b, uint32(min(n, math.MaxUint32)))
	}
	return string(b)
}

// policyArgument is what the scripts need of a policy.
func policyArgument(p *limiter.Policy) string {
	b := make([]byte, 1, 1+8*limiter.Units*limiter.Windows)
	if p.Suspended {
		b[0] = 1
	}
	for _, limits := range p.Limits {
		for _, limit := range limits {
			b = binary.BigEndian.AppendUint64(b, uint64(min(max(0, limit), maxLimit)))
		}
	}
	return string(b)
}
