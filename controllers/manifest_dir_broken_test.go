package controllers_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/test/controlplane"
)

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
		t.Context(), filepath.Join(t.TempDir(), "nope"), limiter.New(memory.New(memory.Options{})),
		(&lines{}).logger(),
	)
	if err == nil || !strings.Contains(err.Error(), "nope: no such file or directory") {
		t.Errorf("got %v", err)
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
