package charts

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var update = flag.Bool("update", false, "rewrite the table of values in the chart's README")

// render renders the chart for the usual release.
func render(t *testing.T, args ...string) string {
	t.Helper()
	out, err := renderIn(t, namespace, args...)
	if err != nil {
		t.Fatalf("helm template %v: %v\n%s", args, err, out)
	}
	return out
}

func renderIn(t *testing.T, namespace string, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", release, chart, "--namespace", namespace}, args...)...)
}

func TestLint(t *testing.T) {
	mustHelm(t, "lint", "--strict", "--quiet", chart)
}

// TestRefusedValues has what the schema and Helm refuse. What templates refuse, the unit suites in tests have.
func TestRefusedValues(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"typo":                        {args: []string{"--set", "replica=2"}, want: "'replica' not allowed"},
		"typo below":                  {args: []string{"--set", "image.repo=x"}, want: "'repo' not allowed"},
		"wrong type":                  {args: []string{"--set", "crds.keep=maybe"}, want: "crds/keep"},
		"digest without algorithm":    {args: []string{"--set", "image.digest=abc"}, want: "image/digest"},
		"metrics on the webhook port": {args: []string{"--set", "metrics.port=9443"}, want: "metrics/port"},
		"extra rules that write": {
			args: []string{"--set-json", `rbac.extraRules=[{"apiGroups":["a"],"resources":["b"],"verbs":["update"]}]`}, want: "verbs",
		},
		"budget that blocks every drain": {args: []string{"--set", "replicas=2,podDisruptionBudget.maxUnavailable=0"}, want: "maxUnavailable"},
		"no retention":                   {args: []string{"--set", "approvals.retention=0s"}, want: "approvals/retention"},
		"no duration":                    {args: []string{"--set", "approvals.retention="}, want: "approvals/retention"},
		"an interval without a unit":     {args: []string{"--set", "metrics.serviceMonitor.interval=x"}, want: "serviceMonitor/interval"},
		"certificates of nobody known":   {args: []string{"--set", "certificates.mode=vault"}, want: "certificates/mode"},
		"Kubernetes before 1.34":         {args: []string{"--kube-version", "1.33.9"}, want: "chart requires kubeVersion"},
		"no seats":                       {args: []string{"--set", "apiPriority.nominalConcurrencyShares=0"}, want: "nominalConcurrencyShares"},
		"another namespace":              {args: []string{"--set", "extraArgs={--namespace,other}"}, want: "extraArgs"},
		"a name that is two":             {args: []string{"--set-json", `clientCertificates={"caConfigMap":"c","names":["a,b"]}`}, want: "clientCertificates/names"},
		"a network without a list":       {args: []string{"--set", "networkPolicy.webhookFrom=10.0.0.0/8"}, want: "webhookFrom"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := renderIn(t, namespace, tc.args...)
			if err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("got %v, want a refusal that says %q\n%.2000s", err, tc.want, out)
			}
		})
	}
}

