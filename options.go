package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/webhooks"
)

// options are the settings of the operator. There is no configuration file: flags only.
type options struct {
	kubeconfig  string
	webhookURL  string
	webhookPort int
	certDir     string
	namespace   string
	service     string
	certSecret  string
	// providedCertSecret is empty where the operator makes its certificates itself.
	providedCertSecret string
	clientCAFile       string
	clientNames        []string
	ownerClusterRole   string
	admissionPolicy    bool
	canary             string
	metricsAddress     string
	probeAddress       string
	// pprofAddress is "0" or of the loopback interface.
	pprofAddress string
	leaderElect  bool
	decisionLog  string
	logLevel     int
	// giveBackAfter and approvalRetention are more than zero.
	giveBackAfter, approvalRetention time.Duration
	// shutdownDelay is not negative.
	shutdownDelay time.Duration
}

// defaultPort is where the webhook server listens inside of a cluster.
const defaultPort = 9443

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty: the pod's service account, or $KUBECONFIG")
	f.StringVar(&o.webhookURL, "webhook-url", "", "URL at which the API server reaches this process, such as https://127.0.0.1:9443; "+
		"for running outside of the cluster, with certificates made in --cert-dir")
	f.IntVar(&o.webhookPort, "webhook-port", 0,
		"port on which the webhook server listens; 0: the port of --webhook-url, else "+strconv.Itoa(defaultPort))
	f.StringVar(&o.certDir, "cert-dir", "", "directory of the webhook's certificates, made where it is absent; "+
		"several processes behind one URL share it; empty: a directory below the system's temporary one")
	f.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"),
		"namespace of the release; agents may change nothing in it ($POD_NAMESPACE)")
	f.StringVar(&o.service, "service", "countersign-webhook", "Service at which the API server reaches the operator inside of the cluster")
	f.StringVar(&o.certSecret, "cert-secret", "countersign-webhook-cert",
		"Secret in which the operator keeps its certificates and its hash key inside of the cluster")
	f.StringVar(&o.providedCertSecret, "provided-cert-secret", "",
		"Secret of the release's namespace in which somebody else keeps tls.crt, tls.key and ca.crt for the Service, instead of "+
			"certificates that the operator makes; it is never written")
	f.StringVar(&o.clientCAFile, "client-ca-file", "",
		"certificates of authorities, in PEM: whoever asks for a decision needs a certificate of one of them; "+
			"the API server must be configured to present one; empty: whoever reaches the port may ask")
	f.StringSliceVar(&o.clientNames, "client-names", nil,
		"names that such a certificate may have, as its common name or as a DNS name; empty: any")
	f.StringVar(&o.ownerClusterRole, "owner-cluster-role", "",
		"ClusterRole of the release that owns the webhook configurations, so that they go with it")
	f.BoolVar(&o.admissionPolicy, "admission-policy", false, "keep a ValidatingAdmissionPolicy that refuses the subjects of Enforce policies "+
		"what Countersign depends on, webhook configurations first; it goes on while the operator is down")
	f.StringVar(&o.canary, "canary", canary.DefaultAccount,
		"service account of the release's namespace as which the operator finds out that agents are refused; it need not exist")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", "0", `address of the metrics endpoint, such as :8080; "0" switches it off`)
	f.StringVar(&o.probeAddress, "health-probe-bind-address", "0", `address of /healthz and /readyz, such as :8081; "0" switches them off`)
	f.StringVar(&o.pprofAddress, "pprof-bind-address", "0", "address of profiles in Go's format below /debug/pprof/, such as "+
		`127.0.0.1:6060; it must be of the loopback interface: profiles are for whoever may enter the pod; "0" switches them off`)
	f.BoolVar(&o.leaderElect, "leader-elect", false, "elect one of several replicas for background work; every replica decides in any case")
	f.DurationVar(&o.giveBackAfter, "give-back-after", 10*time.Minute,
		"how long a creation under an approval, which never appeared, is waited for before its use is given back")
	f.DurationVar(&o.approvalRetention, "approval-retention", 30*24*time.Hour, "how long an approval is kept after it has ended")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", 0,
		"how long the process goes on answering when it is asked to stop, while it says that it is not ready and others take over")
	f.StringVar(&o.decisionLog, "decision-log", "-", `file to which decisions are appended, one JSON line each; "-" is standard output`)
	f.IntVar(&o.logLevel, "log-level", 0, "verbosity of the log on standard error, 0 to 5")
}

