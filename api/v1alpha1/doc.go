// Package v1alpha1 is the sluice.dev/v1alpha1 API: the MailAccount, which says how much a mail
// account may send.
//
//   - mailaccount_types.go: the type MailAccount, its reasons and its schema.
//   - validation.go: what the schema refuses, for specs that an older schema let through.
//   - register.go: adds the types to a scheme.
//
// It imports nothing but the Kubernetes API machinery, so that other programs can use it without a
// controller.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=sluice.dev
package v1alpha1
