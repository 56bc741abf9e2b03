package main

import (
	"fmt"
	"maps"
	"strings"
)

type (
	// object is a schema, or a map of schemas: JSON as it comes.
	object = map[string]any
	// definitions are schemas by name.
	definitions map[string]object
)

const (
	prefix     = "#/definitions/"
	objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	quantity   = "io.k8s.apimachinery.pkg.api.resource.Quantity"
	intOrText  = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
)

// strict makes a JSON schema of an OpenAPI schema. It admits only the fields that it names. It
// leaves out what decides nothing: the descriptions are nine tenths of the text.
func strict(in object) object {
	out := object{}
	for key, value := range in {
		switch key {
		case "description", "default", "example":
		case "properties":
			properties := object{}
			for name, property := range value.(object) {
				properties[name] = strict(property.(object))
			}
			out[key] = properties
		case "items", "additionalProperties":
			if child, ok := value.(object); ok {
				value = strict(child)
			}
			out[key] = value
		default:
			if !strings.HasPrefix(key, "x-") {
				out[key] = value
			}
		}
	}
	_, open := out["additionalProperties"]
	preserve, _ := in["x-kubernetes-preserve-unknown-fields"].(bool)
	if _, named := out["properties"]; named && !open && !preserve {
		out["additionalProperties"] = false
	}
	if either, _ := in["x-kubernetes-int-or-string"].(bool); either {
		out["type"] = []any{"integer", "string"}
	}
	return out
}

// loosen corrects two definitions: OpenAPI calls them strings, but the API server takes numbers,
// too.
func (d definitions) loosen() {
	d[quantity] = object{"type": []any{"string", "number"}}
	d[intOrText] = object{"type": []any{"string", "integer"}}
}

// schema returns the schema of a kind, with all definitions that it needs.
func (d definitions) schema(name string) (object, error) {
	if d[name] == nil {
		return nil, fmt.Errorf("the OpenAPI document of Kubernetes has no %s", name)
	}
	root := maps.Clone(d[name])
	// OpenAPI does not require these, but every manifest must have them.
	required, _ := root["required"].([]any)
	root["required"] = append([]any{"apiVersion", "kind", "metadata"}, required...)
	return d.with(root), nil
}

// with adds to a schema all definitions that it refers to.
func (d definitions) with(root object) object {
	used := object{}
	var follow func(value any)
	follow = func(value any) {
		switch value := value.(type) {
		case object:
			// A property may be called $ref, as in JSONSchemaProps. Then it is no string.
			if ref, ok := value["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, prefix)
				if used[name] == nil {
					used[name] = d[name]
					follow(d[name])
				}
			}
			for _, child := range value {
				follow(child)
			}
		case []any:
			for _, child := range value {
				follow(child)
			}
		}
	}
	follow(root)
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["definitions"] = used
	return root
}
