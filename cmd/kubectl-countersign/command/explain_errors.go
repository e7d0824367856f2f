package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
)

// explain says in a sentence what went wrong, and where it is known, what to do.
func (e *Environment) explain(err error) string {
	var (
		unreachable *url.Error
		status      apierrors.APIStatus
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case clientcmd.IsEmptyConfig(err), errors.Is(err, errNoCluster):
		return "no cluster is configured: give --kubeconfig FILE, or set KUBECONFIG"
	case errors.As(err, &status):
		return terminal.CleanLines(explainStatus(err, status.Status()))
	case errors.As(err, &unreachable) && unreachable.Timeout():
		return terminal.Clean("the API server at " + host(unreachable.URL) + " does not answer in time")
	case errors.As(err, &unreachable):
		return terminal.Clean(fmt.Sprintf("cannot reach the API server at %s: %v", host(unreachable.URL), unreachable.Err))
	default:
		return terminal.CleanLines(err.Error())
	}
}

// explainStatus says what an answer of the API server means.
func explainStatus(err error, s metav1.Status) string {
	refused := refusalOf(err)
	switch {
	case refused != nil:
		return refused.message
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept these credentials: they are wrong, or have expired"
	case apierrors.IsNotFound(err) && isApproval(s.Details) && !isNotServed(s.Details):
		return "there is no approval " + s.Details.Name + " in this namespace: -n NAMESPACE names another, and list -A shows all"
	case apierrors.IsNotFound(err) && (s.Details == nil || s.Details.Name == "" || isNotServed(s.Details)):
		return "the cluster does not serve " + v1alpha1.GroupVersion.String() +
			": Countersign is not installed there, or in a version that this plugin does not know"
	case apierrors.IsForbidden(err) && lackedRight.MatchString(s.Message):
		return explainRight(lackedRight.FindStringSubmatch(s.Message))
	case apierrors.IsInvalid(err) && isApproval(s.Details):
		return explainInvalid(s.Details)
	default:
		return err.Error()
	}
}

// isApproval says whether a failure is about one approval. Some answers name the resource, others the kind.
func isApproval(d *metav1.StatusDetails) bool {
	return d != nil && d.Name != "" && d.Group == v1alpha1.GroupName && (d.Kind == approvalsResource || d.Kind == "ActionApproval")
}

// isNotServed says whether an API server knows nothing below a path: it answers with a page rather than a status.
func isNotServed(d *metav1.StatusDetails) bool {
	return slices.ContainsFunc(d.Causes, func(c metav1.StatusCause) bool { return c.Type == metav1.CauseTypeUnexpectedServerResponse })
}

// explainInvalid says what is wrong with what was written, without the names of fields that nobody has typed.
func explainInvalid(d *metav1.StatusDetails) string {
	var all []string
	for _, cause := range d.Causes {
		if cause.Field == "spec.requester" && cause.Type == metav1.CauseTypeFieldValueRequired {
			return "no policy governs you, or Countersign did not answer: only those whom a policy governs can ask"
		}
		text := strings.TrimPrefix(cause.Message, "Forbidden: ")
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		return d.Name + " was not accepted"
	}
	return d.Name + ": " + strings.Join(all, "; ")
}

var (
	// lackedRight is what RBAC answers: user, verb, resource, API group and place.
	lackedRight = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)" ` +
		`(?:in the namespace "([^"]*)"|at the cluster scope)`)
)

// explainRight says which right is missing, and which role of the chart grants it.
func explainRight(found []string) string {
	user, verb, resource, group, namespace := found[1], found[2], found[3], found[4], found[5]
	ours := group == v1alpha1.GroupName && resource == approvalsResource
	place := "in the whole cluster"
	switch {
	case namespace != "":
		place = "in namespace " + namespace
	case ours:
		place = "in all namespaces: name one with -n"
	}
	text := fmt.Sprintf("%s may not %s %s %s", user, verb, resource, place)
	if !ours {
		return text
	}
	role := map[string]string{
		"get": "countersign-viewer", "list": "countersign-viewer", "watch": "countersign-viewer",
		"patch": "countersign-approver", "create": "countersign-requester",
	}[verb]
	if role == "" {
		return text
	}
	return text + "; the ClusterRole " + role + " grants it"
}

// host is scheme and host of an address, for messages.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}
