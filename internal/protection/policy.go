package protection

import (
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// PolicyName is the name of the policy in the API, and of its binding.
	PolicyName = "countersign"
	// StaticSuffix ends the names of policies that the API server reads from files, and of nothing else: it refuses such
	// names in its API (k8s.io/apiserver/pkg/admission/plugin/manifest).
	StaticSuffix = ".static.k8s.io"
	// StaticPolicyName is the name of the policy in the files of the API server, and of its binding.
	StaticPolicyName = PolicyName + StaticSuffix
)

// AdmissionPolicy is level 3: a policy in the API that refuses the subjects what Countersign depends on, and its binding.
// Every field is spelled out, defaults included, so that comparing with what is stored finds drift and nothing else.
// The owner is the ClusterRole with which the objects of the operator go; it may be empty.
func AdmissionPolicy(subjects *Subjects, owner string) (
	*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding,
) {
	classes := append(admissionWebhooks(), classes()...)
	if owner != "" {
		classes = append(classes, ownerRole(owner))
	}
	return bound(PolicyName, subjects, append(classes, nodeCertificates()))
}

// StaticPolicy is the part of level 4 that the API server reads from its files. There, policies are asked about admission
// policies too, and certificates are refused whoever they are for: a policy cannot read the request for one.
func StaticPolicy(subjects *Subjects) (
	*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding,
) {
	return bound(StaticPolicyName, subjects, append(append(allAdmission(), classes()...), userCertificates()))
}

// bound is a policy and its binding, of one name. It has no selectors: whoever could label an object could step around
// them. It fails closed, which is for the subjects only: the match condition cannot fail.
func bound(name string, subjects *Subjects, classes []class) (
	*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding,
) {
	governed := subjects.Expression()
	if governed == "" {
		governed = "false"
	}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{
				MatchPolicy:       ptr.To(admissionregistrationv1.Equivalent),
				NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
			},
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "governed-subjects", Expression: governed}},
			// When a collection is deleted the request names none of its objects.
			Variables: []admissionregistrationv1.Variable{{
				Name: "name", Expression: "oldObject != null ? oldObject.metadata.name : object.metadata.name",
			}},
		},
	}
	for i := range classes {
		c := &classes[i]
		policy.Spec.MatchConstraints.ResourceRules = append(policy.Spec.MatchConstraints.ResourceRules, c.rule())
		policy.Spec.Validations = append(policy.Spec.Validations, c.validation())
	}
	return policy, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name,
			// The audit log is where it stands what was refused here: Countersign does not hear of it.
			ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny, admissionregistrationv1.Audit},
		},
	}
}

func (c *class) rule() admissionregistrationv1.NamedRuleWithOperations {
	operations := c.operations
	if operations == nil {
		operations = []admissionregistrationv1.OperationType{
			admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete,
		}
	}
	return admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{c.group}, APIVersions: []string{"*"}, Resources: c.resources,
			Scope: ptr.To(admissionregistrationv1.AllScopes),
		},
	}}
}

// validation is true for all requests of other classes.
func (c *class) validation() admissionregistrationv1.Validation {
	conditions := []string{"request.resource.group == " + strconv.Quote(c.group)}
	if c.when != "" {
		conditions = append(conditions, c.when)
	}
	if c.unless != "" {
		conditions = append(conditions, "!("+c.unless+")")
	}
	return admissionregistrationv1.Validation{
		Expression: "!(" + strings.Join(conditions, " && ") + ")",
		Message:    c.why + ". " + stop,
		Reason:     ptr.To(metav1.StatusReasonForbidden),
	}
}
