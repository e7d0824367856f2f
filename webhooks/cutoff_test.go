package webhooks_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// TestCutOff loses the packets between the operator and the API server, which still reaches the operator: it refuses
// agents once it has not been answered for ten seconds, nobody else, and recovers by itself.
func TestCutOff(t *testing.T) {
	plane := controlplane.Shared(t)
	e := &environment{plane: plane, admin: operatortest.NewClient(t, plane.AdminConfig())}
	operatortest.ApplyDefinitions(t, e.admin)
	line := operatortest.NewLine(t, plane.Kubeconfig("admin"))
	e.operator = operatortest.Start(t, line.Kubeconfig)
	namespace, agent, web := governed(t, e, images)
	image := func(ctx context.Context, by *identity, tag int64) error {
		body := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:%d"}]}}}}`, tag)
		return patch(ctx, by, web, types.StrategicMergePatchType, body)
	}
	allowed(t, image(t.Context(), agent, 2))

	line.Cut()
	t.Cleanup(line.Restore)
	began := time.Now()
	operatortest.Eventually(t, "the agent is refused", func(ctx context.Context) error {
		err := image(ctx, agent, time.Now().UnixNano())
		if err == nil || !strings.Contains(err.Error(), "reasons=Disconnected]") {
			return fmt.Errorf("it is answered by %w", err)
		}
		return nil
	})
	// The limit, what a beat may take, and a second for a slow machine: what the API server says to the agent counts.
	if took := time.Since(began); took > 14*time.Second {
		t.Errorf("it is refused after %s", took)
	}
	err := image(t.Context(), agent, 3)
	refused(t, err, "Disconnected")
	if !strings.Contains(err.Error(), "has not reached the API server for 1") || !strings.Contains(err.Error(), "next: REPEAT") {
		t.Errorf("the refusal is %v", err)
	}
	allowed(t, image(t.Context(), e.person(t, "dave"), 4))

	line.Restore()
	operatortest.Eventually(t, "the agent may act again", func(ctx context.Context) error { return image(ctx, agent, time.Now().UnixNano()) })
	if lines := e.operator.DecisionLines(t, `"reason":"Disconnected"`); len(lines) == 0 || !strings.Contains(lines[0], namespace) {
		t.Errorf("the decision log holds %v", lines)
	}
	if log := e.operator.LogText(t); !strings.Contains(log, "The API server is not reached") || !strings.Contains(log, "The API server is reached again") {
		t.Errorf("the log does not tell of it:\n%s", log)
	}
}
