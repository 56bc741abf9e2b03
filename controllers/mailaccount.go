package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/manifest"
)

// mailAccount is a MailAccount as read from the cluster. An older schema may have let through a
// spec that does not fit the type, such as a limit of 2^31. Such an object is read as well:
// otherwise the list that holds it could not be read, and no account would be in force.
type mailAccount struct {
	v1alpha1.MailAccount
	unreadable error // why the spec does not fit the type
}

// UnmarshalJSON reads the object. If that fails it reads at least the metadata and the status.
func (a *mailAccount) UnmarshalJSON(body []byte) error {
	err := kjson.UnmarshalCaseSensitivePreserveInts(body, &a.MailAccount)
	if err == nil {
		return nil
	}
	var named struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if e := kjson.UnmarshalCaseSensitivePreserveInts(body, &named); e != nil {
		return e
	}
	*a = mailAccount{unreadable: manifest.Readable(err)}
	a.TypeMeta, a.ObjectMeta = named.TypeMeta, named.ObjectMeta
	// Without the status, the status controller would write it again each time.
	var known struct {
		Status v1alpha1.MailAccountStatus `json:"status"`
	}
	if e := kjson.UnmarshalCaseSensitivePreserveInts(body, &known); e == nil {
		a.Status = known.Status
	}
	return nil
}

// DeepCopyObject returns a copy.
func (a *mailAccount) DeepCopyObject() runtime.Object {
	return &mailAccount{MailAccount: *a.DeepCopy(), unreadable: a.unreadable}
}

// mailAccountList is a list of MailAccounts.
type mailAccountList struct {
	metav1.TypeMeta `              json:",inline"`
	metav1.ListMeta `              json:"metadata"`
	Items           []mailAccount `json:"items"`
}

// DeepCopyObject returns a copy.
func (l *mailAccountList) DeepCopyObject() runtime.Object {
	out := &mailAccountList{
		TypeMeta: l.TypeMeta,
		ListMeta: *l.DeepCopy(),
		Items:    make([]mailAccount, len(l.Items)),
	}
	for i := range l.Items {
		out.Items[i] = mailAccount{
			MailAccount: *l.Items[i].DeepCopy(),
			unreadable:  l.Items[i].unreadable,
		}
	}
	return out
}

// addMailAccounts makes a scheme read MailAccounts as mailAccount does.
func addMailAccounts(scheme *runtime.Scheme) {
	scheme.AddKnownTypeWithName(v1alpha1.SchemeGroupVersion.WithKind("MailAccount"), &mailAccount{})
	scheme.AddKnownTypeWithName(
		v1alpha1.SchemeGroupVersion.WithKind("MailAccountList"), &mailAccountList{},
	)
	metav1.AddToGroupVersion(scheme, v1alpha1.SchemeGroupVersion)
}
