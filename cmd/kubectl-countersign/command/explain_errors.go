package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	case clientcmd.IsEmptyConfig(err):
		return "no cluster is configured: give --kubeconfig FILE, or set KUBECONFIG"
	case errors.As(err, &status):
		return terminal.CleanLines(e.explainStatus(err, status))
	case errors.As(err, &unreachable):
		return fmt.Sprintf("cannot reach the API server at %s: %s", terminal.Clean(host(unreachable.URL)), terminal.Clean(unreachable.Err.Error()))
	default:
		return terminal.CleanLines(err.Error())
	}
}

func (e *Environment) explainStatus(err error, status apierrors.APIStatus) string {
	details := status.Status().Details
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept these credentials: they are wrong, or have expired"
	case apierrors.IsNotFound(err) && (details == nil || details.Name == ""):
		return "the cluster does not serve " + v1alpha1.GroupVersion.String() +
			": Countersign is not installed there, or in a version that this plugin does not know"
	default:
		return err.Error()
	}
}

// host is scheme and host of an address, for messages.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}
