package activity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
)

// noon is when the tests begin.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// attempt is an update of a Deployment under the task p/t.
func attempt(key string) activity.Attempt {
	return activity.Attempt{Key: key, Task: "p/t", Action: &action.Action{
		Actor: action.Actor{Username: "system:serviceaccount:ci:deploy-bot"}, Operation: v1alpha1.OperationUpdate,
		Group: "apps", Resource: "deployments", Namespaced: true, Namespace: "shop", Name: "web", UID: "u1",
	}}
}

// deletion is a delete, and goes on where the object is being deleted.
func deletion(key string, goesOn bool) activity.Attempt {
	at := attempt(key)
	at.Action.Operation, at.Action.Delete = v1alpha1.OperationDelete, &action.DeleteOptions{}
	at.Action.Old = map[string]any{"metadata": map[string]any{}}
	if goesOn {
		at.Action.Old = map[string]any{"metadata": map[string]any{"deletionTimestamp": "2026-11-25T12:00:00Z"}}
	}
	return at
}

func session(key string) activity.Attempt {
	at := attempt(key)
	at.Action.Operation, at.Action.Resource, at.Action.Subresource = v1alpha1.OperationConnect, "pods", "exec"
	return at
}

// step is an attempt some time after noon.
type step struct {
	at    activity.Attempt
	after time.Duration
}

func TestRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		steps    []step
		lookBack time.Duration
		// want is the keys with the seconds after noon of their entries.
		want        []string
		wantCounted int64
	}{
		"one action": {
			steps: []step{{attempt("a"), 0}}, want: []string{"a 0"}, wantCounted: 1,
		},
		"times are rounded up": {
			steps: []step{{attempt("a"), 1}, {attempt("b"), time.Second}}, want: []string{"a 1", "b 1"}, wantCounted: 2,
		},
		"a review of the same attempt costs nothing": {
			steps: []step{{attempt("a"), 0}, {attempt("a"), time.Minute - 1}}, want: []string{"a 0"}, wantCounted: 1,
		},
		"a late one moves the entry": {
			steps: []step{{attempt("a"), 0}, {attempt("b"), time.Second}, {attempt("a"), time.Minute}}, want: []string{"b 1", "a 60"}, wantCounted: 2,
		},
		"so does one under another task": {
			steps: []step{{attempt("a"), 0}, {activity.Attempt{Key: "a", Task: "p/u", Action: attempt("a").Action}, 5 * time.Second}},
			want:  []string{"a 5"}, wantCounted: 1,
		},
		"a session connects twice": {
			steps: []step{{session("s"), 0}, {session("s"), 29 * time.Second}}, want: []string{"s 0"}, wantCounted: 1,
		},
		"and is another one later": {
			steps: []step{{session("s"), 0}, {session("s"), 30 * time.Second}, {session("s"), 31 * time.Second}},
			want:  []string{"s 0", "s 30"}, wantCounted: 2,
		},
		"what is not asked for stays while there is room": {
			steps: []step{{attempt("a"), 0}, {attempt("b"), time.Hour}}, lookBack: time.Minute, want: []string{"a 0", "b 3600"}, wantCounted: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var status v1alpha1.AgentActivityStatus
			for _, s := range tc.steps {
				status = record(t, status, s.at, tc.lookBack, noon.Add(s.after))
			}
			var got []string
			for _, entry := range status.Recent {
				got = append(got, fmt.Sprintf("%s %d", entry.Key, int(entry.Time.Sub(noon).Seconds())))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the entries differ (-want +got):\n%s", diff)
			}
			if status.Admitted != tc.wantCounted {
				t.Errorf("%d actions are counted, want %d", status.Admitted, tc.wantCounted)
			}
		})
	}
}

func record(t *testing.T, status v1alpha1.AgentActivityStatus, at activity.Attempt, lookBack time.Duration, now time.Time) v1alpha1.AgentActivityStatus {
	t.Helper()
	before := status.DeepCopy()
	next, _, err := activity.Record(&status, at, activity.Demand{LookBack: lookBack}, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*before, status); diff != "" {
		t.Fatalf("recording changes what was read:\n%s", diff)
	}
	return next
}

