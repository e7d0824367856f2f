package webhooks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestMetrics reads the metrics and health checks of a running operator.
func TestMetrics(t *testing.T) {
	metrics := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	e := newEnvironment(t, "--metrics-bind-address", metrics)
	namespace, agent, web := governed(t, e, images)
	allowed(t, patch(t.Context(), agent, web, types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`))
	refused(t, patch(t.Context(), agent, web, types.MergePatchType, `{"spec":{"replicas":9}}`), "FieldOutOfScope")
	for _, check := range []string{"healthz", "readyz"} {
		operatortest.Eventually(t, check+" answers", func(ctx context.Context) error {
			_, err := operatortest.Fetch(ctx, "http://"+e.operator.Probes+"/"+check)
			return err
		})
	}
	text, err := operatortest.Fetch(t.Context(), "http://"+metrics+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`countersign_admission_decisions_total{operation="UPDATE",outcome="Allow",reason="None"} `,
		`countersign_admission_decisions_total{operation="UPDATE",outcome="Deny",reason="FieldOutOfScope"} `,
		`countersign_admission_decisions_total{operation="CONNECT",outcome="Deny",reason="InternalError"} 0`,
		`countersign_admission_decisions_total{operation="CREATE",outcome="Deny",reason="ReservedAction"} 0`,
		`countersign_admission_decisions_total{operation="DELETE",outcome="RequireApproval",reason="ApprovalRequired"} 0`,
		`countersign_admission_decisions_total{operation="DELETE",outcome="Allow",reason="FreezeActive"} 0`,
		`countersign_admission_observations_total{enforcement="Audit",outcome="Deny"} 0`,
		`countersign_admission_decision_duration_seconds_count{outcome="Deny"} `,
		`countersign_admission_unusual_reviews_total 0`,
		`controller_runtime_webhook_requests_in_flight{webhook="/enforce"} 0`,
		`countersign_webhook_certificate_expiry_timestamp_seconds 1.`,
		`countersign_policies{enforcement="Enforce",state="Ready"} 1`,
		`countersign_policy_window_state{policy="p-` + namespace + `",state="Open"} 1`,
		`countersign_policy_window_state{policy="p-` + namespace + `",state="Frozen"} 0`,
		`countersign_webhook_configuration_writes_total{configuration="countersign-actions"} `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the metrics do not hold %s", want)
		}
	}
	for _, counted := range []string{
		`controller_runtime_webhook_requests_total{code="200",webhook="/enforce"} `,
		`controller_runtime_webhook_latency_seconds_count{webhook="/enforce"} `,
	} {
		if _, number, found := strings.Cut(text, "\n"+counted); !found || strings.HasPrefix(number, "0") {
			t.Errorf("nothing is counted as %s", counted)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "countersign_") && strings.Contains(strings.ReplaceAll(line, "agentact", ""), "agent") {
			t.Errorf("a label names an agent: %s", line)
		}
	}
}
