package journal

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// The files of a data directory.
const (
	formatFile   = "FORMAT"   // which format the others have
	lockFile     = "lock"     // locked by the process that has the journal open
	ownerFile    = "owner"    // who that is, for people
	witnessFile  = "durable"  // see witness.go
	databaseDir  = "db"       // the database
	snapshotFile = "snapshot" // one that is being written
)

// The keys of the database. See docs/journal-format.md.
//
//	L  first LSN                 a frame of the log: see frame.go
//	S  generation  0  0          the header of a snapshot
//	S  generation  1  account    who the account is
//	S  generation  2  account    what the account holds, and the LSN of its last effect in it
//
// Numbers are 8 bytes, big endian, so that keys are in the order of numbers; a kind is one byte.
const (
	prefixLog      = 'L'
	prefixSnapshot = 'S'
)

// The kinds of keys of a snapshot.
const (
	kindHeader   = 0
	kindIdentity = 1
	kindImage    = 2
)

// logKey is the key of the frame whose first record has an LSN.
func logKey(first uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixLog}, first)
}

// snapshotKey is a key of a snapshot.
func snapshotKey(generation uint64, kind byte, account uint64) []byte {
	b := append(snapshotStart(generation), kind)
	return binary.BigEndian.AppendUint64(b, account)
}

// snapshotStart is what all keys of a snapshot begin with.
func snapshotStart(generation uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixSnapshot}, generation)
}

// keyNumber returns the number at the end of a key.
func keyNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// frames are the frames from an LSN on.
func frames(from uint64) pebble.KeyRange {
	return pebble.KeyRange{Start: logKey(from), End: []byte{prefixLog + 1}}
}

// framesBefore are the frames before an LSN.
func framesBefore(lsn uint64) pebble.KeyRange {
	return pebble.KeyRange{Start: logKey(0), End: logKey(lsn)}
}

// snapshots are the snapshots from a generation on, up to but without another.
func snapshots(from, to uint64) pebble.KeyRange {
	return pebble.KeyRange{Start: snapshotStart(from), End: snapshotStart(to)}
}

// kindOf are the keys of one kind of a snapshot.
func kindOf(generation uint64, kind byte) pebble.KeyRange {
	return pebble.KeyRange{
		Start: snapshotKey(generation, kind, 0), End: snapshotKey(generation, kind+1, 0),
	}
}

// header is the header of a snapshot. The zero value is that of an empty one.
type header struct {
	generation uint64
	from       uint64 // the first LSN that the snapshot may lack: the log goes on from there
	sections   uint64 // how many accounts it has
	accounts   uint64 // the highest number that an account was given
	idKey      [16]byte
	reading
	machine
}

func (h *header) encode() (b []byte) {
	for _, n := range []uint64{h.from, h.sections, h.accounts} {
		b = binary.AppendUvarint(b, n)
	}
	b = append(b, h.idKey[:]...)
	b = h.reading.appendTo(b)
	return h.machine.appendTo(b)
}

func decodeHeader(generation uint64, b []byte) (header, error) {
	h, d := header{generation: generation}, decoder{rest: b}
	h.from, h.sections, h.accounts = d.uvarint(), d.uvarint(), d.uvarint()
	copy(h.idKey[:], d.bytes(len(h.idKey)))
	h.reading = d.reading()
	h.machine = d.machine()
	if d.failed || len(d.rest) > 0 {
		return h, errors.New("the header of the snapshot cannot be read")
	}
	return h, nil
}
