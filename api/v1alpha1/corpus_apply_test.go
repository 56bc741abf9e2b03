package v1alpha1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/manifest"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// TestFilesAreTakenAsByTheAPIServer puts the corpus through kubectl's way to a real API server and
// through the folder's parser. Both must refuse, or store the same.
func TestFilesAreTakenAsByTheAPIServer(t *testing.T) {
	server := dryRun(t)
	for name, content := range corpus {
		t.Run(name, func(t *testing.T) {
			want, refusal := apply(t, server, []byte(content))
			file := "x.yaml"
			if strings.HasPrefix(content, "{") {
				file = "x.json"
			}
			got, err := manifest.Parse(file, []byte(content))
			if (err != nil) != (refusal != nil) {
				t.Fatalf("the API server says: %v\nthe folder says: %v", refusal, err)
			}
			diff := cmp.Diff(want, got.Accounts, cmp.Transformer("told", told))
			if err == nil && diff != "" {
				t.Errorf("the API server stores (-) and the folder reads (+):\n%s", diff)
			}
		})
	}
}

func TestWhereFilesAreReadMoreStrictly(t *testing.T) {
	server := dryRun(t)
	for name, tc := range stricter {
		t.Run(name, func(t *testing.T) {
			if _, err := apply(t, server, []byte(tc.content)); err != nil {
				t.Errorf("kubectl's way refuses it, too: %v", err)
			}
			if got, err := manifest.Parse("x.yaml", []byte(tc.content)); err == nil {
				t.Errorf("it is read as %v, though %s", got.Accounts, tc.why)
			}
			if strings.HasPrefix(tc.content, "{") {
				_, err := create(t, server, corev1.NamespaceDefault, []byte(tc.content))
				if err == nil {
					t.Error("the API server takes it as it stands")
				}
			}
		})
	}
}

// TestWholeFloatsAreIntegers: a JSON client may write 30.0. It is stored and read as 30.
func TestWholeFloatsAreIntegers(t *testing.T) {
	server := dryRun(t)
	const tooSmall = "spec.limits.perDay: Invalid value: 0: must be 1 or more; leave perDay out " +
		"for no limit, or set spec.suspend to true to send nothing"
	for number, want := range map[string]string{
		"30.0": "", "3e1": "", "30": "",
		"30.5": "should be a multiple of 1",
		"0.0":  tooSmall,
		"0":    tooSmall,
	} {
		t.Run(number, func(t *testing.T) {
			body := inJSON(`"name": "a"`, `"limits": {"perDay": `+number+`}`)
			stored, err := create(t, server, "default", []byte(body))
			switch {
			case want != "":
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			case err != nil:
				t.Error(err)
			case *stored.Spec.Limits.PerDay != 30:
				t.Errorf("it is read as %d", *stored.Spec.Limits.PerDay)
			}
		})
	}
}

// told is what both tell of an account: the API server fills in some metadata of its own.
func told(a v1alpha1.MailAccount) any {
	return map[string]any{
		"type": a.TypeMeta, "name": a.Name, "namespace": a.Namespace,
		"labels": a.Labels, "annotations": a.Annotations,
		"finalizers": a.Finalizers, "owners": a.OwnerReferences, "spec": a.Spec, "status": a.Status,
	}
}

