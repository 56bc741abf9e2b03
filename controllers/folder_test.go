package controllers_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// folder is a folder of manifests that a limiter follows, inside a synctest bubble: its polls cost no time.
type folder struct {
	t       *testing.T
	dir     string
	limiter *limiter.Limiter
	log     *lines
}

func inFolder(t *testing.T, files map[string]string, test func(*folder)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &folder{t: t, dir: dir, limiter: limiter.New(limiter.Options{}), log: &lines{}}
		for name, content := range files {
			f.write(name, content)
		}
		source, err := controllers.NewFolder(dir, f.limiter, f.log.logger())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- source.Start(ctx) }()
		synctest.Wait()
		test(f)
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func (f *folder) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// polls lets the folder be read so many times.
func (f *folder) polls(n int) {
	<-time.After(time.Duration(n) * controllers.PollInterval)
	synctest.Wait()
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
	return "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\nmetadata: {name: " + name + ", namespace: \"n\"}\nspec:\n  limits:\n    perMinute: " + limit + "\n"
}

func TestFolderIsFollowed(t *testing.T) {
	inFolder(t, map[string]string{
		"a.yaml":      manifest("a", "1") + "---\n" + manifest("b", "2"),
		"c.json":      `{"apiVersion":"sluice.dev/v1alpha1","kind":"MailAccount","metadata":{"name":"c","namespace":"n"},"spec":{"limits":{"perMinute":3}}}`,
		"README.md":   "not a manifest",
		".hidden.yml": "{",
		"other.yaml":  "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n---\n# nothing\n",
	}, func(f *folder) {
		f.want("at the start", "a", 1)
		f.want("at the start", "b", 2)
		f.want("at the start", "c", 3)

		if _, err := f.limiter.Commit(limiter.Instant{}, limiter.Key{Namespace: "n", Name: "a"}, "", 1); err != nil {
			t.Fatal(err)
		}
		f.write("a.yaml", manifest("a", "9"))
		f.polls(2)
		f.want("after the edit", "a", 9)
		f.want("after it was taken out", "b", -1)
		u, _ := f.limiter.Usage(limiter.Instant{}, limiter.Key{Namespace: "n", Name: "a"})
		if u.Windows[limiter.Minute].Used != 1 {
			t.Error("an edit lost the history")
		}

		if err := os.Remove(filepath.Join(f.dir, "c.json")); err != nil {
			t.Fatal(err)
		}
		f.polls(2)
		f.want("after its file was removed", "c", -1)
	})
}

func TestFolderDoesNotTrustAFileBeingWritten(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": manifest("a", "1")}, func(f *folder) {
		f.write("a.yaml", "") // an editor has emptied the file
		f.polls(1)
		f.want("while it is empty", "a", 1)
		f.write("a.yaml", manifest("a", "2"))
		f.polls(2)
		f.want("once it is written", "a", 2)
	})
}

func TestFolderKeepsWhatABrokenFileHeld(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": manifest("a", "1"), "b.yaml": manifest("b", "1")}, func(f *folder) {
		f.write("a.yaml", manifest("a", "0"))
		f.write("b.yaml", manifest("b", "2"))
		f.polls(2)
		f.want("in the broken file", "a", 1)
		f.want("in the good one", "b", 2)
		if want := "a.yaml:6: spec.limits.perMinute: Invalid value: 0: must be 1 or more"; !f.log.contains(want) {
			t.Errorf("the log does not say %s:\n%s", want, f.log.text.String())
		}
		f.write("a.yaml", manifest("a", "3"))
		f.polls(2)
		f.want("once it is right", "a", 3)
	})
}

func TestFolderOpensOnceEachFileWasRight(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": manifest("a", "1"), "b.yaml": "{"}, func(f *folder) {
		if f.limiter.Loaded() {
			t.Error("it opened, though accounts of b.yaml are unknown")
		}
		f.write("b.yaml", manifest("b", "1"))
		f.polls(2)
		if !f.limiter.Loaded() {
			t.Error("it did not open")
		}
	})
	inFolder(t, nil, func(f *folder) {
		if !f.limiter.Loaded() {
			t.Error("it did not open on an empty folder")
		}
	})
}

func TestFolderThatGoesAwayChangesNothing(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": manifest("a", "1")}, func(f *folder) {
		if err := os.RemoveAll(f.dir); err != nil {
			t.Fatal(err)
		}
		f.polls(3)
		f.want("without the folder", "a", 1)
		if !f.log.contains("cannot be read") {
			t.Error("the log does not tell")
		}
	})
}

