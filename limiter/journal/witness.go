package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness is a small file beside the database that says how far the log was once durable. It is
// written after each sync of the log, and itself synced only now and then: so it never says too
// much. Whoever finds less in the log than it says knows that the database lost something, be it
// the end of a file, a file, or one of its own records of which files there are.
//
// It has two places that are written in turn, so that one is whole when the machine stops.
type witness struct {
	mu    sync.Mutex
	file  vfs.File
	place int64
	lsn   uint64
}

// witnessPlace is the size of a place: an LSN and its checksum, on sectors of their own.
const witnessPlace = 512

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openWitness opens the file and reads the highest LSN that is known to have been durable.
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

// read reads the highest LSN that either place has.
func (w *witness) read() error {
	for place := range int64(2) {
		var b [12]byte
		_, err := w.file.ReadAt(b[:], place*witnessPlace)
		if errors.Is(err, io.EOF) {
			continue // it was not written yet
		}
		if err != nil {
			return err
		}
		lsn := binary.BigEndian.Uint64(b[:])
		sum := binary.BigEndian.Uint32(b[8:])
		if crc32.Checksum(b[:8], castagnoli) == sum && lsn > w.lsn {
			w.lsn, w.place = lsn, 1-place
		}
	}
	return nil
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
	for range 2 {
		if err := w.put(); err != nil {
			return err
		}
	}
	return w.file.Sync()
}

// put writes the LSN to the place whose turn it is. The caller holds mu.
func (w *witness) put() error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), w.lsn)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := w.file.WriteAt(b, w.place*witnessPlace)
	w.place = 1 - w.place
	return err
}

func (w *witness) sync() error { return w.file.Sync() }

func (w *witness) close() error { return w.file.Close() }
