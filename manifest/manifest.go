// Package manifest reads MailAccounts from files. It takes what kubectl and the API server take,
// refuses what they refuse, and tells the line of an error.
//
//   - manifest.go: Parse, its result and its errors.
//   - documents.go: divides a file into documents and converts them to JSON, as kubectl does.
//   - objects.go: finds the MailAccounts in a document; reads a list item by item.
//   - schema.go: checks an object as the API server does, with the CustomResourceDefinition.
//   - locate.go: finds the line of a field.
package manifest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

// Error tells what is wrong with a manifest, and where.
type Error struct {
	File  string
	Line  int    // 1-based; 0 if it is not known
	Field string // such as spec.limits.perMinute; empty for the whole document
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

// Content is the content of a file.
type Content struct {
	// Accounts are its MailAccounts, as the API server would store them.
	Accounts []v1alpha1.MailAccount
	// Documents is the number of documents of any kind. It is 0 for a file that is empty or has
	// only comments.
	Documents int
}

// Parse reads a YAML or JSON file with any number of documents. It leaves out documents of other
// API groups. An object without a namespace is in the namespace "default", as for kubectl.
//
// Every error is an [Error], or several of them joined. With an error there is no content, even if
// some documents are valid.
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

// at sets the file of an error, or of each error that it is joined from, and returns these.
func at(file string, err error) []error {
	if err == nil {
		return nil
	}
	joined, several := err.(interface{ Unwrap() []error }) //nolint:errorlint // it is never wrapped
	if !several {
		err.(*Error).File = file //nolint:errorlint,forcetypeassert // the package has no others
		return []error{err}
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		errs = append(errs, at(file, err)...)
	}
	return errs
}
