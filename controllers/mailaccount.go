package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/manifest"
)

// mailAccount is a MailAccount as read from the cluster. Unlike the type of the API it is read from
// whatever is there: an object of an older schema whose spec does not fit the type (a limit of
// 2^31, or a word) has unreadable set. Otherwise one such object would fail the list that holds it,
// and with it every other account.
type mailAccount struct {
	v1alpha1.MailAccount
	unreadable error
}

// UnmarshalJSON reads the object, or at least which one it is, and what its status says.
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
	// Without its status the object would look as if nobody had told its owner yet, each time that
	// it is looked at.
	var told struct {
		Status v1alpha1.MailAccountStatus `json:"status"`
	}
	if e := kjson.UnmarshalCaseSensitivePreserveInts(body, &told); e == nil {
		a.Status = told.Status
	}
	return nil
}

// DeepCopyObject returns a copy.
func (a *mailAccount) DeepCopyObject() runtime.Object {
	return &mailAccount{MailAccount: *a.DeepCopy(), unreadable: a.unreadable}
}

// mailAccountList is a list of them.
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

// addMailAccounts makes a scheme read MailAccounts leniently.
func addMailAccounts(scheme *runtime.Scheme) {
	scheme.AddKnownTypeWithName(v1alpha1.SchemeGroupVersion.WithKind("MailAccount"), &mailAccount{})
	scheme.AddKnownTypeWithName(
		v1alpha1.SchemeGroupVersion.WithKind("MailAccountList"), &mailAccountList{},
	)
	metav1.AddToGroupVersion(scheme, v1alpha1.SchemeGroupVersion)
}
