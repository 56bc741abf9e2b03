package controllers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fileSystem is what a folder asks of the operating system. Each call may fail, and each may hang
// for ever, for instance on a dead network mount.
type fileSystem interface {
	// list returns the names in a folder, and which folder it is.
	list(path string) (names []string, folder os.FileInfo, err error)
	// stat follows links.
	stat(path string) (stamp, error)
	// read returns the content of a regular file, and its stamp before the content was read.
	read(path string) ([]byte, stamp, error)
}

// stamp identifies a file and its content without reading it.
type stamp struct {
	kind          fs.FileMode // the bits of the type: 0 for a regular file
	size          int64
	modified      time.Time
	changed       int64 // when the inode changed, in nanoseconds; 0 where the system does not tell
	device, inode uint64
}

func (s *stamp) equal(other *stamp) bool {
	return s.kind == other.kind && s.size == other.size && s.modified.Equal(other.modified) &&
		s.changed == other.changed && s.device == other.device && s.inode == other.inode
}

// changedAbout reports whether the file changed less than stampTrust before a time, by the clock of
// its file system.
func (s *stamp) changedAbout(now time.Time) bool {
	changed := s.modified
	if s.changed != 0 {
		changed = time.Unix(0, s.changed)
	}
	age := now.Sub(changed)
	return 0 <= age && age < stampTrust
}

// notRegular returns an error if the file is not regular. Reading it might never end.
func (s *stamp) notRegular() error {
	switch {
	case s.kind == 0:
		return nil
	case s.kind&fs.ModeDir != 0:
		return errors.New("is a folder; a regular file, or a link to one, is needed")
	case s.kind&fs.ModeNamedPipe != 0:
		return errors.New("is a FIFO; a regular file, or a link to one, is needed")
	}
	return fmt.Errorf("is not a regular file (%s)", s.kind)
}

// isManifest reports whether a file of this name is read. A name with a dot in front is an editor's
// swap file, or a folder behind a mounted ConfigMap.
func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return name[0] != '.'
	}
	return false
}

// realFiles is the operating system.
type realFiles struct{}

func (realFiles) list(path string) ([]string, os.FileInfo, error) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = folder.Close() }()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	info, err := folder.Stat()
	return names, info, err
}

func (realFiles) stat(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stampOf(info), nil
}

func (realFiles) read(path string) ([]byte, stamp, error) {
	// The file may have become a FIFO since stat. O_NONBLOCK does not wait for its writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, stamp{}, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	s := stampOf(info)
	if err := s.notRegular(); err != nil {
		return nil, s, err
	}
	content, err := io.ReadAll(file)
	return content, s, err
}
