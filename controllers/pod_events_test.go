package controllers_test

import (
	"errors"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// TestPodEvents makes an event whose note is too long for the API server, and wants it about the
// pod, as `kubectl describe pod` looks for it.
func TestPodEvents(t *testing.T) {
	c := controlplane.Client(t)
	scheme, err := controllers.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(controlplane.Config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tell := controllers.PodEvents(mgr, "default", "sluice-0", "uid-9")
	tell("Warning", "JournalDamaged", "The log ends early. "+strings.Repeat("Ä", 1000))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(t.Context()) }()
	controlplane.Eventually(t, "the event", func() error {
		var list eventsv1.EventList
		if err := c.List(t.Context(), &list, client.InNamespace("default")); err != nil {
			return err
		}
		for _, e := range list.Items {
			r := e.Regarding
			if r.Kind == "Pod" && r.Name == "sluice-0" && r.UID == "uid-9" &&
				e.Type == "Warning" && e.Reason == "JournalDamaged" &&
				strings.HasPrefix(e.Note, "The log ends early. Ä") && strings.HasSuffix(e.Note, "…") {
				return nil
			}
		}
		return errors.New("there is none")
	})
	t.Cleanup(func() { // the context has ended
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
