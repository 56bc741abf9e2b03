package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MailAccount declares how much one mail account may send, and what a sender that asks for more is
// told.
//
// Its namespace and name are the account's name in the HTTP API. When it is deleted, Sluice forgets
// what the account sent.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mailacct,categories=sluice
// +kubebuilder:printcolumn:name="Per-Minute",type=integer,JSONPath=`.spec.limits.perMinute`
// +kubebuilder:printcolumn:name="Per-Hour",type=integer,JSONPath=`.spec.limits.perHour`
// +kubebuilder:printcolumn:name="Per-Day",type=integer,JSONPath=`.spec.limits.perDay`
// +kubebuilder:printcolumn:name="Behavior",type=string,JSONPath=`.spec.behavior`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MailAccount struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the account may send.
	// +required
	Spec MailAccountSpec `json:"spec,omitzero"`

	// status tells whether the spec is in force. It does not tell the usage, which changes with
	// every mail: ask the HTTP API.
	// +optional
	Status MailAccountStatus `json:"status,omitzero"`
}

// MailAccountSpec is what one mail account may send.
type MailAccountSpec struct {
	// limits are how much the account may send in any minute, hour and day. An account that may
	// send without any limit says so with `limits: {}`.
	// +required
	Limits *Limits `json:"limits,omitempty"`

	// behavior is what a check over a limit is told: Defer, to come back at a given time, or
	// Reject, to give up.
	// +default="Defer"
	// +optional
	Behavior Behavior `json:"behavior,omitempty"`

	// deferTo is the time that a denied check is given. EarliestSlot is the earliest time at which
	// there is room if all that is in flight is sent. WindowBoundary is the next full minute, hour
	// or day in UTC, of the first exhausted limit in that order; the window may still be full then.
	// +default="EarliestSlot"
	// +optional
	DeferTo DeferTo `json:"deferTo,omitempty"`

	// suspend denies every check while it is true. What the account has sent, and what is in
	// flight, still counts.
	// +default=false
	// +optional
	Suspend *bool `json:"suspend,omitempty"` //nolint:kubeapilinter // nobools: as CronJob and Flux
}

// Limits are how much an account may send in any window of that length, whenever it begins. Leave a
// limit out for no limit.
type Limits struct {
	// perMinute is the limit of any 60 seconds.
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Format=""
	// +kubebuilder:validation:MultipleOf=1
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="self >= 1.0",message="must be 1 or more; leave perMinute out for no limit, or set spec.suspend to true to send nothing"
	// +optional
	PerMinute *int32 `json:"perMinute,omitempty"`

	// perHour is the limit of any 3,600 seconds.
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Format=""
	// +kubebuilder:validation:MultipleOf=1
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="self >= 1.0",message="must be 1 or more; leave perHour out for no limit, or set spec.suspend to true to send nothing"
	// +optional
	PerHour *int32 `json:"perHour,omitempty"`

	// perDay is the limit of any 86,400 seconds.
	// +kubebuilder:validation:Type=number
	// +kubebuilder:validation:Format=""
	// +kubebuilder:validation:MultipleOf=1
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="self >= 1.0",message="must be 1 or more; leave perDay out for no limit, or set spec.suspend to true to send nothing"
	// +optional
	PerDay *int32 `json:"perDay,omitempty"`
}

// Behavior is what a check over a limit is told.
// +enum
// +kubebuilder:validation:Enum=Defer;Reject
type Behavior string

// The behaviors.
const (
	// BehaviorDefer tells the sender when to try again.
	BehaviorDefer Behavior = "Defer"
	// BehaviorReject tells the sender to give up on the message.
	BehaviorReject Behavior = "Reject"
)

// DeferTo is the time that a denied check is given.
// +enum
// +kubebuilder:validation:Enum=EarliestSlot;WindowBoundary
type DeferTo string

// The times.
const (
	// DeferToEarliestSlot is the earliest time at which there is room if all that is in flight is
	// sent.
	DeferToEarliestSlot DeferTo = "EarliestSlot"
	// DeferToWindowBoundary is the next full minute, hour or day in UTC, of the first exhausted
	// limit in that order.
	DeferToWindowBoundary DeferTo = "WindowBoundary"
)

// MailAccountStatus tells whether the spec of a MailAccount is in force.
// +kubebuilder:validation:MinProperties=1
type MailAccountStatus struct {
	// conditions are the state of the account. The only type is Ready. Its reasons are
	// LimitsEnforced, Suspended and InvalidSpec; the Go constants document them.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that the conditions are about.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
}

// ConditionReady reports whether the account's spec is in force. It is also True if the spec
// suspends the account.
const ConditionReady = "Ready"

// The reasons of the condition Ready.
const (
	// ReasonLimitsEnforced (True): the limits are in force, as of observedGeneration.
	ReasonLimitsEnforced = "LimitsEnforced"
	// ReasonSuspended (True): spec.suspend is in force; every check is denied.
	ReasonSuspended = "Suspended"
	// ReasonInvalidSpec (False): an older schema let the spec through, and the schema of this
	// version refuses it. The limits before it stay in force. The message says what to change.
	ReasonInvalidSpec = "InvalidSpec"
)

// MailAccountList is a list of MailAccounts.
// +kubebuilder:object:root=true
type MailAccountList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items are the MailAccounts.
	// +required
	Items []MailAccount `json:"items"`
}
