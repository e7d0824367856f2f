package approval

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/naming"
)

// expiryFormat is the form in which a table shows until when an approval can be decided or used: that is at most seven
// days ahead, so the day of the week suffices.
const expiryFormat = "Mon 15:04Z"

// summarise says in short who asks for what, for tables. An approval that has ended shows no time at which it would.
func summarise(spec *v1alpha1.ActionApprovalSpec, state State, expires time.Time) *v1alpha1.ApprovalSummary {
	s := &v1alpha1.ApprovalSummary{
		Requester: legible.Line(naming.Short(spec.Requester.Username), maxRequester), Reasons: kindsOf(spec.Reasons),
	}
	switch {
	case spec.Action != nil:
		asked := spec.Action
		s.Action, s.Target = naming.Deed(string(asked.Operation), asked.Resource, asked.Subresource, asked.Name)
		s.Target = legible.Line(s.Target, maxTarget)
	case spec.Task != nil:
		s.Action, s.Target = "run", "task/"+spec.Task.Name
	}
	if !state.Terminal() && !expires.IsZero() {
		s.Expires = expires.UTC().Format(expiryFormat)
	}
	return s
}

// kindsOf lists the kinds of reasons, each once.
func kindsOf(reasons []v1alpha1.ApprovalReason) string {
	var kinds []string
	for _, r := range reasons {
		if !slices.Contains(kinds, r.Type) {
			kinds = append(kinds, r.Type)
		}
	}
	return naming.Cut(strings.Join(kinds, ","), maxKinds)
}

const (
	// maxKinds bounds a list of kinds, maxRequester and maxTarget what names somebody or something.
	maxKinds, maxRequester, maxTarget = 1024, 320, 400
)