func TestFolderThatIsMissing(t *testing.T) {
	_, err := controllers.NewFolder(filepath.Join(t.TempDir(), "nope"), limiter.New(limiter.Options{}), (&lines{}).logger())
	if err == nil || !strings.Contains(err.Error(), "nope: no such file or directory") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenManifestsSayWhere(t *testing.T) {
	head := "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\nmetadata:\n  name: a\nspec:\n"
	for name, c := range map[string]struct{ manifest, want string }{
		"not YAML":                 {"a: b: c", "yaml: mapping values are not allowed"},
		"no object":                {"just text", "must be an object with apiVersion and kind"},
		"another version":          {strings.Replace(head, "v1alpha1", "v9", 1) + "  limits: {}", `x.yaml:2: kind: must be MailAccount with apiVersion sluice.dev/v1alpha1, not "MailAccount" with apiVersion "sluice.dev/v9"`},
		"no kind":                  {"metadata: {name: a}", "must be MailAccount"},
		"no name":                  {strings.Replace(head, "  name: a", "  namespace: ns", 1) + "  limits: {}", "x.yaml:3: metadata.name: Required value"},
		"a name that is none":      {strings.Replace(head, "name: a", "name: A_b", 1) + "  limits: {}", "x.yaml:4: metadata.name: Invalid value: \"A_b\""},
		"a namespace that is none": {strings.Replace(head, "name: a", "name: a\n  namespace: a.b", 1) + "  limits: {}", "x.yaml:5: metadata.namespace: Invalid value"},
		"no limits":                {head + "  behavior: Defer", "x.yaml:5: spec.limits: Required value: write `limits: {}`"},
		"a limit of zero":          {head + "  limits:\n    perDay: 0", "x.yaml:7: spec.limits.perDay: Invalid value: 0"},
		"a limit below zero":       {head + "  limits:\n    perHour: 5\n    perDay: -1", "x.yaml:8: spec.limits.perDay: Invalid value: -1"},
		"a limit of 2^31":          {head + "  limits:\n    perDay: 2147483648", "x.yaml:7: spec.limits.perDay: Invalid value: 2147483648: spec.limits.perDay in body should be less than or equal to 2147483647"},
		"a limit that is text":     {head + "  limits:\n    perDay: ten", `x.yaml:7: spec.limits.perDay: Invalid value: "string": spec.limits.perDay in body must be of type number: "string"`},
		"an unknown field":         {head + "  limits:\n    perSecond: 1", `x.yaml:7: spec.limits.perSecond: unknown field "spec.limits.perSecond"`},
		"a field in another case":  {head + "  Limits: {}", `unknown field "spec.Limits"`},
		"an unknown behavior":      {head + "  limits: {}\n  behavior: Drop", `x.yaml:7: spec.behavior: Unsupported value: "Drop": supported values: "Defer", "Reject"`},
		"an unknown deferTo":       {head + "  limits: {}\n  deferTo: Never", "x.yaml:7: spec.deferTo: Unsupported value"},
		"a field twice":            {head + "  limits: {}\n  limits: {}", `line 7: key "limits" already set in map`},
		"the second document":      {head + "  limits: {}\n---\n" + head + "  limits:\n    perDay: 0", "x.yaml:14: spec.limits.perDay"},
	} {
		t.Run(name, func(t *testing.T) {
			inFolder(t, map[string]string{"x.yaml": c.manifest}, func(f *folder) {
				if !f.log.contains(strings.ReplaceAll(c.want, `"`, `\"`)) || f.limiter.Loaded() {
					t.Errorf("loaded %v, the log is\n%swant %s", f.limiter.Loaded(), f.log.text.String(), c.want)
				}
			})
		})
	}
}

// TestSamplesFromAFolder wants the folder to think of the samples as the API server does; see api/v1alpha1.
func TestSamplesFromAFolder(t *testing.T) {
	for kind, valid := range map[string]bool{"valid": true, "invalid": false} {
		files, err := filepath.Glob(filepath.Join(controlplane.Root, "config", "samples", kind, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no samples: %v", err)
		}
		for _, file := range files {
			t.Run(kind+"/"+filepath.Base(file), func(t *testing.T) {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				inFolder(t, map[string]string{"x.yaml": string(content)}, func(f *folder) {
					if f.limiter.Loaded() != valid {
						t.Errorf("taken up: %v, want %v\n%s", f.limiter.Loaded(), valid, f.log.text.String())
					}
				})
			})
		}
	}
}

func TestAccountDeclaredTwice(t *testing.T) {
	inFolder(t, map[string]string{"1.yaml": manifest("a", "1"), "2.yaml": manifest("a", "2")}, func(f *folder) {
		f.want("declared twice", "a", 1)
		if !f.log.contains("declared twice") {
			t.Error("the log does not tell")
		}
	})
}
