package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/canary"
	"github.com/countersign-dev/countersign/internal/protection"
	"github.com/countersign-dev/countersign/internal/support"
)

const sealHelp = `Render what keeps agents from admission configuration and from impersonation, as files of kube-apiserver.

Webhooks and policies in the API cannot keep an agent with all rights from deleting them, or from acting as
somebody else. Files on the control-plane nodes can. This needs nodes whose files and flags are yours, and
Kubernetes 1.37, or 1.36 with the feature gate ManifestBasedAdmissionControlConfig: older API servers ignore the
admission policies in the files, and do not say so. With --from-cluster that is found out.

The files name the subjects of Enforce policies one by one, because they cannot follow policies: render them
anew when policies name others. Without --output they are printed as one stream of YAML.

Where to put them, what to check first and how to go back: docs/levels.md.`

const sealExamples = `  # For the subjects of the policies of a cluster
  countersign seal --from-cluster --kubeconfig ~/.kube/config --output ./seal

  # For those of a file, and all accounts of a namespace
  countersign seal --filename policies.yaml --service-account 'agents/*' --output ./seal`

// sealOptions are the settings of countersign seal.
type sealOptions struct {
	kubeconfig, namespace, canary string
	output                        string
	fromCluster                   bool
	filenames                     []string
	accounts, users, groups       []string
	seal                          protection.Seal
	// gate is a feature gate that the API server of the cluster needs; empty: none, or nobody asked.
	gate string
}

// newSeal renders files for control planes that one manages oneself.
func newSeal() *cobra.Command {
	var o sealOptions
	command := &cobra.Command{
		Use: "seal", Short: "Render files of kube-apiserver that keep agents from admission and impersonation",
		Long: sealHelp, Example: sealExamples, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := command.Flags()
	f.StringArrayVarP(&o.filenames, "filename", "f", nil,
		`file with AgentActionPolicies, whose subjects are named; "-" is standard input; may be repeated`)
	f.BoolVar(&o.fromCluster, "from-cluster", false, "name the subjects of the policies in the cluster")
	f.StringVar(&o.kubeconfig, "kubeconfig", "",
		"kubeconfig of the cluster, with --from-cluster; empty: the pod's service account, or $KUBECONFIG")
	f.StringArrayVar(&o.accounts, "service-account", nil,
		"NAMESPACE/NAME of a service account to name; NAMESPACE/* names all; may be repeated")
	f.StringArrayVar(&o.users, "user", nil, "user to name; may be repeated")
	f.StringArrayVar(&o.groups, "group", nil, "group to name; may be repeated")
	f.StringVar(&o.namespace, "namespace", "countersign-system", "namespace of the release")
	f.StringVar(&o.canary, "canary", canary.DefaultAccount,
		"the operator's --canary; it is named as well, so that the operator finds out that the files are in use")
	f.BoolVar(&o.seal.Secrets, "deny-secrets", false, "also deny those who are named to read Secrets")
	f.StringVarP(&o.output, "output", "o", "", "directory to write to, made where it is absent; empty: standard output")
	f.StringVar(&o.seal.Directory, "directory", protection.DefaultDirectory, "where the files will lie on the control-plane nodes")
	f.SortFlags = false
	command.SetUsageFunc(showUsage)
	return command
}

func (o *sealOptions) run(ctx context.Context, in io.Reader, out, notes io.Writer) error {
	subjects, err := o.subjects(ctx, in)
	if err != nil {
		return err
	}
	if len(subjects) == 0 {
		return errors.New("nobody is named by an Enforce policy or a flag: give --filename, --from-cluster, --service-account, --user or --group")
	}
	o.seal.Subjects = protection.Subjects{}
	canary := v1alpha1.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: o.namespace, Name: o.canary}
	o.seal.Subjects.Add(append(subjects, canary))
	o.seal.Subjects.Tidy()
	files, err := o.seal.Files()
	if err != nil {
		return err
	}
	if o.output == "" {
		return printFiles(out, o.seal.Directory, files)
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(o.output, f.Name), f.Content); err != nil {
			return err
		}
	}
	s := &o.seal.Subjects
	gate := ""
	if o.gate != "" {
		gate = "       --feature-gates=" + o.gate + "=true\n"
	}
	_, err = fmt.Fprintf(notes, sealNotes, len(files), o.output, len(s.Users), len(s.Groups), len(s.Namespaces), o.seal.Directory, gate)
	return err
}

