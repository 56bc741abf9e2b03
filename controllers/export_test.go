package controllers

import (
	"context"
	"os"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/limiter"
)

// What the tests of a folder need to know of its times.
const (
	PollInterval = pollInterval
	Settle       = settle
	Grace        = grace
)

// Faults make calls about single names fail or hang. Names are those of files, or of the folder
// itself.
type Faults struct {
	Stat, Read, List func(name string) error // nil, or an error; it may block
}

// NewPolledManifestDir returns a ManifestDir that follows no events: those come in real time, also
// where a test's clock is not.
func NewPolledManifestDir(
	ctx context.Context, path string, l *limiter.Limiter, log logr.Logger, faults Faults,
) (*ManifestDir, error) {
	return newManifestDir(ctx, path, l, log, faulty{realFiles{}, faults})
}

// NewWatchedManifestDir returns a ManifestDir that polls after events alone.
func NewWatchedManifestDir(
	ctx context.Context, path string, l *limiter.Limiter, log logr.Logger,
) (*ManifestDir, error) {
	f, err := NewManifestDir(ctx, path, l, log)
	if err == nil {
		f.interval = time.Hour
	}
	return f, err
}

type faulty struct {
	fileSystem
	faults Faults
}

func (f faulty) list(path string) ([]string, os.FileInfo, error) {
	if f.faults.List != nil {
		if err := f.faults.List(path); err != nil {
			return nil, nil, err
		}
	}
	return f.fileSystem.list(path)
}

func (f faulty) stat(path string) (stamp, error) {
	if f.faults.Stat != nil {
		if err := f.faults.Stat(path); err != nil {
			return stamp{}, err
		}
	}
	return f.fileSystem.stat(path)
}

func (f faulty) read(path string) ([]byte, stamp, error) {
	if f.faults.Read != nil {
		if err := f.faults.Read(path); err != nil {
			return nil, stamp{}, err
		}
	}
	return f.fileSystem.read(path)
}
