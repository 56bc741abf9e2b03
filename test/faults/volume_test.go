//go:build faults

package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// volume is a small file system of its own, as a persistent volume is.
type volume struct {
	t   *testing.T
	dir string
}

// newVolume makes an ext4 of some MiB. All of it can be used, also by root.
func newVolume(t *testing.T, mebibytes int64) *volume {
	t.Helper()
	home := tempDir(t)
	image, dir := filepath.Join(home, "image"), filepath.Join(home, "mounted")
	file, err := os.Create(image)
	if err == nil {
		err = errors.Join(file.Truncate(mebibytes<<20), file.Close(), os.Mkdir(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	v := &volume{t, dir}
	v.must("mkfs.ext4", "-q", "-m", "0", image)
	v.must("mount", "-o", "loop", image, dir)
	t.Cleanup(func() { v.must("umount", dir) })
	return v
}

func (v *volume) must(name string, args ...string) {
	v.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		v.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// remount changes how it is mounted: "ro" or "rw".
func (v *volume) remount(how string) { v.t.Helper(); v.must("mount", "-o", "remount,"+how, v.dir) }

func (v *volume) filler() string { return filepath.Join(v.dir, "filler") }

// fill takes all the room that is left.
func (v *volume) fill() {
	v.t.Helper()
	file, err := os.OpenFile(v.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for size := 1 << 20; size > 0; {
		if _, err = file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		v.t.Fatalf("the volume is not full, but: %v", err)
	}
	if err := file.Sync(); err != nil {
		v.t.Fatal(err)
	}
}

// free makes room again.
func (v *volume) free() {
	v.t.Helper()
	if err := os.Remove(v.filler()); err != nil {
		v.t.Fatal(err)
	}
}
