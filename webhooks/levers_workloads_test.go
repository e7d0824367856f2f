package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

const nobodyOwns = `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}`

// metadataLevers have the garbage collector and the API server act.
func metadataLevers() map[string]lever {
	collected := func(ctx context.Context, at *place) error { return at.gone(ctx, at.web.DeepCopy()) }
	return map[string]lever{
		"an owner that does not exist": {pull: patchesWeb(nobodyOwns), reason: "FieldOutOfScope", acted: collected},
		"an owner, by way of the status": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Client.Status().Patch(ctx, at.web.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(nobodyOwns)))
			},
			reason: "ActionOutOfScope", acted: collected,
		},
		"a finalizer that is let go": {
			prepare: func(t *testing.T, at *place) {
				allowed(t, patch(t.Context(), &identity{Client: at.admin}, at.web, types.MergePatchType, `{"metadata":{"finalizers":["example.com/hold"]}}`))
				allowed(t, at.admin.Delete(t.Context(), at.web.DeepCopy()))
			},
			pull: patchesWeb(`{"metadata":{"finalizers":null}}`), reason: "FieldOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				if err := at.read(ctx, at.web.DeepCopy()); !apierrors.IsNotFound(err) {
					return stillNot("it is there", err)
				}
				return nil
			},
		},
		"a finalizer that holds": {
			pull: patchesWeb(`{"metadata":{"finalizers":["example.com/hold"]}}`), reason: "FieldOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				web := at.web.DeepCopy()
				if err := at.read(ctx, web); err != nil || len(web.Finalizers) == 0 {
					return stillNot("it has no finalizer", err)
				}
				return nil
			},
		},
	}
}

// replicaLevers change how many pods run.
func replicaLevers() map[string]lever {
	return map[string]lever{
		"an autoscaler": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, autoscaler(at.namespace, "web", 1))
			},
			reason: "ActionOutOfScope", acted: scaledDown,
		},
		"a disruption budget that holds pods": {
			prepare: func(t *testing.T, at *place) { at.readyPod(t) },
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, disruptionBudget(at.namespace))
			},
			reason: "ActionOutOfScope", acted: held,
		},
		"a disruption budget that is removed": {
			prepare: func(t *testing.T, at *place) {
				at.readyPod(t)
				allowed(t, at.admin.Create(t.Context(), disruptionBudget(at.namespace)))
				operatortest.Eventually(t, "the pod is held", func(ctx context.Context) error { return held(ctx, at) })
			},
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Delete(ctx, disruptionBudget(at.namespace))
			},
			reason: "ActionOutOfScope",
			acted:  func(ctx context.Context, at *place) error { return evictServing(ctx, at) },
		},
		"a quota": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, &corev1.ResourceQuota{
					ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "none"},
					Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
				})
			},
			reason: "ActionOutOfScope", acted: noMorePods,
		},
		"a limit range": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, &corev1.LimitRange{
					ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "none"},
					Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
						Type: corev1.LimitTypePod, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")},
					}}},
				})
			},
			reason: "ActionOutOfScope", acted: noMorePods,
		},
		"the status of a pod": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				pods := &corev1.PodList{}
				if err := at.admin.List(ctx, pods, client.InNamespace(at.namespace)); err != nil {
					return err
				}
				return who.Client.Status().Patch(ctx, &pods.Items[0], client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Failed"}}`)))
			},
			reason: "ActionOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				pods := &corev1.PodList{}
				if err := at.admin.List(ctx, pods, client.InNamespace(at.namespace)); err != nil {
					return err
				}
				if len(pods.Items) <= 6 {
					return errors.New("no pod is replaced")
				}
				return nil
			},
		},
	}
}

func autoscaler(namespace, target string, most int32) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: target, Labels: map[string]string{"app": "web"}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target},
			MinReplicas:    ptr.To[int32](1), MaxReplicas: most,
		},
	}
}

func disruptionBudget(namespace string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "serving"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "serving"}},
		},
	}
}

// scaledDown is nil when a controller has taken all but one replica away.
func scaledDown(ctx context.Context, at *place) error {
	web := at.web.DeepCopy()
	if err := at.read(ctx, web); err != nil {
		return err
	}
	if *web.Spec.Replicas != 1 {
		return fmt.Errorf("there are %d replicas", *web.Spec.Replicas)
	}
	return nil
}

