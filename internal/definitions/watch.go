package definitions

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/config"
)

// Names of what is watched over.
const (
	Policies   = "agentactionpolicies." + v1alpha1.GroupName
	Approvals  = "actionapprovals." + v1alpha1.GroupName
	Activities = "agentactivities." + v1alpha1.GroupName
)

// Names are those of the definitions that are watched over.
var Names = []string{Policies, Approvals, Activities}

// Service names the APIService of the version that is used.
var Service = v1alpha1.GroupVersion.Version + "." + v1alpha1.GroupName

var (
	definitions = schema.GroupVersionResource{Group: apiextensionsv1.GroupName, Version: "v1", Resource: "customresourcedefinitions"}
	services    = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
)

// ChangedError says that something is not what it must be.
type ChangedError struct {
	// Name of the definition or APIService, and what is the matter with it.
	Name, Problem string
}

// Unread says that it is not known yet what is the matter, or whether anything is.
func (e *ChangedError) Unread() bool { return e.Problem == unverified }

func (e *ChangedError) Error() string {
	kind := "resource definition"
	if e.Name == Service {
		kind = "APIService"
	}
	if e.Unread() {
		return fmt.Sprintf("Countersign has not looked yet whether the %s %s is as it was installed", kind, e.Name)
	}
	return fmt.Sprintf("Countersign cannot trust its own kinds: the %s %s is not as it was installed: %s", kind, e.Name, e.Problem)
}

// unverified is the problem of what has not been read yet.
const unverified = "it has not been read yet"

// Watch knows whether the definitions and the APIService are what they must be. It implements manager.Runnable and runs on
// every replica. Use New.
type Watch struct {
	client dynamic.Interface
	want   map[string]*apiextensionsv1.CustomResourceDefinition
	// sound says that there are no problems: every review asks.
	sound atomic.Bool

	// mu guards what follows.
	mu        sync.Mutex
	problems  map[string]string // by name; empty: none
	listeners []func(*unstructured.Unstructured, string)
}

// New watches over what this program was built with.
func New(client dynamic.Interface) (*Watch, error) {
	want, err := Read()
	if err != nil {
		return nil, err
	}
	w := &Watch{client: client, want: want, problems: map[string]string{Service: unverified}}
	for name := range want {
		w.problems[name] = unverified
	}
	return w, nil
}

// Read reads the definitions that this program was built with, by name.
func Read() (map[string]*apiextensionsv1.CustomResourceDefinition, error) {
	want := map[string]*apiextensionsv1.CustomResourceDefinition{}
	files, err := config.Definitions.ReadDir("crd")
	if err != nil {
		return nil, fmt.Errorf("reading the embedded definitions: %w", err)
	}
	for _, file := range files {
		text, err := config.Definitions.ReadFile("crd/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the embedded definitions: %w", err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, definition); err != nil {
			return nil, fmt.Errorf("reading the embedded definition %s: %w", file.Name(), err)
		}
		want[definition.Name] = definition
	}
	for _, name := range Names {
		if want[name] == nil {
			return nil, fmt.Errorf("reading the embedded definitions: %s is not among them", name)
		}
	}
	return want, nil
}

// NeedLeaderElection says that every replica looks for itself.
func (w *Watch) NeedLeaderElection() bool { return false }

// OnChange calls f with what has changed and what is the matter with it now: empty for nothing. It must not block.
func (w *Watch) OnChange(f func(changed *unstructured.Unstructured, problem string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners = append(w.listeners, f)
}

// Start watches until the context ends.
func (w *Watch) Start(ctx context.Context) error {
	var running sync.WaitGroup
	for name := range maps.Keys(w.want) {
		if err := w.follow(ctx, &running, definitions, name); err != nil {
			return err
		}
	}
	if err := w.follow(ctx, &running, services, Service); err != nil {
		return err
	}
	running.Wait()
	return nil
}

// follow watches one object.
func (w *Watch) follow(ctx context.Context, running *sync.WaitGroup, of schema.GroupVersionResource, name string) error {
	only := fields.OneTermEqualSelector("metadata.name", name).String()
	informer := dynamicinformer.NewFilteredDynamicInformer(w.client, of, metav1.NamespaceAll, 0, toolscache.Indexers{},
		func(o *metav1.ListOptions) { o.FieldSelector = only }).Informer()
	seen := func(o any) {
		if object, ok := o.(*unstructured.Unstructured); ok {
			w.note(ctx, object, Problem(object, w.want[object.GetName()]))
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, after any) { seen(after) },
		DeleteFunc: func(any) { w.note(ctx, named(of, name), "it is gone") },
	})
	if err != nil {
		return fmt.Errorf("watching %s: %w", name, err)
	}
	running.Go(func() { informer.RunWithContext(ctx) })
	running.Go(func() {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) && len(informer.GetStore().ListKeys()) == 0 {
			w.note(ctx, named(of, name), "it is gone")
		}
	})
	return nil
}

