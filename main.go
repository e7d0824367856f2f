// Countersign governs what service accounts and AI agents may change in a Kubernetes cluster, and when.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/controllers"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/archive"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/catalogue"
	"github.com/countersign-dev/countersign/internal/certificate"
	"github.com/countersign-dev/countersign/internal/definitions"
	"github.com/countersign-dev/countersign/internal/heartbeat"
	"github.com/countersign-dev/countersign/internal/history"
	"github.com/countersign-dev/countersign/internal/intake"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/registry"
	"github.com/countersign-dev/countersign/internal/settlement"
	"github.com/countersign-dev/countersign/webhooks"
)

// version is stamped by the build.
var version = "unknown"

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "countersign:", err)
		os.Exit(1)
	}
}

// run is the whole program: it returns when the context ends or something fails.
func run(ctx context.Context, args []string, decisions io.Writer) error {
	command := newCommand(decisions)
	command.SetArgs(args)
	return command.ExecuteContext(ctx)
}

// operator is what the parts of the process share.
type operator struct {
	options
	mgr      ctrl.Manager
	clock    clock.WithTicker
	certs    certificate.Dir
	registry *registry.Registry
	// discovery reads what the API server serves, kinds remembers it.
	discovery discovery.DiscoveryInterface
	kinds     *catalogue.Catalogue
	settler   *settlement.Settler
	canary    *canary.Canary
	level     *controllers.LevelWatch
	contact   *heartbeat.Contact
	replicas  *heartbeat.Replicas
	self      policy.Identity
	drain     webhooks.Drain
	headroom  headroom
	// trust tells that the bundle of authorities in certs may have changed.
	trust chan event.GenericEvent
	// definitions says whether Countersign's own kinds can be trusted.
	definitions *definitions.Watch
	// approvals holds approvals, apart from the manager's cache, and approvalClient reads them there.
	approvals      *archive.Archive
	approvalClient client.Client
	// hashKeys is nil until the keys were read, and when there may be others.
	hashKeys atomic.Pointer[action.Hasher]
}

