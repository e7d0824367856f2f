package charts

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestDashboard wants the dashboard to be what Grafana reads, with a question and an explanation in each panel.
func TestDashboard(t *testing.T) {
	if len(dashboardQueries(t)) < 10 {
		t.Error("the dashboard has hardly any query")
	}
	for _, o := range decode(t, render(t, monitored...)) {
		if o.GetKind() != "ConfigMap" {
			continue
		}
		if o.GetLabels()["grafana_dashboard"] != "1" || o.GetAnnotations()["grafana_folder"] != "Security" {
			t.Errorf("the sidecar finds labels %v and annotations %v", o.GetLabels(), o.GetAnnotations())
		}
		stored, _, err := unstructured.NestedString(o.Object, "data", "countersign.json")
		if err != nil || stored != strings.TrimSpace(read(t, "dashboards/countersign.json")) {
			t.Errorf("the ConfigMap holds another dashboard than the file: %v", err)
		}
		return
	}
	t.Error("no ConfigMap is rendered")
}

// told are series, and what panels say of them after half an hour: the results of their first query.
var told = map[string]struct {
	series string
	want   map[string][]string
}{
	"no replica": {"load 1m\n    other 0x40", map[string][]string{
		"Agents are refused": {}, "Replicas": {"{} 0"}, "Policies not ready": {}, "Own failures, 1 h": {}, "Drift, 1 h": {},
		"Not answered, 1 h": {}, "Certificate": {}, "Waiting for people": {}, "The oldest request waits for": {},
	}},
	"two requests wait": {`load 1m
    countersign_approvals{pod="a",state="Pending"} 0x5 1x5 2x30
    countersign_approvals{pod="a",state="Approved"} 7x40
    countersign_approvals{pod="b",state="Pending"} 0x5 1x5 2x30
    countersign_approval_oldest_pending_timestamp_seconds{pod="a"} _x5 330x35
    countersign_approval_oldest_pending_timestamp_seconds{pod="b"} _x5 330x35`, map[string][]string{
		"Waiting for people": {"{} 2"}, "The oldest request waits for": {"{} 1470"},
	}},
	"all are answered": {`load 1m
    countersign_approvals{pod="a",state="Pending"} 1x10 0x30
    countersign_approvals{pod="b",state="Pending"} 1x10 0x30
    countersign_approval_oldest_pending_timestamp_seconds{pod="a"} 30x10`, map[string][]string{
		"Waiting for people": {"{} 0"}, "The oldest request waits for": {"{} 0"},
	}},
	"two replicas, nothing amiss": {`load 1m
    countersign_enforcement_up{pod="a"} 1x40
    countersign_enforcement_up{pod="b"} 1x40
    countersign_policies{enforcement="Enforce",state="Ready",pod="a"} 4x40
    countersign_admission_decisions_total{outcome="Deny",reason="NotReady",operation="UPDATE",pod="a"} 0x40
    apiserver_admission_webhook_admission_duration_seconds_count{name="enforce.countersign.dev"} 0+3x40`, map[string][]string{
		"Agents are refused": {"{} 1"}, "Replicas": {"{} 2"}, "Policies not ready": {"{} 0"}, "Own failures, 1 h": {"{} 0"},
		"Drift, 1 h": {"{} 0"}, "Not answered, 1 h": {"{} 0"}, "Alerts firing": {"{} 0"},
		"Not answered, in 5 minutes": {`{name="enforce.countersign.dev"} 0`},
	}},
	"counters that appear with their first count": {`load 1m
    countersign_enforcement_up{pod="a"} 1x40
    countersign_admission_drift_total{pod="a",kind="ValidatingWebhookConfiguration",name="countersign-actions"} _x28 2x12
    apiserver_admission_webhook_rejection_count{name="enforce.countersign.dev",error_type="calling_webhook_error"} _x28 3x12
    apiserver_admission_webhook_rejection_count{name="enforce.countersign.dev",error_type="no_error"} 0+7x40
    apiserver_admission_webhook_rejection_count{name="of.somebody.else",error_type="calling_webhook_error"} 0+3x40`, map[string][]string{
		"Drift, 1 h": {"{} 2"}, "Not answered, 1 h": {"{} 3"}, "Not answered, in 5 minutes": {`{name="enforce.countersign.dev"} 3`},
	}},
	"replicas that do not agree for a moment": {`load 1m
    countersign_policy_window_state{pod="a",policy="p",state="Open"} 1x29 0x11
    countersign_policy_window_state{pod="a",policy="p",state="Closed"} 0x40
    countersign_policy_window_state{pod="a",policy="p",state="Frozen"} 0x29 1x11
    countersign_policy_window_state{pod="b",policy="p",state="Open"} 1x40
    countersign_policy_window_state{pod="b",policy="p",state="Closed"} 0x40
    countersign_policy_window_state{pod="b",policy="p",state="Frozen"} 0x40
    countersign_policies{enforcement="Enforce",state="Invalid",pod="a"} 1x40
    countersign_policies{enforcement="Enforce",state="Invalid",pod="b"} 1x40`, map[string][]string{
		"Change windows": {`{policy="p"} 3`}, "Policies not ready": {"{} 1"}, "Number of policies": {`{enforcement="Enforce", state="Invalid"} 1`},
	}},
}

// TestDashboardTells has Prometheus answer queries of the dashboard, and wants nothing to look well that is not known.
func TestDashboardTells(t *testing.T) {
	queries, series := map[string]string{}, map[string]string{}
	for title, query := range dashboardQueries(t) {
		if panel, first := strings.CutSuffix(title, ", query 1"); first {
			queries[strings.Trim(strings.TrimPrefix(panel, "panel "), `"`)] = query
		}
	}
	for name, s := range told {
		series[name] = s.series
	}
	answer := askProm(t, alertingRules(t), queries, series)
	for name, s := range told {
		for panel, want := range s.want {
			got, found := answer.Values[name][panel]
			if diff := cmp.Diff(want, got); diff != "" || !found {
				t.Errorf("panel %q, %s (-want +got):\n%s", panel, name, diff)
			}
		}
	}
}

// dashboardQueries are the queries of the dashboard by the title of their panel.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboards/countersign.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	covered := map[[2]int]string{}
	for _, p := range dashboard.Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := covered[at]; other != "" || at[0] >= 24 {
					t.Errorf("panel %q is at %v, beyond the grid or over panel %q", p.Title, at, other)
				}
				covered[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q has no title, no description, or no query", p.Title)
		}
		for i, target := range p.Targets {
			queries[fmt.Sprintf("panel %q, query %d", p.Title, i+1)] = strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		}
	}
	return queries
}