func named(of schema.GroupVersionResource, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(of.GroupVersion().String())
	object.SetKind("CustomResourceDefinition")
	if of == services {
		object.SetKind("APIService")
	}
	object.SetName(name)
	return object
}

// Resource is what the definitions, or the APIService, are stored as.
func Resource(name string) schema.GroupVersionResource {
	if name == Service {
		return services
	}
	return definitions
}

// Problem says what is the matter with the APIService, or with a definition beside the one that is wanted: empty for nothing.
func Problem(object *unstructured.Unstructured, want *apiextensionsv1.CustomResourceDefinition) string {
	if object.GetName() == Service {
		return serviceProblem(object)
	}
	live, err := definitionOf(object)
	if err != nil {
		return unreadable(err)
	}
	return Difference(live, want)
}

func definitionOf(object *unstructured.Unstructured) (*apiextensionsv1.CustomResourceDefinition, error) {
	live := &apiextensionsv1.CustomResourceDefinition{}
	return live, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, live)
}

func unreadable(err error) string { return "it cannot be read: " + err.Error() }

// serviceProblem says whether somebody else than the API server itself serves the kinds.
func serviceProblem(object *unstructured.Unstructured) string {
	service, found, err := unstructured.NestedFieldNoCopy(object.Object, "spec", "service")
	switch {
	case err != nil:
		return unreadable(err)
	case found && service != nil:
		return "another server answers for the API server"
	}
	return ""
}

func (w *Watch) note(ctx context.Context, object *unstructured.Unstructured, problem string) {
	name := object.GetName()
	w.mu.Lock()
	before := w.problems[name]
	w.problems[name] = problem
	w.sound.Store(!slices.ContainsFunc(slices.Collect(maps.Values(w.problems)), func(p string) bool { return p != "" }))
	listeners := w.listeners
	w.mu.Unlock()
	if problem == before {
		return
	}
	if logger := log.FromContext(ctx).WithName("definitions"); problem == "" {
		logger.Info("It is as it must be", "object", name)
	} else {
		logger.Error(nil, "It is not as it must be: agents are refused", "object", name, "problem", problem)
	}
	for _, f := range listeners {
		f(object, problem)
	}
}

// Err says why policies cannot be trusted, nil where they can.
func (w *Watch) Err() error { return w.problem(Service, Policies) }

// ApprovalsErr says why approvals cannot be trusted.
func (w *Watch) ApprovalsErr() error { return w.problem(Service, Approvals) }

// ActivitiesErr says why what agents did cannot be trusted.
func (w *Watch) ActivitiesErr() error { return w.problem(Service, Activities) }

// AnyErr says why something of all this cannot be trusted.
func (w *Watch) AnyErr() error { return w.problem(Service, Policies, Approvals, Activities) }

func (w *Watch) problem(names ...string) error {
	if w.sound.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		if p := w.problems[name]; p != "" {
			return &ChangedError{Name: name, Problem: p}
		}
	}
	return nil
}

// Verified is a definition that was read live.
type Verified struct {
	// UID is that of the definition: policies that vanish with it were not deleted by anybody.
	UID string
	// Generation changes with what it says.
	Generation int64
	// Extended is as the function of this name says.
	Extended bool
}

// Verify reads live whether policies can be trusted, and what their definition is.
func (w *Watch) Verify(ctx context.Context) (Verified, error) {
	service, err := w.client.Resource(services).Get(ctx, Service, metav1.GetOptions{})
	if err != nil {
		return Verified{}, fmt.Errorf("reading the APIService %s: %w", Service, err)
	}
	if problem := serviceProblem(service); problem != "" {
		return Verified{}, &ChangedError{Name: Service, Problem: problem}
	}
	object, err := w.client.Resource(definitions).Get(ctx, Policies, metav1.GetOptions{})
	if err != nil {
		return Verified{}, fmt.Errorf("reading the definition %s: %w", Policies, err)
	}
	live, err := definitionOf(object)
	if err != nil {
		return Verified{}, &ChangedError{Name: Policies, Problem: unreadable(err)}
	}
	if problem := Difference(live, w.want[Policies]); problem != "" {
		return Verified{}, &ChangedError{Name: Policies, Problem: problem}
	}
	return Verified{UID: string(live.UID), Generation: live.Generation, Extended: Extended(live, w.want[Policies])}, nil
}

// names are all that is watched over, sorted. The caller holds the lock.
func (w *Watch) names() []string { return slices.Sorted(maps.Keys(w.problems)) }
