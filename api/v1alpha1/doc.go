// Package v1alpha1 is the sluice.dev/v1alpha1 API: the MailAccount, which says how much a mail account may send.
//
// It imports the Kubernetes API machinery alone, so that other programs can use it without taking in a controller.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=sluice.dev
package v1alpha1
