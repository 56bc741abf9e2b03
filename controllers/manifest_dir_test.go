package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/test/controlplane"
)

func TestManifestDirIsFollowed(t *testing.T) {
	inDir(t, map[string]string{
		"a.yaml": manifest("a", "1") + "---\n" + manifest("b", "2"),
		"c.json": `{"apiVersion":"sluice.dev/v1alpha1","kind":"MailAccount",` +
			`"metadata":{"name":"c","namespace":"n"},"spec":{"limits":{"perMinute":3}}}`,
		"README.md":   "not a manifest",
		".hidden.yml": "{",
		"other.yaml":  "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n---\n# nothing\n",
	}, func(f *folder) {
		f.want("at the start", "a", 1)
		f.want("at the start", "b", 2)
		f.want("at the start", "c", 3)
		if !f.limiter.Loaded() {
			t.Error("it did not open")
		}

		f.send("a")
		f.send("b")
		f.write("a.yaml", manifest("a", "9"))
		f.settles()
		f.want("after the edit", "a", 9)
		f.want("soon after it was taken out", "b", 2)
		if f.sent("a") != 1 {
			t.Error("an edit lost the history")
		}
		f.write("a.yaml", manifest("a", "9")+"---\n"+manifest("b", "5"))
		f.settles()
		f.want("after it was put back", "b", 5)
		if f.sent("b") != 1 {
			t.Error("an edit that was undone within 10 s lost the history")
		}
		f.write("a.yaml", manifest("a", "9"))
		f.after(controllers.Grace - time.Second)
		f.want("almost 10 s after it was taken out", "b", 5)
		f.after(2 * time.Second)
		f.want("10 s after it was taken out", "b", -1)

		f.do(os.Remove(f.path("c.json")))
		f.settles()
		f.want("after its file was removed", "c", -1)

		f.send("a")
		f.do(os.Rename(f.path("a.yaml"), f.path("z.yaml")))
		f.settles()
		f.want("after its file was renamed", "a", 9)
		if f.sent("a") != 2 {
			t.Error("to rename the file lost the history")
		}
	})
}

func TestManifestDirReadsListsItemByItem(t *testing.T) {
	item := func(name, limit string) string {
		text := strings.TrimSpace(manifest(name, limit))
		return "- " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
	}
	list := "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems:\n"
	accounts := "apiVersion: sluice.dev/v1alpha1\nkind: MailAccountList\nitems:\n"
	inDir(t, map[string]string{
		"list.yaml": list + item("a", "1") +
			"- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n" + item("b", "2"),
		"typed.yaml": accounts + item("c", "3") +
			"- {metadata: {name: d, namespace: \"n\"}, spec: {limits: {perMinute: 4}}}\n",
	}, func(f *folder) {
		for name, limit := range map[string]int64{"a": 1, "b": 2, "c": 3, "d": 4} {
			f.want("of a list", name, limit)
		}
		f.write("list.yaml", list+item("a", "5")+item("b", "0"))
		f.settles()
		f.want("of a list with a wrong item", "a", 1)
		const want = "list.yaml:16: items[1].spec.limits.perMinute: Invalid value: 0: " +
			"must be 1 or more"
		if !f.log.contains(want) {
			t.Errorf("the log does not say %s:\n%s", want, f.log.text.String())
		}
	})
}

// An edit that leaves size and times as they were is found for as long as that can happen by
// accident.
func TestManifestDirReadsAgainWhatHasJustChanged(t *testing.T) {
	inDir(t, nil, func(f *folder) {
		at := time.Unix(1_000_000, 0)
		f.write("a.yaml", manifest("a", "1"))
		f.do(os.Chtimes(f.path("a.yaml"), at, at))
		f.settles()
		f.want("at first", "a", 1)
		file, err := os.OpenFile(f.path("a.yaml"), os.O_WRONLY, 0)
		f.do(err)
		_, err = file.WriteAt([]byte(manifest("a", "2")), 0)
		f.do(err, file.Close(), os.Chtimes(f.path("a.yaml"), at, at))
		f.after(2 * time.Second)
		f.want("after an edit of the same size and time", "a", 2)
	})
}

