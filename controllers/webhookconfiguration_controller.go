package controllers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/protection"
	"github.com/countersign-dev/countersign/internal/registry"
)

// certificatePause is how long a pass waits for certificates that are not there yet.
const certificatePause = 200 * time.Millisecond

// managedBy marks what the operator writes.
var managedBy = map[string]string{"app.kubernetes.io/managed-by": "countersign"}

// WebhookConfigurationReconciler keeps the operator's webhook configurations, and its admission policy, equal to what the
// policies need, and repairs them when somebody else changes or deletes them.
type WebhookConfigurationReconciler struct {
	// Client reads from the cache and writes; Live reads from the API server.
	Client client.Client
	Live   client.Reader
	// Registry holds the policies.
	Registry *registry.Registry
	// Endpoint is where the API server finds the operator, CABundle what it must trust there.
	Endpoint Endpoint
	CABundle func() ([]byte, error)
	// Trust tells that CABundle may have changed; nil where it never does.
	Trust <-chan event.GenericEvent
	// AdmissionPolicy has an admission policy kept as well, for the same subjects. Without, one of the operator's is removed.
	AdmissionPolicy bool
	// OwnerClusterRole names the ClusterRole of the release that owns the configurations, so that they go when the
	// release goes. Empty while the operator runs without a release.
	OwnerClusterRole string

	// Level is the level of protection, which is written where kubectl shows it; empty while nobody knows. It may be nil.
	Level func() string
	// Changed tells that Level has changed; it may be nil.
	Changed <-chan event.GenericEvent
	// Recorder tells when somebody else changes these objects; nil tells nobody.
	Recorder events.EventRecorder

	deliveries deliveries
	// settled is how this process has left the objects, by description. There is one worker.
	settled map[string]client.Object
	// told is what was found last that others had done, by description: a repair that is tried again is told of once.
	told map[string]string
}

// LevelAnnotation is on the configuration PoliciesConfiguration: the level of protection when the operator last looked.
const LevelAnnotation = v1alpha1.GroupName + "/protection-level"

// Reconcile implements reconcile.Reconciler.
func (r *WebhookConfigurationReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	state := r.Registry.State()
	if state.Set == nil {
		return reconcile.Result{}, nil // the registry's first update comes back here
	}
	bundle, err := r.CABundle()
	if errors.Is(err, fs.ErrNotExist) {
		return reconcile.Result{RequeueAfter: certificatePause}, nil // the certificates are being made
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	switch req.Name {
	case ActionsConfiguration:
		return reconcile.Result{}, r.ensureActions(ctx, state, bundle)
	case PoliciesConfiguration:
		return reconcile.Result{}, r.ensure(ctx, validating(req.Name, policyWebhooks(r.Endpoint, bundle, r.Registry.Self())))
	case ApprovalsConfiguration:
		return reconcile.Result{}, r.ensure(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: req.Name}, Webhooks: approvalWebhooks(r.Endpoint, bundle, r.Registry.Self()),
		})
	case protection.PolicyName:
		return reconcile.Result{}, r.protect(ctx, state)
	}
	return reconcile.Result{}, nil
}

// protect keeps the admission policy and its binding, or has none. The policy comes first: a binding without one does
// nothing, and the other way round.
//
// While subjects of lost policies are to be kept it stays as it is, and goes on naming them.
func (r *WebhookConfigurationReconciler) protect(ctx context.Context, state registry.State) error {
	if state.Orphans && r.AdmissionPolicy {
		return nil
	}
	policy, binding := protection.AdmissionPolicy(&r.deliveries.of(state.Set).enforce, r.OwnerClusterRole)
	for _, o := range []client.Object{policy, binding} {
		do := r.ensure
		if !r.AdmissionPolicy {
			do = r.remove
		}
		if err := do(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes what an operator wrote that kept an admission policy. What others call so is theirs.
func (r *WebhookConfigurationReconciler) remove(ctx context.Context, o client.Object) error {
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), o)
	if apierrors.IsNotFound(err) || err == nil && !equality.Semantic.DeepEqual(o.GetLabels(), managedBy) {
		return nil
	}
	if err == nil {
		err = client.IgnoreNotFound(r.Client.Delete(ctx, o))
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", describe(o), err)
	}
	ctrl.LoggerFrom(ctx).Info("Removed an admission policy, which is switched off", "name", o.GetName())
	return nil
}

// ensureActions keeps the subjects of policies that have vanished with their definition.
func (r *WebhookConfigurationReconciler) ensureActions(ctx context.Context, state registry.State, bundle []byte) error {
	stored := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: ActionsConfiguration}, stored)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading webhook configuration %s: %w", ActionsConfiguration, err)
	}
	hooks, definition := r.deliveries.of(state.Set).actionWebhooks(r.Endpoint, bundle), state.Definition
	if lost(stored, definition) {
		var some bool
		if hooks, some = keepLost(stored, hooks); some {
			definition = stored.Annotations[definitionAnnotation]
		}
	}
	desired := validating(ActionsConfiguration, hooks)
	if definition != "" {
		desired.SetAnnotations(map[string]string{definitionAnnotation: definition})
	}
	return r.ensure(ctx, desired)
}

func validating(name string, hooks []admissionregistrationv1.ValidatingWebhook) client.Object {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: hooks}
}

