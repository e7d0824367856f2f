package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// everything is the broadest grant that can be written without naming anything.
const everything = `
enforcement: Enforce
subjects: [AGENT]
tasks:
- name: everything
  scope:
    resourceRules: [{apiGroups: ["*"], resources: ["*/*"], operations: ["*"]}]
`

// lever is a way to act on workloads without writing them.
type lever struct {
	// prepare makes what is pulled at, in the place of the agent and in that of a person.
	prepare func(t *testing.T, at *place)
	// pull does it.
	pull func(ctx context.Context, who *identity, at *place) error
	// reason of the refusal, for an agent that is granted everything.
	reason string
	// acted is nil once the lever has acted, by way of kube-controller-manager where there is a controller for it.
	acted func(ctx context.Context, at *place) error
}

// place is a namespace with a Deployment.
type place struct {
	*environment
	namespace string
	web       *appsv1.Deployment
	// token was got in this place.
	token string
}

// TestLevers pulls each lever as an agent in one place and as a person in another one. What becomes of the second shows
// that the lever is one; by then the first must be as it was.
func TestLevers(t *testing.T) {
	e := newEnvironment(t)
	namespace := e.namespace(t)
	agent, person := e.agent(t, namespace), e.person(t, "erin")
	e.policy(t, namespace, everything)
	operatortest.Eventually(t, "the agent is governed", func(ctx context.Context) error {
		if err := agent.Create(ctx, tokenSecret(namespace), client.DryRunAll); err == nil {
			return errors.New("what is reserved passes")
		}
		return nil
	})
	allowed(t, agent.Create(t.Context(), configMap(namespace, "any"))) // it is granted everything
	e.createForTest(t, scaledObjects())
	operatortest.Eventually(t, "the custom kind is served", func(ctx context.Context) error {
		probe := levers()["a scaler of others"]
		return probe.pull(ctx, &identity{Client: client.NewDryRunClient(e.admin)}, &place{namespace: namespace})
	})
	for name, l := range levers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mine, theirs := newPlace(t, e), newPlace(t, e)
			for _, at := range []*place{mine, theirs} {
				if l.prepare != nil {
					l.prepare(t, at)
				}
			}
			refused(t, l.pull(t.Context(), agent, mine), l.reason)
			allowed(t, l.pull(t.Context(), person, theirs))
			operatortest.Eventually(t, "the lever has acted for a person", func(ctx context.Context) error { return l.acted(ctx, theirs) })
			if err := l.acted(t.Context(), mine); err == nil {
				t.Error("the lever has acted for the agent")
			}
		})
	}
}

func levers() map[string]lever {
	all := map[string]lever{}
	for _, some := range []map[string]lever{metadataLevers(), replicaLevers(), trafficLevers(), laterLevers(), clusterLevers(), identityLevers()} {
		maps.Copy(all, some)
	}
	return all
}

func newPlace(t *testing.T, e *environment) *place {
	t.Helper()
	at := &place{environment: e, namespace: e.namespace(t)}
	at.web = deployment(at.namespace, "web")
	at.web.Spec.Replicas = ptr.To[int32](6)
	allowed(t, e.admin.Create(t.Context(), at.web))
	// The controllers are done when there are as many pods as there should be.
	operatortest.Eventually(t, "the pods exist", func(ctx context.Context) error {
		if err := at.admin.Get(ctx, client.ObjectKeyFromObject(at.web), at.web); err != nil {
			return err
		}
		if at.web.Status.Replicas != 6 {
			return fmt.Errorf("there are %d", at.web.Status.Replicas)
		}
		return nil
	})
	return at
}

// name of what is in no namespace and belongs to this place.
func (p *place) name() string { return "of-" + p.namespace }

// patchesWeb changes the Deployment.
func patchesWeb(body string) func(context.Context, *identity, *place) error {
	return func(ctx context.Context, who *identity, at *place) error {
		return patch(ctx, who, at.web, types.MergePatchType, body)
	}
}

// read reads an object of the place by its name.
func (p *place) read(ctx context.Context, o client.Object) error {
	return p.admin.Get(ctx, client.ObjectKeyFromObject(o), o)
}

// gone is nil when an object is not there, or is being deleted.
func (p *place) gone(ctx context.Context, o client.Object) error {
	switch err := p.read(ctx, o); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case o.GetDeletionTimestamp() != nil:
		return nil
	default:
		return fmt.Errorf("%s is there", o.GetName())
	}
}

// readyPod is a pod without an owner that serves, on a node of its own.
func (p *place) readyPod(t *testing.T) *corev1.Pod {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: p.name()}}
	allowed(t, p.admin.Create(t.Context(), node))
	t.Cleanup(func() {
		if err := p.admin.Delete(context.Background(), node); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	serving := pod(p.namespace, "serving")
	serving.Spec.NodeName = node.Name
	serving.Spec.Tolerations = []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists}}
	allowed(t, p.admin.Create(t.Context(), serving))
	status := `{"status":{"phase":"Running","podIP":"10.1.2.3","podIPs":[{"ip":"10.1.2.3"}],"conditions":[{"type":"Ready","status":"True"}]}}`
	allowed(t, p.admin.Status().Patch(t.Context(), serving.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(status))))
	return serving
}

// creates is a lever that is created and acts by being there.
func creates(reason string, object func(at *place) client.Object) lever {
	return lever{
		reason: reason,
		pull:   func(ctx context.Context, who *identity, at *place) error { return who.Create(ctx, object(at)) },
		acted:  func(ctx context.Context, at *place) error { return at.read(ctx, object(at)) },
	}
}

// stillNot says why a lever has not acted.
func stillNot(why string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", why, err)
	}
	return errors.New(why)
}
