package webhooks

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// TestSharedReads has many ask for one approval while it is read: they are given what is read after that, by one read.
func TestSharedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads sharedReads
		key, number := client.ObjectKey{Namespace: "shop", Name: "a"}, 0
		read := func(context.Context, client.ObjectKey) (*v1alpha1.ActionApproval, []string, error) {
			<-time.After(time.Second)
			number++
			a := &v1alpha1.ActionApproval{}
			a.Generation = int64(number)
			return a, nil, nil
		}
		var group sync.WaitGroup
		ask := func(want int64) {
			group.Go(func() {
				if a, _, err := reads.get(t.Context(), key, read); err != nil || a.Generation != want {
					t.Errorf("read %d is given, want %d: %v", a.Generation, want, err)
				}
			})
		}
		ask(1)
		<-time.After(time.Second / 2)
		for range 10 {
			ask(2)
		}
		<-time.After(time.Second)
		ask(3)
		group.Wait()
		ask(4)
		group.Wait()
		synctest.Wait()
		if number != 4 || len(reads.underWay)+len(reads.next) != 0 {
			t.Errorf("it was read %d times, and %d reads are left", number, len(reads.underWay)+len(reads.next))
		}
	})
}

// TestSharedReadsEnd has the first who asks leave: the read goes on for the others. One that fails does so for all.
func TestSharedReadsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads sharedReads
		key, broken := client.ObjectKey{Namespace: "shop", Name: "a"}, errors.New("broken")
		read := func(ctx context.Context, _ client.ObjectKey) (*v1alpha1.ActionApproval, []string, error) {
			select {
			case <-time.After(time.Second):
				return nil, nil, broken
			case <-ctx.Done():
				return nil, nil, context.Cause(ctx)
			}
		}
		leaving, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		ask := func(ctx context.Context, want error) {
			group.Go(func() {
				if _, _, err := reads.get(ctx, key, read); !errors.Is(err, want) {
					t.Errorf("the error is %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		ask(leaving, context.Canceled)
		ask(t.Context(), broken)
		leave()
		group.Wait()
		synctest.Wait()
		if len(reads.underWay)+len(reads.next) != 0 {
			t.Errorf("%d reads are left", len(reads.underWay)+len(reads.next))
		}
	})
}
