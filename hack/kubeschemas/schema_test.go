package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStrict(t *testing.T) {
	for sentence, test := range map[string]struct{ in, want object }{
		"named fields close an object, descriptions go": {
			in: object{
				"description": "…",
				"properties":  object{"a": object{"type": "string", "description": "…"}},
			},
			want: object{
				"properties": object{"a": object{"type": "string"}}, "additionalProperties": false,
			},
		},
		"a map stays open, its values are closed": {
			in: object{"additionalProperties": object{"properties": object{}}},
			want: object{
				"additionalProperties": object{
					"properties": object{}, "additionalProperties": false,
				},
			},
		},
		"so are a list's items": {
			in:   object{"items": object{"properties": object{}}},
			want: object{"items": object{"properties": object{}, "additionalProperties": false}},
		},
		"an object that keeps unknown fields stays open": {
			in:   object{"properties": object{}, "x-kubernetes-preserve-unknown-fields": true},
			want: object{"properties": object{}},
		},
		"a field may be called like a keyword": {
			in: object{"properties": object{"description": object{}, "x-y": object{}}},
			want: object{
				"properties":           object{"description": object{}, "x-y": object{}},
				"additionalProperties": false,
			},
		},
		"a number or text is either": {
			in:   object{"x-kubernetes-int-or-string": true},
			want: object{"type": []any{"integer", "string"}},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			if diff := cmp.Diff(test.want, strict(test.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// JSONSchemaProps refers to itself, and has a field that is called $ref.
func TestSchemaIsCompleteInItself(t *testing.T) {
	known := definitions{
		"kind": {
			"properties": object{"spec": object{"$ref": prefix + "spec"}},
			"required":   []any{"spec"},
		},
		"spec": {
			"properties": object{
				"$ref": object{"type": "string"},
				"not":  object{"$ref": prefix + "spec"},
			},
		},
		"unused": {},
	}
	got, err := known.schema("kind")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(object{"spec": known["spec"]}, got["definitions"]); diff != "" {
		t.Error(diff)
	}
	required := []any{"apiVersion", "kind", "metadata", "spec"}
	if diff := cmp.Diff(required, got["required"]); diff != "" {
		t.Error(diff)
	}
	if _, err := known.schema("other"); err == nil {
		t.Error("got a schema of a kind that is not known")
	}
}
