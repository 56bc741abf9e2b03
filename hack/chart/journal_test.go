package main

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// keeping is what makes a pod keep its journal, whichever way it is installed.
type keeping struct {
	Claim        string
	Spec         corev1.PersistentVolumeClaimSpec
	Volumes      []corev1.Volume
	Mounts       []corev1.VolumeMount
	DataDir      []corev1.EnvVar
	Security     *corev1.PodSecurityContext
	StartupProbe *corev1.Probe
}

// config/ is written by hand, so it could keep the journal otherwise than the chart.
func TestConfigKeepsTheJournalAsTheChartDoes(t *testing.T) {
	var config []byte
	for _, file := range []string{"persistentvolumeclaim.yaml", "statefulset.yaml"} {
		text, err := os.ReadFile("../../config/manager/" + file)
		if err != nil {
			t.Fatal(err)
		}
		config = slices.Concat(config, []byte("\n---\n"), text)
	}
	want, got := keepingOf(t, render(t)), keepingOf(t, config)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the chart (-) and config/manager (+) differ:\n%s", diff)
	}
	if want.Claim == "" || len(want.Volumes) != 1 || len(want.DataDir) != 1 {
		t.Errorf("the chart keeps nothing: %+v", want)
	}
}

func keepingOf(t *testing.T, manifests []byte) (k keeping) {
	t.Helper()
	for document := range bytes.SplitSeq(manifests, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		decode(t, document, &kind)
		switch kind.Kind {
		case "PersistentVolumeClaim":
			var claim corev1.PersistentVolumeClaim
			strictly(t, document, &claim)
			k.Claim, k.Spec = claim.Name, claim.Spec
		case "StatefulSet":
			var set appsv1.StatefulSet
			strictly(t, document, &set)
			pod := set.Spec.Template.Spec
			container := pod.Containers[0]
			k.Volumes, k.Mounts = pod.Volumes, container.VolumeMounts
			k.Security, k.StartupProbe = pod.SecurityContext, container.StartupProbe
			for _, variable := range container.Env {
				if variable.Name == "SLUICE_DATA_DIR" {
					k.DataDir = append(k.DataDir, variable)
				}
			}
		}
	}
	return k
}

func strictly(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
}
