package approval

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

func TestKeptUntil(t *testing.T) {
	for name, tc := range map[string]struct {
		happened  func(t *testing.T, a *v1alpha1.ActionApproval)
		retention time.Duration
		want      time.Duration
	}{
		"nobody answered": {func(_ *testing.T, a *v1alpha1.ActionApproval) { a.Status = StatusOf(a, noon) }, time.Hour, time.Hour},
		"denied, which holds for longer": {func(t *testing.T, a *v1alpha1.ActionApproval) {
			if err := decide(a, person("alice"), v1alpha1.Decision{Verdict: v1alpha1.VerdictDeny}, noon); err != nil {
				t.Fatal(err)
			}
		}, time.Hour, 4 * time.Hour},
		"denied, which holds for less": {func(t *testing.T, a *v1alpha1.ActionApproval) {
			if err := decide(a, person("alice"), v1alpha1.Decision{Verdict: v1alpha1.VerdictDeny}, noon); err != nil {
				t.Fatal(err)
			}
		}, 30 * time.Hour, 30 * time.Hour},
		"used just now": {func(_ *testing.T, a *v1alpha1.ActionApproval) {
			a.Status.Uses = []v1alpha1.ApprovalUse{{Key: "delete.1", Time: metav1.NewTime(noon)}}
		}, time.Second, continuationSpan},
	} {
		t.Run(name, func(t *testing.T) {
			a := build(t, request(1))
			a.CreationTimestamp = metav1.NewTime(noon)
			tc.happened(t, a)
			if got := KeptUntil(a, noon, tc.retention).Sub(noon); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestEnded(t *testing.T) {
	a := build(t, request(1))
	a.Status = StatusOf(a, noon)
	if since, ended := Ended(a); ended {
		t.Errorf("a pending request ended at %s", since)
	}
	late := noon.Add(5 * time.Hour)
	a.Status = StatusOf(a, late)
	if since, ended := Ended(a); !ended || !since.Equal(noon.Add(4*time.Hour)) {
		t.Errorf("ended %t at %s", ended, since)
	}
}