// dryRun returns a client of the real API server, of which each call below is one that stores
// nothing.
func dryRun(t *testing.T) rest.Interface {
	t.Helper()
	config := rest.CopyConfig(controlplane.Config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.QPS = -1
	client, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	ensureNamespace(t, controlplane.Client(t), corev1.NamespaceDefault)
	return client
}

// apply does with a file what kubectl does, and returns what would be stored of our group.
func apply(t *testing.T, server rest.Interface, content []byte) ([]v1alpha1.MailAccount, error) {
	t.Helper()
	objects, err := kubectlReads(content)
	if err != nil {
		return nil, err
	}
	var stored []v1alpha1.MailAccount
	for _, o := range objects {
		kind := o.GroupVersionKind()
		if kind.Group != v1alpha1.SchemeGroupVersion.Group && kind.Kind != "MailAccount" {
			continue // somebody else's
		}
		if o.GroupVersionKind() != v1alpha1.SchemeGroupVersion.WithKind("MailAccount") {
			return nil, fmt.Errorf("no resource mapping for %s", o.GroupVersionKind())
		}
		if o.GetNamespace() == "" {
			o.SetNamespace(corev1.NamespaceDefault)
		}
		o.SetResourceVersion("")
		body, err := o.MarshalJSON()
		if err != nil {
			return nil, err
		}
		account, err := create(t, server, o.GetNamespace(), body)
		if err != nil {
			return nil, err
		}
		if err := serverSideApply(t, server, o); err != nil {
			return nil, err
		}
		stored = append(stored, *account)
	}
	return stored, nil
}

func create(
	t *testing.T, server rest.Interface, namespace string, body []byte,
) (*v1alpha1.MailAccount, error) {
	t.Helper()
	answer, err := server.Post().
		Namespace(namespace).
		Resource("mailaccounts").
		SetHeader("Content-Type", "application/json").
		Param("fieldValidation", "Strict").
		Param("dryRun", "All").
		Body(body).
		DoRaw(t.Context())
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, answer)
	}
	var account v1alpha1.MailAccount
	return &account, yaml.UnmarshalStrict(answer, &account)
}

// serverSideApply refuses a null that create drops. What kubectl get prints cannot be applied as it
// is, so what the server sets is left out.
func serverSideApply(t *testing.T, server rest.Interface, o *unstructured.Unstructured) error {
	t.Helper()
	if o.GetName() == "" {
		return nil // create has made one up
	}
	o.SetManagedFields(nil)
	o.SetUID("")
	delete(o.Object, "status")
	body, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	answer, err := server.Patch(types.ApplyPatchType).
		Namespace(o.GetNamespace()).
		Resource("mailaccounts").
		Name(o.GetName()).
		Param("fieldManager", "corpus").
		Param("force", "true").
		Param("fieldValidation", "Strict").
		Param("dryRun", "All").
		Body(body).
		DoRaw(t.Context())
	if err != nil {
		return fmt.Errorf("server-side apply: %w: %s", err, answer)
	}
	return nil
}

// kubectlReads reads a file as kubectl does (the visitors of k8s.io/cli-runtime/pkg/resource).
func kubectlReads(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var raw runtime.RawExtension
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		raw.Raw = bytes.TrimSpace(raw.Raw)
		if len(raw.Raw) == 0 || bytes.Equal(raw.Raw, []byte("null")) {
			continue
		}
		decoded, _, err := unstructured.UnstructuredJSONScheme.Decode(raw.Raw, nil, nil)
		if err != nil {
			return nil, err
		}
		var metadata struct {
			metav1.TypeMeta   `json:""`
			metav1.ObjectMeta `json:"metadata,omitzero"`
		}
		if err := utiljson.Unmarshal(raw.Raw, &metadata); err != nil {
			return nil, err
		}
		switch o := decoded.(type) {
		case *unstructured.Unstructured:
			if o.GetKind() == "List" {
				return nil, errors.New("a List without items is none")
			}
			objects = append(objects, o)
		case *unstructured.UnstructuredList:
			ownList := v1alpha1.SchemeGroupVersion.WithKind("MailAccountList")
			if o.GetKind() != "List" && o.GroupVersionKind() != ownList {
				return nil, fmt.Errorf("no resource mapping for %s", o.GroupVersionKind())
			}
			for i := range o.Items {
				item := &o.Items[i]
				if item.IsList() || item.GetKind() == "" || item.GetAPIVersion() == "" {
					return nil, fmt.Errorf("items[%d] is a list, or says not what it is", i)
				}
				objects = append(objects, item)
			}
		}
	}
}
