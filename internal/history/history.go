// Package history reads what the API server has stored: an object as it was at a revision, and the versions that
// followed. It reads JSON as the API server writes it, so that numbers are exact.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/action"
)

// ErrLost means that the API server does not hold the history that is asked for any more.
var ErrLost = errors.New("reading history: it is not kept any more")

// Object names one object, which need not exist.
type Object struct {
	// Group, Version and Resource of its kind, as served.
	Group, Version, Resource string
	// Kind is what a list leaves out of its items, and a watch does not.
	Kind string
	// Namespace is empty for cluster-scoped objects.
	Namespace, Name string
}

// Reader reads from one API server.
type Reader struct {
	client rest.Interface
}

// NewReader returns a reader with the rights of a configuration. It needs list and watch on what it reads.
func NewReader(config *rest.Config, client *http.Client) (*Reader, error) {
	raw := rest.CopyConfig(config)
	raw.ContentConfig = rest.ContentConfig{
		NegotiatedSerializer: serializer.NewCodecFactory(clientgoscheme.Scheme).WithoutConversion(),
		AcceptContentTypes:   "application/json", ContentType: "application/json",
	}
	c, err := rest.UnversionedRESTClientForConfigAndClient(raw, client)
	if err != nil {
		return nil, fmt.Errorf("making a client for history: %w", err)
	}
	return &Reader{client: c}, nil
}

// Snapshot is an object at a revision.
type Snapshot struct {
	// Object is nil where there was none.
	Object map[string]any
	// Revision of the storage at which it was read.
	Revision string
}

// Now reads an object as it is. It is never older than what was stored before the call.
func (r *Reader) Now(ctx context.Context, o Object) (Snapshot, error) {
	return r.snapshot(ctx, o, "")
}

// At reads an object as it was at a revision. It fails with ErrLost where the storage was compacted since.
func (r *Reader) At(ctx context.Context, o Object, revision string) (Snapshot, error) {
	return r.snapshot(ctx, o, revision)
}

func (r *Reader) snapshot(ctx context.Context, o Object, revision string) (Snapshot, error) {
	request := r.request(o)
	if revision != "" {
		request.Param("resourceVersion", revision).Param("resourceVersionMatch", string(metav1.ResourceVersionMatchExact))
	}
	raw, err := request.Do(ctx).Raw()
	if err != nil {
		return Snapshot{}, o.failure(err)
	}
	var list struct {
		Metadata metav1.ListMeta
		Items    []json.RawMessage
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return Snapshot{}, o.failure(err)
	}
	s := Snapshot{Revision: list.Metadata.ResourceVersion}
	switch len(list.Items) {
	case 0:
		return s, nil
	case 1:
		s.Object, err = o.decode(list.Items[0])
		return s, err
	default:
		return Snapshot{}, o.failure(errors.New("several objects have this name"))
	}
}

// request asks for a list of nothing but the object.
func (r *Reader) request(o Object) *rest.Request {
	path := []string{"apis", o.Group, o.Version}
	if o.Group == "" {
		path = []string{"api", o.Version}
	}
	if o.Namespace != "" {
		path = append(path, "namespaces", o.Namespace)
	}
	return r.client.Get().AbsPath(append(path, o.Resource)...).
		Param("fieldSelector", fields.OneTermEqualSelector(metav1.ObjectNameField, o.Name).String())
}

// decode reads one version of the object.
func (o Object) decode(raw []byte) (map[string]any, error) {
	object, err := action.DecodeObject(raw)
	if err != nil {
		return nil, o.failure(err)
	}
	object["kind"], object["apiVersion"] = o.Kind, o.Version
	if o.Group != "" {
		object["apiVersion"] = o.Group + "/" + o.Version
	}
	return object, nil
}

func (o Object) failure(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return ErrLost
	}
	return fmt.Errorf("reading the history of %s %s/%s: %w", o.Resource, o.Namespace, o.Name, err)
}
