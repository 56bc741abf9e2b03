package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// schema is the little of values.schema.json that is looked at here.
type schema struct {
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"`
}

// The schema closes every group, so it lists each value of values.yaml; and nothing beside these.
func TestSchemaKnowsTheValues(t *testing.T) {
	var root schema
	read(t, "values.schema.json", func(text []byte) error { return json.Unmarshal(text, &root) })
	if !root.closed() {
		t.Error("the schema admits values that it does not name")
	}
	// values.yaml does not name these two: a parent chart sets them.
	delete(root.Properties, "global")
	delete(root.Properties, "enabled")
	// values.yaml does not name the fields of Kubernetes objects either.
	delete(root.Properties["resources"].Properties, "claims")

	want := paths("", values(t), func(path string) bool { return root.at(path).Properties == nil })
	if diff := cmp.Diff(want, root.paths("")); diff != "" {
		t.Errorf("values.yaml (-) and values.schema.json (+) differ:\n%s", diff)
	}
}

// A value that no template reads promises something that does not happen.
func TestTemplatesReadTheValues(t *testing.T) {
	var templates strings.Builder
	err := filepath.WalkDir(filepath.Join(chart, "templates"),
		func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			templates.Write(text)
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
	for path := range values(t) {
		if !regexp.MustCompile(`\.Values\.` + path + `\b`).MatchString(templates.String()) {
			t.Errorf("no template reads .Values.%s", path)
		}
	}
}

func values(t *testing.T) map[string]any {
	t.Helper()
	var values map[string]any
	read(t, "values.yaml", func(text []byte) error { return yaml.Unmarshal(text, &values) })
	return values
}

func read(t *testing.T, file string, decode func([]byte) error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart, file))
	if err == nil {
		err = decode(text)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// closed says whether no group of the schema admits values that it does not name.
func (s schema) closed() bool {
	for _, property := range s.Properties {
		if !property.closed() {
			return false
		}
	}
	return s.Properties == nil || s.AdditionalProperties == false
}

// at is the schema of a value, named as in .Values.
func (s schema) at(path string) schema {
	for name := range strings.SplitSeq(path, ".") {
		s = s.Properties[name]
	}
	return s
}

// paths are the values that a schema names, the groups left out.
func (s schema) paths(parent string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if property := s.Properties[name]; property.Properties != nil {
			found = append(found, property.paths(parent+name+".")...)
		} else {
			found = append(found, parent+name)
		}
	}
	return found
}

// paths are the values of a file, down to where leaf says that a value has no more names of the
// chart's.
func paths(parent string, values map[string]any, leaf func(path string) bool) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		group, isGroup := values[name].(map[string]any)
		if isGroup && !leaf(parent+name) {
			found = append(found, paths(parent+name+".", group, leaf)...)
		} else {
			found = append(found, parent+name)
		}
	}
	return found
}
