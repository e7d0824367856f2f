package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// actionsConfiguration is what sends agents' actions to the operator.
const actionsConfiguration = "countersign-actions"

// canaryUser is whom the operator impersonates where it has no namespace.
const canaryUser = "system:serviceaccount:default:countersign-canary"

// metric waits until the metrics of an operator hold a line.
func metric(t *testing.T, address, line string) {
	t.Helper()
	operatortest.Eventually(t, "the metrics hold "+line, func(ctx context.Context) error {
		text, err := operatortest.Fetch(ctx, "http://"+address+"/metrics")
		if err != nil {
			return err
		}
		if strings.Contains(text, "\n"+line+"\n") {
			return nil
		}
		var own strings.Builder
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, "countersign_canary") || strings.HasPrefix(l, "countersign_enforcement") {
				own.WriteString(l)
			}
		}
		return fmt.Errorf("they hold\n%s", own.String())
	})
}

// decisionsCounted finds decisions in metrics. Those that alerts ask for begin at 0.
var decisionsCounted = regexp.MustCompile(`countersign_admission_decisions_total\{[^}]*\} [1-9]`)

// TestCanary takes the webhook configuration away such that the operator cannot put it back: the canary passes, as an
// agent does, and that is told within seconds.
func TestCanary(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	anchor := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "canary-anchor"}}
	admin := operatortest.NewClient(t, controlplane.Shared(t).AdminConfig())
	if err := admin.Create(t.Context(), anchor); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), anchor); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	e := newEnvironment(t, "--metrics-bind-address", address, "--owner-cluster-role", anchor.Name)
	metric(t, address, "countersign_enforcement_up 1")
	if lines := e.operator.DecisionLines(t, "canary"); len(lines) > 0 {
		t.Errorf("the canary stands in the decision log: %s", lines)
	}
	text, err := operatortest.Fetch(t.Context(), "http://"+address+"/metrics")
	if err != nil || decisionsCounted.MatchString(text) {
		t.Errorf("the canary is counted as an agent (%v):\n%s", err, text)
	}
	namespace, agent, web := governed(t, e, images)
	scale := func(ctx context.Context) error {
		return patch(ctx, agent, web, types.MergePatchType, `{"spec":{"replicas":9}}`)
	}
	refused(t, scale(t.Context()), "FieldOutOfScope")

	if err := admin.Delete(t.Context(), anchor); err != nil {
		t.Fatal(err)
	}
	operatortest.Eventually(t, "the agent is refused by nobody", scale)
	metric(t, address, "countersign_enforcement_up 0")
	operatortest.Eventually(t, "the log tells that the canary passes", func(context.Context) error {
		if !strings.Contains(e.operator.LogText(t), `nobody knows whether policies are enforced","outcome":"Passed"`) {
			return errors.New("it does not")
		}
		return nil
	})
	anchor.ResourceVersion, anchor.UID = "", ""
	if err := admin.Create(t.Context(), anchor); err != nil {
		t.Fatal(err)
	}
	metric(t, address, "countersign_enforcement_up 1")
	e.waitGoverned(t, agent, namespace)
}

// TestCanaryUnanswered has an operator that the API server cannot reach.
func TestCanaryUnanswered(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	e, replicas := newReplicated(t, 1, "--metrics-bind-address", address)
	metric(t, address, "countersign_enforcement_up 1")
	replicas.HoldAnswers(0)
	// It asks once a minute, and at once when the configuration changes.
	touch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"touched":"yes"}}}`))
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: actionsConfiguration}}
	allowed(t, e.admin.Patch(t.Context(), configuration, touch))
	metric(t, address, "countersign_enforcement_up 0")
	replicas.Release(0)
	metric(t, address, "countersign_enforcement_up 1")
}

// TestCanaryIdentity acts as the canary: nothing that it does passes, and what is not its question is recorded.
func TestCanaryIdentity(t *testing.T) {
	e := newEnvironment(t)
	namespace := e.namespace(t)
	subject := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "default", Name: "countersign-canary"}
	e.bindAdmin(t, "canary", subject)
	config := rest.CopyConfig(controlplane.Shared(t).AdminConfig())
	config.Impersonate.UserName = canaryUser
	stolen := operatortest.NewClient(t, config)
	operatortest.Eventually(t, "the canary is refused", func(ctx context.Context) error {
		err := stolen.Create(ctx, configMap(namespace, "c"))
		if err == nil || !strings.Contains(err.Error(), "reasons=ReservedAction") {
			return fmt.Errorf("it is answered by %w", err)
		}
		return nil
	})
	if lines := e.operator.DecisionLines(t, canaryUser); len(lines) == 0 {
		t.Error("who acts as the canary leaves no trace")
	}
}