// complete fills in what follows from other settings, and finds contradictions.
func (o *options) complete() error {
	if o.webhookURL == "" {
		if o.namespace == "" {
			return errors.New("either --webhook-url or --namespace must be given: the API server reaches the operator " +
				"by a URL outside of the cluster and by a Service inside of it")
		}
		if o.webhookPort == 0 {
			o.webhookPort = defaultPort
		}
	} else if err := o.completeURL(); err != nil {
		return err
	}
	if o.providedCertSecret != "" && (!o.inCluster() || o.providedCertSecret == o.certSecret) {
		return fmt.Errorf("--provided-cert-secret must be another Secret than --cert-secret, in which the operator keeps its hash key, " +
			"and has no place beside --webhook-url")
	}
	if o.certDir == "" {
		o.certDir = filepath.Join(os.TempDir(), "countersign-"+strconv.Itoa(o.webhookPort))
	}
	if o.giveBackAfter <= 0 || o.approvalRetention <= 0 {
		return fmt.Errorf("--give-back-after and --approval-retention must be more than zero, not %s and %s",
			o.giveBackAfter, o.approvalRetention)
	}
	if o.shutdownDelay < 0 {
		return fmt.Errorf("--shutdown-delay must not be negative, not %s", o.shutdownDelay)
	}
	if problems := validation.IsDNS1123Subdomain(o.canary); len(problems) > 0 {
		return fmt.Errorf("--canary must be the name of a service account, not %q: %s", o.canary, problems[0])
	}
	if o.logLevel < 0 || o.logLevel > 5 {
		return fmt.Errorf("--log-level must be between 0 and 5, not %d", o.logLevel)
	}
	if err := o.checkProfiling(); err != nil {
		return err
	}
	if err := o.clients().Check(); err != nil {
		return fmt.Errorf("reading --client-ca-file and --client-names: %w", err)
	}
	return nil
}

// checkProfiling wants profiles to be served to nobody but those who are in the same pod or on the same machine: they tell what
// is in memory, and taking them costs.
func (o *options) checkProfiling() error {
	if o.pprofAddress == "0" {
		return nil
	}
	address, err := netip.ParseAddrPort(o.pprofAddress)
	if err != nil || !address.Addr().IsLoopback() {
		return fmt.Errorf("--pprof-bind-address must be an IP address of the loopback interface and a port, such as 127.0.0.1:6060, not %q",
			o.pprofAddress)
	}
	return nil
}

// clients are those who may ask for decisions.
func (o *options) clients() webhooks.Clients {
	return webhooks.Clients{CAFile: o.clientCAFile, Names: o.clientNames}
}

func (o *options) completeURL() error {
	u, err := url.Parse(o.webhookURL)
	if err != nil {
		return fmt.Errorf("reading --webhook-url: %w", err)
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("--webhook-url must be https://HOST:PORT, not %q", o.webhookURL)
	}
	if o.webhookPort != 0 {
		return nil
	}
	if o.webhookPort, err = strconv.Atoi(u.Port()); err != nil {
		return fmt.Errorf("--webhook-url needs a port, or give --webhook-port: %q", o.webhookURL)
	}
	return nil
}

// host is the host of the webhook URL. Call it after complete.
func (o *options) host() string {
	u, err := url.Parse(o.webhookURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// canaryNamespace is that of the release or, without one, a namespace that every cluster has.
func (o *options) canaryNamespace() string { return cmp.Or(o.namespace, metav1.NamespaceDefault) }

// canaryUsername is the user name of the canary.
func (o *options) canaryUsername() string {
	return policy.ServiceAccountUsername(o.canaryNamespace(), o.canary)
}

// inCluster says that the API server reaches the operator by its Service.
func (o *options) inCluster() bool { return o.webhookURL == "" }
