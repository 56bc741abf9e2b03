package controllers

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// PodEvents returns a function that makes an event about the pod that this process runs in. The uid
// may be empty; then `kubectl describe pod` does not show the event.
func PodEvents(
	mgr manager.Manager, namespace, name, uid string,
) func(kind, reason, note string) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(uid),
	}}
	events := mgr.GetEventRecorder("sluice")
	return func(kind, reason, note string) {
		// The API server refuses notes of more than 1,024 bytes.
		const most = 1000
		if len(note) > most {
			note = strings.ToValidUTF8(note[:most], "") + "…"
		}
		events.Eventf(pod, nil, kind, reason, "Start", "%s", note)
	}
}
