package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// folder is a folder of manifests that a limiter follows, inside a synctest bubble: its polls cost
// no time.
type folder struct {
	t       *testing.T
	dir     string
	limiter *limiter.Limiter
	log     *lines
	written int
}

func inDir(t *testing.T, files map[string]string, test func(*folder)) {
	t.Helper()
	inFaultyDir(t, controllers.Faults{}, func(f *folder) {
		for name, content := range files {
			f.write(name, content)
		}
	}, test)
}

// inFaultyDir prepares a folder, follows it, and tests. Faults must be over when test returns.
func inFaultyDir(t *testing.T, faults controllers.Faults, prepare, test func(*folder)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &folder{t: t, dir: dir, limiter: limiter.New(limiter.Options{}), log: &lines{}}
		prepare(f)
		source, err := controllers.NewPolledManifestDir(
			t.Context(), dir, f.limiter, f.log.logger(), faults,
		)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- source.Start(ctx) }()
		synctest.Wait()
		defer cancel()
		test(f)
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// write writes a file, each time with another time of modification: a bubble's hour may pass within
// the granule of the real clock in which two writes look the same.
func (f *folder) write(name, content string) {
	f.t.Helper()
	f.written++
	at := time.Unix(1_000_000+int64(f.written), 0)
	f.do(os.WriteFile(f.path(name), []byte(content), 0o600), os.Chtimes(f.path(name), at, at))
}

