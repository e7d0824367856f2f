package protection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/yaml"
)

// DefaultDirectory is where the files of level 4 lie on a control-plane node, unless said otherwise.
const DefaultDirectory = "/etc/kubernetes/countersign"

// Names of the files of level 4, below their directory.
const (
	ManifestsDirectory = "manifests"
	ManifestFile       = ManifestsDirectory + "/countersign.yaml"
	AdmissionFile      = "admission.yaml"
	AuthorizationFile  = "authorization.yaml"
	AuthorizerFile     = "authorizer-kubeconfig.yaml"
)

// Seal is what level 4 is made of.
type Seal struct {
	// Subjects are whom the files name. Files cannot follow policies: when these name others, they are rendered anew.
	Subjects Subjects
	// Directory is where the API server finds the files, an absolute path.
	Directory string
	// Secrets also denies the subjects to read Secrets.
	Secrets bool
}

// File is a file of level 4; the name is relative to the directory.
type File struct{ Name, Content string }

// Files renders the files. What they say is compiled first: with a file that it cannot use, an API server does not start.
func (s *Seal) Files() ([]File, error) {
	if !path.IsAbs(s.Directory) || path.Clean(s.Directory) != s.Directory {
		return nil, fmt.Errorf("the directory of the files must be a clean absolute path, not %q", s.Directory)
	}
	if s.Subjects.Empty() {
		return nil, fmt.Errorf("nobody is named: a seal is for the subjects of policies")
	}
	policy, binding := StaticPolicy(&s.Subjects)
	authorization := s.authorization()
	if err := compilePolicy(policy); err != nil {
		return nil, err
	}
	if err := authorization.compile(); err != nil {
		return nil, err
	}
	manifest, err := documents(manifestHeader, policy, binding)
	if err != nil {
		return nil, err
	}
	files := []File{{ManifestFile, manifest}}
	for _, f := range []struct {
		name, header string
		content      any
	}{
		{AdmissionFile, admissionHeader, s.admission()},
		{AuthorizationFile, authorizationHeader, authorization},
		{AuthorizerFile, authorizerHeader, nowhere()},
	} {
		text, err := documents(f.header, f.content)
		if err != nil {
			return nil, err
		}
		files = append(files, File{f.name, text})
	}
	return files, nil
}

// in is the path of a file as the API server sees it.
func (s *Seal) in(name string) string { return path.Join(s.Directory, name) }

// documents renders objects as one YAML file with a comment before the first.
func documents(header string, objects ...any) (string, error) {
	var out bytes.Buffer
	for line := range strings.Lines(header) {
		out.WriteString("# " + line)
	}
	out.WriteString("\n")
	for i, o := range objects {
		text, err := render(o)
		if err != nil {
			return "", fmt.Errorf("rendering %T: %w", o, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.String(), nil
}

// render leaves out the status, which is nothing to write.
func render(o any) ([]byte, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	return yaml.Marshal(fields)
}

const manifestHeader = `Made by countersign seal. The API server reads this directory when it starts, and again within a
minute when a file in it changes. Nothing else may be in it: with a file that cannot be used, an API
server does not start, and one that runs goes on with what it has.`

const admissionHeader = `Made by countersign seal, for kube-apiserver --admission-control-config-file. Where there is such a
file already, add the entry to its plugins instead. It is read only at start.`

const authorizationHeader = `Made by countersign seal, for kube-apiserver --authorization-config, which replaces all flags
--authorization-mode and --authorization-webhook-*. The first authorizer denies; order matters.
Authorizers of your own belong behind it. Changes are read within a minute.`

const authorizerHeader = `Made by countersign seal. Nobody answers at this address, and with failurePolicy Deny that is the
answer: RBAC cannot deny, and an authorizer that does not answer can.`
