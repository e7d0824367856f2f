package approval

import (
	"errors"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
)

// check refuses what nobody could grant, or what everybody could use.
func (r *Request) check() error {
	switch {
	case (r.Action == nil) == (r.Task == nil):
		return errors.New("it is for exactly one of an action and a task")
	case r.Action != nil && r.Hash == "":
		return errors.New("the action has no hash")
	case r.Action != nil && r.Action.Operation == v1alpha1.OperationUpdate && r.Base == "":
		return errors.New("the object that the action starts from has no digest")
	case r.Task != nil && r.Task.MaxActions < 1:
		return errors.New("the run of the task may hold no action")
	case r.Namespace() == "":
		return errors.New("there is no namespace for it")
	case len(r.Requirements) == 0:
		return errors.New("nobody is required to consent")
	case r.ValidFor <= 0 || r.RequestExpiresAfter <= 0:
		return errors.New("it would expire at once")
	}
	if err := bindable(requester(&r.Requester), r.bindTo()); err != nil {
		return err
	}
	return r.checkPolicies()
}

func (r *Request) checkPolicies() error {
	policies := map[string]bool{}
	for _, requirement := range r.Requirements {
		if requirement.MinApprovals < 1 || requirement.Policy.UID == "" || requirement.Policy.Hash == "" {
			return fmt.Errorf("requirement %s of policy %s is incomplete", requirement.Name, requirement.Policy.Name)
		}
		policies[requirement.Policy.Name] = true
	}
	for _, reason := range r.Reasons {
		if !policies[reason.Policy] {
			return fmt.Errorf("policy %s restricts without a requirement", reason.Policy)
		}
	}
	return nil
}

// bindable says what a requester lacks whom an approval can be bound to: empty never binds.
func bindable(r v1alpha1.Requester, to v1alpha1.Binding) error {
	for _, text := range []string{r.Username, r.UID, r.PodName, r.PodUID, r.CredentialID} {
		if c, found := legible.Hidden(text); found {
			return fmt.Errorf("the requester's name or credential holds characters that cannot be seen, such as %U", c)
		}
	}
	switch {
	case r.Username == "":
		return errors.New("the requester has no user name")
	case r.UID == "" && strings.HasPrefix(r.Username, serviceAccountPrefix):
		return errors.New("the requester is a service account without a UID")
	case to == v1alpha1.BindToPod && r.PodUID == "":
		return errors.New("the requester's token belongs to no pod")
	case to == v1alpha1.BindToCredential && r.CredentialID == "":
		return errors.New("the requester's credential has no ID")
	default:
		return nil
	}
}
