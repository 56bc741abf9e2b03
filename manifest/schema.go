package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/config/crd"
)

// accountSchema is the schema of the CustomResourceDefinition, in the forms in which the API server
// uses it.
type accountSchema struct {
	structural *structural.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator // CEL
}

// mailAccounts returns the schema of MailAccounts. It takes some 10 ms to compile, and is compiled
// when it is first needed.
var mailAccounts = sync.OnceValue(func() *accountSchema {
	s, err := newAccountSchema(crd.MailAccounts)
	if err != nil {
		panic(fmt.Sprintf("the CustomResourceDefinition that is built in is broken: %v", err))
	}
	return s
})

func newAccountSchema(definition []byte) (*accountSchema, error) {
	var parsed v1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(definition, &parsed); err != nil {
		return nil, err
	}
	version := v1alpha1.SchemeGroupVersion.Version
	isOurs := func(v v1.CustomResourceDefinitionVersion) bool { return v.Name == version }
	at := slices.IndexFunc(parsed.Spec.Versions, isOurs)
	if at < 0 {
		return nil, fmt.Errorf("there is no version %s", version)
	}
	openAPI := parsed.Spec.Versions[at].Schema.OpenAPIV3Schema
	var props apiextensions.JSONSchemaProps
	err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(openAPI, &props, nil)
	if err != nil {
		return nil, err
	}
	s := &accountSchema{}
	if s.structural, err = structural.NewStructural(&props); err != nil {
		return nil, err
	}
	if err := defaulting.PruneDefaults(s.structural); err != nil {
		return nil, err
	}
	s.values, _, err = validation.NewSchemaValidator(&props)
	s.rules = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	return s, err
}

// problem tells which field of an object is wrong, and why.
type problem struct {
	field string
	err   error
}

// in returns the error of an object that is at a path of a document. The API server's errors name
// the field, and the path comes before that name.
func (p *problem) in(path string) error {
	err, ok := errors.AsType[*field.Error](p.err)
	if path == "" || !ok {
		return p.err
	}
	named := *err
	named.Field = path + "." + err.Field
	return &named
}

// create returns the MailAccount that the API server would store, or why it would refuse the
// object. It takes the server's steps for a server-side apply of a new object, in the server's
// order. It changes the object.
func (s *accountSchema) create(body map[string]any) (v1alpha1.MailAccount, []problem) {
	metadata, problems := s.decode(body)
	if metadata == nil {
		return v1alpha1.MailAccount{}, problems
	}
	prepare(body, metadata)
	for _, err := range s.validate(body, metadata) {
		problems = append(problems, problem{err.Field, err})
	}
	if problems != nil {
		return v1alpha1.MailAccount{}, problems
	}
	account, err := typed(body, metadata)
	if err != nil {
		return account, []problem{{"", Readable(err)}}
	}
	return account, nil
}

// decode removes the fields that the schema does not know, and reports each as a problem. It fills
// in defaults, also for nulls. The metadata is nil if it cannot be read.
func (s *accountSchema) decode(body map[string]any) (*metav1.ObjectMeta, []problem) {
	metadata, found, unknown, err := objectmeta.GetObjectMetaWithOptions(body,
		objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err := fmt.Errorf("must be of type %s, not %s", wrong.Type, wrong.Value)
		return nil, []problem{{"metadata." + wrong.Field, err}}
	}
	if err != nil {
		return nil, []problem{{"metadata", err}}
	}
	if !found {
		metadata = &metav1.ObjectMeta{}
	}
	unknown = append(unknown, pruning.PruneWithOptions(body, s.structural, true,
		structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	// Where a field has no default, a create drops a null, but a server-side apply refuses it. So
	// do we: nobody who writes `perDay:` means an account without that limit.
	defaulting.Default(body, s.structural)
	var problems []problem
	for _, path := range unknown {
		problems = append(problems, problem{path, fmt.Errorf("unknown field %q", path)})
	}
	return metadata, problems
}

// prepare sets the fields that kubectl and the API server set, whatever the file has in them.
func prepare(body map[string]any, metadata *metav1.ObjectMeta) {
	delete(body, "status")
	if metadata.Namespace == "" {
		metadata.Namespace = metav1.NamespaceDefault
	}
	metadata.Generation = 1
	metadata.ResourceVersion, metadata.ManagedFields = "", nil
	metadata.DeletionTimestamp, metadata.DeletionGracePeriodSeconds = nil, nil
}

// validate returns the errors with which the API server would refuse the object, in its words.
func (s *accountSchema) validate(body map[string]any, metadata *metav1.ObjectMeta) field.ErrorList {
	errs := metavalidation.ValidateObjectMeta(metadata, true, metavalidation.NameIsDNSSubdomain,
		field.NewPath("metadata"))
	errs = append(errs, validation.ValidateCustomResource(nil, body, s.values)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, body)...)
	if !slices.ContainsFunc(errs, keepsRulesFromRunning) {
		broken, _ := s.rules.Validate(context.Background(), nil, s.structural, body, nil,
			celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	for _, err := range errs {
		if hint, ok := hints[err.Field]; ok && err.Type == field.ErrorTypeRequired {
			err.Detail = hint
		}
	}
	return errs
}

// hints tell what to write if a required field is missing.
var hints = map[string]string{
	"metadata.name": "an account in a file needs a name of its own",
	"spec.limits":   "write `limits: {}` for an account without any limit",
}

// keepsRulesFromRunning reports whether CEL rules cannot run on an object with this error.
func keepsRulesFromRunning(err *field.Error) bool {
	switch err.Type {
	case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong,
		field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
		return true
	default:
		return false
	}
}

// typed returns the object in the types of the API, as a client reads it from the API server.
func typed(
	body map[string]any, metadata *metav1.ObjectMeta,
) (account v1alpha1.MailAccount, err error) {
	delete(body, "metadata")
	stored, err := json.Marshal(body)
	if err == nil {
		err = json.Unmarshal(stored, &account)
	}
	account.ObjectMeta = *metadata
	return account, err
}

// Readable returns an error about a value of the wrong type in the words of a field's error. It
// returns any other error as it is.
func Readable(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: must be of type %s, not %s", wrong.Field, wrong.Type, wrong.Value)
	}
	return err
}