// A mounted ConfigMap is swapped as a whole: its files are links through ..data, which is renamed.
func TestManifestDirOfAMountedConfigMap(t *testing.T) {
	publish := func(f *folder, version string, files map[string]string) {
		f.do(os.Mkdir(f.path("..v"+version), 0o700))
		for name, content := range files {
			f.write("..v"+version+"/"+name, content)
		}
		f.do(
			os.Symlink("..v"+version, f.path("..data_tmp")),
			os.Rename(f.path("..data_tmp"), f.path("..data")),
		)
	}
	inFaultyDir(t, controllers.Faults{}, func(f *folder) {
		publish(
			f, "1", map[string]string{"a.yaml": manifest("a", "1"), "b.yaml": manifest("b", "1")},
		)
		f.do(
			os.Symlink("..data/a.yaml", f.path("a.yaml")),
			os.Symlink("..data/b.yaml", f.path("b.yaml")),
		)
	}, func(f *folder) {
		f.send("a")
		publish(
			f, "2", map[string]string{"a.yaml": manifest("a", "2"), "b.yaml": manifest("b", "1")},
		)
		f.do(os.RemoveAll(f.path("..v1")))
		f.settles()
		f.want("after the swap", "a", 2)
		if f.sent("a") != 1 {
			t.Error("the swap lost the history")
		}
		publish(f, "3", map[string]string{"a.yaml": manifest("a", "2")})
		f.do(os.Remove(f.path("b.yaml")), os.RemoveAll(f.path("..v2")))
		f.settles()
		f.want("after its key was removed", "b", -1)
	})
}

func TestEmptyManifestDirOpens(t *testing.T) {
	inDir(t, nil, func(f *folder) {
		if !f.limiter.Loaded() {
			t.Error("it did not open on an empty folder")
		}
	})
}

// TestManifestDirIsWokenByEvents in real time, by a folder that would poll again in an hour.
func TestManifestDirIsWokenByEvents(t *testing.T) {
	f := &folder{
		t:       t,
		dir:     t.TempDir(),
		limiter: limiter.New(memory.New(memory.Options{})),
		log:     &lines{},
	}
	f.write("a.yaml", manifest("a", "1"))
	source, err := controllers.NewWatchedManifestDir(t.Context(), f.dir, f.limiter, f.log.logger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- source.Start(ctx) }()
	controlplane.Eventually(t, "the first reading", func() error {
		if !f.limiter.Loaded() {
			return errors.New("not loaded")
		}
		return nil
	})
	for _, change := range []struct {
		name string
		do   func()
		want int64
	}{
		{"an edit", func() { f.write("a.yaml", manifest("a", "2")) }, 2},
		{"a new file", func() {
			f.write("b.yaml", manifest("a", "1"))
			f.do(os.Remove(f.path("a.yaml")))
		}, 1},
		{"a rename", func() {
			f.write("tmp", manifest("a", "7"))
			f.do(os.Rename(f.path("tmp"), f.path("a.yaml")))
		}, 7},
		{"a swap of links", func() {
			f.do(os.MkdirAll(f.path("..v"), 0o700))
			f.write("..v/a.yaml", manifest("a", "8"))
			_ = os.Remove(f.path("..data"))
			f.do(os.Symlink("..v", f.path("tmp")), os.Rename(f.path("tmp"), f.path("..data")))
			f.do(os.Symlink("..data/a.yaml", f.path("tmp")))
			f.do(os.Rename(f.path("tmp"), f.path("a.yaml")))
		}, 8},
	} {
		change.do()
		controlplane.Eventually(t, change.name, func() error {
			if got := f.limit("a"); got != change.want {
				return fmt.Errorf("the limit is %d, want %d", got, change.want)
			}
			return nil
		})
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAccountDeclaredTwice(t *testing.T) {
	inDir(t, map[string]string{"1.yaml": manifest("a", "1"), "2.yaml": manifest("a", "2")},
		func(f *folder) {
			f.want("declared twice", "a", 1)
			if !f.log.contains("declared twice") {
				t.Error("the log does not tell")
			}
		})
}
