package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness is a small file beside the database that says how far the log was once durable. It is
// written after each sync of the log, and itself synced only now and then: so it never says too
// much. Whoever finds less in the log than it says knows that the database lost something, be it
// the end of a file, a file, or one of its own records of which files there are.
//
// It also says how the log is written, so that a start knows what a power cut can have done to it.
//
// It has two places that are written in turn, so that one is whole when the machine stops.
type witness struct {
	mu    sync.Mutex
	file  vfs.File
	place int64
	testimony
}

// testimony is what the witness says.
type testimony struct {
	lsn    uint64        // the last that was durable
	pace   time.Duration // of the syncs; see Options.Sync
	bootID string        // of the machine that writes the log
}

const (
	// witnessPlace is the size of a place: a sector of its own.
	witnessPlace = 512
	// testimonySize is the size of what is in it, without the checksum after it.
	testimonySize = 128
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openWitness opens the file and reads it.
func openWitness(fs vfs.FS, name string) (*witness, error) {
	file, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	w := &witness{file: file}
	if err := w.read(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return w, nil
}

// read reads what the place says that has the higher LSN.
func (w *witness) read() error {
	for place := range int64(2) {
		var b [testimonySize + 4]byte
		_, err := w.file.ReadAt(b[:], place*witnessPlace)
		if errors.Is(err, io.EOF) {
			continue // it was not written yet
		}
		if err != nil {
			return err
		}
		text, sum := b[:testimonySize], binary.BigEndian.Uint32(b[testimonySize:])
		if crc32.Checksum(text, castagnoli) != sum {
			continue
		}
		if t := decodeTestimony(text); t.lsn >= w.lsn {
			w.testimony, w.place = t, 1-place
		}
	}
	return nil
}

// encode returns the LSN and the pace, 8 bytes each, and the boot id with its length before it.
func (t *testimony) encode() []byte {
	b := make([]byte, 0, testimonySize+4)
	b = binary.BigEndian.AppendUint64(b, t.lsn)
	b = binary.BigEndian.AppendUint64(b, uint64(t.pace))
	b = appendString(b, t.bootID[:min(len(t.bootID), testimonySize/2)])
	return b[:testimonySize] // the rest is zero
}

func decodeTestimony(b []byte) (t testimony) {
	t.lsn = binary.BigEndian.Uint64(b)
	t.pace = time.Duration(binary.BigEndian.Uint64(b[8:]))
	d := decoder{rest: b[16:]}
	t.bootID = d.string()
	return t
}

// begin says how the log is written from now on.
func (w *witness) begin(pace time.Duration, bootID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace, w.bootID = pace, bootID
	return w.putBoth()
}

// set says that all up to an LSN is durable.
func (w *witness) set(lsn uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lsn <= w.lsn {
		return nil
	}
	w.lsn = lsn
	return w.put()
}

// reset forgets what was: whoever operates Sluice accepted a loss.
func (w *witness) reset(lsn uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lsn = lsn
	return w.putBoth()
}

// putBoth has both places say the same. The caller holds mu.
func (w *witness) putBoth() error {
	for range 2 {
		if err := w.put(); err != nil {
			return err
		}
	}
	return w.file.Sync()
}

// put writes to the place whose turn it is. The caller holds mu.
func (w *witness) put() error {
	b := w.encode()
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := w.file.WriteAt(b, w.place*witnessPlace)
	w.place = 1 - w.place
	return err
}

func (w *witness) sync() error { return w.file.Sync() }

func (w *witness) close() error { return w.file.Close() }
