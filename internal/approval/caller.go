package approval

import (
	"errors"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

const serviceAccountPrefix = "system:serviceaccount:"

// Caller is who writes an approval, with what had to be asked about them.
type Caller struct {
	action.Actor
	// MayApprove is the answer to a SubjectAccessReview for verb approve on actionapprovals in the namespace of the
	// approval.
	MayApprove bool
	// Governed says that an Enforce policy names the caller.
	Governed bool
	// Operator says that the caller is the operator itself.
	Operator bool
}

// identity is the caller as an approver is recorded.
func (c *Caller) identity() v1alpha1.ApproverIdentity {
	return v1alpha1.ApproverIdentity{
		Username: c.Username, UID: c.UID, Groups: slices.Clone(c.Groups), CredentialID: c.CredentialID,
	}
}

// mayDecide says why the caller may not decide. Whoever could approve may deny and revoke as well.
func (c *Caller) mayDecide(spec *v1alpha1.ActionApprovalSpec) error {
	who := c.identity()
	if err := eligible(&who, spec); err != nil {
		return err
	}
	switch {
	case c.Governed:
		return errors.New("agents do not decide: a policy governs this user")
	case !c.MayApprove:
		return errors.New("this user lacks the verb approve on actionapprovals in this namespace")
	default:
		return nil
	}
}

// eligible says why somebody's verdict never counts, as far as it can be seen by their name and groups.
func eligible(who *v1alpha1.ApproverIdentity, spec *v1alpha1.ActionApprovalSpec) error {
	switch {
	case !isPerson(who):
		return errors.New("only people decide: no service account, node or component of the cluster")
	case who.Username == spec.Requester.Username || who.UID != "" && who.UID == spec.Requester.UID:
		return errors.New("nobody decides their own request")
	case len(satisfied(who, spec.Requirements)) == 0:
		return errors.New("none of the requirements names this user or one of the user's groups")
	default:
		return nil
	}
}

// isPerson says whether an identity may be a person. Of the names that Kubernetes keeps for itself only that of the
// administrator of small clusters is.
func isPerson(who *v1alpha1.ApproverIdentity) bool {
	if who.Username == "" || strings.HasPrefix(who.Username, "system:") && who.Username != "system:admin" {
		return false
	}
	return !slices.ContainsFunc(who.Groups, func(group string) bool {
		return group == "system:nodes" || group == "system:unauthenticated" ||
			group == "system:serviceaccounts" || strings.HasPrefix(group, "system:serviceaccounts:")
	})
}

// satisfied lists the requirements, by index, for which somebody counts.
func satisfied(who *v1alpha1.ApproverIdentity, requirements []v1alpha1.StampedRequirement) []int {
	var all []int
	for i := range requirements {
		if counts(who, requirements[i].Approvers) {
			all = append(all, i)
		}
	}
	return all
}

// counts says whether the list of approvers names somebody. An empty list names everybody with the verb.
func counts(who *v1alpha1.ApproverIdentity, approvers []v1alpha1.Approver) bool {
	return len(approvers) == 0 || slices.ContainsFunc(approvers, func(a v1alpha1.Approver) bool {
		switch a.Kind {
		case v1alpha1.ApproverUser:
			return a.Name != "" && a.Name == who.Username
		case v1alpha1.ApproverGroup:
			return slices.Contains(who.Groups, a.Name)
		default:
			return false
		}
	})
}

// samePerson says whether two verdicts are one person's: by user name, and by UID where there is one.
func samePerson(a, b *v1alpha1.ApproverIdentity) bool {
	return a.Username == b.Username || a.UID != "" && a.UID == b.UID
}

// isRequester says whether somebody is who asked: user name and UID, and a service account never without one.
func isRequester(actor *action.Actor, r v1alpha1.Requester) bool {
	return actor.Username == r.Username && actor.UID == r.UID && bindable(r, v1alpha1.BindToUser) == nil
}
