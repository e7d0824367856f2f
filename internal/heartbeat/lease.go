package heartbeat

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// Annotations of the Lease of a replica.
const (
	// PoliciesAnnotation identifies the policies with which it decides. Empty: it has not read them yet.
	PoliciesAnnotation = v1alpha1.GroupName + "/policies"
	// CanaryAnnotation says what its canary has found out: Up, Down and why, or Unknown at the start.
	CanaryAnnotation = v1alpha1.GroupName + "/canary"
	// VersionAnnotation is the version of the program.
	VersionAnnotation = v1alpha1.GroupName + "/version"
)

// Labels are those of the Leases of replicas.
var Labels = map[string]string{
	"app.kubernetes.io/component": "countersign-replica", "app.kubernetes.io/managed-by": "countersign",
}

// Lease is a Beater that renews the Lease of this replica. The API server stores it, so each beat shows that it works.
type Lease struct {
	Client client.Client
	// Key names the Lease, which no other replica may use.
	Key   types.NamespacedName
	Clock clock.PassiveClock
	// Tell gives the annotations.
	Tell func() map[string]string

	// version is that of the Lease as it was written last. Only Beat uses it, which is not called twice at once.
	version string

	// mu guards told, the annotations of the last beat.
	mu   sync.Mutex
	told map[string]string
}

// Beat implements Beater.
func (l *Lease) Beat(ctx context.Context) error {
	annotations := l.Tell()
	err := l.store(ctx, annotations)
	if err != nil {
		return fmt.Errorf("renewing lease %s: %w", l.Key, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = annotations
	return nil
}

// store creates the Lease, or updates the version that it wrote before: the API server updates no Lease of which it is not
// told the version. Where that is not what is stored, because somebody deleted it or the answer to a write was lost, it
// looks, and tries once more.
func (l *Lease) store(ctx context.Context, annotations map[string]string) error {
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: l.Key.Namespace, Name: l.Key.Name, ResourceVersion: l.version, Labels: Labels, Annotations: annotations,
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &l.Key.Name, LeaseDurationSeconds: ptr.To(int32(Limit / time.Second)),
			RenewTime: &metav1.MicroTime{Time: l.Clock.Now()},
		},
	}
	err := l.write(ctx, lease)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		stored := &coordinationv1.Lease{}
		if err := l.Client.Get(ctx, l.Key, stored); client.IgnoreNotFound(err) != nil {
			return err
		}
		lease.ResourceVersion = stored.ResourceVersion
		err = l.write(ctx, lease)
	}
	if err == nil {
		l.version = lease.ResourceVersion
	}
	return err
}

func (l *Lease) write(ctx context.Context, lease *coordinationv1.Lease) error {
	if lease.ResourceVersion == "" {
		return l.Client.Create(ctx, lease)
	}
	return l.Client.Update(ctx, lease)
}

// Changed implements Beater.
func (l *Lease) Changed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !maps.Equal(l.told, l.Tell())
}

// Stop implements Beater: a replica that ends is not waited for.
func (l *Lease) Stop(ctx context.Context) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.Key.Namespace, Name: l.Key.Name}}
	if err := l.Client.Delete(ctx, lease); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting lease %s: %w", l.Key, err)
	}
	return nil
}
