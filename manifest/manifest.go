// Package manifest reads MailAccounts from files. It takes what kubectl and the API server take,
// refuses what they refuse, and says where something is wrong.
//
//   - documents.go: a file becomes documents, as kubectl divides and converts it.
//   - objects.go: a document becomes objects; a list is read item by item.
//   - schema.go: an object is checked against the CustomResourceDefinition, as the API server does
//     it.
//   - locate.go: the line of a field.
package manifest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

// Error is what is wrong with a manifest, and where.
type Error struct {
	File  string
	Line  int    // 1-based; 0 if it is not known
	Field string // such as spec.limits.perMinute; empty if it is the document as a whole
	Err   error
}

func (e *Error) Error() string {
	at := e.File
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Field != "" && !strings.HasPrefix(e.Err.Error(), e.Field) {
		at += ": " + e.Field
	}
	return at + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Content is what a file holds.
type Content struct {
	// Accounts are its MailAccounts, as the API server would store them.
	Accounts []v1alpha1.MailAccount
	// Documents is the number of documents, whatever they are about. It is 0 for a file that is
	// empty or holds nothing but comments.
	Documents int
}

// Parse reads a YAML or JSON file of any number of documents. It leaves out documents of other API
// groups. A document without a namespace means the namespace "default", as it does for kubectl.
//
// All errors are Errors. With any of them there is no content: a file is right as a whole or not at
// all.
func Parse(file string, content []byte) (Content, error) {
	var read Content
	documents, err := split(content)
	errs := at(file, err)
	for i := range documents {
		accounts, err := documents[i].accounts()
		read.Accounts = append(read.Accounts, accounts...)
		errs = append(errs, at(file, err)...)
	}
	if errs != nil {
		return Content{}, errors.Join(errs...)
	}
	read.Documents = len(documents)
	return read, nil
}

// at names the file in each of the errors that err is joined from.
func at(file string, err error) []error {
	if err == nil {
		return nil
	}
	joined, several := err.(interface{ Unwrap() []error }) //nolint:errorlint // it is one of ours, never wrapped
	if !several {
		err.(*Error).File = file //nolint:errorlint,forcetypeassert // all errors inside this package are Errors
		return []error{err}
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		errs = append(errs, at(file, err)...)
	}
	return errs
}
