package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// goCommand runs the go command in the module's root.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = "../.."
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// The go command is asked for the modules of all packages that the binary imports, which is another
// way to know them than what the linker notes.
func TestTheBillListsEveryModuleOfTheBinary(t *testing.T) {
	dir := t.TempDir()
	binary, out := filepath.Join(dir, "sluice"), filepath.Join(dir, "sluice.cdx.json")
	goCommand(t, "build", "-o", binary, "./cmd/sluice")
	if err := run("v1.2.3", out, []string{binary}); err != nil {
		t.Fatal(err)
	}
	const ours = "github.com/sluice-mail/sluice"
	want := strings.Split(goCommand(t, "list", "-deps", "-f",
		`{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}`, "./cmd/sluice"), "\n")
	want = append(want, "std "+strings.TrimPrefix(goCommand(t, "env", "GOVERSION"), "go"))
	want = slices.DeleteFunc(want, func(line string) bool { return line == "" })
	slices.Sort(want)
	want = slices.Compact(want)

	bom := read(t, out)
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.Name+" "+c.Version)
		url := "pkg:golang/" + c.Name + "@" + strings.ReplaceAll(c.Version, "+", "%2B")
		if c.PackageURL != url {
			t.Errorf("%s has the package URL %s, not %s", c.Name, c.PackageURL, url)
		}
		if c.Name != "std" && (c.Properties == nil || (*c.Properties)[0].Name != "go.sum") {
			t.Errorf("%s has no sum", c.Name)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modules (-go list +bill):\n%s", diff)
	}
	main := bom.Metadata.Component
	if main.Name != "sluice" || main.Version != "v1.2.3" ||
		main.PackageURL != "pkg:golang/"+ours+"@v1.2.3" {
		t.Errorf("the bill is of %+v", main)
	}
	if id := (*main.Licenses)[0].License.ID; id != licenseOfTheTree(t) {
		t.Errorf("the license is %s, and that of the file LICENSE is %s", id, licenseOfTheTree(t))
	}

	again := filepath.Join(dir, "again.cdx.json")
	if err := run("v1.2.3", again, []string{binary}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text(t, out), text(t, again)) {
		t.Error("two bills of one binary differ")
	}
}

func text(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func read(t *testing.T, file string) *cdx.BOM {
	t.Helper()
	var bom cdx.BOM
	decoder := cdx.NewBOMDecoder(bytes.NewReader(text(t, file)), cdx.BOMFileFormatJSON)
	if err := decoder.Decode(&bom); err != nil {
		t.Fatal(err)
	}
	return &bom
}

func licenseOfTheTree(t *testing.T) string {
	t.Helper()
	title := regexp.MustCompile(`^\s*Apache License\s+Version 2\.0,`)
	if title.Match(text(t, "../../LICENSE")) {
		return "Apache-2.0"
	}
	return "another"
}

func TestBill(t *testing.T) {
	main := debug.Module{Path: "example.com/main"}
	info := func(goVersion string, deps ...*debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{
			GoVersion: goVersion, Path: "example.com/main/cmd", Main: main, Deps: deps,
		}
	}
	a1 := &debug.Module{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"}
	b2 := &debug.Module{Path: "example.com/b", Version: "v2.0.0+incompatible"}
	const std, a, b = "pkg:golang/std@1.26.0", "pkg:golang/example.com/a@v1.0.0",
		"pkg:golang/example.com/b@v2.0.0%2Bincompatible"
	for name, test := range map[string]struct {
		infos   []*debug.BuildInfo
		want    []string
		refused string
	}{
		"modules of several systems are listed once": {
			infos: []*debug.BuildInfo{info("go1.26.0", b2), info("go1.26.0", a1, b2)},
			want:  []string{a, b, std},
		},
		"of a replaced module, what replaces it": {
			infos: []*debug.BuildInfo{info("go1.26.0", &debug.Module{
				Path: "example.com/old", Version: "v0.1.0", Replace: a1,
			})},
			want: []string{a, std},
		},
		"an experiment is no part of a version": {
			infos: []*debug.BuildInfo{info("go1.26.0 X:jsonv2")},
			want:  []string{std},
		},
		"a folder has no version to name": {
			infos: []*debug.BuildInfo{info("go1.26.0", &debug.Module{
				Path: "example.com/old", Version: "v0.1.0", Replace: &debug.Module{Path: "../old"},
			})},
			refused: "../old is a folder",
		},
		"binaries by two Gos": {
			infos:   []*debug.BuildInfo{info("go1.26.0"), info("go1.26.1")},
			refused: "are not of one build",
		},
		"a binary without a module": {
			infos:   []*debug.BuildInfo{{GoVersion: "go1.26.0", Path: "command-line-arguments"}},
			refused: "does not say which module",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bom, err := bill("v1.2.3", test.infos)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got the error %v, want %q", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range *bom.Components {
				got = append(got, c.PackageURL)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
