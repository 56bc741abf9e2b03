package journal

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/go-logr/logr"
)

const (
	// memTableSize bounds what of the log is in memory at a time, and the size of one of its files.
	memTableSize = 4 << 20
	// cacheSize is little: what is on the disk is read once, at the start.
	cacheSize = 1 << 20
)

// databaseFormat is the format of Pebble's files. It is part of the journal's own format. Since
// FormatWALSyncChunks, Pebble tells a log that ends early from one that was damaged, and since
// FormatTableFormatV6 the end of a table, which says how to read the rest, has a checksum.
const databaseFormat = pebble.FormatTableFormatV6

// databaseOptions are those of all databases. Snapshots do what compactions are for, so that there
// are none; see snapshot.go.
func databaseOptions(d *disk, log logr.Logger, fatal func(error)) *pebble.Options {
	o := &pebble.Options{
		FS:                          d,
		FormatMajorVersion:          databaseFormat,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 3,
		CacheSize:                   cacheSize,
		DisableAutomaticCompactions: true,
		L0StopWritesThreshold:       1 << 20,
		MaxOpenFiles:                200,
		Logger:                      databaseLog{log, fatal},
		EventListener: &pebble.EventListener{
			// Whoever reads what is damaged gets an error, and says what to do about it. Without
			// this, the database would end the process first.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Error(i.Details, "a file of the database is damaged", "file", i.Path)
			},
			BackgroundError: func(err error) { log.Error(err, "the database failed, and repeats it") },
			DiskSlow: func(i pebble.DiskSlowInfo) {
				log.Info("the disk is slow", "file", i.Path, "operation", i.OpType.String(),
					"for", i.Duration.String())
			},
		},
	}
	// What is written is hashes, and numbers that are short already.
	for i := range o.Levels {
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return o
}

// databaseLog is the log of Pebble. What it tells for information is of its inner life.
type databaseLog struct {
	logr.Logger
	fatal func(error)
}

// Infof implements [pebble.Logger].
func (l databaseLog) Infof(format string, args ...any) {
	l.V(1).Info(fmt.Sprintf(format, args...))
}

// Errorf implements [pebble.Logger].
func (l databaseLog) Errorf(format string, args ...any) {
	l.Error(nil, fmt.Sprintf(format, args...))
}

// Fatalf implements [pebble.Logger]. The database counts on it not to return. The process is about
// to end; until it has, whoever is here stays here, with the locks that it holds.
func (l databaseLog) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf(format, args...))
	select {}
}
