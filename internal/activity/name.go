package activity

import (
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/naming"
)

const (
	// prefixLength bounds the readable part of a name, so that a table of them fits on a screen.
	prefixLength = 18
	// suffixLength is how many characters of the hash stand in a name. Whoever reads an activity checks whose it is.
	suffixLength = 10
)

// Name is the name of the AgentActivity of a user.
func Name(username string) string {
	prefix := naming.Readable(naming.Short(username), prefixLength)
	if prefix == "" {
		prefix = "agent"
	}
	return prefix + "-" + naming.Suffix(suffixLength, "activity v1", username)
}

// summarise says in short what an agent did last, for tables.
func summarise(username string, last *v1alpha1.AdmittedAction) *v1alpha1.ActivitySummary {
	deed, target := naming.Deed(string(last.Operation), last.Resource, last.Subresource, last.Name)
	s := &v1alpha1.ActivitySummary{
		Agent: legible.Line(naming.Short(username), 320), Action: legible.Line(deed, 63), Target: legible.Line(target, 400),
		Namespace: last.Namespace,
	}
	_, s.Task, _ = strings.Cut(last.Task, "/")
	return s
}
