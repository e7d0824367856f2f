package action

import (
	"errors"
	"slices"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// DeleteOptions says how an object is deleted.
type DeleteOptions struct {
	// GracePeriodSeconds is how long the object has to end. For a pod it is what the API server makes of the request,
	// which is the same however the pod is deleted; for other kinds it is what was sent, nil where nothing was.
	GracePeriodSeconds *int64
	// PropagationPolicy is what becomes of dependents: Orphan, Background or Foreground. Empty is the default of the
	// kind, which for a pod is filled in.
	PropagationPolicy string
	// UID is that of the only object that may be deleted, empty where the request does not say. Without it an
	// eviction may hit a pod that took the place of the one that was looked at.
	UID string
	// IgnoreReadError asks to delete an object that cannot be read, with all that hangs on it.
	IgnoreReadError bool
}

// Forced says that the object is given no time to end.
func (d *DeleteOptions) Forced() bool {
	return d != nil && d.GracePeriodSeconds != nil && *d.GracePeriodSeconds == 0
}

// deleteOptions reads the DeleteOptions of the API.
func deleteOptions(part string, options map[string]any) (*DeleteOptions, error) {
	d := DeleteOptions{
		PropagationPolicy: textAt(options, "propagationPolicy"),
		UID:               textAt(options, "preconditions", "uid"),
		IgnoreReadError:   at(options, "ignoreStoreReadErrorWithClusterBreakingPotential").V == true,
	}
	if grace := at(options, "gracePeriodSeconds"); grace.V != nil {
		seconds, ok := grace.V.(int64)
		if !ok {
			return nil, &DecodeError{Part: part, Err: errors.New("reading gracePeriodSeconds: not an integer")}
		}
		d.GracePeriodSeconds = &seconds
	}
	// The older way of saying it. The API server refuses both at once.
	switch at(options, "orphanDependents").V {
	case true:
		d.PropagationPolicy = "Orphan"
	case false:
		d.PropagationPolicy = "Background"
	}
	return &d, nil
}

// forPod fills in what the API server makes of the options when it deletes a pod. It does so after it has decoded the
// request, so that some reviews show it and some do not.
func (d *DeleteOptions) forPod(pod map[string]any) {
	if at(pod, "metadata", "deletionTimestamp").Present {
		return // the deletion goes on, by other rules
	}
	d.GracePeriodSeconds = podGrace(pod, d.GracePeriodSeconds)
	finalizers := asList(at(pod, "metadata", "finalizers"))
	if d.PropagationPolicy == "" && !slices.Contains(finalizers, any("orphan")) && !slices.Contains(finalizers, any("foregroundDeletion")) {
		d.PropagationPolicy = "Background"
	}
}

// podGrace is how long a pod is given: see CheckGracefulDelete of the pod strategy.
func podGrace(pod map[string]any, requested *int64) *int64 {
	seconds := int64(0)
	switch phase := textAt(pod, "status", "phase"); {
	case textAt(pod, "spec", "nodeName") == "" || phase == "Failed" || phase == "Succeeded":
	case requested != nil:
		seconds = *requested
	default:
		seconds, _ = at(pod, "spec", "terminationGracePeriodSeconds").V.(int64)
	}
	if seconds < 0 {
		seconds = 1
	}
	return &seconds
}

// GoesOn says that the action is a DELETE of an object that is being deleted already. Where the object has been given
// time to end, taking that time away is another deletion.
func (a *Action) GoesOn() bool {
	if a.Operation != v1alpha1.OperationDelete || textAt(a.Old, "metadata", "deletionTimestamp") == "" {
		return false
	}
	grace, _ := at(a.Old, "metadata", "deletionGracePeriodSeconds").V.(int64)
	return grace <= 0 || !a.Delete.Forced()
}
