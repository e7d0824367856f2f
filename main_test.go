package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	controlplane.Main(m, controlplane.Options{})
}

func TestOptions(t *testing.T) {
	tests := map[string]struct {
		args     []string
		wantErr  string
		wantPort int
	}{
		"nowhere to be reached":         {wantErr: "either --webhook-url or --namespace must be given"},
		"in a cluster":                  {args: []string{"--namespace", "n"}, wantPort: 9443},
		"in a cluster, a port":          {args: []string{"--namespace", "n", "--webhook-port", "8443"}, wantPort: 8443},
		"outside":                       {args: []string{"--webhook-url", "https://127.0.0.1:19443"}, wantPort: 19443},
		"behind a balancer":             {args: []string{"--webhook-url", "https://127.0.0.1:19443", "--webhook-port", "19444"}, wantPort: 19444},
		"no port":                       {args: []string{"--webhook-url", "https://127.0.0.1"}, wantErr: "needs a port"},
		"plain HTTP":                    {args: []string{"--webhook-url", "http://127.0.0.1:1"}, wantErr: "must be https://HOST:PORT"},
		"a path":                        {args: []string{"--webhook-url", "https://127.0.0.1:1/x"}, wantErr: "must be https://HOST:PORT"},
		"too much log":                  {args: []string{"--namespace", "n", "--log-level", "6"}, wantErr: "--log-level must be between 0 and 5"},
		"ends before it is asked":       {args: []string{"--namespace", "n", "--shutdown-delay", "-1s"}, wantErr: "--shutdown-delay must not be negative"},
		"certificates of somebody else": {args: []string{"--namespace", "n", "--provided-cert-secret", "theirs"}, wantPort: 9443},
		"in the operator's own Secret": {
			args: []string{"--namespace", "n", "--provided-cert-secret", "countersign-webhook-cert"}, wantErr: "must be another Secret",
		},
		"of somebody else, outside": {
			args: []string{"--webhook-url", "https://127.0.0.1:1", "--provided-cert-secret", "theirs"}, wantErr: "has no place beside --webhook-url",
		},
		"profiles for the pod":     {args: []string{"--namespace", "n", "--pprof-bind-address", "127.0.0.1:6060"}, wantPort: 9443},
		"profiles for the pod, v6": {args: []string{"--namespace", "n", "--pprof-bind-address", "[::1]:6060"}, wantPort: 9443},
		"profiles for everybody":   {args: []string{"--namespace", "n", "--pprof-bind-address", ":6060"}, wantErr: "of the loopback interface"},
		"profiles by an address":   {args: []string{"--namespace", "n", "--pprof-bind-address", "10.0.0.1:6060"}, wantErr: "of the loopback interface"},
		"profiles by a name":       {args: []string{"--namespace", "n", "--pprof-bind-address", "localhost:6060"}, wantErr: "an IP address"},
		"an argument that is none": {args: []string{"serve"}, wantErr: "unknown command"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("POD_NAMESPACE", "")
			var o options
			command := newCommand(io.Discard)
			command.ResetFlags()
			o.bind(command.Flags())
			command.SetArgs(tc.args)
			command.RunE = nil
			err := command.ParseFlags(tc.args)
			if err == nil {
				err = command.ValidateArgs(command.Flags().Args())
			}
			if err == nil {
				err = o.complete()
			}
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("the error is %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || o.webhookPort != tc.wantPort {
				t.Errorf("the port is %d, want %d (%v)", o.webhookPort, tc.wantPort, err)
			}
		})
	}
}

// TestHelp pins what people read first.
func TestHelp(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	var out bytes.Buffer
	command := newCommand(io.Discard)
	command.SetOut(&out)
	command.SetArgs([]string{"--help"})
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "help.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("the help differs from %s; set UPDATE_GOLDEN=1 to write it (-want +got):\n%s", golden, diff)
	}
}

func TestCleanupNamesSecrets(t *testing.T) {
	for value, wantErr := range map[string]bool{
		"countersign-system/mine": false, "mine": true, "/mine": true, "countersign-system/": true, "a/b/c": true, "": true,
	} {
		secrets, err := secretsNamed([]string{value})
		if (err != nil) != wantErr {
			t.Errorf("%q: %v", value, err)
		}
		if err == nil && (len(secrets) != 1 || secrets[0].Namespace+"/"+secrets[0].Name != value) {
			t.Errorf("%q: %v", value, secrets)
		}
	}
}

// TestBinaryKeepsWhatItUses looks at the operator: see showUsage.
func TestBinaryKeepsWhatItUses(t *testing.T) { operatortest.WantLean(t, operatortest.Binary(t)) }

// TestProfiles has an operator serve profiles of itself.
func TestProfiles(t *testing.T) {
	plane := controlplane.Shared(t)
	operatortest.ApplyDefinitions(t, operatortest.NewClient(t, plane.AdminConfig()))
	address := fmt.Sprintf("127.0.0.1:%d", operatortest.FreePort(t))
	operatortest.StartReplicas(t, plane.Kubeconfig("admin"), 1, "--pprof-bind-address", address)
	answer, err := http.Get("http://" + address + "/debug/pprof/heap?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.HasPrefix(text, []byte("heap profile: ")) {
		t.Errorf("no profile: %s %v\n%s", answer.Status, err, text)
	}
}

// TestSeveralProcesses runs two processes behind one registered URL: both answer with one certificate, and by a
// protocol that does not keep an API server at one of them.
func TestSeveralProcesses(t *testing.T) {
	plane := controlplane.Shared(t)
	operatortest.ApplyDefinitions(t, operatortest.NewClient(t, plane.AdminConfig()))
	certs := filepath.Join(t.TempDir(), "shared")
	replicas := operatortest.StartReplicas(t, plane.Kubeconfig("admin"), 2, "--cert-dir", certs)
	authority, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		t.Fatal("the authority holds no certificate")
	}
	browser := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}}
	var serials []string
	for _, o := range replicas.Operators {
		answer, err := browser.Post(fmt.Sprintf("https://127.0.0.1:%d/enforce", o.Port), "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if answer.ProtoMajor != 1 {
			t.Errorf("the process at port %d speaks %s to a client that offers HTTP/2", o.Port, answer.Proto)
		}
		serials = append(serials, answer.TLS.PeerCertificates[0].SerialNumber.String())
		if err := answer.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	if serials[0] != serials[1] {
		t.Errorf("the processes have different certificates: %v", serials)
	}
}
