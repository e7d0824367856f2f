package command

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/countersign-dev/countersign/internal/canary"
)

// operatorFacts is what was found of the operator in the cluster.
type operatorFacts struct {
	// url is where the API server reaches it outside of the cluster, service the name of its Service inside.
	url, service string
	// selector is that of the Service, deployment the one whose pods it has; nil where there is none, or err says why not.
	selector   map[string]string
	deployment *appsv1.Deployment
	err        error
}

// locate finds the operator by its webhook configurations. What goes wrong is reported by those who need what is missing.
func (d *doctor) locate(ctx context.Context) {
	d.hooks = d.readHooks(ctx)
	for _, c := range d.hooks {
		for _, entry := range c.entries {
			if s := entry.client.Service; s != nil {
				d.namespace, d.operator.service = s.Namespace, s.Name
			} else if u := entry.client.URL; u != nil {
				d.operator.url = strings.TrimSuffix(host(*u), "/")
			}
		}
	}
	if d.operator.service != "" {
		d.operator.url = ""
		d.operator.selector, d.operator.deployment, d.operator.err = d.findDeployment(ctx)
	}
}

func (d *doctor) findDeployment(ctx context.Context) (map[string]string, *appsv1.Deployment, error) {
	service, err := d.cluster.CoreV1().Services(d.namespace).Get(ctx, d.operator.service, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the Service: %w", err)
	}
	if len(service.Spec.Selector) == 0 {
		return nil, nil, nil
	}
	list, err := d.cluster.AppsV1().Deployments(d.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return service.Spec.Selector, nil, fmt.Errorf("listing Deployments: %w", err)
	}
	selected := labels.SelectorFromSet(service.Spec.Selector)
	for i := range list.Items {
		if selected.Matches(labels.Set(list.Items[i].Spec.Template.Labels)) {
			return service.Spec.Selector, &list.Items[i], nil
		}
	}
	return service.Spec.Selector, nil, nil
}

// flag is the value of a flag of the operator, or another one where it cannot be seen.
func (o *operatorFacts) flag(name, otherwise string) string {
	if o.deployment != nil {
		for i := range o.deployment.Spec.Template.Spec.Containers {
			for _, arg := range o.deployment.Spec.Template.Spec.Containers[i].Args {
				if value, found := strings.CutPrefix(arg, "--"+name+"="); found {
					return value
				}
			}
		}
	}
	return otherwise
}

func (o *operatorFacts) canary() string { return o.flag("canary", canary.DefaultAccount) }

// upgrade installs the chart again, with more values than before.
func (d *doctor) upgrade(more ...string) string {
	release := "countersign"
	if d.operator.deployment != nil {
		release = cmp.Or(d.operator.deployment.Labels["app.kubernetes.io/instance"], release)
		more = append([]string{"--reuse-values"}, more...)
	}
	return strings.Join(append([]string{"helm upgrade --install", release, "charts/countersign --namespace", d.namespace}, more...), " ")
}

// restart has the operator write its configurations anew.
func (d *doctor) restart(flags ...string) string {
	if d.operator.url != "" {
		return strings.Join(append([]string{"countersign --webhook-url", d.operator.url, "--namespace", d.namespace}, flags...), " ")
	}
	if d.operator.deployment != nil {
		return fmt.Sprintf("kubectl rollout restart deployment %s --namespace %s", d.operator.deployment.Name, d.namespace)
	}
	return "kubectl rollout restart deployment --selector app.kubernetes.io/name=countersign --namespace " + d.namespace
}

// redefine installs Countersign's kinds again.
func (d *doctor) redefine() string {
	if d.operator.url != "" {
		return "kubectl apply --server-side --force-conflicts -f config/crd"
	}
	return d.upgrade()
}

// deployment looks at who is behind the Service.
func (d *doctor) deployment(ctx context.Context) {
	switch o := &d.operator; {
	case o.url != "":
		d.ok("the API server reaches the operator at %s, outside of the cluster: there is no Service, Secret or priority to look at", o.url)
	case o.service == "":
		return // no webhook says where it is, which was reported
	case apierrors.IsNotFound(o.err):
		d.fail(d.upgrade(), "there is no Service %s/%s: the API server does not reach the operator, and agents are refused everything",
			d.namespace, o.service)
	case o.err != nil:
		d.unknown(o.err, "the operator's Deployment cannot be looked at")
		d.endpoints(ctx)
	case o.deployment == nil:
		d.fail(d.upgrade(), "no Deployment has pods for Service %s/%s", d.namespace, o.service)
		d.endpoints(ctx)
	default:
		d.endpoints(ctx)
	}
}

// endpoints counts the replicas to which the API server can go.
func (d *doctor) endpoints(ctx context.Context) {
	list, err := d.cluster.DiscoveryV1().EndpointSlices(d.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{discoveryv1.LabelServiceName: d.operator.service}.String(),
	})
	if err != nil {
		d.unknown(err, "the endpoints of Service %s/%s cannot be looked at", d.namespace, d.operator.service)
		return
	}
	ready, others := map[string]bool{}, map[string]bool{}
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			name := endpointName(&e)
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready[name] = true
			} else {
				others[name] = true
			}
		}
	}
	waiting := ""
	if len(others) > 0 {
		waiting = fmt.Sprintf(", and %d not ready", len(others))
	}
	service := d.namespace + "/" + d.operator.service
	switch {
	case len(ready) == 0:
		d.fail(d.mendPods(), "no replica is ready behind Service %s%s: agents are refused everything, and nobody can change policies or approve",
			service, waiting)
	case len(ready) == 1:
		d.warn(d.scale(), "one replica is ready behind Service %s%s: agents are refused everything while it is away", service, waiting)
	case len(others) > 0:
		d.warn(d.mendPods(), "%d replicas are ready behind Service %s%s", len(ready), service, waiting)
	default:
		d.ok("%d replicas are ready behind Service %s", len(ready), service)
	}
}

// endpointName tells the pods behind a Service apart, which may have addresses of two families.
func endpointName(e *discoveryv1.Endpoint) string {
	if e.TargetRef != nil {
		return e.TargetRef.Name
	}
	return strings.Join(e.Addresses, ",")
}

func (d *doctor) scale() string {
	name := "countersign"
	if d.operator.deployment != nil {
		name = d.operator.deployment.Name
	}
	return fmt.Sprintf("kubectl scale deployment %s --replicas 2 --namespace %s", name, d.namespace)
}

// mendPods starts pods where none are wanted, and else shows why they are not ready.
func (d *doctor) mendPods() string {
	if w := d.operator.deployment; w != nil && w.Spec.Replicas != nil && *w.Spec.Replicas == 0 {
		return d.scale()
	}
	return fmt.Sprintf("kubectl describe pods --selector %s --namespace %s", labels.Set(d.operator.selector), d.namespace)
}

// username is whom the operator acts as, empty where that cannot be seen.
func (d *doctor) username() (namespace, name string) {
	if d.operator.deployment == nil {
		return "", ""
	}
	return d.namespace, cmp.Or(d.operator.deployment.Spec.Template.Spec.ServiceAccountName, "default")
}
