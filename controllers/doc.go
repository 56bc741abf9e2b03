// Package controllers brings MailAccounts into the limiter, from a cluster or from a folder of
// manifests.
//
// From a cluster:
//
//   - controllers.go: adds the controllers to a manager, once the cluster knows MailAccounts.
//   - mailaccount.go: a MailAccount as it is read from the cluster, also if its spec is odd.
//   - desired_policy.go: the policy that a MailAccount asks for, and how it comes into force.
//   - limits_controller.go: on every replica, brings MailAccounts into the limiter.
//   - readiness_gate.go: opens the limiter once it has every MailAccount of the first list.
//   - status_controller.go: on the elected replica, writes the status of MailAccounts.
//   - conditions.go: the condition that the status should have.
//   - status_notifier.go: the limits controller tells the status controller what is in force.
//   - pod_events.go: events about the pod that this runs in.
//   - leader.go: the election of the replica that writes the status.
//   - epoch_configmap.go: remembers the epoch of a shared store.
//
// From a folder of manifests:
//
//   - manifest_dir.go: polls the folder and brings its accounts into the limiter.
//   - manifest_dir_files.go: what is asked of the file system, and the stamp of a file.
//   - manifest_dir_stamp_linux.go, manifest_dir_stamp_other.go: the stamp on each system.
//   - manifest_dir_reader.go: finds the files that have changed; waits for none that hangs.
//   - manifest_dir_parse.go: the accounts that a file declares.
//   - manifest_dir_state.go: decides which accounts are in force.
//   - manifest_dir_watch.go: wakes the poll when the file system tells of a change.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=mailaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=mailaccounts/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
package controllers