func TestEntry(t *testing.T) {
	created := attempt("c")
	created.Action.Operation, created.Action.Name, created.Action.UID = v1alpha1.OperationCreate, "", ""
	created.Action.New = map[string]any{"metadata": map[string]any{"name": "web-x7k2p", "uid": "u2"}}
	for name, tc := range map[string]struct {
		at          activity.Attempt
		want        v1alpha1.AdmittedAction
		wantSummary v1alpha1.ActivitySummary
	}{
		"an update": {
			at: attempt("a"),
			want: v1alpha1.AdmittedAction{Key: "a", Time: metav1.NewTime(noon), Operation: v1alpha1.OperationUpdate,
				Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web", UID: "u1", Task: "p/t"},
			wantSummary: v1alpha1.ActivitySummary{Agent: "ci/deploy-bot", Action: "update", Target: "deployments/web", Namespace: "shop", Task: "t"},
		},
		"a create with a generated name": {
			at: created,
			want: v1alpha1.AdmittedAction{Key: "c", Time: metav1.NewTime(noon), Operation: v1alpha1.OperationCreate,
				Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web-x7k2p", UID: "u2", Task: "p/t"},
			wantSummary: v1alpha1.ActivitySummary{Agent: "ci/deploy-bot", Action: "create", Target: "deployments/web-x7k2p", Namespace: "shop", Task: "t"},
		},
		"a session": {
			at: session("s"),
			want: v1alpha1.AdmittedAction{Key: "s", Time: metav1.NewTime(noon), Operation: v1alpha1.OperationConnect,
				Group: "apps", Resource: "pods", Subresource: "exec", Namespace: "shop", Name: "web", UID: "u1", Task: "p/t"},
			wantSummary: v1alpha1.ActivitySummary{Agent: "ci/deploy-bot", Action: "exec", Target: "pods/web", Namespace: "shop", Task: "t"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := record(t, v1alpha1.AgentActivityStatus{}, tc.at, 0, noon)
			at := metav1.NewTime(noon)
			want := v1alpha1.AgentActivityStatus{
				Username: "system:serviceaccount:ci:deploy-bot", Summary: &tc.wantSummary, LastAdmittedAt: &at, Admitted: 1,
				Recent: []v1alpha1.AdmittedAction{tc.want},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the status differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFull fills a history with what is still asked for.
func TestFull(t *testing.T) {
	var status v1alpha1.AgentActivityStatus
	for i := range 1000 {
		next, _, err := activity.Record(&status, attempt(fmt.Sprint(i)), activity.Demand{LookBack: time.Hour}, noon.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		status = next
	}
	for name, tc := range map[string]struct {
		key     string
		after   time.Duration
		wantErr error
		wantLen int
	}{
		"no room for another":            {key: "new", after: 1000 * time.Second, wantErr: activity.ErrFull, wantLen: 1000},
		"but for what is recorded":       {key: "999", after: 1000 * time.Second, wantLen: 1000},
		"and for what moves":             {key: "0", after: 1000 * time.Second, wantLen: 1000},
		"room once the oldest is past":   {key: "new", after: time.Hour, wantLen: 1000},
		"fifty are kept for people":      {key: "new", after: 3 * time.Hour, wantLen: 50},
		"none is past an instant before": {key: "new", after: time.Hour - 1, wantErr: activity.ErrFull, wantLen: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			next, _, err := activity.Record(&status, attempt(tc.key), activity.Demand{LookBack: time.Hour}, noon.Add(tc.after))
			if !errors.Is(err, tc.wantErr) || len(next.Recent) != tc.wantLen {
				t.Errorf("got %d entries and %v, want %d and %v", len(next.Recent), err, tc.wantLen, tc.wantErr)
			}
		})
	}
}

// TestWanted fills a history with what is wanted, and can be done without.
func TestWanted(t *testing.T) {
	var status v1alpha1.AgentActivityStatus
	for i := range 1000 {
		at := attempt(fmt.Sprint(i))
		at.Action.UID = []string{"wanted", "other"}[i%10/9] // each tenth is not wanted
		next, _, err := activity.Record(&status, at, activity.Demand{LookBack: time.Hour}, noon.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		status = next
	}
	demand := activity.Demand{Wanted: func(entry *v1alpha1.AdmittedAction) bool { return entry.UID == "wanted" }}
	for name, tc := range map[string]struct {
		lookBack, after time.Duration
		wantFirst       string
		wantLen         int
	}{
		"what nobody wants goes first":           {0, time.Hour, "0", 901},
		"it stays while it is asked for":         {time.Hour, time.Hour + time.Second, "1", 1000},
		"with what is wanted the oldest goes":    {999 * time.Second, 1000 * time.Second, "1", 1000},
		"and none of it is a reason for no room": {time.Hour, time.Hour, "1", 1000},
	} {
		t.Run(name, func(t *testing.T) {
			demand.LookBack = tc.lookBack
			next, _, err := activity.Record(&status, attempt("new"), demand, noon.Add(tc.after))
			if err != nil || len(next.Recent) != tc.wantLen || next.Recent[0].Key != tc.wantFirst {
				t.Errorf("%d entries from %s on, and %v, want %d from %s on", len(next.Recent), next.Recent[0].Key, err, tc.wantLen, tc.wantFirst)
			}
		})
	}
}

func TestWithdraw(t *testing.T) {
	var status v1alpha1.AgentActivityStatus
	for i, key := range []string{"a", "b", "c"} {
		status = record(t, status, attempt(key), time.Hour, noon.Add(time.Duration(i)*time.Second))
	}
	next, changed := activity.Withdraw(&status, "b")
	if got := activity.Before(&next, attempt("new"), noon).Count("p/t", time.Hour, noon); !changed || got != 2 || len(status.Recent) != 3 {
		t.Errorf("%d count, changed: %t, and %d did", got, changed, len(status.Recent))
	}
	if next.Admitted != 3 || !next.LastAdmittedAt.Equal(status.LastAdmittedAt) {
		t.Errorf("%d were admitted, the last at %s", next.Admitted, next.LastAdmittedAt)
	}
	if again, changed := activity.Withdraw(&next, "b"); changed || len(again.Recent) != 2 {
		t.Errorf("again it leaves %d, changed: %t", len(again.Recent), changed)
	}
	if back := record(t, next, attempt("b"), time.Hour, noon.Add(time.Minute)); len(back.Recent) != 3 || back.Recent[2].Key != "b" {
		t.Errorf("admitted once more, there are %+v", back.Recent)
	}
}

func TestChangesOf(t *testing.T) {
	created, token := attempt("c"), attempt("t")
	created.Action.Operation, created.Action.New = v1alpha1.OperationCreate, map[string]any{"metadata": map[string]any{"uid": "u2"}}
	token.Action.Operation, token.Action.Subresource = v1alpha1.OperationCreate, "token"
	nameless := attempt("n")
	nameless.Action.UID = ""
	var status v1alpha1.AgentActivityStatus
	for _, at := range []activity.Attempt{attempt("a"), created, deletion("d", false), session("s"), token, nameless, attempt("b")} {
		status = record(t, status, at, time.Hour, noon)
	}
	for uid, want := range map[string][]string{"u1": {"a", "b"}, "u2": {"c"}, "u3": nil, "": nil} {
		var got []string
		for _, entry := range activity.Before(&status, attempt("new"), noon).ChangesOf(uid) {
			got = append(got, entry.Key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %q (-want +got):\n%s", uid, diff)
		}
	}
}

func TestAdmittedAt(t *testing.T) {
	for _, at := range []time.Duration{1, time.Second - 1, time.Second} {
		entry := record(t, v1alpha1.AgentActivityStatus{}, attempt("a"), 0, noon.Add(at)).Recent[0]
		if got := activity.AdmittedAt(&entry); got.Before(noon) || !got.Before(noon.Add(time.Second)) {
			t.Errorf("what was admitted %s after noon was so at %s", at, got)
		}
	}
}

func TestBefore(t *testing.T) {
	recorded := func(at ...activity.Attempt) v1alpha1.AgentActivityStatus {
		var status v1alpha1.AgentActivityStatus
		for i, a := range at {
			status = record(t, status, a, time.Hour, noon.Add(time.Duration(i)*time.Second))
		}
		return status
	}
	for name, tc := range map[string]struct {
		status     v1alpha1.AgentActivityStatus
		at         activity.Attempt
		after      time.Duration
		wantCount  int
		wantGoesOn bool
	}{
		"nothing":                            {at: attempt("a")},
		"others count":                       {status: recorded(attempt("a"), attempt("b")), at: attempt("c"), wantCount: 2},
		"the attempt itself does not":        {status: recorded(attempt("a"), attempt("b")), at: attempt("a"), wantCount: 1},
		"nor does it late":                   {status: recorded(attempt("a"), attempt("b")), at: attempt("a"), after: 5 * time.Minute, wantCount: 1},
		"a session that connects again":      {status: recorded(session("s")), at: session("s"), after: 29 * time.Second},
		"one that connects later":            {status: recorded(session("s")), at: session("s"), after: 30 * time.Second, wantCount: 1},
		"counted to the last instant":        {status: recorded(attempt("a")), at: attempt("c"), after: 10*time.Minute - 1, wantCount: 1},
		"and not at the end":                 {status: recorded(attempt("a")), at: attempt("c"), after: 10 * time.Minute},
		"what is yet to come counts":         {status: recorded(attempt("a")), at: attempt("c"), after: -time.Hour, wantCount: 1},
		"a delete that goes on":              {status: recorded(deletion("d", false)), at: deletion("d", true), after: time.Second, wantGoesOn: true},
		"a delete reviewed again":            {status: recorded(deletion("d", false)), at: deletion("d", false), after: time.Second},
		"a delete that goes on after a time": {status: recorded(deletion("d", false)), at: deletion("d", true), after: time.Minute},
		"a delete that nobody began":         {status: recorded(deletion("e", false)), at: deletion("d", true), wantCount: 1},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon.Add(tc.after)
			h := activity.Before(&tc.status, tc.at, now)
			if got := h.Count("p/t", 10*time.Minute, now); got != tc.wantCount {
				t.Errorf("%d count, want %d", got, tc.wantCount)
			}
			if got := len(h.Since(10*time.Minute, now)); got != tc.wantCount {
				t.Errorf("%d are recent, want %d", got, tc.wantCount)
			}
			if got := h.Count("p/other", 10*time.Minute, now); got != 0 {
				t.Errorf("%d count against another task", got)
			}
			if h.GoesOn() != tc.wantGoesOn {
				t.Errorf("it goes on: %t, want %t", h.GoesOn(), tc.wantGoesOn)
			}
		})
	}
}

// TestTried has actions noted that would have counted against the budget of a task that is only tried.
func TestTried(t *testing.T) {
	at := attempt("a")
	at.Tried = []string{"q/t", "q/u"}
	status := record(t, v1alpha1.AgentActivityStatus{}, at, 0, noon)
	h := activity.Before(&status, attempt("new"), noon)
	for task, want := range map[string]int{"p/t": 1, "q/t": 1, "q/u": 1, "q/v": 0} {
		free := h.FreeAt(task, 1, time.Hour, noon)
		if got := h.Count(task, time.Hour, noon); got != want || !free.Equal(noon.Add(time.Duration(want)*time.Hour)) {
			t.Errorf("%d count against %s, free at %s, want %d", got, task, free, want)
		}
	}
	at.Tried = nil
	if again := record(t, status, at, 0, noon.Add(time.Second)); len(again.Recent) != 1 || again.Recent[0].Tried != nil {
		t.Errorf("once it would not, there are %+v", again.Recent)
	}
}

func TestFreeAt(t *testing.T) {
	var status v1alpha1.AgentActivityStatus
	for i := range 5 {
		status = record(t, status, attempt(fmt.Sprint(i)), time.Hour, noon.Add(time.Duration(i)*time.Minute))
	}
	now := noon.Add(5 * time.Minute)
	h := activity.Before(&status, attempt("new"), now)
	for name, tc := range map[string]struct {
		most int
		want time.Duration
	}{
		"used up":            {most: 5, want: time.Hour},
		"over":               {most: 3, want: time.Hour + 2*time.Minute},
		"one only":           {most: 1, want: time.Hour + 4*time.Minute},
		"not used up":        {most: 6, want: 5 * time.Minute},
		"no budget is spent": {most: 0, want: 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			free := h.FreeAt("p/t", tc.most, time.Hour, now)
			if want := noon.Add(tc.want); !free.Equal(want) {
				t.Errorf("it is free at %s, want %s", free, want)
			}
			if got := h.Count("p/t", time.Hour, free); tc.most > 0 && got >= tc.most {
				t.Errorf("%d still count then", got)
			}
		})
	}
}

func TestName(t *testing.T) {
	for name, tc := range map[string]struct{ username, want string }{
		"a service account":      {"system:serviceaccount:ci:deploy-bot", "ci-deploy-bot-"},
		"a user":                 {"jane@example.com", "jane-example-com-"},
		"a long one":             {"system:serviceaccount:a-very-long-namespace:agent", "a-very-long-namesp-"},
		"one that cannot be put": {"山田", "agent-"},
	} {
		t.Run(name, func(t *testing.T) {
			got := activity.Name(tc.username)
			if !strings.HasPrefix(got, tc.want) || len(got) != len(tc.want)+10 {
				t.Errorf("got %s, want %s and ten characters", got, tc.want)
			}
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
				t.Errorf("%s is no name: %v", got, problems)
			}
		})
	}
	if activity.Name("a-b") == activity.Name("a.b") {
		t.Error("two users have one name")
	}
}
