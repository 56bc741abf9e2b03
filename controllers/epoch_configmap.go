package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// epochName is the ConfigMap that has the epoch, and epochKey is where in it.
const (
	epochName = "sluice-redis-epoch"
	epochKey  = "epoch"
)

// EpochConfigMap remembers the epoch of a shared store in a ConfigMap of Sluice's namespace, so
// that a pod that is new notices an emptied store. Whoever deletes it has the next pod believe
// whatever store it finds.
type EpochConfigMap struct {
	configMaps corev1client.ConfigMapInterface
	namespace  string
}

// NewEpochConfigMap returns an EpochConfigMap. It asks nothing of the API server.
func NewEpochConfigMap(config *rest.Config, namespace string) (*EpochConfigMap, error) {
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &EpochConfigMap{clientset.CoreV1().ConfigMaps(namespace), namespace}, nil
}

// Load returns the epoch that is kept, or "" if none is yet.
func (e *EpochConfigMap) Load(ctx context.Context) (string, error) {
	kept, err := e.get(ctx)
	if err != nil || kept == nil {
		return "", err
	}
	return kept.Data[epochKey], nil
}

// Save keeps an epoch. It is an error if what is kept is no longer was, which Load said.
func (e *EpochConfigMap) Save(ctx context.Context, was, epoch string) error {
	kept, err := e.get(ctx)
	switch {
	case err != nil:
		return err
	case kept == nil && was != "":
		return fmt.Errorf("%s was deleted: it had the epoch %s", e, was)
	case kept == nil:
		_, err = e.configMaps.Create(ctx, newEpochConfigMap(epoch), metav1.CreateOptions{})
		return e.told(err)
	case kept.Data[epochKey] != was:
		return fmt.Errorf("%s has the epoch %s now, and had %q", e, kept.Data[epochKey], was)
	}
	// The API server refuses it if another replica has written since.
	if kept.Data == nil {
		kept.Data = map[string]string{}
	}
	kept.Data[epochKey] = epoch
	_, err = e.configMaps.Update(ctx, kept, metav1.UpdateOptions{})
	return e.told(err)
}

// get returns the ConfigMap, or nil if there is none.
func (e *EpochConfigMap) get(ctx context.Context) (*corev1.ConfigMap, error) {
	kept, err := e.configMaps.Get(ctx, epochName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return kept, e.told(err)
}

// told adds to an error what to do, or else where it is about.
func (e *EpochConfigMap) told(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server does not let Sluice keep %s "+
			"(config/rbac/redis_epoch_role.yaml has the role it needs): %w", e, err)
	}
	return fmt.Errorf("%s: %w", e, err)
}

// String returns the name, as in messages.
func (e *EpochConfigMap) String() string {
	return "the ConfigMap " + e.namespace + "/" + epochName
}

func newEpochConfigMap(epoch string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:   epochName,
			Labels: map[string]string{"app.kubernetes.io/name": "sluice"},
			Annotations: map[string]string{
				"sluice.dev/about": "The epoch of the shared store. A pod that finds another one " +
					"there does not answer from it. Not to be deleted.",
			},
		},
		Data: map[string]string{epochKey: epoch},
	}
}
