// Package controllers brings MailAccounts into the limiter.
//
//   - limits_controller.go: on every replica, a MailAccount of the cluster becomes the policy of an
//     account.
//   - readiness_gate.go: tells the limiter when every MailAccount of the first list is in it.
//   - status_controller.go, conditions.go: on the elected replica, what became of a MailAccount
//     becomes its status.
//   - status_notifier.go: the limits controller tells the status controller when a policy is in
//     force.
//   - leader.go: the election.
//   - controllers.go: all of these in a manager, as soon as the cluster knows MailAccounts.
//   - manifest_dir.go: the same from a folder of manifests, without a cluster; manifest_dir_*.go
//     are its parts.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=mailaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=mailaccounts/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
package controllers