func (f *folder) do(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

// after lets time pass.
func (f *folder) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// settles lets so much time pass that a change is in force: a second.
func (f *folder) settles() { f.after(time.Second) }

// send commits a mail, and sent is how many the last minute holds.
func (f *folder) send(name string) {
	f.t.Helper()
	key := limiter.Key{Namespace: "n", Name: name}
	if _, err := f.limiter.Commit(limiter.Instant{}, key, "", 1); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) sent(name string) int64 {
	f.t.Helper()
	u, err := f.limiter.Usage(limiter.Instant{}, limiter.Key{Namespace: "n", Name: name})
	if err != nil {
		f.t.Fatal(err)
	}
	return u.Windows[limiter.Minute].Used
}

// limit is the per-minute limit in force, -1 for an account that is not there.
func (f *folder) limit(name string) int64 {
	u, err := f.limiter.Usage(limiter.Instant{}, limiter.Key{Namespace: "n", Name: name})
	if errors.Is(err, limiter.ErrAccountNotFound) {
		return -1
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return u.Policy.Limits[limiter.Minute]
}

func (f *folder) want(what, name string, limit int64) {
	f.t.Helper()
	if got := f.limit(name); got != limit {
		f.t.Errorf("%s: the limit of %s is %d, want %d", what, name, got, limit)
	}
}

func manifest(name, limit string) string {
	return "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n" +
		"metadata: {name: " + name + ", namespace: \"n\"}\n" +
		"spec:\n  limits:\n    perMinute: " + limit + "\n"
}

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

// While a manifest is not understood, what it held stays in force, and others are followed.
func TestManifestDirKeepsWhatAFileHeld(t *testing.T) {
	for name, tc := range map[string]struct {
		damage   func(f *folder, path string)
		harmless bool // in a file that has held no account
	}{
		"is emptied": {func(f *folder, _ string) { f.write("a.yaml", "") }, true},
		"is commented out": {func(f *folder, _ string) {
			f.write("a.yaml", "# "+strings.ReplaceAll(manifest("a", "1"), "\n", "\n# "))
		}, true},
		"is half written": {
			func(f *folder, _ string) { f.write("a.yaml", manifest("a", "1")[:60]) }, false,
		},
		"is wrong": {
			func(f *folder, _ string) { f.write("a.yaml", manifest("a", "0")) }, false,
		},
		"is a dangling link": {
			func(f *folder, path string) { f.do(os.Remove(path), os.Symlink("nowhere", path)) },
			false,
		},
		"is a link to itself": {
			func(f *folder, path string) { f.do(os.Remove(path), os.Symlink("a.yaml", path)) },
			false,
		},
		"is a folder": {
			func(f *folder, path string) { f.do(os.Remove(path), os.Mkdir(path, 0o700)) }, false,
		},
		"is a FIFO": {
			func(f *folder, path string) { f.do(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
			false,
		},
		"is a link to a FIFO": {func(f *folder, path string) {
			f.do(os.Remove(path), syscall.Mkfifo(f.path("fifo"), 0o600), os.Symlink("fifo", path))
		}, false},
		"is a device": {
			func(f *folder, path string) { f.do(os.Remove(path), os.Symlink("/dev/zero", path)) },
			false,
		},
	} {
		t.Run("a file that "+name, func(t *testing.T) {
			inDir(t, map[string]string{"a.yaml": manifest("a", "1"), "b.yaml": manifest("b", "1")},
				func(f *folder) {
					f.send("a")
					tc.damage(f, f.path("a.yaml"))
					f.write("b.yaml", manifest("b", "2"))
					f.settles()
					f.want("in the good file", "b", 2)
					f.after(5 * time.Minute)
					f.want("in the file that "+name, "a", 1)
					if !f.log.contains("broken file; its accounts stay as they were") {
						t.Errorf("the log does not tell:\n%s", f.log.text.String())
					}
					f.do(os.RemoveAll(f.path("a.yaml")))
					f.write("a.yaml", manifest("a", "3"))
					f.settles()
					f.want("once it is right", "a", 3)
					if f.sent("a") != 1 {
						t.Error("the history is lost")
					}
				})
		})
		t.Run("at the start, a file that "+name, func(t *testing.T) {
			inFaultyDir(t, controllers.Faults{}, func(f *folder) {
				f.write("a.yaml", manifest("a", "1"))
				f.write("b.yaml", manifest("b", "1"))
				tc.damage(f, f.path("a.yaml"))
			}, func(f *folder) {
				f.after(5 * time.Minute)
				if f.limiter.Loaded() != tc.harmless {
					t.Errorf("it has opened: %v", f.limiter.Loaded())
				}
				f.do(os.RemoveAll(f.path("a.yaml")))
				f.write("a.yaml", manifest("a", "3"))
				f.settles()
				f.want("once it is right", "a", 3)
				if !f.limiter.Loaded() {
					t.Error("it did not open")
				}
			})
		})
	}
}

func TestManifestDirDoesNotTrustAFileBeingWritten(t *testing.T) {
	inDir(t, map[string]string{"a.yaml": manifest("a", "1")}, func(f *folder) {
		for range 20 { // editors that empty a file, or take it away, and write it a moment later
			f.send("a")
			f.write("a.yaml", "")
			f.after(controllers.Settle / 2)
			f.write("a.yaml", manifest("a", "2"))
			f.settles()
			f.want("once it is written", "a", 2)
			f.do(os.Remove(f.path("a.yaml")))
			f.after(controllers.Settle / 2)
			f.write("a.yaml", manifest("a", "1"))
			f.settles()
			f.want("once it is back", "a", 1)
			f.after(controllers.PollInterval / 7)
		}
		if f.sent("a") != 20 {
			t.Errorf("of 20 mails %d are left", f.sent("a"))
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

func TestManifestDirThatGoesAwayChangesNothing(t *testing.T) {
	inDir(t, map[string]string{"a.yaml": manifest("a", "1")}, func(f *folder) {
		f.do(os.Rename(f.dir, f.dir+".away"))
		f.after(time.Hour)
		f.want("without the folder", "a", 1)
		if f.log.count("cannot be read") != 1 {
			t.Errorf("the log does not tell once:\n%s", f.log.text.String())
		}
		f.do(os.Rename(f.dir+".away", f.dir))
		f.write("a.yaml", manifest("a", "2"))
		f.settles()
		f.want("when it is back", "a", 2)
	})
}

func TestManifestDirThatIsMissing(t *testing.T) {
	_, err := controllers.NewManifestDir(
		t.Context(), filepath.Join(t.TempDir(), "nope"), limiter.New(limiter.Options{}),
		(&lines{}).logger(),
	)
	if err == nil || !strings.Contains(err.Error(), "nope: no such file or directory") {
		t.Errorf("got %v", err)
	}
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
	f := &folder{t: t, dir: t.TempDir(), limiter: limiter.New(limiter.Options{}), log: &lines{}}
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

func TestBrokenManifestsSayWhere(t *testing.T) {
	head := "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\nmetadata:\n  name: a\nspec:\n"
	for name, c := range map[string]struct{ manifest, want string }{
		"not YAML":  {"a: b: c", "yaml: mapping values are not allowed"},
		"no object": {"just text", "must be an object with apiVersion and kind"},
		"another version": {
			strings.Replace(head, "v1alpha1", "v9", 1) + "  limits: {}",
			`x.yaml:2: kind: must be MailAccount with apiVersion sluice.dev/v1alpha1, not ` +
				`"MailAccount" with apiVersion "sluice.dev/v9"`,
		},
		"no kind": {"metadata: {name: a}", "must be MailAccount"},
		"no name": {
			strings.Replace(head, "  name: a", "  namespace: ns", 1) + "  limits: {}",
			"x.yaml:3: metadata.name: Required value",
		},
		"a name that is none": {
			strings.Replace(head, "name: a", "name: A_b", 1) + "  limits: {}",
			"x.yaml:4: metadata.name: Invalid value: \"A_b\"",
		},
		"a namespace that is none": {
			strings.Replace(head, "name: a", "name: a\n  namespace: a.b", 1) + "  limits: {}",
			"x.yaml:5: metadata.namespace: Invalid value",
		},
		"no limits": {
			head + "  behavior: Defer", "x.yaml:5: spec.limits: Required value: write `limits: {}`",
		},
		"a limit of zero": {
			head + "  limits:\n    perDay: 0", "x.yaml:7: spec.limits.perDay: Invalid value: 0",
		},
		"a limit below zero": {
			head + "  limits:\n    perHour: 5\n    perDay: -1",
			"x.yaml:8: spec.limits.perDay: Invalid value: -1",
		},
		"a limit of 2^31": {
			head + "  limits:\n    perDay: 2147483648",
			"x.yaml:7: spec.limits.perDay: Invalid value: 2147483648: spec.limits.perDay in " +
				"body should be less than or equal to 2147483647",
		},
		"a limit that is text": {
			head + "  limits:\n    perDay: ten",
			`x.yaml:7: spec.limits.perDay: Invalid value: "string": spec.limits.perDay in body ` +
				`must be of type number: "string"`,
		},
		"an unknown field": {
			head + "  limits:\n    perSecond: 1",
			`x.yaml:7: spec.limits.perSecond: unknown field "spec.limits.perSecond"`,
		},
		"a field in another case": {head + "  Limits: {}", `unknown field "spec.Limits"`},
		"an unknown behavior": {
			head + "  limits: {}\n  behavior: Drop",
			`x.yaml:7: spec.behavior: Unsupported value: "Drop": supported values: "Defer", ` +
				`"Reject"`,
		},
		"an unknown deferTo": {
			head + "  limits: {}\n  deferTo: Never", "x.yaml:7: spec.deferTo: Unsupported value",
		},
		"a field twice": {
			head + "  limits: {}\n  limits: {}", `line 7: key "limits" already set in map`,
		},
		"the second document": {
			head + "  limits: {}\n---\n" + head + "  limits:\n    perDay: 0",
			"x.yaml:14: spec.limits.perDay",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inDir(t, map[string]string{"x.yaml": c.manifest}, func(f *folder) {
				if !f.log.contains(strings.ReplaceAll(c.want, `"`, `\"`)) || f.limiter.Loaded() {
					t.Errorf(
						"loaded %v, the log is\n%swant %s", f.limiter.Loaded(), f.log.text.String(),
						c.want,
					)
				}
			})
		})
	}
}

// TestSamplesFromAManifestDir wants the folder to think of the samples as the API server does; see
// api/v1alpha1.
func TestSamplesFromAManifestDir(t *testing.T) {
	for kind, valid := range map[string]bool{"valid": true, "invalid": false} {
		files, err := filepath.Glob(
			filepath.Join(controlplane.Root, "config", "samples", kind, "*.yaml"),
		)
		if err != nil || len(files) == 0 {
			t.Fatalf("no samples: %v", err)
		}
		for _, file := range files {
			t.Run(kind+"/"+filepath.Base(file), func(t *testing.T) {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				inDir(t, map[string]string{"x.yaml": string(content)}, func(f *folder) {
					if f.limiter.Loaded() != valid {
						t.Errorf(
							"taken up: %v, want %v\n%s", f.limiter.Loaded(), valid,
							f.log.text.String(),
						)
					}
				})
			})
		}
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
