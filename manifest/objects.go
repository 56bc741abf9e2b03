package manifest

import (
	"errors"
	"fmt"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

const (
	kind     = "MailAccount"
	listKind = kind + "List"
)

// object is a document, or an item of one that is a list.
type object struct {
	body map[string]any
	path string // in the document, such as items[3]; empty for the document itself
}

// accounts returns the MailAccounts of a document.
func (d *document) accounts() ([]v1alpha1.MailAccount, error) {
	var body map[string]any
	duplicates, err := kjson.UnmarshalStrict(d.json, &body)
	if err != nil {
		err = errors.New("the document must be an object with apiVersion and kind")
		return nil, d.fail("", "", err)
	}
	var errs []error
	for _, err := range duplicates {
		errs = append(errs, d.fail("", quoted(err.Error()), err))
	}
	objects := []object{{body: body}}
	if objects[0].isList() {
		if objects, err = objects[0].items(); err != nil {
			errs = append(errs, d.fail("", "items", err))
		}
	}
	var accounts []v1alpha1.MailAccount
	for _, o := range objects {
		ours, err := o.isAccount()
		if err != nil {
			errs = append(errs, d.fail(o.path, "kind", err))
		}
		if !ours {
			continue
		}
		account, problems := mailAccounts().create(o.body)
		for _, problem := range problems {
			errs = append(errs, d.fail(o.path, problem.field, problem.in(o.path)))
		}
		accounts = append(accounts, account)
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	return accounts, nil
}

func (d *document) fail(object, field string, err error) error {
	path := strings.Trim(object+"."+field, ".")
	return &Error{Line: d.lineOf(path), Field: path, Err: err}
}

// typeMeta returns an object's apiVersion and kind, or "" where it has none.
func (o *object) typeMeta() (apiVersion, kind string) {
	apiVersion, _ = o.body["apiVersion"].(string)
	kind, _ = o.body["kind"].(string)
	return apiVersion, kind
}

// isList reports whether an object is a List, such as kubectl get prints, or a MailAccountList.
func (o *object) isList() bool {
	apiVersion, kind := o.typeMeta()
	switch kind {
	case "List":
		return apiVersion == "v1"
	case listKind:
		return apiVersion == v1alpha1.SchemeGroupVersion.String()
	}
	return false
}

// isAccount reports whether an object is a MailAccount. Objects of other groups are not. Of our
// group anything but a MailAccount of this version is an error, and so is an object without a type.
func (o *object) isAccount() (bool, error) {
	apiVersion, itsKind := o.typeMeta()
	group, _, _ := strings.Cut(apiVersion, "/")
	untyped := apiVersion == "" || itsKind == ""
	switch {
	case itsKind == kind && apiVersion == v1alpha1.SchemeGroupVersion.String():
		return true, nil
	case itsKind == "List":
		return false, errors.New("a list must have apiVersion v1, and be no item of a list")
	case untyped, itsKind == kind, group == v1alpha1.SchemeGroupVersion.Group:
		return false, fmt.Errorf("must be %s with apiVersion %s, not %q with apiVersion %q",
			kind, v1alpha1.SchemeGroupVersion, itsKind, apiVersion)
	}
	return false, nil
}

// items returns the objects of a list. In a MailAccountList they need no apiVersion and kind.
func (o *object) items() ([]object, error) {
	list, present := o.body["items"]
	if !present {
		return nil, errors.New("a list needs items; write `items: []` for an empty one")
	}
	items, ok := list.([]any)
	if !ok && list != nil {
		return nil, errors.New("must be a list of objects")
	}
	var objects []object
	for i := range items {
		item := object{path: fmt.Sprintf("items[%d]", i)}
		if item.body, ok = items[i].(map[string]any); !ok {
			return nil, fmt.Errorf("items[%d] must be an object with apiVersion and kind", i)
		}
		_, hasKind := item.body["kind"]
		_, hasVersion := item.body["apiVersion"]
		if o.body["kind"] == listKind && !hasKind && !hasVersion {
			item.body["kind"], item.body["apiVersion"] = kind, o.body["apiVersion"]
		}
		objects = append(objects, item)
	}
	return objects, nil
}
