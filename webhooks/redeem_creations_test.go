package webhooks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maker makes an object for a namespace.
type maker func(namespace string) client.Object

// TestRedeemCreations creates twice what the API server completes in another way each time, and does twice what is not
// stored as itself.
func TestRedeemCreations(t *testing.T) {
	e := newEnvironment(t)
	newPod := func(ns string) client.Object { return pod(ns, "new") }
	newConfig := func(ns string) client.Object { return &corev1.ConfigMap{ObjectMeta: named(ns)} }
	newSecret := func(ns string) client.Object { return &corev1.Secret{ObjectMeta: named(ns)} }
	newJob := func(ns string) client.Object { return job(named(ns)) }
	newDeployment := func(ns string) client.Object { return deployment(ns, "new") }
	runPod := kubectl("run", "new", "--image=c:1", "--labels=app=new", "--overrides="+
		`{"spec":{"containers":[{"name":"c","image":"c:1"}]}}`)
	const config = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"},"data":{"a":"b"}}`
	const podManifest = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"new","labels":{"app":"new"}},"spec":{"containers":[{"name":"c","image":"c:1"}]}}`
	createConfig := kubectl("create", "configmap", "new", "--from-literal=a=b")
	for name, tc := range map[string]shape{
		"asked by kubectl create, done by apply":               creation(newConfig, createConfig).by(applies(config)),
		"asked by kubectl apply, done by apply on the server":  creation(newConfig, applies(config)).by(applies(config, "--server-side")),
		"asked by apply on the server, done by kubectl create": creation(newConfig, applies(config, "--server-side")).by(createConfig),
		"Pod: asked by apply on the server, done by create":    creation(newPod, applies(podManifest, "--server-side")).by(byClient(newPod)),
		"Pod: asked by create, done by kubectl apply":          creation(newPod, byClient(newPod)).by(applies(podManifest)),
		"Pod":                                    creation(newPod, byClient(newPod)),
		"Pod by kubectl":                         creation(newPod, runPod),
		"Job":                                    creation(newJob, byClient(newJob)),
		"Deployment":                             creation(newDeployment, byClient(newDeployment)),
		"Service":                                serviceCreation(corev1.ServiceTypeClusterIP),
		"Service with ports of nodes":            serviceCreation(corev1.ServiceTypeNodePort),
		"Service with a load balancer":           serviceCreation(corev1.ServiceTypeLoadBalancer),
		"ConfigMap by kubectl":                   creation(newConfig, kubectl("create", "configmap", "new", "--from-literal=a=b")),
		"Secret by kubectl":                      creation(newSecret, kubectl("create", "secret", "generic", "new", "--from-literal=password=hunter2")),
		"Job with a generated name":              generatedJob(),
		"token of one's own account":             {ask: kubectl("create", "token", "agent")},
		"binding":                                binding(bindPod, bindPod),
		"asked by one, bound by the other":       binding(bindPod, bindAny),
		"asked by the other, bound by the first": binding(bindAny, bindPod),
	} {
		t.Run(name, func(t *testing.T) { tc.run(t, e) })
	}
	t.Run("a name is not a generated one", func(t *testing.T) { testNameIsNotGenerated(t, e) })
	t.Run("a token is issued by a dry run too", func(t *testing.T) { testTokenByDryRun(t, e) })
	t.Run("a session", func(t *testing.T) { testSession(t, e) })
}

func named(namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: "new"}
}

func job(metadata metav1.ObjectMeta) *batchv1.Job {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "c:1"}},
	}}
	return &batchv1.Job{ObjectMeta: metadata, Spec: batchv1.JobSpec{Template: template}}
}

// creation is that of an object, which a person deletes again.
func creation(object maker, by route) shape {
	return shape{
		ask:    by,
		landed: func(ctx context.Context, s *story) error { return s.there(ctx, object(s.namespace)) },
		revert: func(t *testing.T, s *story) {
			o := object(s.namespace)
			allowed(t, s.admin.Delete(t.Context(), o, client.GracePeriodSeconds(0), client.PropagationPolicy(metav1.DeletePropagationBackground)))
		},
	}
}

// by has the same done in another way.
func (c shape) by(r route) shape {
	c.redeem = r
	return c
}

func applies(manifest string, flags ...string) route {
	return func(ctx context.Context, s *story) error {
		return s.kubectlReading(ctx, s.agent, manifest, append([]string{"apply", "-f", "-"}, flags...)...)
	}
}

func byClient(object maker) route {
	return func(ctx context.Context, s *story) error { return s.agent.Create(ctx, object(s.namespace)) }
}

func serviceCreation(kind corev1.ServiceType) shape {
	service := func(ns string) client.Object {
		return &corev1.Service{ObjectMeta: named(ns), Spec: corev1.ServiceSpec{
			Type: kind, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}},
		}}
	}
	return creation(service, byClient(service))
}

// generatedJob has another name at every try.
func generatedJob() shape {
	create := func(ctx context.Context, s *story) error {
		return s.agent.Create(ctx, job(metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "job-"}))
	}
	return shape{
		ask: create,
		landed: func(ctx context.Context, s *story) error {
			var list batchv1.JobList
			if err := s.admin.List(ctx, &list, client.InNamespace(s.namespace)); err != nil {
				return err
			}
			if len(list.Items) != 1 || !strings.HasPrefix(list.Items[0].Name, "job-") {
				return fmt.Errorf("there are %d Jobs", len(list.Items))
			}
			return nil
		},
		revert: func(t *testing.T, s *story) {
			background := client.PropagationPolicy(metav1.DeletePropagationBackground)
			allowed(t, s.admin.DeleteAllOf(t.Context(), &batchv1.Job{}, client.InNamespace(s.namespace), background))
		},
	}
}

// testNameIsNotGenerated has consent to a name of the server's choice, and to one of the agent's.
func testNameIsNotGenerated(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	create := func(metadata metav1.ObjectMeta) func() error {
		metadata.Namespace = s.namespace
		return func() error { return s.agent.Create(t.Context(), job(metadata)) }
	}
	generated := s.grant(t, create(metav1.ObjectMeta{GenerateName: "job-"}))
	chosen := s.grant(t, create(metav1.ObjectMeta{Name: "job-b2c4d"}))
	s.asked(t, create(metav1.ObjectMeta{Name: "job-xyz"}))
	s.asked(t, create(metav1.ObjectMeta{GenerateName: "job-b2"}))
	s.wantUses(t, generated, 0)
	s.wantUses(t, chosen, 0)
	redeem(t, create(metav1.ObjectMeta{GenerateName: "job-"}))
	s.wantUses(t, generated, 1)
	s.wantUses(t, chosen, 0)
}

// binding puts a pod on a node, by one of two resources.
func binding(ask, by route) shape {
	return shape{
		ask: ask, redeem: by,
		prepare: func(t *testing.T, s *story) { allowed(t, s.admin.Create(t.Context(), pod(s.namespace, "p"))) },
		landed: func(ctx context.Context, s *story) error {
			p := pod(s.namespace, "p")
			if err := s.there(ctx, p); err != nil {
				return err
			}
			if p.Spec.NodeName != "somewhere" {
				return fmt.Errorf("it is on node %q", p.Spec.NodeName)
			}
			return nil
		},
	}
}

func bindTo(s *story) *corev1.Binding {
	return &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: "somewhere"},
	}
}

func bindPod(ctx context.Context, s *story) error {
	return s.agent.CoreV1().Pods(s.namespace).Bind(ctx, bindTo(s), metav1.CreateOptions{})
}

func bindAny(ctx context.Context, s *story) error {
	return s.agent.CoreV1().RESTClient().Post().Namespace(s.namespace).Resource("bindings").
		VersionedParams(&metav1.CreateOptions{}, clientgoscheme.ParameterCodec).Body(bindTo(s)).Do(ctx).Error()
}

// testTokenByDryRun has a token issued by a dry run: the API server does not look at that, so it costs the use.
func testTokenByDryRun(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	issue := func(dryRun ...string) error {
		issued, err := s.agent.CoreV1().ServiceAccounts(s.namespace).CreateToken(t.Context(), "agent",
			&authenticationv1.TokenRequest{}, metav1.CreateOptions{DryRun: dryRun})
		if err == nil && issued.Status.Token == "" {
			t.Error("no token was issued")
		}
		return err
	}
	approval := s.grant(t, func() error { return issue() })
	redeem(t, func() error { return issue(metav1.DryRunAll) })
	s.wantUses(t, approval, 1)
	if err := issue(metav1.DryRunAll); err == nil {
		t.Error("a second token is issued by a dry run")
	}
	s.wantUses(t, approval, 1)
}

// testSession connects to a pod that is on no node: past admission the API server says so. Kubectl connects twice, by
// one protocol and then by another.
func testSession(t *testing.T, e *environment) {
	s := newStory(t, e, consentToAll)
	allowed(t, s.admin.Create(t.Context(), pod(s.namespace, "p")))
	run := func(command string) func() error {
		return func() error { return s.kubectl(t.Context(), s.agent, "exec", "p", "--", command) }
	}
	wantPast := func(command string) {
		t.Helper()
		if err := run(command)(); err == nil || !strings.Contains(err.Error(), "does not have a host assigned") {
			t.Fatalf("the answer is %v, want that of what comes after admission", err)
		}
	}
	session := s.grant(t, run("id"))
	for range 2 {
		wantPast("id")
		s.wantUses(t, session, 1)
	}
	other := s.asked(t, run("sh"))
	if other.Name == session.Name {
		t.Error("another command is the same session")
	}
	tty := s.asked(t, func() error { return s.kubectl(t.Context(), s.agent, "exec", "-i", "p", "--", "id") })
	if tty.Name == session.Name {
		t.Error("a session with standard input is one without")
	}
	s.wantUses(t, session, 1)
	// Another credential of the same account is not in the session.
	s.agent = e.agent(t, s.namespace)
	next := s.asked(t, run("id"))
	if next.Name == session.Name || next.Spec.Follows != session.Name {
		t.Errorf("after session %s another credential asks for %s, which follows %q", session.Name, next.Name, next.Spec.Follows)
	}
	s.wantUses(t, session, 1)
}
