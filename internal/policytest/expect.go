package policytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/internal/policy"
)

// compare says what is not as expected. An error says that the expectation itself makes no sense.
func (e *Expectation) compare(r *Result) ([]Mismatch, error) {
	switch e.Outcome {
	case policy.Allow, policy.Deny, policy.Ask:
	default:
		return nil, fmt.Errorf("expect.outcome: Allow, Deny or RequireApproval, not %q", string(e.Outcome))
	}
	if err := e.checkReasons(); err != nil {
		return nil, err
	}
	d := &r.Decision
	var found []Mismatch
	differ := func(field, want, got string) {
		if want != got {
			found = append(found, Mismatch{Field: field, Want: want, Got: got})
		}
	}
	differ("outcome", string(e.Outcome), string(d.Outcome))
	if e.Reasons != nil {
		var want []string
		for _, reason := range *e.Reasons {
			want = append(want, string(reason))
		}
		differ("reasons", sorted(want), sorted(d.Reasons()))
	}
	if e.Policies != nil {
		differ("policies", sorted(*e.Policies), sorted(d.PolicyNames()))
	}
	if e.Task != nil {
		differ("task", shown(*e.Task), shown(d.TaskName()))
	}
	if e.OpensAt != nil {
		differ("opensAt", instant(e.OpensAt.Time, e.OpensAt.Location()), instant(d.Remedy.Wait, e.OpensAt.Location()))
	}
	if e.Narrow != nil {
		differ("narrow", sorted(*e.Narrow), sorted(d.Remedy.Narrow))
	}
	for _, text := range e.Text {
		if !strings.Contains(r.Text, text) {
			found = append(found, Mismatch{Field: "text", Want: text, Got: "a refusal without it"})
		}
	}
	if e.Observed != nil {
		got := map[string]policy.Outcome{}
		for i := range d.Shadows {
			got[d.Shadows[i].Policy] = d.Shadows[i].Decision.Outcome
		}
		differ("observed", outcomes(*e.Observed), outcomes(got))
	}
	return found, nil
}

// checkReasons finds reasons that there are not, which could never be met.
func (e *Expectation) checkReasons() error {
	if e.Reasons == nil {
		return nil
	}
	for _, reason := range *e.Reasons {
		if !slices.Contains(policy.AllReasons(), reason) {
			return fmt.Errorf("expect.reasons: there is no reason %q", string(reason))
		}
	}
	return nil
}

func sorted(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return shown(strings.Join(slices.Compact(list), ","))
}

func shown(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func instant(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(zone).Format(time.RFC3339)
}

func outcomes(of map[string]policy.Outcome) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, name+"="+string(of[name]))
	}
	return sorted(all)
}
