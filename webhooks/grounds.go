package webhooks

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/policy"
)

// grounds are what an approval stands on besides the object: they are asked of the API server at every use, since what
// this process knows of them may be a moment old.
type grounds struct {
	// lostApprovers have consented and may not any more.
	lostApprovers []string
	// movedPolicy is one that is not what the decision was made with, empty where there is none.
	movedPolicy string
	// possible says that the API server can have sent the review.
	possible bool
}

// grounds asks about every approver, every policy and the review itself at once.
func (a *Approvals) grounds(ctx context.Context, p *plea, live *v1alpha1.ActionApproval) (grounds, error) {
	consents := consentsOf(live)
	policies := p.v.decision.Policies
	lost, moved := make([]bool, len(consents)), make([]bool, len(policies))
	group, ctx := errgroup.WithContext(ctx)
	for i, who := range consents {
		group.Go(func() error {
			may, err := a.mayApprove(ctx, live.Namespace, action.Actor{Username: who.Username, UID: who.UID, Groups: who.Groups})
			lost[i] = !may
			return err
		})
	}
	for i, judged := range policies {
		group.Go(func() (err error) {
			moved[i], err = a.moved(ctx, judged)
			return err
		})
	}
	var found grounds
	group.Go(func() (err error) {
		found.possible, err = possible(ctx, a.Live, p.in.Action)
		return err
	})
	if err := group.Wait(); err != nil {
		return grounds{}, err
	}
	for i := range consents {
		if lost[i] {
			found.lostApprovers = append(found.lostApprovers, consents[i].Username)
		}
	}
	if i := slices.Index(moved, true); i >= 0 {
		found.movedPolicy = policies[i].Name
	}
	return found, nil
}

// consentsOf are the identities whose consent is recorded, as recorded.
func consentsOf(live *v1alpha1.ActionApproval) []v1alpha1.ApproverIdentity {
	var consents []v1alpha1.ApproverIdentity
	for i := range live.Spec.Decisions {
		if d := &live.Spec.Decisions[i]; d.Verdict == v1alpha1.VerdictApprove {
			consents = append(consents, d.Approver)
		}
	}
	return consents
}

// moved says whether a policy is another one by now than that which this process knows.
func (a *Approvals) moved(ctx context.Context, judged *policy.Policy) (bool, error) {
	stored := &metav1.PartialObjectMetadata{}
	stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AgentActionPolicy"))
	switch err := a.Live.Get(ctx, client.ObjectKey{Name: judged.Name}, stored); {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("reading policy %s: %w", judged.Name, err)
	}
	return string(stored.UID) != judged.UID || stored.Generation != judged.Generation, nil
}
