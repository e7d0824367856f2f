package approval

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestRecordHoldsWhatIsLeft takes to a record and back what an approval of each kind leaves behind.
func TestRecordHoldsWhatIsLeft(t *testing.T) {
	ended := func(r *Request) *v1alpha1.ActionApproval {
		a := build(t, r)
		a.UID, a.ResourceVersion, a.Generation, a.CreationTimestamp = "u", "7", 3, metav1.NewTime(noon.Add(-time.Hour))
		a.Status = End(a, Void, "it has changed", noon)
		a.Status.Conditions[0].ObservedGeneration = 2
		return a
	}
	deletion := func() *v1alpha1.ActionApproval {
		r := request(1)
		r.Action = deletion(nil)
		r.ValidFor = 58 * time.Second
		a := approved(t, r)
		spend(t, a, key(t, r.Action, "", ""), noon)
		a.Status = End(a, Void, "", noon)
		return a
	}
	denial := deniedApproval(t)
	denial.Status = StatusOf(denial, noon)
	tests := map[string]*v1alpha1.ActionApproval{
		"a change": ended(request(1)), "a denial": denial, "a deletion": deletion(), "one that follows": ended(request(1)),
		"one that is going": ended(request(1)), "one with a diff": ended(request(1)), "a run": ended(request(1)),
	}
	tests["one that follows"].Spec.Follows = "web-1"
	tests["one that is going"].DeletionTimestamp = &metav1.Time{Time: noon}
	tests["one with a diff"].Spec.Action.Diff = "- 3\n+ 5\n"
	tests["a run"].Spec.Task, tests["a run"].Spec.Action = &v1alpha1.RequestedTask{Policy: "p", Name: "roll"}, nil
	for name, a := range tests {
		t.Run(name, func(t *testing.T) {
			if what := differs(a, noon); what != "" {
				t.Error(what)
			}
			record := RecordOf(a.DeepCopy())
			if o := record.GetObjectMeta(); o.GetName() != a.Name || o.GetNamespace() != a.Namespace || o.GetResourceVersion() != a.ResourceVersion {
				t.Errorf("a cache takes it for %s/%s at %s", o.GetNamespace(), o.GetName(), o.GetResourceVersion())
			}
			if record.State() != Evaluate(a, noon) {
				t.Errorf("it has ended as %s, want %s", record.State(), Evaluate(a, noon))
			}
			if diff := cmp.Diff(record.Approval(), RecordOf(record.Approval()).Approval()); diff != "" {
				t.Errorf("a record of what a record holds differs:\n%s", diff)
			}
		})
	}
}

// perRecord is the most memory that one of many records takes on average, in bytes.
const perRecord = 400

// TestRecordsAreSmall measures many records of approvals that came as JSON.
func TestRecordsAreSmall(t *testing.T) {
	a := build(t, request(1))
	a.UID, a.ResourceVersion = "0e8f1f7c-53a2-4f0e-9d1e-00000MARK", "123MARK"
	a.Name = "web-7c5d8f9b6d-00000MARK"
	a.Spec.Action.Diff = ""
	a.Status = End(a, Void, "it has changed", noon)
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]*Record, 20_000)
	before := liveHeap()
	for i := range records {
		var read v1alpha1.ActionApproval
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "MARK", fmt.Sprintf("%05d", i))), &read); err != nil {
			t.Fatal(err)
		}
		records[i] = RecordOf(&read)
	}
	each := (liveHeap() - before) / int64(len(records))
	t.Logf("%d bytes each", each)
	if each > perRecord {
		t.Errorf("a record takes %d bytes, want %d at most", each, perRecord)
	}
	runtime.KeepAlive(records)
}

// liveHeap is the memory of what can be reached, in bytes.
func liveHeap() int64 {
	var m runtime.MemStats
	for range 2 { // what the first finds to be unused is there until the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
