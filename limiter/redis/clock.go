package redis

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"
)

// The time of a call is the server's TIME. That is a wall clock, which may jump; so each replica
// follows it with a monotonic clock of its own, and tells the script between which two instants the
// time must be. While the server's clock is further off than clockSlack from where it was going,
// the time goes on as before: neither is a slot freed early, nor frozen. How far off the server's
// clock is then stands in the store, for replicas that start meanwhile.

// clockSlack is how far the server's clock may be off before it is not followed.
const clockSlack = 500 * time.Millisecond

// offFor is how long the store says how far off the server's clock is, unless it is said again.
const offFor = 10 * time.Second

// clock follows the server's clock.
type clock struct {
	start  time.Time    // of the monotonic clock
	base   atomic.Int64 // the server's time when the monotonic clock was at 0; 0 is not known
	jumped atomic.Bool  // it is off by more than clockSlack
	said   int64        // how far off it was at the last probe; of the prober alone
}

// elapsed is the time of the monotonic clock.
func (c *clock) elapsed() time.Duration { return time.Since(c.start) }

// bounds are the earliest and the latest instant that a call may be made at. They are 0 where the
// clock is not followed.
func (c *clock) bounds() (low, high int64) {
	base := c.base.Load()
	if base == 0 {
		return 0, 0
	}
	expected := base + int64(c.elapsed())
	if c.jumped.Load() {
		return expected, expected
	}
	return expected - int64(clockSlack), expected + int64(clockSlack)
}

// clockScript reads the time of the node that keeps the key, and how far that is known to be off.
const clockScript = `
local t = redis.call('TIME')
return {t[1], t[2], redis.call('GET', KEYS[1]) or '0'}`

// probe compares the server's clock with its own.
func (c *clock) probe(ctx context.Context, client valkey.Client, prefix string) error {
	key := prefix + ":{sluice}:clock"
	before := c.elapsed()
	reply, err := client.Do(ctx, client.B().Eval().Script(clockScript).Numkeys(1).Key(key).Build()).
		AsStrSlice()
	if err != nil {
		return err
	}
	if len(reply) != 3 {
		return errNoAnswer
	}
	var parts [3]int64
	for n, text := range reply {
		if parts[n], err = strconv.ParseInt(text, 10, 64); err != nil {
			return errNoAnswer
		}
	}
	server, off := parts[0]*int64(time.Second)+parts[1]*int64(time.Microsecond), parts[2]
	set := c.follow(server, off, before, c.elapsed())
	if set == 0 && off == 0 {
		return nil
	}
	// It is forgotten when nobody says it any more: the server's clock is then believed again.
	return client.Do(ctx, client.B().Set().Key(key).Value(strconv.FormatInt(set, 10)).
		Ex(offFor).Build()).Error()
}

// follow takes a reading of the server's clock, made between two instants of the own one, and how
// far off the store says that it is. It returns how far off it should say.
func (c *clock) follow(server, said int64, before, after time.Duration) (set int64) {
	c.said = c.take(server, said, before, after)
	return c.said
}

func (c *clock) take(server, said int64, before, after time.Duration) (set int64) {
	base, off := c.base.Load(), said
	if base == 0 {
		c.jumped.Store(abs(off) > int64(clockSlack))
		c.base.Store(server - off - int64(before))
		return off
	}
	// The server read its clock between the two.
	early, late := base+int64(before), base+int64(after)
	switch {
	case server > late+int64(clockSlack):
		off = server - late
	case server < early-int64(clockSlack):
		off = server - early
	default:
		c.jumped.Store(false)
		c.base.Store(min(max(base, server-int64(after)), server-int64(before)))
		return 0
	}
	if abs(off-said) > int64(clockSlack) && c.said != 0 {
		// Another replica says otherwise than this one did: it is this one's clock that stood still.
		c.jumped.Store(abs(said) > int64(clockSlack))
		c.base.Store(server - said - int64(before))
		return said
	}
	c.jumped.Store(true)
	if abs(off-said) <= int64(clockSlack) {
		return said
	}
	return off
}

func abs(n int64) int64 { return max(n, -n) }

// boundsArgument tells a script the bounds.
func (c *clock) boundsArgument() string {
	low, high := c.bounds()
	if low == 0 {
		return ""
	}
	var b [16]byte
	putInstant(b[:], low)
	putInstant(b[8:], high)
	return string(b[:])
}

func putInstant(b []byte, at int64) {
	binary.BigEndian.PutUint32(b, uint32(at/int64(time.Second)))
	binary.BigEndian.PutUint32(b[4:], uint32(at%int64(time.Second)))
}