// serve runs the operator.
func serve(ctx context.Context, o options, decisions io.Writer) error {
	boundMemory()
	level := zapcore.Level(-o.logLevel) //nolint:gosec // complete bounds it to 0..5
	ctrl.SetLogger(zap.New(zap.WriteTo(legible.Writer{Out: os.Stderr}), zap.Level(level)))
	klog.SetLogger(ctrl.Log) // client-go logs through klog
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	self, err := whoAmI(ctx, config)
	if err != nil {
		return err
	}
	mgr, err := newManager(config, &o)
	if err != nil {
		return err
	}
	op := &operator{options: o, mgr: mgr, certs: certificate.Dir(o.certDir), self: self, clock: newClock(),
		trust: make(chan event.GenericEvent, 1),
		registry: registry.New(self, policy.Operator{
			Namespace: o.namespace, OwnerClusterRole: o.ownerClusterRole, Canary: o.canaryUsername(),
		})}
	if err := op.addCatalogue(); err != nil {
		return err
	}
	out, closeLog, err := openLog(o.decisionLog, decisions)
	if err != nil {
		return err
	}
	defer closeLog()
	for _, add := range []func() error{
		func() error { return op.addClock(ctx) },
		op.addCertificates, op.addCanary, op.addLevel, op.addHeartbeat, op.addReplicas, op.addDefinitions,
		op.addArchive, op.addControllers,
		func() error { return op.addWebhooks(out) }, op.addMetrics,
	} {
		if err := add(); err != nil {
			return err
		}
	}
	ctrl.Log.Info("Starting", "version", version, "actingAs", self.Username)
	logServer(config)
	longer, end := lingering(ctx, o.shutdownDelay, op.drain.Begin)
	defer end()
	return mgr.Start(longer)
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// addCertificates makes certificates in the directory or, inside of a cluster, keeps them in a Secret, or takes them from
// one that somebody else keeps, and copies them there.
func (op *operator) addCertificates() error {
	if !op.inCluster() {
		return op.certs.Ensure(op.host())
	}
	if err := op.certs.Make(); err != nil {
		return err
	}
	host := op.service + "." + op.namespace + ".svc"
	reconciler := &controllers.CertificateReconciler{
		Client: op.mgr.GetClient(), Secret: client.ObjectKey{Namespace: op.namespace, Name: op.certSecret},
		Host: host, Dir: op.certs, Trust: op.trusted, Rekeyed: op.rekeyed, Clock: op.clock,
	}
	if op.providedCertSecret != "" {
		reconciler.Provided = client.ObjectKey{Namespace: op.namespace, Name: op.providedCertSecret}
		return reconciler.SetupWithManager(op.mgr)
	}
	err := rotator.AddRotator(op.mgr, &rotator.CertRotator{
		SecretKey: reconciler.Secret, CertDir: op.certDir, CAName: "countersign", CAOrganization: "countersign",
		DNSName: host, ExtraDNSNames: []string{host + ".cluster.local"},
		IsReady: make(chan struct{}), RequireLeaderElection: false, RestartOnSecretRefresh: false,
	})
	if err != nil {
		return fmt.Errorf("adding the certificate rotator: %w", err)
	}
	return reconciler.SetupWithManager(op.mgr)
}

// trusted has the webhook configurations follow the bundle of authorities. What is under way already is enough.
func (op *operator) trusted() {
	select {
	case op.trust <- event.GenericEvent{Object: &corev1.Secret{}}:
	default:
	}
}

// addCatalogue makes the catalogue of kinds, and what settles uses, for the controllers and the webhooks.
func (op *operator) addCatalogue() error {
	var err error
	op.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(op.mgr.GetConfig(), op.mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a discovery client: %w", err)
	}
	op.kinds = catalogue.New(op.discovery, op.clock)
	if err := op.mgr.Add(op.kinds); err != nil {
		return fmt.Errorf("adding the catalogue of kinds: %w", err)
	}
	stored, err := history.NewReader(op.mgr.GetConfig(), op.mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	op.settler = &settlement.Settler{
		History: stored, Catalogue: op.kinds, Hasher: op.hasher, Clock: op.clock, GiveBackAfter: op.giveBackAfter,
		Client: op.mgr.GetClient(), Live: op.mgr.GetAPIReader(),
	}
	return nil
}

func (op *operator) addControllers() error {
	endpoint := controllers.Endpoint{URL: op.webhookURL, Namespace: op.namespace, Service: op.service}
	if err := op.mgr.Add(&controllers.Compilation{
		Cache: op.mgr.GetCache(), Live: op.mgr.GetAPIReader(), Registry: op.registry, Definitions: op.definitions, Clock: op.clock,
	}); err != nil {
		return fmt.Errorf("adding the compilation: %w", err)
	}
	if err := (&controllers.WebhookConfigurationReconciler{
		Client: op.mgr.GetClient(), Live: op.mgr.GetAPIReader(), Registry: op.registry,
		Endpoint: endpoint, CABundle: op.certs.CABundle, Trust: op.trust, OwnerClusterRole: op.ownerClusterRole,
		AdmissionPolicy: op.admissionPolicy, Level: op.level.Text, Changed: op.level.Changed,
		Recorder: op.mgr.GetEventRecorder("countersign"),
	}).SetupWithManager(op.mgr); err != nil {
		return fmt.Errorf("adding the webhook configuration controller: %w", err)
	}
	if err := (&controllers.AgentActionPolicyReconciler{
		Client: op.mgr.GetClient(), Registry: op.registry, Endpoint: endpoint, CABundle: op.certs.CABundle,
		Recorder: op.mgr.GetEventRecorder("countersign"), Clock: op.clock,
		Canary: op.canary.Status, Replicas: op.replicas.Standing, Definitions: op.definitions.AnyErr, Changes: op.onEnforcement,
	}).SetupWithManager(op.mgr); err != nil {
		return fmt.Errorf("adding the policy controller: %w", err)
	}
	return op.addApprovalControllers()
}

func (op *operator) addWebhooks(out io.Writer) error {
	cached, err := op.approvalReader()
	if err != nil {
		return err
	}
	approvals := &webhooks.Approvals{
		Revision: op.approvals.Revision, Settler: op.settler,
		MayBeAbout: func(uid string) bool { return op.approvals.Has(webhooks.TargetField, uid) },
		Client:     op.mgr.GetClient(), Live: op.mgr.GetAPIReader(), Cached: cached, Registry: op.registry,
		OperatorNamespace: op.namespace, Recorder: op.mgr.GetEventRecorder("countersign"), Clock: op.clock,
	}
	known, err := watchNamespaces(context.Background(), op.mgr.GetCache())
	if err != nil {
		return err
	}
	cluster := &intake.Cluster{Kinds: op.kinds, Live: op.mgr.GetAPIReader(), Namespaces: known}
	guard := &webhooks.ApprovalWebhook{Approvals: approvals, Cluster: cluster, Self: op.self}
	actions := webhooks.ActionWebhook{
		Registry: op.registry, Clock: op.clock, Hasher: op.hasher, Recorder: webhooks.NewRecorder(out, source()), Approvals: approvals,
		Cluster: cluster, Canary: op.canaryUsername(), Trust: op.reliance(),
		Activities: &webhooks.Activities{Client: op.mgr.GetClient(), Live: op.mgr.GetAPIReader(), Clock: op.clock},
	}
	observer := actions
	observer.ObserveOnly = true
	policies := &webhooks.PolicyWebhook{
		Self: op.self, Clock: op.clock, Schemas: &webhooks.Schemas{Kinds: op.kinds, Discovery: op.discovery},
	}
	server, err := webhooks.NewServer(op.webhookPort, op.certs, op.clients())
	if err != nil {
		return err
	}
	for path, handler := range map[string]http.Handler{
		controllers.EnforcePath:    webhooks.Reviews(&actions),
		controllers.ObservePath:    webhooks.Reviews(&observer),
		controllers.PoliciesPath:   admission.WithValidator(op.mgr.GetScheme(), policies),
		controllers.StampPath:      &admission.Webhook{Handler: guard.StampHandler()},
		controllers.ApprovalsPath:  &admission.Webhook{Handler: guard.ValidateHandler()},
		controllers.ActivitiesPath: &admission.Webhook{Handler: webhooks.ActivityHandler()},
	} {
		server.Register(path, op.headroom.handler(op.drain.Handler(webhooks.LimitSize(handler))))
	}
	if err := op.mgr.Add(server); err != nil {
		return fmt.Errorf("adding the webhooks: %w", err)
	}
	if err := op.addHeadroom(); err != nil {
		return err
	}
	return op.addChecks(server)
}

// hasher gives the keys of the installation, as soon as they are there. They are kept until they change: every review asks for
// them.
func (op *operator) hasher() (action.Hasher, error) {
	if known := op.hashKeys.Load(); known != nil {
		return *known, nil
	}
	read, err := op.readHashKeys()
	if err != nil {
		return action.Hasher{}, err
	}
	op.hashKeys.CompareAndSwap(nil, read) // what was read since is newer
	return *read, nil
}

func (op *operator) readHashKeys() (*action.Hasher, error) {
	current, previous, err := op.certs.HashKeys()
	if err != nil {
		return nil, err
	}
	read := action.Hasher{KeyID: current.ID, Key: current.Key}.Reused()
	if previous != nil {
		read.Previous = &action.Hasher{KeyID: previous.ID, Key: previous.Key}
	}
	return &read, nil
}

// rekeyed reads the hash keys again. Why that fails the next review is told.
func (op *operator) rekeyed() {
	read, err := op.readHashKeys()
	if err != nil {
		read = nil
	}
	op.hashKeys.Store(read)
}

func (op *operator) addChecks(server *webhooks.Server) error {
	if err := op.mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding health checks: %w", err)
	}
	installed := &controllers.Installed{Client: op.mgr.GetClient()}
	for name, check := range map[string]healthz.Checker{
		"webhooks": server.Ready, "policies": op.registry.Ready, "installed": installed.Ready, "shutdown": op.drain.Ready,
	} {
		if err := op.mgr.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("adding health checks: %w", err)
		}
	}
	return nil
}

func (op *operator) addMetrics() error {
	if err := webhooks.RegisterMetrics(op.certs); err != nil {
		return err
	}
	census, err := archive.NewCensus(op.approvals, op.clock)
	if err != nil {
		return err
	}
	for _, c := range []prometheus.Collector{op.canary, op.level, op.contact, op.definitions, census} {
		if err := metrics.Registry.Register(c); err != nil {
			return fmt.Errorf("registering metrics of enforcement and approvals: %w", err)
		}
	}
	return controllers.RegisterMetrics(op.registry, op.clock)
}