// sealNotes are printed when files were written: how many, where, whom they name, where they belong, and a feature gate.
const sealNotes = `%d files are in %s. They name %d users, %d groups, and all service accounts of %d namespaces.

On every control-plane node, one after the other:
  1. Copy them to %[6]s, owned by root. No pod may mount this directory for writing.
  2. Give kube-apiserver these flags, and the directory (a volume, where it runs as a pod):
       --admission-control-config-file=%[6]s/admission.yaml
       --authorization-config=%[6]s/authorization.yaml
%[7]s     The second replaces --authorization-mode and all --authorization-webhook-* flags.
  3. Wait until kube-apiserver is ready before the next node. If it is not, its log says why.
Later changes of the files are read within a minute; only admission.yaml needs a restart.
`

// subjects are those of flags, files and the cluster, checked.
func (o *sealOptions) subjects(ctx context.Context, in io.Reader) ([]v1alpha1.Subject, error) {
	subjects, err := o.fromFlags()
	if err != nil {
		return nil, err
	}
	policies, err := readPolicyFiles(o.filenames, in)
	if err != nil {
		return nil, err
	}
	if o.fromCluster {
		stored, err := o.readCluster(ctx)
		if err != nil {
			return nil, err
		}
		policies = append(policies, stored...)
	}
	for i := range policies {
		if policies[i].Spec.Enforcement == v1alpha1.Enforce {
			subjects = append(subjects, policies[i].Spec.Subjects...)
		}
	}
	return subjects, protection.ValidateSubjects(subjects, o.namespace)
}

func (o *sealOptions) fromFlags() ([]v1alpha1.Subject, error) {
	var subjects []v1alpha1.Subject
	for _, a := range o.accounts {
		namespace, name, ok := strings.Cut(a, "/")
		if !ok {
			return nil, fmt.Errorf("--service-account must be NAMESPACE/NAME, not %q", a)
		}
		subjects = append(subjects, v1alpha1.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: namespace, Name: name})
	}
	for _, u := range o.users {
		subjects = append(subjects, v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: u})
	}
	for _, g := range o.groups {
		subjects = append(subjects, v1alpha1.Subject{Kind: v1alpha1.SubjectGroup, Name: g})
	}
	return subjects, nil
}

func (o *sealOptions) readCluster(ctx context.Context) ([]v1alpha1.AgentActionPolicy, error) {
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if err := o.sealable(config); err != nil {
		return nil, err
	}
	var list v1alpha1.AgentActionPolicyList
	if err := c.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("reading the policies of the cluster: %w", err)
	}
	return list.Items, nil
}

// sealable refuses files of which the API server of the cluster would ignore the greater part: an older one starts with
// them, does not know of manifests, and says nothing. It remembers what another needs for them.
func (o *sealOptions) sealable(config *rest.Config) error {
	server, err := askServer(config)
	if err != nil {
		return err
	}
	switch server.Sealing {
	case support.Sealable:
		return nil
	case support.SealableByGate:
		o.gate = support.SealingGate
		return nil
	default:
		return fmt.Errorf("the API server is %q, which would ignore the admission policies in these files without saying so: it takes "+
			"Kubernetes 1.37, or 1.36 with the feature gate %s. For another API server, name the policies by --filename",
			server.Version, support.SealingGate)
	}
}

// printFiles prints all files as one stream; each begins with a comment that says where it belongs.
func printFiles(out io.Writer, directory string, files []protection.File) error {
	for i, f := range files {
		separator := "---\n"
		if i == 0 {
			separator = ""
		}
		if _, err := fmt.Fprintf(out, "%s# %s/%s\n%s", separator, directory, f.Name, f.Content); err != nil {
			return fmt.Errorf("printing %s: %w", f.Name, err)
		}
	}
	return nil
}

// writeFile puts a whole file in place at once: an API server may be watching the directory.
func writeFile(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // kube-apiserver may run as another user
		return fmt.Errorf("making the directory of %s: %w", path, err)
	}
	part := path + ".part"
	if err := os.WriteFile(part, []byte(content), 0o644); err != nil { //nolint:gosec // nothing in it is secret
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