// ensure creates or repairs one configuration. The owner's UID is read live each time: a configuration that outlives
// its release would refuse agents for ever, and an owner that is gone must be heard of.
func (r *WebhookConfigurationReconciler) ensure(ctx context.Context, desired client.Object) error {
	owners, err := r.ownerReferences(ctx)
	if err != nil {
		return err
	}
	stored, ok := desired.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copying %s: it is no object", describe(desired))
	}
	desired.SetLabels(managedBy)
	desired.SetOwnerReferences(owners)
	err = r.Client.Get(ctx, client.ObjectKeyFromObject(desired), stored)
	create := apierrors.IsNotFound(err)
	if err != nil && !create {
		return fmt.Errorf("reading %s: %w", describe(desired), err)
	}
	r.annotate(desired, stored)
	if create || !sameConfiguration(stored, desired) {
		if err := r.alarm(ctx, desired); err != nil {
			return err
		}
		desired.SetResourceVersion(stored.GetResourceVersion())
		if err := r.write(ctx, desired, create); err != nil {
			return err
		}
	}
	if desired.GetUID() == "" {
		desired.SetUID(stored.GetUID()) // events are found by it
	}
	r.settle(desired)
	return nil
}

// annotate says the level of protection, or leaves what stands there while nobody knows.
func (r *WebhookConfigurationReconciler) annotate(desired, stored client.Object) {
	if r.Level == nil || desired.GetName() != PoliciesConfiguration {
		return
	}
	level := r.Level()
	if level == "" {
		level = stored.GetAnnotations()[LevelAnnotation]
	}
	if level != "" {
		desired.SetAnnotations(map[string]string{LevelAnnotation: level})
	}
}

// sameConfiguration compares what the operator sets.
func sameConfiguration(stored, desired client.Object) bool {
	return stored.GetAnnotations()[LevelAnnotation] == desired.GetAnnotations()[LevelAnnotation] &&
		equality.Semantic.DeepEqual(stored.GetLabels(), desired.GetLabels()) &&
		equality.Semantic.DeepEqual(stored.GetOwnerReferences(), desired.GetOwnerReferences()) &&
		stored.GetAnnotations()[definitionAnnotation] == desired.GetAnnotations()[definitionAnnotation] &&
		equality.Semantic.DeepEqual(contentOf(stored), contentOf(desired))
}

func contentOf(o client.Object) any {
	switch configuration := o.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		return configuration.Webhooks
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		return configuration.Webhooks
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		return configuration.Spec
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		return configuration.Spec
	default:
		return nil
	}
}

// describe names an object in errors and in the log.
func describe(o client.Object) string {
	switch o.(type) {
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		return "admission policy " + o.GetName()
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		return "binding of admission policy " + o.GetName()
	default:
		return "webhook configuration " + o.GetName()
	}
}

// kindOf is the kind of one of these objects, as a label of metrics.
func kindOf(o client.Object) string {
	switch o.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		return "ValidatingWebhookConfiguration"
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		return "MutatingWebhookConfiguration"
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		return "ValidatingAdmissionPolicy"
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		return "ValidatingAdmissionPolicyBinding"
	default:
		return "Other"
	}
}

func (r *WebhookConfigurationReconciler) write(ctx context.Context, desired client.Object, create bool) error {
	ctrl.LoggerFrom(ctx).Info("Writing "+describe(desired), "create", create)
	configurationWrites.WithLabelValues(desired.GetName()).Inc()
	store := func() error { return r.Client.Update(ctx, desired) }
	if create {
		store = func() error { return r.Client.Create(ctx, desired) }
	}
	if err := store(); err != nil {
		return fmt.Errorf("writing %s: %w", describe(desired), err)
	}
	return nil
}

func (r *WebhookConfigurationReconciler) ownerReferences(ctx context.Context) ([]metav1.OwnerReference, error) {
	if r.OwnerClusterRole == "" {
		return nil, nil
	}
	owner := &rbacv1.ClusterRole{}
	if err := r.Live.Get(ctx, client.ObjectKey{Name: r.OwnerClusterRole}, owner); err != nil {
		return nil, fmt.Errorf("reading ClusterRole %s, which owns the webhook configurations; "+
			"without it none is written, because nothing would remove it: %w", r.OwnerClusterRole, err)
	}
	if owner.DeletionTimestamp != nil {
		// The garbage collector may be taking the references away (--cascade=orphan): what had one again would go with the owner.
		return nil, fmt.Errorf("reading ClusterRole %s, which owns the webhook configurations: it is being deleted", r.OwnerClusterRole)
	}
	return []metav1.OwnerReference{{
		APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole", Name: owner.Name, UID: owner.UID,
	}}, nil
}

// SetupWithManager watches the configurations and the registry.
func (r *WebhookConfigurationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	names := []string{ActionsConfiguration, PoliciesConfiguration, ApprovalsConfiguration, protection.PolicyName}
	b := ctrl.NewControllerManagedBy(mgr)
	if r.Trust != nil {
		b.WatchesRawSource(source.Channel(r.Trust, handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
			return requestsFor(names)
		})))
	}
	if r.Changed != nil {
		b.WatchesRawSource(source.Channel(r.Changed, handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
			return requestsFor([]string{PoliciesConfiguration})
		})))
	}
	return b.
		Named("webhookconfiguration").
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, &handler.EnqueueRequestForObject{}).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, &handler.EnqueueRequestForObject{}).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicy{}, &handler.EnqueueRequestForObject{}).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, &handler.EnqueueRequestForObject{}).
		WatchesRawSource(registryUpdates(r.Registry, func([]string) []string { return names })).
		Complete(r)
}

func requestsFor(names []string) []reconcile.Request {
	requests := make([]reconcile.Request, len(names))
	for i, name := range names {
		requests[i] = reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
	}
	return requests
}

// registryUpdates is a source of the names that f makes of every change of the registry.
func registryUpdates(r *registry.Registry, f func(changed []string) []string) source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		enqueue := func(changed []string) {
			for _, name := range f(changed) {
				queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
			}
		}
		r.OnUpdate(enqueue)
		enqueue(nil)
		return nil
	})
}
