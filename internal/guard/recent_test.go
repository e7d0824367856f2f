package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
)

// past is a history of n deletes of Secrets, one a minute, the last of them a minute ago, after one exec an hour ago.
func past(n int) *activity.History {
	status := &v1alpha1.AgentActivityStatus{Recent: []v1alpha1.AdmittedAction{{
		Key: "session.x", Time: metav1.NewTime(now.Add(-time.Hour)), Operation: v1alpha1.OperationConnect, Resource: "pods",
		Subresource: "exec", Namespace: "bank", Name: "db", Task: "bank/look",
	}}}
	for i := range n {
		status.Recent = append(status.Recent, v1alpha1.AdmittedAction{
			Key: fmt.Sprintf("delete.%d", i), Time: metav1.NewTime(now.Add(-time.Duration(n-i) * time.Minute)),
			Operation: v1alpha1.OperationDelete, Resource: "secrets", Namespace: "shop", Name: fmt.Sprintf("s-%d", i), Task: "shop/clean",
		})
	}
	return activity.Before(status, activity.Attempt{Key: "new", Action: &action.Action{}}, now)
}

func TestRecent(t *testing.T) {
	entry := "recent[0].operation == 'CONNECT' && recent[0].group == '' && recent[0].resource == 'pods' && recent[0].subResource == 'exec' && " +
		"recent[0].namespace == 'bank' && recent[0].name == 'db' && recent[0].task == 'bank/look' && now - recent[0].time == duration('1h')"
	for name, tc := range map[string]struct {
		expression, message string
		lookBack            v1alpha1.Duration
		history             *activity.History
		want                Result
	}{
		"nothing was done":          {expression: "recent.size() == 1", lookBack: "2h", history: past(0), want: Result{Verdict: Passed}},
		"an entry":                  {expression: entry, lookBack: "2h", history: past(2), want: Result{Verdict: Passed}},
		"oldest first":              {expression: "recent.map(a, a.name) == ['db', 's-0', 's-1']", lookBack: "2h", history: past(2), want: Result{Verdict: Passed}},
		"no further than look-back": {expression: "recent.map(a, a.name) == ['s-1', 's-2']", lookBack: "3m", history: past(3), want: Result{Verdict: Passed}},
		"a message": {
			expression: "recent.size() < 2", message: "'deleted ' + string(recent.size()) + ', last ' + recent[recent.size() - 1].name", lookBack: "30m", history: past(3),
			want: Result{Verdict: Violated, Text: "deleted 3, last s-2"},
		},
		"not known": {
			expression: "recent.size() < 2", lookBack: "30m",
			want: Result{Verdict: Failed, Text: errHistoryUnknown},
		},
		"a look-back that is none": {
			expression: "recent.size() < 2", lookBack: "-30m", history: past(0),
			want: Result{Verdict: Failed, Text: errHistoryUnknown},
		},
		"no such entry": {
			expression: "recent[7].name == 'x'", lookBack: "30m", history: past(0),
			want: Result{Verdict: Failed, Text: "the list has no such element, in recent[7].name (line 1, column 10)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, errs := Compile(&v1alpha1.Guard{
				Name: "g", Expression: tc.expression, MessageExpression: tc.message, LookBack: tc.lookBack,
			}, field.NewPath("guards"))
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			got := NewEvaluation(Input{Action: update(t, three, ten), Now: now, History: tc.history}, nil).Run(g, "")
			if got.Verdict != tc.want.Verdict || !strings.HasPrefix(got.Text, tc.want.Text) || tc.want.Text == "" && got.Text != "" {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// TestRecentPerGuard has guards of one decision look back differently far.
func TestRecentPerGuard(t *testing.T) {
	e := NewEvaluation(Input{Action: update(t, three, ten), Now: now, History: past(10)}, nil)
	for _, minutes := range []int{3, 7, 3} {
		g, errs := Compile(&v1alpha1.Guard{
			Name: "g", Expression: fmt.Sprintf("recent.size() == %d", minutes-1), LookBack: v1alpha1.Duration(fmt.Sprintf("%dm", minutes)),
		}, field.NewPath("guards"))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if got := e.Run(g, ""); got.Verdict != Passed {
			t.Errorf("a look-back of %d minutes: %+v", minutes, got)
		}
	}
}

// TestRecentIsBounded compares every action with every other one, several times over.
func TestRecentIsBounded(t *testing.T) {
	g, errs := Compile(&v1alpha1.Guard{
		Name: "g", Expression: "recent.all(a, recent.all(b, recent.exists(c, c.name != a.name + b.name)))", LookBack: "168h",
	}, field.NewPath("guards"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	e := NewEvaluation(Input{Action: update(t, three, ten), Now: now, History: past(999)}, nil)
	bounded(t, "every action with every other one", func() {
		if got := e.Run(g, ""); got.Verdict != Failed {
			t.Errorf("got %+v", got)
		}
	})
}
