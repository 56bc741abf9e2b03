package journal

import (
	"encoding/binary"
	"errors"
	"io"

	walrecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// The database reads its log up to the first chunk that is not whole. What follows is the torn end
// of the log, which nobody was answered for, unless a later chunk says that all up to here was
// synced: then the log is damaged. With a pace, the later chunk only believes so; see disk.go. So
// where a log that was written with a pace went through a power cut, the end is cut off here,
// before the database sees it. The witness, which believes no sync that was put off, says what must
// be left.

// tail is the end of the newest file of the database's log.
type tail struct {
	name  string
	whole int64 // how many bytes are records that can be read
	err   error // what comes then
}

// readTail reads the newest file of the log. Where there is none, or it cannot be read, the tail is
// empty: the database will say so.
func (s *Store) readTail() (t tail) {
	logs, err := wal.Scan(wal.Dir{FS: s.disk, Dirname: s.path(databaseDir)})
	if err != nil || len(logs) == 0 {
		return tail{}
	}
	r := logs[len(logs)-1].OpenForRead()
	for err == nil {
		var at wal.Offset
		_, at, err = r.NextRecord()
		t = tail{at.PhysicalFile, at.Physical, err}
	}
	if r.Close() != nil {
		return tail{}
	}
	return t
}

// cutTornTail cuts off what a power cut tore of a log whose syncs were put off. It tells what else
// is torn.
func (s *Store) cutTornTail() error {
	t := s.readTail()
	promised := errors.Is(t.err, walrecord.ErrInvalidChunk) ||
		errors.Is(t.err, walrecord.ErrZeroedChunk)
	switch machine := s.clocks.machine(); {
	case promised && s.witness.pace > 0 && s.witness.bootID != machine.bootID &&
		s.witness.bootID != "" && machine.bootID != "":
		s.logger.Info("a power cut tore the end of the log, whose syncs were put off: it is cut off",
			"file", t.name, "at", t.whole)
		return s.cut(t)
	case !promised && s.isPartial(t):
		s.logger.Info("the last record of the log is torn: it is cut off, as nobody was answered",
			"file", t.name, "at", t.whole)
	}
	return nil
}

// A chunk of the log begins with a checksum (4 bytes), its length (2), its kind (1), and the number
// of the log's file (4), of which a file that is used again still has an older one.
const (
	chunkKind   = 6
	chunkLog    = 7
	chunkHeader = 11
)

// isPartial reports whether the tail has a part of a record, and not only what the file held
// before.
func (s *Store) isPartial(t tail) bool {
	number, _, ok := wal.ParseLogFilename(s.disk.PathBase(t.name))
	if !ok || !errors.Is(t.err, walrecord.ErrUnexpectedEOF) {
		return false
	}
	f, err := s.disk.Open(t.name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var b [chunkHeader]byte
	if n, err := f.ReadAt(b[:], t.whole); err != nil {
		return n > 0
	}
	return b[chunkKind] != 0 && binary.LittleEndian.Uint32(b[chunkLog:]) == uint32(number)
}

// cut writes the file anew without its tail.
func (s *Store) cut(t tail) error {
	from, err := s.disk.Open(t.name)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	whole := t.name + ".whole"
	to, err := s.disk.Create(whole, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.LimitReader(from, t.whole))
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	if err := s.disk.Rename(whole, t.name); err != nil {
		return err
	}
	return s.syncDir(s.path(databaseDir))
}
