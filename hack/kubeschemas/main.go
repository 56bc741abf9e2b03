// Command kubeschemas writes the JSON schemas with which kubeconform checks the manifests of this
// repository, offline.
//
//	go run ./hack/kubeschemas OUTDIR
//	kubeconform -strict -schema-location 'OUTDIR/{{ .ResourceKind }}{{ .KindSuffix }}.json'
//
// The schemas of Kubernetes come from the OpenAPI document in the module k8s.io/kubernetes, in the
// version that belongs to the k8s.io/api of go.mod. MailAccount's comes from its
// CustomResourceDefinition. Run it in the repository's root. The schemas are stricter than the API
// server: they admit no unknown field, and no null, which a template leaves where a value is
// missing.
//
//   - main.go: where the schemas come from.
//   - schema.go: makes a JSON schema of an OpenAPI schema.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	crdFile    = "config/crd/sluice.dev_mailaccounts.yaml"
	extensions = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions"
)

// kinds are the kinds that the chart and config/ render: a file name each, and the name in the
// OpenAPI document.
var kinds = map[string]string{
	"clusterrole-rbac-v1":                       "io.k8s.api.rbac.v1.ClusterRole",
	"clusterrolebinding-rbac-v1":                "io.k8s.api.rbac.v1.ClusterRoleBinding",
	"customresourcedefinition-apiextensions-v1": extensions + ".v1.CustomResourceDefinition",
	"deployment-apps-v1":                        "io.k8s.api.apps.v1.Deployment",
	"horizontalpodautoscaler-autoscaling-v2":    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
	"namespace-v1":                              "io.k8s.api.core.v1.Namespace",
	"networkpolicy-networking-v1":               "io.k8s.api.networking.v1.NetworkPolicy",
	"persistentvolumeclaim-v1":                  "io.k8s.api.core.v1.PersistentVolumeClaim",
	"pod-v1":                                    "io.k8s.api.core.v1.Pod",
	"poddisruptionbudget-policy-v1":             "io.k8s.api.policy.v1.PodDisruptionBudget",
	"role-rbac-v1":                              "io.k8s.api.rbac.v1.Role",
	"rolebinding-rbac-v1":                       "io.k8s.api.rbac.v1.RoleBinding",
	"secret-v1":                                 "io.k8s.api.core.v1.Secret",
	"service-v1":                                "io.k8s.api.core.v1.Service",
	"serviceaccount-v1":                         "io.k8s.api.core.v1.ServiceAccount",
	"statefulset-apps-v1":                       "io.k8s.api.apps.v1.StatefulSet",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kubeschemas OUTDIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "kubeschemas:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	definitions, err := kubernetes()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for file, name := range kinds {
		schema, err := definitions.schema(name)
		if err != nil {
			return err
		}
		if err := write(out, file, schema); err != nil {
			return err
		}
	}
	file, schema, err := mailAccount(definitions)
	if err != nil {
		return fmt.Errorf("%s: %w", crdFile, err)
	}
	return write(out, file, schema)
}

func write(out, name string, schema object) error {
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, name+".json"), append(text, '\n'), 0o644)
}

// kubernetes reads the OpenAPI document of the Kubernetes version that go.mod requires.
func kubernetes() (definitions, error) {
	api, err := output("go", "list", "-m", "-f", "{{ .Version }}", "k8s.io/api")
	if err != nil {
		return nil, err
	}
	// The staging module v0.x.y is part of Kubernetes v1.x.y.
	version, ok := strings.CutPrefix(strings.TrimSpace(string(api)), "v0.")
	if !ok {
		return nil, fmt.Errorf("k8s.io/api has the version %s, not v0.x.y", api)
	}
	module := "k8s.io/kubernetes@v1." + version
	answer, err := output("go", "mod", "download", "-json", module)
	if err != nil {
		return nil, err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(answer, &downloaded); err != nil {
		return nil, fmt.Errorf("%s: %w", module, err)
	}
	text, err := os.ReadFile(filepath.Join(downloaded.Dir, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		return nil, err
	}
	var document struct {
		Definitions definitions `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", module, err)
	}
	for name, definition := range document.Definitions {
		document.Definitions[name] = strict(definition)
	}
	document.Definitions.loosen()
	return document.Definitions, nil
}

func output(name string, args ...string) ([]byte, error) {
	command := exec.Command(name, args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return out, nil
}

// mailAccount returns the schema of the CustomResourceDefinition's only version, and its file name.
func mailAccount(known definitions) (file string, schema object, err error) {
	text, err := os.ReadFile(crdFile)
	if err != nil {
		return "", nil, err
	}
	var crd struct {
		Spec struct {
			Group    string                `json:"group"`
			Names    struct{ Kind string } `json:"names"`
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					OpenAPIV3Schema object `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return "", nil, err
	}
	if len(crd.Spec.Versions) != 1 {
		return "", nil, errors.New("has not one version; teach this program about more")
	}
	version := crd.Spec.Versions[0]
	root := strict(version.Schema.OpenAPIV3Schema)
	// A CustomResourceDefinition leaves these three out: they are the same for all objects.
	properties := root["properties"].(object)
	properties["apiVersion"] = object{"enum": []any{crd.Spec.Group + "/" + version.Name}}
	properties["kind"] = object{"enum": []any{crd.Spec.Names.Kind}}
	properties["metadata"] = object{"$ref": prefix + objectMeta}
	root["required"] = append(root["required"].([]any), "apiVersion", "kind", "metadata")
	group, _, _ := strings.Cut(crd.Spec.Group, ".")
	file = strings.ToLower(fmt.Sprintf("%s-%s-%s", crd.Spec.Names.Kind, group, version.Name))
	return file, known.with(root), nil
}
