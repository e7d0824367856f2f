package webhooks

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/approval"
)

const (
	// maxPending is how many requests of one requester may wait for people.
	maxPending = 20
	// openingRate and openingBurst bound how fast one requester opens requests, a second.
	openingRate, openingBurst = 0.2, 5
	// maxPaces bounds the memory for the paces of requesters; beyond it all begin anew.
	maxPaces = 10_000
	// cacheLag is how long the cache, or a list that was read from it, may lack a request that was opened.
	cacheLag = 30 * time.Second
)

// pace is how one requester opens requests at this replica.
type pace struct {
	limiter flowcontrol.PassiveRateLimiter
	// opened are the requests that were opened of late, and when.
	opened map[client.ObjectKey]time.Time
}

// bounded says why no request may be opened now, and otherwise counts this one. An agent in a loop writes nothing after
// the first.
func (a *Approvals) bounded(
	ctx context.Context, username string, request client.ObjectKey, known []*v1alpha1.ActionApproval, now time.Time,
) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.paceOf(username)
	ended := func(key client.ObjectKey) bool {
		var opened v1alpha1.ActionApproval
		if err := a.Cached.Get(ctx, key, &opened, client.UnsafeDisableDeepCopy); err != nil {
			return false // it counts until the cache shows it
		}
		return approval.Evaluate(&opened, now).Terminal()
	}
	if n := who.pending(known, now, ended); n >= maxPending {
		return fmt.Sprintf("%d requests of this account wait for people already, no further one is opened", n)
	}
	if !who.limiter.TryAccept() {
		return "this account opens requests too fast, repeat the same command in some seconds"
	}
	who.opened[request] = now
	return ""
}

func (a *Approvals) paceOf(username string) *pace {
	if a.paces == nil || len(a.paces) >= maxPaces {
		a.paces = map[string]*pace{}
	}
	if a.paces[username] == nil {
		a.paces[username] = &pace{
			limiter: flowcontrol.NewTokenBucketPassiveRateLimiter(openingRate, openingBurst),
			opened:  map[client.ObjectKey]time.Time{},
		}
	}
	return a.paces[username]
}

// pending counts the requests that wait: those that are known, and those that were opened too short a time ago for
// every list to show them. Lists show few of those that have ended, which count no more.
func (p *pace) pending(known []*v1alpha1.ActionApproval, now time.Time, ended func(client.ObjectKey) bool) int {
	n, listed := 0, map[client.ObjectKey]bool{}
	for _, k := range known {
		listed[client.ObjectKeyFromObject(k)] = true
		if approval.Evaluate(k, now) == approval.Pending {
			n++
		}
	}
	for key, opened := range p.opened {
		switch {
		case now.Sub(opened) > cacheLag:
			delete(p.opened, key)
		case !listed[key] && !ended(key):
			n++
		}
	}
	return n
}
