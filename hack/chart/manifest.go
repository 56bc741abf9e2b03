package main

import (
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// manifest is one YAML document: its type and metadata, and its text by top-level key.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`

	blocks map[string]string // the lines of each top-level key, with the key, as in the source
}

// parse reads a file of one document.
func parse(source string) (*manifest, error) {
	source = strings.TrimPrefix(source, "---\n")
	if strings.Contains(source, "\n---\n") {
		return nil, errors.New("has several documents; one is expected")
	}
	m := &manifest{blocks: map[string]string{}}
	if err := yaml.Unmarshal([]byte(source), m); err != nil {
		return nil, err
	}
	var key string
	for line := range strings.Lines(source) {
		if name, _, ok := strings.Cut(line, ":"); ok && strings.TrimLeft(name, " #-") == name {
			key = name
		}
		if key != "" { // what is above the first key is a comment on the file
			m.blocks[key] += line
		}
	}
	return m, nil
}

// only returns the block of a key, as a part of a template. A document with other keys is an error:
// the chart would not have them.
func (m *manifest) only(key string) (string, error) {
	for other := range m.blocks {
		switch other {
		case "apiVersion", "kind", "metadata", key:
		default:
			return "", fmt.Errorf("has the key %q, which the chart would lose", other)
		}
	}
	if m.blocks[key] == "" {
		return "", fmt.Errorf("has no key %q", key)
	}
	return escape(m.blocks[key]), nil
}

// escape makes a template that Helm renders as this text.
func escape(text string) string {
	return strings.ReplaceAll(text, "{{", "{{ `{{` }}")
}