func TestRendered(t *testing.T) {
	tests := map[string]struct {
		args   []string
		kinds  map[string]int // how many of a kind
		image  string
		inArgs []string
	}{
		"as it is": {
			kinds: map[string]int{
				"PodDisruptionBudget": 1, "NetworkPolicy": 0, "CustomResourceDefinition": 3, "Service": 2, "Job": 2, "ServiceAccount": 3,
				"FlowSchema": 1, "PriorityLevelConfiguration": 1,
			},
			image:  "countersign-dev/countersign:" + appVersion(t),
			inArgs: []string{"--metrics-bind-address=:8080", "--leader-elect=true", "--owner-cluster-role=" + anchor, "--log-level=0", "--admission-policy=true"},
		},
		"one replica": {args: []string{"--set", "replicas=1"}, kinds: map[string]int{"PodDisruptionBudget": 0}},
		"several replicas": {
			args:  []string{"--set", "replicas=3,podDisruptionBudget.maxUnavailable=50%"},
			kinds: map[string]int{"PodDisruptionBudget": 1},
		},
		"nothing that can be left out": {
			args:   []string{"--set", "metrics.enabled=false,cleanup.enabled=false,apiPriority.enabled=false,crds.install=false,serviceAccount.create=false,serviceAccount.name=mine"},
			kinds:  map[string]int{"Service": 1, "Job": 1, "ServiceAccount": 1, "CustomResourceDefinition": 0, "FlowSchema": 0, "PriorityLevelConfiguration": 0},
			inArgs: []string{"--metrics-bind-address=0"},
		},
		"a tag": {args: []string{"--set", "image.tag=v9,image.repository=example.test/x"}, image: "example.test/x:v9"},
		"a digest": {
			args:  []string{"--set", "image.tag=v9,image.digest=sha256:" + strings.Repeat("a", 64)},
			image: "countersign-dev/countersign@sha256:" + strings.Repeat("a", 64),
		},
		"a provider's Kubernetes": {args: []string{"--kube-version", "v1.34.1-gke.100"}},
		"more flags":              {args: []string{"--set", "extraArgs={--decision-log=/tmp/x},logLevel=3"}, inArgs: []string{"--decision-log=/tmp/x", "--log-level=3"}},
		"no admission policy":     {args: []string{"--set", "admissionPolicy.enabled=false"}, inArgs: []string{"--admission-policy=false"}},
		"another name":            {args: []string{"--set", "fullnameOverride=gate"}, inArgs: []string{"--service=gate-webhook", "--cert-secret=gate-webhook-cert", "--owner-cluster-role=gate-anchor"}},
		"callers with certificates": {
			args:   []string{"--set", "clientCertificates.caConfigMap=callers,clientCertificates.names={kube-apiserver,other}"},
			inArgs: []string{"--client-ca-file=/etc/countersign/clients/ca.crt", "--client-names=kube-apiserver,other"},
		},
		"a network policy": {args: []string{"--set", "networkPolicy.enabled=true"}, kinds: map[string]int{"NetworkPolicy": 1}},
		"a network policy without metrics": {
			args: []string{"--set", "networkPolicy.enabled=true,metrics.enabled=false"}, kinds: map[string]int{"NetworkPolicy": 1},
		},
		"a narrow network policy": {
			args: []string{
				"--set", "networkPolicy.enabled=true",
				"--set-json", `networkPolicy.webhookFrom=[{"ipBlock":{"cidr":"10.0.0.0/28"}}]`,
				"--set-json", `networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]`,
				"--set-json", `networkPolicy.egress=[{"to":[{"ipBlock":{"cidr":"10.0.0.0/28"}}],"ports":[{"port":6443,"protocol":"TCP"}]}]`,
			},
			kinds: map[string]int{"NetworkPolicy": 1},
		},
		"everything else": {args: []string{
			"--set", "imagePullSecrets[0].name=x,serviceAccount.annotations.a=b,podLabels.a=b,podAnnotations.a=b,priorityClassName=system-cluster-critical,nodeSelector.a=b,metrics.service.annotations.a=b",
			"--set-json", `tolerations=[{"operator":"Exists"}]`, "--set-json", `affinity={"nodeAffinity":{}}`,
			"--set-json", `topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}]`,
			"--set-json", `rbac.extraRules=[{"apiGroups":["a"],"resources":["b"],"verbs":["get","list","watch"]}]`,
			"--set-json", `global={"of":"a parent"}`,
		}},
	}
	a := admin(t)
	makeNamespace(t, a)
	strict := client.NewDryRunClient(client.WithFieldValidation(a.Client, client.FieldValidation(metav1.FieldValidationStrict)))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			kinds := map[string]int{}
			var deployment appsv1.Deployment
			for _, o := range decode(t, render(t, tc.args...)) {
				kinds[o.GetKind()]++
				if o.GetKind() == "Deployment" {
					convert(t, o, &deployment)
				}
				wantLabelled(t, o)
				if err := strict.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
			for kind, want := range tc.kinds {
				if kinds[kind] != want {
					t.Errorf("%d of %s, want %d", kinds[kind], kind, want)
				}
			}
			container := deployment.Spec.Template.Spec.Containers[0]
			if tc.image != "" && container.Image != tc.image {
				t.Errorf("image %s, want %s", container.Image, tc.image)
			}
			for _, arg := range tc.inArgs {
				if !slices.Contains(container.Args, arg) {
					t.Errorf("%s is not among %v", arg, container.Args)
				}
			}
		})
	}
}

