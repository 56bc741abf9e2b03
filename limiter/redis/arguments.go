package redis

import (
	"crypto/rand"
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

// timeArgument is the time of a call, or between which instants the server's must be.
func (s *Store) timeArgument(now limiter.Instant) string {
	if !s.options.TimeOfCalls {
		return s.clock.boundsArgument()
	}
	s.see(now)
	var b [8]byte
	putInstant(b[:], max(0, now.Mono))
	return string(b[:])
}

// idArgument stands for an id: callers choose ids, and they may be long.
func idArgument(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:idSize])
}

const idSize = 16

// endArgument is idArgument for what ends a reservation. No id is the oldest reservation's: then
// the call gets a name of its own, by which the script knows it when it comes again.
func endArgument(id string) string {
	if id != "" {
		return idArgument(id)
	}
	var name [idSize + 1]byte
	_, _ = rand.Read(name[:]) // never fails
	return string(name[:])
}

// argument is the numbers of a call, of 32 bits each. Larger ones are taken for the largest.
func (a *account) argument(c *call) string {
	var room [4 * (2 + len(c.numbers))]byte
	b := binary.BigEndian.AppendUint32(room[:0], a.life.Load())
	c.lineage = a.store.lineage.Load()
	known := a.known()
	if c.script == usageScript || c.told { // they let nothing out
		known = 0
	}
	b = binary.BigEndian.AppendUint32(b, known)
	for _, n := range c.numbers[:c.count] {
		b = binary.BigEndian.AppendUint32(b, uint32(min(n, math.MaxUint32)))
	}
	return string(b)
}

// policySize is the size of a policyArgument.
const policySize = 8 + 3 + 8*limiter.Units*limiter.Windows

// policyArgument is a policy as the scripts take it, and as they keep it.
func policyArgument(p *limiter.Policy) string {
	b := make([]byte, 11, policySize)
	binary.BigEndian.PutUint64(b, uint64(max(0, p.Generation)))
	if p.Suspended {
		b[8] = 1
	}
	b[9], b[10] = byte(p.Behavior), byte(p.DeferTo)
	for _, limits := range p.Limits {
		for _, limit := range limits {
			b = binary.BigEndian.AppendUint64(b, uint64(min(max(0, limit), maxLimit)))
		}
	}
	return string(b)
}

// readPolicy reads a policyArgument.
func readPolicy(b []byte) *limiter.Policy {
	p := limiter.Policy{
		Generation: int64(binary.BigEndian.Uint64(b)), Suspended: b[8] == 1,
		Behavior: limiter.Behavior(b[9]), DeferTo: limiter.DeferTo(b[10]),
	}
	b = b[11:]
	for u := range p.Limits {
		for w := range p.Limits[u] {
			p.Limits[u][w] = int64(binary.BigEndian.Uint64(b))
			b = b[8:]
		}
	}
	return &p
}
