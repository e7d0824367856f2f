package approval

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// differs says which question the remnant of an approval answers otherwise than the whole; empty: none.
func differs(whole *v1alpha1.ActionApproval, now time.Time) string {
	left := whole.DeepCopy()
	Remnant(left)
	if _, ended := Ended(whole); !ended {
		if RecordOf(left) != nil {
			return "a record is made of what has not ended"
		}
		return cmp.Diff(whole, left)
	}
	again := left.DeepCopy()
	Remnant(again)
	if d := cmp.Diff(left, again); d != "" {
		return "a second time: " + d
	}
	record := RecordOf(whole.DeepCopy())
	if record == nil {
		return "there is no record"
	}
	if d := cmp.Diff(left, record.Approval(), cmpopts.IgnoreTypes(metav1.TypeMeta{})); d != "" {
		return "by the record: " + d
	}
	for _, at := range []time.Time{now, now.Add(time.Hour), now.Add(4*time.Hour - 1), now.Add(100 * time.Hour)} {
		if d := cmp.Diff(answers(whole, at), answers(left, at)); d != "" {
			return d
		}
	}
	return ""
}

// answers are what is asked of approvals that have ended.
func answers(a *v1alpha1.ActionApproval, now time.Time) map[string]string {
	since, ended := Ended(a)
	cools, cooling := CoolsUntil(a, now)
	own := modelRequest()
	return map[string]string{
		"state": string(Evaluate(a, now)), "ended": fmt.Sprint(since, ended), "follows": a.Spec.Follows,
		"cools": fmt.Sprint(cools, cooling), "covers": fmt.Sprint(cooling && Covers(a, own)), "recalled": fmt.Sprint(Recalled(a)),
		"kept": fmt.Sprint(KeptUntil(a, since, time.Hour)), "closed": fmt.Sprint(Closed(a)), "deleted": fmt.Sprint(Deleted(a)),
		"diff": fmt.Sprint(a.Spec.Action != nil && a.Spec.Action.Diff != ""), "name": a.Namespace + "/" + a.Name + "/" + string(a.UID) + "/" + a.ResourceVersion,
	}
}

// TestRemnantIsSmall has an approval that was used for an update lose all but what its name leads to.
func TestRemnantIsSmall(t *testing.T) {
	a := build(t, request(1))
	a.UID, a.ResourceVersion, a.Annotations = "u", "7", map[string]string{BaseAnnotation: strings.Repeat("x", 1000)}
	a.Spec.Action.Diff = ""
	a.Status = End(a, Void, "it has changed", noon)
	Remnant(a)
	if a.Spec.Action != nil || a.Annotations != nil || a.Spec.Requirements != nil || a.Spec.Reasons != nil || a.Status.Summary != nil {
		t.Errorf("too much is left: %+v", a)
	}
	if _, ended := Ended(a); !ended || a.Name == "" || a.UID == "" || a.ResourceVersion == "" || a.Spec.Requester.Username != botName {
		t.Errorf("too little is left: %+v", a)
	}
}

// TestRemnantOfDenial asks by a remnant what a denial keeps from being asked for.
func TestRemnantOfDenial(t *testing.T) {
	whole := deniedApproval(t)
	whole.Spec.Action.Diff = "- 3\n+ 5\n"
	whole.Status = StatusOf(whole, noon)
	left := whole.DeepCopy()
	Remnant(left)
	if reflect.DeepEqual(whole, left) {
		t.Fatal("nothing was taken from it")
	}
	found, until := Cooling([]*v1alpha1.ActionApproval{left}, request(1), noon)
	if found == nil || !until.Equal(noon.Add(4*time.Hour)) {
		t.Errorf("%v cools until %s", found, until)
	}
	other := request(1)
	other.Action.Changes[0].Path[1].Field = "paused"
	if found, _ := Cooling([]*v1alpha1.ActionApproval{left}, other, noon); found != nil {
		t.Error("another path is denied as well")
	}
	if left.Spec.Action.Diff != diffRemains {
		t.Errorf("that there is a diff to be dropped is told by %q", left.Spec.Action.Diff)
	}
}
