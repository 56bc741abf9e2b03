package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// format is what the file FORMAT says. A number that is not ours is of another version of Sluice.
const format = "sluice journal 1\n"

// prepare makes the directory, and locks it.
func (s *Store) prepare() error {
	err := s.makeDir()
	if err == nil {
		_, err = s.disk.List(s.dir)
	}
	if err != nil {
		return explain(s.dir, err)
	}
	lock, err := s.disk.Lock(s.path(lockFile))
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) {
			return fmt.Errorf("--data-dir %s is in use by another process (%s): two would each "+
				"admit the whole limit. Stop that one, or choose another directory",
				s.dir, strings.TrimSpace(s.readFile(ownerFile)))
		}
		return explain(s.dir, err)
	}
	s.lock = lock
	if err := s.checkFormat(); err != nil {
		return err
	}
	host, _ := os.Hostname() // for people; it may be missing
	owner := fmt.Sprintf("process %d on %s since %s\n",
		os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if err := s.writeFile(ownerFile, owner); err != nil {
		return explain(s.dir, err)
	}
	if err := s.removeSnapshot(); err != nil {
		return explain(s.dir, err)
	}
	s.witness, err = openWitness(s.disk, s.path(witnessFile))
	if err != nil {
		return explain(s.dir, err)
	}
	if err := s.syncDir(s.dir); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// makeDir makes the directory, and its name durable. A process before this one may have made it,
// and then ended; one that others made may lie where this process can read nothing.
func (s *Store) makeDir() error {
	parent := s.disk.PathDir(s.dir)
	parents := []string{parent}
	for {
		if _, err := s.disk.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parent = s.disk.PathDir(parent)
		parents = append(parents, parent)
	}
	if err := s.disk.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := s.syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// explain says what an error of the directory asks for.
func explain(dir string, err error) error {
	hint := "look at the disk"
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("it must belong to the user that Sluice runs as (%d), or to its group "+
			"and be writable for it: set fsGroup in Kubernetes, or use chown", os.Getuid())
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: mount a volume there that can be written"
	case errors.Is(err, syscall.ENOTDIR):
		hint = "it is no directory: choose another"
	case errors.Is(err, syscall.ENOENT):
		hint = "mount a volume there, or make the directory"
	}
	return fmt.Errorf("--data-dir %s cannot be used (%w): %s", dir, err, hint)
}

// checkFormat reads the file FORMAT, or writes it in a new directory.
func (s *Store) checkFormat() error {
	switch found := s.readFile(formatFile); {
	case found == format:
		return nil
	case found != "":
		return fmt.Errorf("--data-dir %s has the format %q, and this version of Sluice reads %q: "+
			"use the version that wrote it, or a newer one that says it can read it",
			s.dir, strings.TrimSpace(found), strings.TrimSpace(format))
	}
	names, err := s.disk.List(s.dir)
	if err != nil {
		return explain(s.dir, err)
	}
	for _, name := range names {
		if name == databaseDir && !s.accept.All {
			return &Damage{Where: s.path(formatFile), What: "it is missing or empty"}
		}
	}
	if err := s.writeFile(formatFile, format); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// readFile returns what a small file says, or nothing.
func (s *Store) readFile(name string) string {
	f, err := s.disk.Open(s.path(name))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return ""
	}
	return string(b)
}

// writeFile writes a small file.
func (s *Store) writeFile(name, text string) error {
	f, err := s.disk.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable.
func (s *Store) syncDir(name string) error {
	d, err := s.disk.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
