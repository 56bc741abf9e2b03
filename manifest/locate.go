package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lineOf returns the line of a field in the file. If the field is missing, that is the line of its
// innermost parent. It parses the document once more, and is only for messages.
func (d *document) lineOf(path string) int {
	var root yaml.Node
	if err := yaml.Unmarshal(d.text, &root); err != nil || len(root.Content) != 1 {
		return d.line // it is JSON, but no YAML
	}
	node := root.Content[0]
	line := node.Line
	for name := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		at, value := child(node, name)
		if value == nil {
			break
		}
		line, node = at, value
	}
	return d.line + line - 1
}

// child returns a field of a mapping, or an item of a sequence if the name is [0], [1] and so on.
// Its line is that of the field's name.
func child(node *yaml.Node, name string) (line int, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i].Line, node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		i, err := strconv.Atoi(strings.Trim(name, "[]"))
		if err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i].Line, node.Content[i]
		}
	default:
	}
	return 0, nil
}

// quoted returns the text between the first double quotes of a message, such as: unknown field
// "spec.limit".
func quoted(message string) string {
	_, rest, _ := strings.Cut(message, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}
