package webhooks_test

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestBinding has an account use an approval with other tokens than it asked with.
func TestBinding(t *testing.T) {
	e := newEnvironment(t)
	for name, tc := range map[string]struct {
		bindTo string
		// other is the token with which the action is repeated: of the same pod, of another one, or the same token.
		other string
		want  string
	}{
		"to the user, by another pod":          {"User", "another pod", ""},
		"to the pod, by the same pod":          {"Pod", "same pod", ""},
		"to the pod, by another pod":           {"Pod", "another pod", "is pending"},
		"to the pod, without a pod":            {"Pod", "no pod", "the requester's token belongs to no pod"},
		"to the credential, by the same token": {"Credential", "same token", ""},
		"to the credential, by another token":  {"Credential", "same pod", "is pending"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, agent, web := governed(t, e, asks+"  bindTo: "+tc.bindTo+"\n")
			first := e.inPod(t, namespace, "first")
			toUse := map[string]func() *identity{
				"same token":  func() *identity { return first },
				"same pod":    func() *identity { return e.tokenOf(t, namespace, "first") },
				"another pod": func() *identity { return e.inPod(t, namespace, "second") },
				"no pod":      func() *identity { return agent },
			}[tc.other]()
			act := func(who *identity) error { return patch(t.Context(), who, web, types.MergePatchType, toFive) }
			a := grant(t, e, namespace, func() error { return act(first) })
			if a.Spec.Requester.PodName != "first" || a.Spec.Requester.PodUID == "" {
				t.Errorf("the requester is %+v", a.Spec.Requester)
			}
			err := act(toUse)
			if tc.want == "" {
				allowed(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the answer is %v, want a refusal that says %q", err, tc.want)
			}
			allowed(t, act(first)) // it is still there for whom it was given
		})
	}
}

// inPod is the agent of a namespace, in a pod that is made for it.
func (e *environment) inPod(t *testing.T, namespace, name string) *identity {
	t.Helper()
	p := pod(namespace, name)
	p.Spec.ServiceAccountName = "agent"
	allowed(t, e.admin.Create(t.Context(), p))
	return e.tokenOf(t, namespace, name)
}

// tokenOf is the agent of a namespace with a new token of a pod.
func (e *environment) tokenOf(t *testing.T, namespace, pod string) *identity {
	t.Helper()
	set, err := kubernetes.NewForConfig(e.plane.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	token, err := set.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "agent", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(e.plane.AdminConfig())
	config.BearerToken = token.Status.Token
	return &identity{
		name:   "system:serviceaccount:" + namespace + ":agent",
		config: config, Client: operatortest.NewClient(t, config), Interface: kubernetes.NewForConfigOrDie(config),
	}
}
