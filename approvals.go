package main

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/archive"
	"github.com/countersign-dev/countersign/webhooks"
)

// addArchive makes what holds approvals. Nothing waits for it: a hundred thousand of them take many seconds to read, and what
// no approval is needed for is decided meanwhile.
func (op *operator) addArchive() error {
	config, http := op.mgr.GetConfig(), op.mgr.GetHTTPClient()
	var err error
	op.approvals, err = archive.New(config, archive.Options{
		HTTPClient: http, Scheme: op.mgr.GetScheme(), Mapper: op.mgr.GetRESTMapper(),
		Indexes: map[string]func(*v1alpha1.ActionApproval) []string{
			webhooks.RequesterField: webhooks.ByRequester, webhooks.TargetField: webhooks.ByTarget,
			controllers.FollowsField: controllers.ByFollows,
		},
	})
	if err != nil {
		return err
	}
	op.approvalClient, err = client.New(config, client.Options{
		HTTPClient: http, Scheme: op.mgr.GetScheme(), Mapper: op.mgr.GetRESTMapper(), Cache: &client.CacheOptions{Reader: op.approvals},
	})
	if err != nil {
		return fmt.Errorf("making a client of approvals: %w", err)
	}
	if err := op.mgr.Add(op.approvals); err != nil {
		return fmt.Errorf("adding the archive of approvals: %w", err)
	}
	return nil
}

// everywhere is a part of the process that runs on every replica.
type everywhere func(context.Context) error

// Start implements manager.Runnable.
func (f everywhere) Start(ctx context.Context) error { return f(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

// approvalReader reads approvals from the archive or, until that holds all of them, from the API server, which selects by the
// same fields.
func (op *operator) approvalReader() (client.Reader, error) {
	r := &whicheverReader{held: op.approvals, live: op.mgr.GetAPIReader()}
	err := op.mgr.Add(everywhere(func(ctx context.Context) error {
		if op.approvals.WaitForSync(ctx) {
			ctrl.Log.WithName("approvals").Info("All approvals are in memory")
		}
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("adding what waits for the archive of approvals: %w", err)
	}
	return r, nil
}

type whicheverReader struct {
	held *archive.Archive
	live client.Reader
}

func (r *whicheverReader) now() client.Reader {
	if r.held.Synced() {
		return r.held
	}
	return r.live
}

// Get implements client.Reader.
func (r *whicheverReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	return r.now().Get(ctx, key, o, options...) //nolint:wrapcheck // it stands for the other
}

// List implements client.Reader.
func (r *whicheverReader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return r.now().List(ctx, list, options...) //nolint:wrapcheck // it stands for the other
}

// addApprovalControllers adds what becomes of approvals and activities besides the webhooks.
func (op *operator) addApprovalControllers() error {
	for name, c := range map[string]interface{ SetupWithManager(ctrl.Manager) error }{
		"approval": &controllers.ActionApprovalReconciler{
			Client: op.approvalClient, Archive: op.approvals, Live: op.mgr.GetAPIReader(), Registry: op.registry, Clock: op.clock,
		},
		"settlement": &controllers.SettlementReconciler{Client: op.approvalClient, Archive: op.approvals, Settler: op.settler, Clock: op.clock},
		"activity":   &controllers.AgentActivityReconciler{Client: op.mgr.GetClient(), Clock: op.clock},
		"retention": &controllers.RetentionReconciler{
			Client: op.approvalClient, Archive: op.approvals, Clock: op.clock, Retention: op.approvalRetention,
		},
	} {
		if err := c.SetupWithManager(op.mgr); err != nil {
			return fmt.Errorf("adding the %s controller: %w", name, err)
		}
	}
	return nil
}
