package protection_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/protection"
)

// TestFilesAreRefused wants an error where an API server would not start, or nobody would be kept from anything.
func TestFilesAreRefused(t *testing.T) {
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprintf("system:serviceaccount:agents:one-of-very-many-agents-%d", i)
	}
	tests := map[string]struct {
		seal protection.Seal
		want string
	}{
		"nobody":              {protection.Seal{Directory: "/etc/seal"}, "nobody is named"},
		"nowhere":             {protection.Seal{Subjects: protection.Subjects{Users: []string{"u"}}}, "clean absolute path"},
		"a relative path":     {protection.Seal{Directory: "seal", Subjects: protection.Subjects{Users: []string{"u"}}}, "clean absolute path"},
		"a path around":       {protection.Seal{Directory: "/etc/x/../seal", Subjects: protection.Subjects{Users: []string{"u"}}}, "clean absolute path"},
		"more than CEL takes": {protection.Seal{Directory: "/etc/seal", Subjects: protection.Subjects{Users: many}}, "compiling match condition governed-subjects"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := tc.seal.Files(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}

// TestFilesSurviveNames has names that are something else in YAML, in CEL or in a comment.
func TestFilesSurviveNames(t *testing.T) {
	subjects := protection.Subjects{}
	subjects.Add([]v1alpha1.Subject{
		{Kind: v1alpha1.SubjectUser, Name: `o'brien "the bot"\`}, {Kind: v1alpha1.SubjectUser, Name: "a\n---\nkind: Secret"},
		{Kind: v1alpha1.SubjectGroup, Name: "göteborg: [x]"}, {Kind: v1alpha1.SubjectServiceAccount, Namespace: "agents", Name: "*"},
		{Kind: v1alpha1.SubjectGoverned},
	})
	subjects.Tidy()
	files, err := (&protection.Seal{Directory: protection.DefaultDirectory, Subjects: subjects}).Files()
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(files[0].Content, "\n---\n")
	if len(documents) != 2 {
		t.Fatalf("%s has %d documents", files[0].Name, len(documents))
	}
	wantPolicy, wantBinding := protection.StaticPolicy(&subjects)
	var policy admissionregistrationv1.ValidatingAdmissionPolicy
	var binding admissionregistrationv1.ValidatingAdmissionPolicyBinding
	for i, o := range []any{&policy, &binding} {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), o); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(wantPolicy, &policy); diff != "" {
		t.Errorf("the policy is read as (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantBinding, &binding); diff != "" {
		t.Errorf("the binding is read as (-want +got):\n%s", diff)
	}
	for _, f := range files[1:] {
		var content map[string]any
		if err := yaml.UnmarshalStrict([]byte(f.Content), &content); err != nil || content["kind"] == nil {
			t.Errorf("%s cannot be read: %v", f.Name, err)
		}
	}
}

func TestValidateSubjects(t *testing.T) {
	account := func(namespace, name string) v1alpha1.Subject {
		return v1alpha1.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: namespace, Name: name}
	}
	user := func(name string) v1alpha1.Subject { return v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: name} }
	group := func(name string) v1alpha1.Subject { return v1alpha1.Subject{Kind: v1alpha1.SubjectGroup, Name: name} }
	tests := map[string]struct {
		subject v1alpha1.Subject
		want    string // empty: nothing is wrong
	}{
		"an account":              {account("agents", "bot"), ""},
		"all of a namespace":      {account("agents", "*"), ""},
		"a user":                  {user("bot"), ""},
		"a group":                 {group("bots"), ""},
		"a group of accounts":     {group("system:serviceaccounts:agents"), ""},
		"whom policies name":      {v1alpha1.Subject{Kind: v1alpha1.SubjectGoverned}, ""},
		"the operator":            {account("cs", "countersign"), "Countersign itself"},
		"all of its namespace":    {account("cs", "*"), "Countersign itself"},
		"its group":               {group("system:serviceaccounts:cs"), "Countersign itself"},
		"a controller":            {account("kube-system", "namespace-controller"), "cluster's own controllers"},
		"everybody":               {group("system:authenticated"), "system users and groups"},
		"the scheduler":           {user("system:kube-scheduler"), "system users and groups"},
		"an account without name": {account("agents", ""), "name is needed"},
		"an account of nowhere":   {account("", "bot"), "namespace is needed"},
		"no kind":                 {v1alpha1.Subject{Name: "bot"}, "kind must be one of"},
		"a user in a namespace":   {v1alpha1.Subject{Kind: v1alpha1.SubjectUser, Name: "bot", Namespace: "x"}, "for service accounts only"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := protection.ValidateSubjects([]v1alpha1.Subject{tc.subject}, "cs")
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}
