package policy

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
)

// Upper bounds of the durations in a policy.
const (
	maxGrace    = 24 * time.Hour
	maxValidity = 7 * 24 * time.Hour
	maxLookBack = activity.MaxLookBack
)

// requireKnown checks one place that may ask for consent.
func (c *compiler) requireKnown(v v1alpha1.Verdict, names []v1alpha1.RequirementName, at *field.Path, verdictField string) {
	switch v {
	case "", v1alpha1.Deny:
	case v1alpha1.RequireApproval:
	default:
		c.fail(field.NotSupported(at.Child(verdictField), v, []v1alpha1.Verdict{v1alpha1.Deny, v1alpha1.RequireApproval}))
	}
	c.requirementNames(names, at.Child("requirements"))
}

// requirementNames checks that every name stands in approval.requirements.
func (c *compiler) requirementNames(names []v1alpha1.RequirementName, at *field.Path) {
	for i, name := range names {
		if !c.hasRequirement(name) {
			c.fail(field.NotFound(at.Index(i), name))
		}
	}
}

func (c *compiler) hasRequirement(name v1alpha1.RequirementName) bool {
	if c.spec.Approval == nil {
		return false
	}
	for _, r := range c.spec.Approval.Requirements {
		if r.Name == name {
			return true
		}
	}
	return false
}

func (c *compiler) compileApproval(spec *field.Path) {
	c.requirementNames(c.spec.OutOfScopeRequirements, spec.Child("outOfScopeRequirements"))
	a, at := c.spec.Approval, spec.Child("approval")
	if a == nil {
		return
	}
	c.checkDuration(a.ValidFor, at.Child("validFor"), maxValidity)
	c.checkDuration(a.RequestExpiresAfter, at.Child("requestExpiresAfter"), maxValidity)
	seen := map[v1alpha1.RequirementName]bool{}
	for i, r := range a.Requirements {
		if seen[r.Name] {
			c.fail(field.Duplicate(at.Child("requirements").Index(i).Child("name"), r.Name))
		}
		seen[r.Name] = true
	}
}

// checkDuration checks that an optional duration is positive and not above most.
func (c *compiler) checkDuration(d v1alpha1.Duration, at *field.Path, most time.Duration) {
	if d == "" {
		return
	}
	parsed, err := time.ParseDuration(string(d))
	if err != nil {
		c.fail(field.Invalid(at, d, `must be a length of time such as "30m", "8h" or "1h30m"`))
		return
	}
	if parsed <= 0 || parsed > most {
		c.fail(field.Invalid(at, d, fmt.Sprintf("must be more than zero and at most %s", most)))
	}
}
