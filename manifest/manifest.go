// Package manifest reads MailAccounts from files, as strictly as the API server does, and says where something is wrong.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

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

// Parse reads the MailAccounts of a YAML file of any number of documents, as strictly as the API server does.
// Documents of other API groups are left out. All errors are Errors; with any of them, there are no accounts.
func Parse(file string, content []byte) ([]v1alpha1.MailAccount, error) {
	var accounts []v1alpha1.MailAccount
	var errs []error
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil { // the message has the line
			errs = append(errs, &Error{File: file, Err: err})
			break
		}
		account, err := parseDocument(file, &document)
		if err != nil {
			errs = append(errs, err)
		} else if account != nil {
			accounts = append(accounts, *account)
		}
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	return accounts, nil
}

// parseDocument reads one document. It returns nil for one that is empty or speaks of something else.
func parseDocument(file string, document *yaml.Node) (*v1alpha1.MailAccount, error) {
	fail := func(path string, err error) error {
		return &Error{File: file, Line: lineOf(document, path), Field: path, Err: err}
	}
	var content any
	if err := document.Decode(&content); err != nil {
		return nil, fail("", err)
	}
	if content == nil {
		return nil, nil
	}
	body, err := json.Marshal(content)
	if err != nil { // a key that is no string, say
		return nil, fail("", err)
	}
	var account v1alpha1.MailAccount
	strict, err := kjson.UnmarshalStrict(body, &account)
	if ours, kindErr := isMailAccount(body); !ours {
		return nil, wrap(kindErr, func(err error) error { return fail("kind", err) })
	}
	if typeErr := (*json.UnmarshalTypeError)(nil); errors.As(err, &typeErr) {
		return nil, fail(typeErr.Field, Readable(err))
	} else if err != nil {
		return nil, fail("", err)
	}
	var errs []error
	for _, err := range strict {
		errs = append(errs, fail(quoted(err.Error()), err))
	}
	for _, err := range validate(&account) {
		errs = append(errs, fail(err.Field, err))
	}
	return &account, errors.Join(errs...)
}

func wrap(err error, with func(error) error) error {
	if err == nil {
		return nil
	}
	return with(err)
}

// isMailAccount says whether a document is one of ours. One of our group that is not a MailAccount of a known version
// is an error; one of another group is somebody else's.
func isMailAccount(body []byte) (bool, error) {
	var typed metav1.TypeMeta
	if err := json.Unmarshal(body, &typed); err != nil {
		return false, errors.New("the document must be an object with apiVersion and kind")
	}
	group, _, _ := strings.Cut(typed.APIVersion, "/")
	switch {
	case typed.APIVersion == v1alpha1.SchemeGroupVersion.String() && typed.Kind == "MailAccount":
		return true, nil
	case group == v1alpha1.SchemeGroupVersion.Group, typed.Kind == "MailAccount", typed.Kind == "", typed.APIVersion == "":
		return false, fmt.Errorf("must be MailAccount with apiVersion %s, not %q with apiVersion %q", v1alpha1.SchemeGroupVersion, typed.Kind, typed.APIVersion)
	}
	return false, nil
}

// validate checks what the API server would: the names and the spec. No namespace means "default", as for kubectl.
func validate(account *v1alpha1.MailAccount) field.ErrorList {
	if account.Namespace == "" {
		account.Namespace = "default"
	}
	metadata := field.NewPath("metadata")
	var errs field.ErrorList
	if account.Name == "" {
		errs = append(errs, field.Required(metadata.Child("name"), "an account needs a name"))
	} else {
		for _, message := range validation.NameIsDNSSubdomain(account.Name, false) {
			errs = append(errs, field.Invalid(metadata.Child("name"), account.Name, message))
		}
	}
	for _, message := range validation.ValidateNamespaceName(account.Namespace, false) {
		errs = append(errs, field.Invalid(metadata.Child("namespace"), account.Namespace, message))
	}
	return append(errs, account.Spec.Validate()...)
}

// lineOf is the line of a field in a document, or of the innermost parent that is there.
func lineOf(document *yaml.Node, path string) int {
	node := document
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	line := node.Line
	for name := range strings.SplitSeq(path, ".") {
		key, value := child(node, name)
		if key == nil {
			break
		}
		line, node = key.Line, value
	}
	return line
}

func child(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i], node.Content[i+1]
			}
		}
	}
	return nil, nil
}

// quoted is what stands between the first double quotes of a message, such as: unknown field "spec.limit".
func quoted(message string) string {
	_, rest, _ := strings.Cut(message, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// Readable says what does not fit a type in the words of a field's error, if it is that.
func Readable(err error) error {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s: must be of type %s, not %s", wrong.Field, wrong.Type, wrong.Value)
	}
	return err
}
