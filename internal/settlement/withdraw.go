package settlement

import (
	"context"
	"fmt"

	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/activity"
)

// withdraw takes an attempt out of what is known of an agent that is proven never to be stored: no review of it, whatever
// comes of that, can store it any more. So it does not matter who does this, when, or how often.
func (s *Settler) withdraw(ctx context.Context, username, key string) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		known := &v1alpha1.AgentActivity{}
		if err := s.Live.Get(ctx, client.ObjectKey{Name: activity.Name(username)}, known); err != nil {
			return client.IgnoreNotFound(err)
		}
		next, changed := activity.Withdraw(&known.Status, key)
		if known.Status.Username != username || !changed {
			return nil
		}
		known.Status = next
		return client.IgnoreNotFound(s.Client.Status().Update(ctx, known))
	})
	if err != nil {
		return fmt.Errorf("withdrawing an attempt of %s that was not stored: %w", username, err)
	}
	return nil
}
