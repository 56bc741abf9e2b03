package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// document is one document of a file that says something.
type document struct {
	json []byte
	text []byte // as it stands in the file
	line int    // of the file, 1-based, at which text begins
}

var (
	errAfterSeparator = errors.New("nothing but a comment may follow --- in its line")
	errAfterEnd       = errors.New("what follows ... is not read; put --- before it")
)

// split divides a file into its documents, as kubectl does. JSON objects follow each other with or
// without space; what follows the first object, and is no JSON, is YAML. Documents that are empty
// are left out.
//
// The documents before an error are returned with it.
func split(content []byte) ([]document, error) {
	if !utilyaml.IsJSONBuffer(content) {
		return splitYAML(content, 1)
	}
	documents, end, jsonErr := splitJSON(content)
	if jsonErr == nil {
		return documents, nil
	}
	if len(documents) <= 1 { // it may be YAML in braces
		rest := content[end:]
		blank := len(rest) - len(bytes.TrimLeftFunc(rest, unicode.IsSpace))
		if newline := bytes.IndexByte(rest[:blank], '\n'); newline >= 0 {
			blank = newline + 1
		}
		end += blank
		more, err := splitYAML(content[end:], lineAt(content, end))
		if err == nil || len(more) > 0 {
			return append(documents, more...), err
		}
	}
	return documents, jsonErr
}

// splitJSON reads JSON objects up to the first thing that is none. End is where the last of them
// ends.
func splitJSON(content []byte) (documents []document, end int, err error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		var object json.RawMessage
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return documents, end, nil
		}
		if err != nil {
			line := lineAt(content, len(content))
			if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
				line = lineAt(content, int(syntax.Offset))
			}
			return documents, end, &Error{Line: line, Err: fmt.Errorf("JSON: %w", err)}
		}
		end = int(decoder.InputOffset())
		if !bytes.Equal(object, []byte("null")) {
			start := end - len(object)
			documents = append(
				documents, document{object, content[start:end], lineAt(content, start)},
			)
		}
	}
}

// splitYAML reads YAML that begins in the given line. A line that begins with --- separates,
// whatever it is a part of.
func splitYAML(content []byte, line int) (documents []document, err error) {
	start, from, to := line, 0, 0
	take := func() error {
		document, err := convertYAML(content[from:to], start)
		if document != nil {
			documents = append(documents, *document)
		}
		return err
	}
	for text := range bytes.Lines(content) {
		if after, ok := bytes.CutPrefix(text, []byte("---")); ok {
			if after = bytes.TrimSpace(after); len(after) > 0 && after[0] != '#' {
				return documents, &Error{Line: line, Err: errAfterSeparator}
			}
			if err := take(); err != nil {
				return documents, err
			}
			start, from = line+1, to+len(text)
		}
		to += len(text)
		line++
	}
	return documents, take()
}

// convertYAML makes JSON of one YAML document, or nil if it says nothing.
func convertYAML(text []byte, line int) (*document, error) {
	if err := nothingAfterTheEnd(text, line); err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(slices.Clip(text), '\n') // as kubectl does, which matters in UTF-16
	}
	converted, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		// The message counts lines from the document's beginning. Said of a text that begins where
		// the file does, it counts from there.
		padded := append(bytes.Repeat([]byte("\n"), line-1), text...)
		if _, fromStart := yaml.YAMLToJSONStrict(padded); fromStart != nil {
			err = fromStart
		}
		return nil, &Error{Err: err}
	}
	if bytes.Equal(converted, []byte("null")) {
		return nil, nil
	}
	return &document{json: converted, text: text, line: line}, nil
}

// nothingAfterTheEnd refuses what stands behind the mark ... of a document's end. kubectl would
// leave it out in silence.
func nothingAfterTheEnd(text []byte, line int) error {
	ended := false
	for l := range bytes.Lines(text) {
		content := bytes.TrimSpace(l)
		switch {
		case bytes.HasPrefix(l, []byte("...")) && (len(content) == 3 || content[3] == ' ' || content[3] == '#'):
			ended = true
		case ended && len(content) > 0 && content[0] != '#':
			return &Error{Line: line, Err: errAfterEnd}
		}
		line++
	}
	return nil
}

// lineAt is the line, 1-based, of a place in a file.
func lineAt(content []byte, offset int) int {
	return 1 + bytes.Count(content[:min(offset, len(content))], []byte("\n"))
}
