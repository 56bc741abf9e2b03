//go:build faults

package faults

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// refusesIn is how long a start may take that cannot succeed.
const refusesIn = 5 * time.Second

// TestDirectoriesThatCannotBeUsed wants each start to be refused with what to do, and nothing on
// the disk to be changed by it.
func TestDirectoriesThatCannotBeUsed(t *testing.T) {
	const nobody = 65532
	for name, c := range map[string]struct {
		asUser uint32
		// spoil gets a process with a journal that is whole, which was stopped.
		spoil func(t *testing.T, p *process)
		says  []string
	}{
		"a file system that is read-only": {0, func(t *testing.T, p *process) {
			p.data = emptyReadOnly(t)
		}, []string{"read-only: mount a volume there that can be written"}},
		"a journal on a file system that is read-only": {0, func(t *testing.T, p *process) {
			p.data = journalReadOnly(t)
		}, []string{"read-only: mount a volume there that can be written"}},
		"a directory of another user": {nobody, func(t *testing.T, p *process) {
			mustAll(t, os.Chmod(p.data, 0o755))
		}, []string{"it must belong to the user that Sluice runs as (65532)", "fsGroup", "chown"}},
		"a directory that nobody else may enter": {nobody, func(*testing.T, *process) {},
			[]string{"it must belong to the user that Sluice runs as (65532)", "fsGroup", "chown"}},
		"a parent of another user": {nobody, func(_ *testing.T, p *process) {
			p.data = filepath.Join(filepath.Dir(p.data), "new")
		}, []string{"it must belong to the user that Sluice runs as (65532)", "fsGroup", "chown"}},
		"a file": {0, func(_ *testing.T, p *process) {
			p.data = filepath.Join(p.accounts, "accounts.json")
		}, []string{"it is no directory: choose another"}},
		"a file as the parent": {0, func(_ *testing.T, p *process) {
			p.data = filepath.Join(p.accounts, "accounts.json", "data")
		}, []string{"it is no directory: choose another"}},
		"an older format": {0, func(t *testing.T, p *process) {
			mustAll(t, os.WriteFile(filepath.Join(p.data, "FORMAT"), []byte("sluice journal 0\n"), 0o600))
		}, []string{`"sluice journal 0"`, `reads "sluice journal 1"`, "use the version that wrote it"}},
		"a newer format": {0, func(t *testing.T, p *process) {
			mustAll(t, os.WriteFile(filepath.Join(p.data, "FORMAT"), []byte("sluice journal 2\n"), 0o600))
		}, []string{`"sluice journal 2"`, `reads "sluice journal 1"`, "use the version that wrote it"}},
		"no format": {0, func(t *testing.T, p *process) {
			mustAll(t, os.Remove(filepath.Join(p.data, "FORMAT")))
		}, []string{"FORMAT: it is missing", "restore the volume", "--accept-loss"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t, map[string]int{"a": 10})
			p.serve()
			p.allow("a", 1, 900)
			p.stop()
			c.spoil(t, p)
			p.asUser = c.asUser
			root := filepath.Dir(p.data)
			before := fingerprint(t, root)
			p.start()
			p.refuses(refusesIn, append(c.says, p.data)...)
			if diff := cmp.Diff(before, fingerprint(t, root)); diff != "" {
				t.Errorf("the disk has changed:\n%s", diff)
			}
		})
	}
}

func emptyReadOnly(t *testing.T) (dir string) {
	v := newVolume(t, volumeSize)
	v.remount("ro")
	return filepath.Join(v.dir, "data")
}

func journalReadOnly(t *testing.T) (dir string) {
	p, v := onVolume(t, map[string]int{"a": 10})
	p.serve()
	p.stop()
	v.remount("ro")
	return p.data
}

func mustAll(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fingerprint is all that there is in a directory, and when it was changed.
func fingerprint(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := []byte{}
		if d.Type().IsRegular() {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		all[path] = fmt.Sprintf("%s %d %x", info.Mode(), info.Size(), sha256.Sum256(text))
		if d.Name() != "lock" { // it is opened anew each time, and stays empty
			all[path] += info.ModTime().String()
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// A file has no files in it.
		if info, e := os.Stat(root); e != nil || info.IsDir() {
			t.Fatal(err)
		}
	}
	return all
}

// TestTwoProcesses: the second one refuses, and names the first, which does not notice.
func TestTwoProcesses(t *testing.T) {
	p, second := newProcess(t, map[string]int{"a": 10}), newProcess(t, map[string]int{"a": 10})
	p.serve()
	p.allow("a", 5, 900)
	before := fingerprint(t, p.data)
	second.data = p.data
	second.start()
	second.refuses(refusesIn, "is in use by another process",
		fmt.Sprintf("process %d on ", p.cmd.Process.Pid), "Stop that one, or choose another directory")
	out, code := sluiceCommand(t, "journal", "verify", p.data)
	if code != 1 || !strings.Contains(out, "is in use by process") {
		t.Errorf("verify ended with %d:\n%s", code, out)
	}
	if diff := cmp.Diff(before, fingerprint(t, p.data)); diff != "" {
		t.Errorf("the disk has changed:\n%s", diff)
	}
	p.allow("a", 5, 900)
	p.want("a", 10, 0)
	p.stop()
	second.serve()
	second.want("a", 10, 0)
	second.stop()
}
