package command

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/policy"
)

// priority finds out in which queue the API server puts the operator's requests, by making one as the operator: the answer
// says which FlowSchema was taken. In a queue with agents, many of them wait for an operator that waits for them.
func (d *doctor) priority(ctx context.Context) {
	namespace, name := d.username()
	if name == "" {
		return // it runs elsewhere, or cannot be found, which was reported
	}
	username := policy.ServiceAccountUsername(namespace, name)
	schema, err := d.schemaOf(ctx, username)
	if err != nil {
		d.unknown(err, "in which queue the API server puts the operator cannot be tried")
		return
	}
	if schema == "" {
		d.warn("", "the API server has no queues (API Priority and Fairness is off): with many agents at once, the operator waits behind them")
		return
	}
	list, err := d.cluster.FlowcontrolV1().FlowSchemas().List(ctx, metav1.ListOptions{})
	if err != nil {
		d.unknown(err, "the FlowSchemas cannot be looked at")
		return
	}
	d.judgeQueue(username, schema, list.Items)
}

// schemaOf is the UID of the FlowSchema that the API server takes for a request of somebody, empty where it takes none.
func (d *doctor) schemaOf(ctx context.Context, username string) (string, error) {
	config := rest.CopyConfig(d.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: username}
	uid := ""
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(r)
			if err == nil {
				uid = answer.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID)
			}
			return answer, err
		})
	})
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("connecting as the operator: %w", err)
	}
	_, err = client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) && uid != "" && !strings.Contains(err.Error(), "impersonate") {
		err = nil // it was put into a queue, and refused after that
	}
	if err != nil {
		return "", fmt.Errorf("asking who the operator is: %w", err)
	}
	return uid, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// judgeQueue says whether others are in the same queue.
func (d *doctor) judgeQueue(username, uid string, all []flowcontrolv1.FlowSchema) {
	var taken *flowcontrolv1.FlowSchema
	for i := range all {
		if string(all[i].UID) == uid {
			taken = &all[i]
		}
	}
	if taken == nil {
		d.unknown(fmt.Errorf("the one that was taken is not among the %d that are listed", len(all)), "the FlowSchemas")
		return
	}
	level := taken.Spec.PriorityLevelConfiguration.Name
	var others []string
	for i := range all {
		if all[i].Name != taken.Name && all[i].Spec.PriorityLevelConfiguration.Name == level {
			others = append(others, all[i].Name)
		}
	}
	switch {
	case level == flowcontrolv1.PriorityLevelConfigurationNameExempt:
		d.ok("the API server never has the operator wait (FlowSchema %s)", taken.Name)
	case len(others) > 0 || !only(taken, username):
		d.warn(d.upgrade("--set apiPriority.enabled=true"),
			"the operator has no queue of its own at the API server (FlowSchema %s, level %s): when many agents ask at once, it waits behind them",
			taken.Name, level)
	default:
		d.ok("the operator has a queue of its own at the API server (FlowSchema %s, level %s)", taken.Name, level)
	}
}

// only says that a FlowSchema is for one account and nobody else.
func only(s *flowcontrolv1.FlowSchema, username string) bool {
	for i := range s.Spec.Rules {
		for _, subject := range s.Spec.Rules[i].Subjects {
			a := subject.ServiceAccount
			if a == nil || policy.ServiceAccountUsername(a.Namespace, a.Name) != username {
				return false
			}
		}
	}
	return true
}
