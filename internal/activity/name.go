package activity

import (
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
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
	s := &v1alpha1.ActivitySummary{
		Agent: cut(naming.Short(username), 320), Action: strings.ToLower(string(last.Operation)), Target: last.Resource,
		Namespace: last.Namespace,
	}
	switch {
	case last.Subresource == "":
	case last.Operation == v1alpha1.OperationConnect:
		s.Action = cut(last.Subresource, 63)
	default:
		s.Target += "/" + last.Subresource
	}
	if last.Name != "" {
		s.Target += "/" + last.Name
	}
	s.Target = cut(s.Target, 400)
	_, s.Task, _ = strings.Cut(last.Task, "/")
	return s
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
