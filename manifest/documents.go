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

// document is one document of a file. It is not empty.
type document struct {
	json []byte
	text []byte // as it stands in the file
	line int    // where text begins in the file, 1-based
}

var (
	errAfterSeparator = errors.New("nothing but a comment may follow --- in its line")
	errAfterEnd       = errors.New("what follows ... is not read; put --- before it")
)

// split divides a file into its documents, as kubectl does, and leaves out empty ones. Text after a
// first JSON object is read as YAML if it is no JSON. With an error it returns the documents before
// the error.
func split(content []byte) ([]document, error) {
	if !utilyaml.IsJSONBuffer(content) {
		return splitYAML(content, 1)
	}
	documents, end, jsonErr := splitJSON(content)
	if jsonErr == nil || len(documents) > 1 {
		return documents, jsonErr
	}
	// It may be YAML that begins with a brace.
	end += blankLength(content[end:])
	more, err := splitYAML(content[end:], lineAt(content, end))
	if err != nil && len(more) == 0 {
		return documents, jsonErr
	}
	return append(documents, more...), err
}

// blankLength returns the length of the white space with which the text begins: up to the end of
// the first line, or to the first other character.
func blankLength(text []byte) int {
	blank := len(text) - len(bytes.TrimLeftFunc(text, unicode.IsSpace))
	newline := bytes.IndexByte(text[:blank], '\n')
	if newline >= 0 {
		return newline + 1
	}
	return blank
}

// splitJSON reads JSON objects up to the first text that is none. The last object ends at end.
func splitJSON(content []byte) (documents []document, end int, err error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		var object json.RawMessage
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return documents, end, nil
		}
		if err != nil {
			at := len(content)
			if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
				at = int(syntax.Offset)
			}
			err = fmt.Errorf("JSON: %w", err)
			return documents, end, &Error{Line: lineAt(content, at), Err: err}
		}
		end = int(decoder.InputOffset())
		if !bytes.Equal(object, []byte("null")) {
			start := end - len(object)
			text := content[start:end]
			documents = append(documents, document{object, text, lineAt(content, start)})
		}
	}
}

// splitYAML reads YAML that begins in the given line. A line that begins with --- separates two
// documents, even inside a block of text.
func splitYAML(content []byte, line int) (documents []document, err error) {
	begin, beginLine, end := 0, line, 0 // of the document that is read now
	convert := func() error {
		document, err := convertYAML(content[begin:end], beginLine)
		if document != nil {
			documents = append(documents, *document)
		}
		return err
	}
	for text := range bytes.Lines(content) {
		after, separates := bytes.CutPrefix(text, []byte("---"))
		if separates {
			after = bytes.TrimSpace(after)
			if len(after) > 0 && after[0] != '#' {
				return documents, &Error{Line: line, Err: errAfterSeparator}
			}
			if err := convert(); err != nil {
				return documents, err
			}
			begin, beginLine = end+len(text), line+1
		}
		end += len(text)
		line++
	}
	return documents, convert()
}

// convertYAML makes JSON of one YAML document, or nil if it is empty.
func convertYAML(text []byte, line int) (*document, error) {
	if err := nothingAfterTheEnd(text, line); err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(slices.Clip(text), '\n') // as kubectl does, which matters in UTF-16
	}
	converted, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		// The message counts lines from the beginning of the document. To make it count from the
		// beginning of the file, put as many empty lines before the document.
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

// nothingAfterTheEnd returns an error if text follows the mark "..." of a document's end. kubectl
// would ignore that text.
func nothingAfterTheEnd(text []byte, line int) error {
	ended := false
	for l := range bytes.Lines(text) {
		content := bytes.TrimSpace(l)
		switch {
		case isEndMark(l):
			ended = true
		case ended && len(content) > 0 && content[0] != '#':
			return &Error{Line: line, Err: errAfterEnd}
		}
		line++
	}
	return nil
}

// isEndMark reports whether a line ends a document: "...", and at most a comment.
func isEndMark(line []byte) bool {
	after, found := bytes.CutPrefix(bytes.TrimRightFunc(line, unicode.IsSpace), []byte("..."))
	return found && (len(after) == 0 || after[0] == ' ' || after[0] == '#')
}

// lineAt returns the line of an offset in a file, 1-based.
func lineAt(content []byte, offset int) int {
	return 1 + bytes.Count(content[:min(offset, len(content))], []byte("\n"))
}
