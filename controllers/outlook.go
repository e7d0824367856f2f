package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/countersign-dev/countersign/internal/policy"
)

// everyPolicy is the request to look what a change means that is not of one policy. No policy has an empty name.
const everyPolicy = ""

// outlook is what holds for all policies alike, so that a change of one costs the others nothing: ten thousand of them
// share the comparison of the stored configuration, and are looked at again only where that can change their status.
type outlook struct {
	mu sync.Mutex
	// compared are the delivery, the version of the stored configuration and the bundle that were compared last, and equal is
	// what came of it.
	compared comparison
	equal    bool
	// covered is the version of the stored configuration that was last found to be what the policies need.
	covered string
	// open are the policies whose status does not say that they are in force.
	open map[string]bool
	// told is what was in the way when all policies were looked at last.
	told  hindrance
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

type comparison struct {
	delivery        *delivery
	version, bundle string
}

func (o *outlook) follow(queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = queue
}

// note remembers whether a policy is in force, or gone.
func (o *outlook) note(name string, inForce bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if inForce {
		delete(o.open, name)
		return
	}
	if o.open == nil {
		o.open = map[string]bool{}
	}
	o.open[name] = true
}

// delivers says whether the stored configuration is what a delivery needs and, where it is not, whether it is still that
// which earlier policies needed: then those of them that are as they were are in force.
func (o *outlook) delivers(
	d *delivery, stored *admissionregistrationv1.ValidatingWebhookConfiguration, e Endpoint, bundle []byte,
) (now, before bool) {
	if stored.Name == "" {
		return false, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := (comparison{d, stored.ResourceVersion, string(bundle)}); o.compared != c {
		o.compared = c
		o.equal = equality.Semantic.DeepEqual(withoutLost(stored.Webhooks), d.actionWebhooks(e, bundle))
		if o.equal {
			o.covered = stored.ResourceVersion
		}
	}
	return o.equal, o.covered == stored.ResourceVersion
}

// affected are the policies whose status may change by what is in the way of all of them now.
func (o *outlook) affected(h hindrance, d *delivery) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.told
	o.told = h
	if h != (hindrance{}) && !h.passing && h != before {
		names := make([]string, 0, len(d.set.Policies()))
		for _, p := range d.set.Policies() {
			names = append(names, p.Name)
		}
		return names
	}
	names := maps.Clone(o.open)
	if names == nil {
		return slices.Collect(maps.Keys(d.left))
	}
	maps.Copy(names, d.left)
	return slices.Collect(maps.Keys(names))
}

// spread asks for the policies to which a change may matter that is not of one policy.
func (r *AgentActionPolicyReconciler) spread(ctx context.Context) error {
	set := r.Registry.Set()
	if set == nil {
		return nil
	}
	d := r.deliveries.of(set)
	common, err := r.common(ctx, d)
	if err != nil {
		return err
	}
	requests := requestsFor(r.outlook.affected(common, d))
	r.outlook.mu.Lock()
	defer r.outlook.mu.Unlock()
	for _, request := range requests {
		r.outlook.queue.Add(request)
	}
	return nil
}

// pending says why it is not known that the actions of a policy's subjects are refused where it says so.
func (r *AgentActionPolicyReconciler) pending(ctx context.Context, set *policy.Set, name string) (hindrance, error) {
	d := r.deliveries.of(set)
	if d.left[name] {
		return tooLarge, nil
	}
	return r.common(ctx, d)
}

// common says so of all policies whose subjects fit.
func (r *AgentActionPolicyReconciler) common(ctx context.Context, d *delivery) (hindrance, error) {
	bundle, err := r.CABundle()
	if err != nil {
		return hindrance{}, err
	}
	var stored admissionregistrationv1.ValidatingWebhookConfiguration
	err = r.Client.Get(ctx, client.ObjectKey{Name: ActionsConfiguration}, &stored, client.UnsafeDisableDeepCopy) // it is only read
	if client.IgnoreNotFound(err) != nil {
		return hindrance{}, fmt.Errorf("reading webhook configuration %s: %w", ActionsConfiguration, err)
	}
	status := r.Canary()
	switch changed := r.Definitions(); {
	case changed != nil:
		return untrusted(changed), nil
	case status.Down:
		return notRefused(status.Result), nil
	}
	if now, before := r.outlook.delivers(d, &stored, r.Endpoint, bundle); !now {
		h := notStored
		h.passing = before
		return h, nil
	}
	if h := behind(r.Replicas(d.set.State())); h != (hindrance{}) {
		return h, nil
	}
	if !status.Up || status.Proven != stored.ResourceVersion {
		return notProven, nil
	}
	return hindrance{}, nil
}
