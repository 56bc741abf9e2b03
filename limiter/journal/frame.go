package journal

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// A frame is what one commit of the log writes: the records that came together since the last one.
//
//	mono, wall, boot      the clocks when it was written, 8 bytes each; see clock.go
//	synchronised          1 if the wall clock was, or was trusted; else 0
//	number of records
//	base                  the instant that the records count from
//	records
//
// A record is a byte for its kind and flags, and then
//
//	an account            number, namespace, name, uid
//	a start               boot id, time namespace: the machine that writes what follows
//	a tick                nothing: the log was silent for a while
//	a stop                nothing: the process wrote all that it had, and ended
//	Merged, Purged        number, at
//	other effects         number, at, id (16 bytes, unless anonymous), cost, deadline - at
//
// of which Released has no cost, and only Granted has a deadline. Numbers are varints, strings have
// their length before them.

// The kinds of records besides those of [memory.EffectKind], and the flags.
const (
	recordAccount byte = 8
	recordStart   byte = 9
	recordTick    byte = 10
	recordStop    byte = 11

	kindMask      byte = 0x0f
	flagAnonymous byte = 0x10
	flagCostsMore byte = 0x20
)

// reading is what the clocks show at an instant, in nanoseconds.
type reading struct {
	mono int64 // of the limiter
	wall int64 // since the Unix epoch
	boot int64 // since the machine started, suspend included
	// synchronized is whether the wall clock was, or was trusted.
	synchronized bool
}

func (r reading) appendTo(b []byte) []byte {
	for _, n := range []int64{r.mono, r.wall, r.boot} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if r.synchronized {
		return append(b, 1)
	}
	return append(b, 0)
}

// identity says who an account is.
type identity struct {
	key limiter.Key
	uid string
}

// appendAccount appends the record that gives an account its number.
func appendAccount(b []byte, number uint64, who identity) []byte {
	b = append(b, recordAccount)
	b = binary.AppendUvarint(b, number)
	return who.appendTo(b)
}

func (i identity) appendTo(b []byte) []byte {
	for _, s := range []string{i.key.Namespace, i.key.Name, i.uid} {
		b = appendString(b, s)
	}
	return b
}

// appendStart appends the record that begins what a process writes.
func appendStart(b []byte, m machine) []byte {
	return m.appendTo(append(b, recordStart))
}

func (m machine) appendTo(b []byte) []byte {
	return appendString(appendString(b, m.bootID), m.timeNamespace)
}

// appendEffect appends the record of an effect on the account with a number.
func appendEffect(b []byte, base int64, number uint64, e *memory.Effect) []byte {
	kind := byte(e.Kind)
	if e.Anonymous {
		kind |= flagAnonymous
	}
	if e.CostsMore {
		kind |= flagCostsMore
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, number)
	b = binary.AppendVarint(b, e.At-base)
	if e.Kind == memory.Merged || e.Kind == memory.Purged {
		return b
	}
	if !e.Anonymous {
		b = e.ID.AppendTo(b)
	}
	if e.Kind != memory.Released {
		b = binary.AppendUvarint(b, uint64(e.Cost))
	}
	if e.Kind == memory.Granted {
		b = binary.AppendVarint(b, e.Deadline-e.At)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// frame is a frame that was read.
type frame struct {
	reading
	records uint64
	base    int64
	decoder
}

// errFrame is returned for bytes that are no frame.
var errFrame = errors.New("this is no frame of a journal")

// readFrame reads the header of a frame.
func readFrame(b []byte) (f frame, err error) {
	f.decoder = decoder{rest: b}
	f.reading = f.decoder.reading()
	f.records, f.base = f.uvarint(), f.varint()
	if f.failed {
		return f, errFrame
	}
	return f, nil
}

// record is a record that was read: of an account, of a start, or of an effect.
type record struct {
	kind    byte
	number  uint64
	who     identity
	machine machine
	effect  memory.Effect
}

// next reads the next record.
func (f *frame) next() (r record, err error) {
	flags := f.byte()
	r.kind = flags & kindMask
	switch {
	case r.kind == recordAccount:
		r.number = f.uvarint()
		r.who = f.identity()
	case r.kind == recordTick, r.kind == recordStop:
	case r.kind == recordStart:
		r.machine = f.machine()
	case r.kind >= byte(memory.Granted) && r.kind <= byte(memory.Purged):
		r.number = f.uvarint()
		r.effect = f.effect(flags)
	default:
		return r, errFrame
	}
	if f.failed {
		return r, errFrame
	}
	return r, nil
}

func (f *frame) effect(flags byte) (e memory.Effect) {
	e.Kind = memory.EffectKind(flags & kindMask)
	e.Anonymous, e.CostsMore = flags&flagAnonymous != 0, flags&flagCostsMore != 0
	e.At = f.base + f.varint()
	if e.Kind == memory.Merged || e.Kind == memory.Purged {
		return e
	}
	if !e.Anonymous {
		e.ID = f.id()
	}
	if e.Kind != memory.Released {
		e.Cost = int64(f.uvarint())
	}
	if e.Kind == memory.Granted {
		e.Deadline = e.At + f.varint()
	}
	return e
}

// decoder reads what the append functions wrote. Once it has failed, all that it returns is zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) fail() { d.rest, d.failed = nil, true }

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) id() memory.IDHash {
	if b := d.bytes(16); b != nil {
		return memory.ReadIDHash(b)
	}
	return memory.IDHash{}
}

// bytes reads so many bytes, or returns nil.
func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.fail()
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) string() string {
	n := d.uvarint()
	return string(d.bytes(int(min(n, math.MaxInt32))))
}

func (d *decoder) reading() (r reading) {
	for _, n := range []*int64{&r.mono, &r.wall, &r.boot} {
		if b := d.bytes(8); b != nil {
			*n = int64(binary.BigEndian.Uint64(b))
		}
	}
	r.synchronized = d.byte() == 1
	return r
}

func (d *decoder) machine() machine {
	return machine{bootID: d.string(), timeNamespace: d.string()}
}

func (d *decoder) identity() identity {
	return identity{limiter.Key{Namespace: d.string(), Name: d.string()}, d.string()}
}