// wantLabelled wants every object to say that it belongs to the release. Definitions are generated without.
func wantLabelled(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	if o.GetKind() != "CustomResourceDefinition" && o.GetLabels()["app.kubernetes.io/instance"] != release {
		t.Errorf("%s %s has the labels %v", o.GetKind(), o.GetName(), o.GetLabels())
	}
}

func TestDefinitionsAreKept(t *testing.T) {
	for keep, want := range map[string]string{"true": "keep", "false": ""} {
		for _, o := range decode(t, render(t, "--set", "crds.keep="+keep)) {
			if got := o.GetAnnotations()["helm.sh/resource-policy"]; o.GetKind() == "CustomResourceDefinition" && got != want {
				t.Errorf("crds.keep=%s: the resource policy of %s is %q, want %q", keep, o.GetName(), got, want)
			}
		}
	}
}

func appVersion(t *testing.T) string {
	t.Helper()
	var described struct {
		AppVersion string `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "Chart.yaml")), &described); err != nil {
		t.Fatal(err)
	}
	return described.AppVersion
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chart, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// value is one documented value: a key of values.yaml with a comment above it.
type value struct{ path, standard, description string }

// values lists the documented values, and reports those that are not.
func values(t *testing.T) []value {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "values.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	var all []value
	var walk func(prefix string, node *yaml.Node)
	walk = func(prefix string, node *yaml.Node) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, content := node.Content[i], node.Content[i+1]
			path := strings.TrimPrefix(prefix+"."+key.Value, ".")
			switch {
			case key.HeadComment != "":
				comment := strings.ReplaceAll(strings.TrimPrefix(key.HeadComment, "# "), "\n# ", " ")
				all = append(all, value{path, asJSON(t, content), comment})
			case content.Kind == yaml.MappingNode && len(content.Content) > 0:
				walk(path, content)
			default:
				t.Errorf("values.yaml says nothing about %s", path)
			}
		}
	}
	walk("", document.Content[0])
	return all
}

func asJSON(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var content any
	if err := node.Decode(&content); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeListsTheValues compares the table of the README with values.yaml; -update rewrites it.
func TestReadmeListsTheValues(t *testing.T) {
	const heading = "## Values\n\n"
	table := "| Value | Default | |\n| --- | --- | --- |\n"
	for _, v := range values(t) {
		table += fmt.Sprintf("| `%s` | `%s` | %s |\n", v.path, v.standard, v.description)
	}
	readme := read(t, "README.md")
	before, _, found := strings.Cut(readme, heading)
	if !found {
		t.Fatal("README.md has no section of values")
	}
	want := before + heading + table
	if *update {
		if err := os.WriteFile(filepath.Join(chart, "README.md"), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, readme); diff != "" {
		t.Errorf("README.md (-want +got; go test ./charts -run %s -update writes it):\n%s", t.Name(), diff)
	}
}

// TestSchemaHasTheValues wants the schema to know every value, and no other.
func TestSchemaHasTheValues(t *testing.T) {
	type node struct {
		Properties map[string]*node `json:"properties"`
		Others     json.RawMessage  `json:"additionalProperties"`
	}
	var schema node
	if err := json.Unmarshal([]byte(read(t, "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"global": true}
	for _, v := range values(t) {
		known[v.path] = true
		at := &schema
		for name := range strings.SplitSeq(v.path, ".") {
			if string(at.Others) != "false" {
				t.Errorf("the schema accepts any name beside %s", v.path)
			}
			if at = at.Properties[name]; at == nil {
				t.Fatalf("the schema does not know %s", v.path)
			}
		}
	}
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		if known[path] {
			return
		}
		if len(n.Properties) == 0 {
			t.Errorf("the schema knows %s, which is no value", path)
		}
		for name, property := range n.Properties {
			walk(strings.TrimPrefix(path+"."+name, "."), property)
		}
	}
	walk("", &schema)
}