func evictServing(ctx context.Context, at *place) error {
	eviction := &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "serving"}, DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
	}
	return at.admin.SubResource("eviction").Create(ctx, pod(at.namespace, "serving"), eviction)
}

// held is nil when the disruption budget keeps the pod from being evicted.
func held(ctx context.Context, at *place) error {
	budget := disruptionBudget(at.namespace)
	if err := at.read(ctx, budget); err != nil {
		return err
	}
	if err := evictServing(ctx, at); !apierrors.IsTooManyRequests(err) || budget.Status.CurrentHealthy != 1 {
		return stillNot(fmt.Sprintf("it is not held with the status %+v", budget.Status), err)
	}
	return nil
}

// noMorePods is nil when pods like those of the workload are refused, so that a lost one is not replaced.
func noMorePods(ctx context.Context, at *place) error {
	if err := at.admin.Create(ctx, pod(at.namespace, "one-more"), client.DryRunAll); !apierrors.IsForbidden(err) {
		return stillNot("a pod can be created", err)
	}
	return nil
}

// laterLevers put off what a change does, or do things by the clock.
func laterLevers() map[string]lever {
	return map[string]lever{
		"a CronJob": {
			pull: func(ctx context.Context, who *identity, at *place) error {
				return who.Create(ctx, &batchv1.CronJob{
					ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: "night"},
					Spec:       batchv1.CronJobSpec{Schedule: "@every 1s", JobTemplate: batchv1.JobTemplateSpec{Spec: job(metav1.ObjectMeta{}).Spec}},
				})
			},
			reason: "ActionOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				jobs := &batchv1.JobList{}
				if err := at.admin.List(ctx, jobs, client.InNamespace(at.namespace)); err != nil || len(jobs.Items) == 0 {
					return stillNot("there is no Job", err)
				}
				return nil
			},
		},
		"a suspended Job that is resumed": {
			prepare: func(t *testing.T, at *place) {
				suspended := job(named(at.namespace))
				suspended.Spec.Suspend = new(true)
				allowed(t, at.admin.Create(t.Context(), suspended))
			},
			pull: func(ctx context.Context, who *identity, at *place) error {
				return patch(ctx, who, job(named(at.namespace)), types.MergePatchType, `{"spec":{"suspend":false}}`)
			},
			reason: "FieldOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				j := job(named(at.namespace))
				if err := at.read(ctx, j); err != nil || j.Status.Active == 0 {
					return stillNot(fmt.Sprintf("it has the status %+v", j.Status), err)
				}
				return nil
			},
		},
		"a paused Deployment": {
			pull: patchesWeb(`{"spec":{"paused":true,"template":{"metadata":{"annotations":{"roll":"later"}}}}}`), reason: "FieldOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				web := at.web.DeepCopy()
				if err := at.read(ctx, web); err != nil {
					return err
				}
				for _, c := range web.Status.Conditions {
					if c.Reason == "DeploymentPaused" && web.Status.UpdatedReplicas == 0 {
						return nil
					}
				}
				return fmt.Errorf("it has the status %+v", web.Status)
			},
		},
		"a StatefulSet that rolls when its pods go": {
			prepare: func(t *testing.T, at *place) { allowed(t, at.admin.Create(t.Context(), database(at.namespace))) },
			pull: func(ctx context.Context, who *identity, at *place) error {
				return patch(ctx, who, database(at.namespace), types.MergePatchType,
					`{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null},"template":{"metadata":{"annotations":{"roll":"later"}}}}}`)
			},
			reason: "FieldOutOfScope",
			acted: func(ctx context.Context, at *place) error {
				db := database(at.namespace)
				if err := at.read(ctx, db); err != nil {
					return err
				}
				if db.Status.ObservedGeneration != db.Generation || db.Status.UpdateRevision == db.Status.CurrentRevision || db.Status.UpdatedReplicas > 0 {
					return fmt.Errorf("it has the status %+v", db.Status)
				}
				return nil
			},
		},
	}
}

func database(namespace string) *appsv1.StatefulSet {
	d := deployment(namespace, "db")
	return &appsv1.StatefulSet{
		ObjectMeta: d.ObjectMeta, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](1), Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
}
