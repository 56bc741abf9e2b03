// Package release tests what a release is made with: hack/install-manifest, hack/release-chart, and
// the workflows of GitHub.
package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// script runs a script of hack in the module's root.
func script(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "hack/"+args[0], args[1:]...)
	command.Dir = "../.."
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		err = errors.New(stderr.String())
	}
	return string(out), err
}

// TestInstallManifest wants nothing but the image to differ from what config/default is.
func TestInstallManifest(t *testing.T) {
	line := regexp.MustCompile(`(?m)^( +)image: (.*)$`)
	want, err := script(t, "install-manifest", "sluice:0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{
		"ghcr.io/sluice-mail/sluice:1.2.3", "ghcr.io/sluice-mail/sluice" + digest,
		"registry.example.com:5000/sluice:10",
	} {
		got, err := script(t, "install-manifest", image)
		if err != nil {
			t.Fatal(err)
		}
		images := line.FindAllStringSubmatch(got, -1)
		if len(images) != 1 || strings.Trim(images[0][2], `"`) != image {
			t.Errorf("the images for %s are %q", image, images)
		}
		if diff := cmp.Diff(line.ReplaceAllString(want, ""), line.ReplaceAllString(got, "")); diff != "" {
			t.Errorf("with another image:\n%s", diff)
		}
	}
	for _, kind := range []string{"StatefulSet", "CustomResourceDefinition", "ClusterRoleBinding"} {
		if !strings.Contains(want, "\nkind: "+kind+"\n") {
			t.Errorf("there is no %s", kind)
		}
	}
	for _, image := range []string{"sluice", "registry.example.com:5000/sluice"} {
		if _, err := script(t, "install-manifest", image); err == nil ||
			!strings.Contains(err.Error(), "neither a tag nor a digest") {
			t.Errorf("for %s the error is %v", image, err)
		}
	}
}

// The chart of a release takes its image from a registry, in the release's version.
func TestReleaseChart(t *testing.T) {
	dir := t.TempDir()
	if _, err := script(t, "release-chart", "ghcr.io/sluice-mail/sluice", "1.2.3", dir); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, filepath.Join(dir, "sluice-1.2.3.tgz"))
	for file, want := range map[string]string{
		"sluice/Chart.yaml":  "\nversion: 1.2.3\n",
		"sluice/values.yaml": "\n  repository: ghcr.io/sluice-mail/sluice\n",
		"sluice/README.md":   "| image.repository | string | `\"ghcr.io/sluice-mail/sluice\"` |",
	} {
		if !strings.Contains(files[file], want) {
			t.Errorf("%s does not say %q", file, want)
		}
	}
	if !regexp.MustCompile(`(?m)^appVersion: "?1\.2\.3"?$`).MatchString(files["sluice/Chart.yaml"]) {
		t.Errorf("Chart.yaml has another appVersion:\n%s", files["sluice/Chart.yaml"])
	}
}

func unpack(t *testing.T, archive string) map[string]string {
	t.Helper()
	packed, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

// Who moves the tag of an action would run in our workflows, and sign in our name.
func TestActionsArePinned(t *testing.T) {
	uses := regexp.MustCompile(`uses: (.*)`)
	pinned := regexp.MustCompile(`^(\./.*|[^ ]+@[0-9a-f]{40} # v[0-9.]+)$`)
	found := 0
	root := os.DirFS("../../.github")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		for _, match := range uses.FindAllSubmatch(text, -1) {
			found++
			if !pinned.Match(match[1]) {
				t.Errorf("%s uses %s: pin it to a commit, and say its version", path, match[1])
			}
		}
		return nil
	})
	if err != nil || found < 5 {
		t.Errorf("found %d actions (%v): is the expression right?", found, err)
	}
}
