package archive

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// errUnsynced is returned where the context ends before all approvals are held.
var errUnsynced = apierrors.NewTimeoutError("waiting for all approvals to be in memory", 0)

// Get implements client.Reader. An approval that has ended comes as its remnant, and must not be written.
func (a *Archive) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	found, ok := o.(*v1alpha1.ActionApproval)
	if !ok {
		return fmt.Errorf("reading %T from the archive of approvals: it holds nothing else", o)
	}
	if !a.WaitForSync(ctx) {
		return errUnsynced
	}
	held, exists, err := a.informer.GetIndexer().GetByKey(key.String())
	if err != nil {
		return fmt.Errorf("reading approval %s: %w", key, err)
	}
	if !exists {
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("actionapprovals").GroupResource(), key.Name)
	}
	var get client.GetOptions
	get.ApplyOptions(options)
	return hand(held, found, get.UnsafeDisableDeepCopy)
}

// List implements client.Reader. It selects by a namespace and by one of the fields that are indexed. Those that have ended come
// as their remnants, and must not be written.
func (a *Archive) List(ctx context.Context, o client.ObjectList, options ...client.ListOption) error {
	list, ok := o.(*v1alpha1.ActionApprovalList)
	if !ok {
		return fmt.Errorf("listing %T from the archive of approvals: it holds nothing else", o)
	}
	var by client.ListOptions
	by.ApplyOptions(options)
	if by.LabelSelector != nil || by.Limit != 0 || by.Continue != "" {
		return fmt.Errorf("listing approvals from memory: by labels or in parts is not possible")
	}
	if !a.WaitForSync(ctx) {
		return errUnsynced
	}
	found, err := a.selected(&by)
	if err != nil {
		return err
	}
	list.Items = make([]v1alpha1.ActionApproval, 0, len(found))
	for _, held := range found {
		var item v1alpha1.ActionApproval
		if err := hand(held, &item, by.UnsafeDisableDeepCopy); err != nil {
			return err
		}
		if by.Namespace == "" || item.Namespace == by.Namespace {
			list.Items = append(list.Items, item)
		}
	}
	return nil
}

// selected are those that have what a field selector asks for.
func (a *Archive) selected(by *client.ListOptions) ([]any, error) {
	indexer := a.informer.GetIndexer()
	if by.FieldSelector == nil || by.FieldSelector.Empty() {
		return indexer.List(), nil
	}
	asked := by.FieldSelector.Requirements()
	if len(asked) != 1 {
		return nil, fmt.Errorf("listing approvals from memory by %s: one field is possible", by.FieldSelector)
	}
	value, exact := by.FieldSelector.RequiresExactMatch(asked[0].Field)
	if !exact {
		return nil, fmt.Errorf("listing approvals from memory by %s: only values that are equal can be found", by.FieldSelector)
	}
	found, err := indexer.ByIndex(asked[0].Field, value)
	if err != nil {
		return nil, fmt.Errorf("listing approvals from memory: %w", err)
	}
	return found, nil
}

// hand gives out what is held: a copy, unless the caller only reads.
func hand(held any, to *v1alpha1.ActionApproval, readOnly *bool) error {
	a := view(held)
	if a == nil {
		return fmt.Errorf("reading approvals from memory: %T is held", held)
	}
	if readOnly != nil && *readOnly {
		*to = *a
	} else {
		a.DeepCopyInto(to)
	}
	to.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ActionApproval"))
	return nil
}

// Has says whether any approval has a value in a field that is indexed. It is true as well where that is not known.
func (a *Archive) Has(field, value string) bool {
	if !a.Synced() {
		return true
	}
	keys, err := a.informer.GetIndexer().IndexKeys(field, value)
	return err != nil || len(keys) > 0
}

// Each calls f with every approval, which it must only read, until f returns false. It waits until all are held, and makes one
// after the other of its record: all at once would take as much memory as if they were held whole.
func (a *Archive) Each(ctx context.Context, f func(*v1alpha1.ActionApproval) bool) error {
	if !a.WaitForSync(ctx) {
		return errUnsynced
	}
	for _, held := range a.informer.GetIndexer().List() {
		if found := view(held); found == nil || !f(found) {
			break
		}
	}
	return nil
}
