package action

import (
	"fmt"
)

// VersionError says that a review came in a version other than the one in which paths are written.
type VersionError struct {
	// Resource is plural, with its group: horizontalpodautoscalers.autoscaling.
	Resource string
	// Got is the version that came, Use the one to use, each with its group: autoscaling/v2. Use is empty where the
	// kind is not known.
	Got, Use string
}

// Error names the version to use.
func (e *VersionError) Error() string {
	if e.Use == "" {
		return fmt.Sprintf("reading %s: the preferred version is not known, and %s came", e.Resource, e.Got)
	}
	return fmt.Sprintf("reading %s: version %s is not the preferred one, use %s", e.Resource, e.Got, e.Use)
}

// DecodeError says that a part of a request cannot be read.
type DecodeError struct {
	// Part is what cannot be read: object, oldObject, options.
	Part string
	// Err is the cause. It never holds content of the request.
	Err error
}

// Error names the part and the cause.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("decoding %s: %v", e.Part, e.Err)
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error {
	return e.Err
}

// TargetError says that the live target of a request is missing, or is not the object that the request is about.
type TargetError struct {
	// Resource, Namespace and Name say which object it is about.
	Resource, Namespace, Name string
	// Cause says what is wrong with it.
	Cause string
}

// Error names the target and the cause.
func (e *TargetError) Error() string {
	return fmt.Sprintf("reading live %s %s/%s: %s", e.Resource, e.Namespace, e.Name, e.Cause)
}

// OperationError says that an operation is none that this package knows, or impossible on its resource.
type OperationError struct {
	// Operation as it came, and the resource with its subresource.
	Operation, Resource string
}

// Error names the operation.
func (e *OperationError) Error() string {
	return fmt.Sprintf("normalising %s: operation %q is unknown", e.Resource, e.Operation)
}
