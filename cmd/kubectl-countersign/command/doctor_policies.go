package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// readPolicies looks at every policy: is it understood, and is it in force.
func (d *doctor) readPolicies(ctx context.Context) {
	all, err := d.e.storedPolicies(ctx)
	if apierrors.IsNotFound(err) {
		d.fail(d.upgrade(), "the cluster does not serve %s", v1alpha1.GroupVersion)
		return
	}
	if err != nil {
		d.unknown(err, "policies cannot be looked at")
		return
	}
	d.policies = all
	counts := map[v1alpha1.Enforcement]int{}
	var unseen []string
	wrong := map[string][]string{} // by what is wrong
	for _, p := range all {
		counts[p.Spec.Enforcement]++
		switch problem, seen := policyProblem(p); {
		case !seen:
			unseen = append(unseen, p.Name)
		case problem != "":
			wrong[problem] = append(wrong[problem], p.Name)
		}
	}
	if text := d.e.laterNote(); text != "" {
		d.warn(compareVersions, "%s", text)
	}
	if len(unseen) > 0 {
		d.fail(d.restart(), "the operator has not looked at the present state of %s", someOf("policy", "policies", unseen))
	}
	for _, problem := range slices.Sorted(maps.Keys(wrong)) {
		names := wrong[problem]
		d.fail("kubectl describe agentactionpolicy "+names[0], "%s: %s", someOf("policy", "policies", names), problem)
	}
	if counts[v1alpha1.Enforce] == 0 {
		d.warn("kubectl get agentactionpolicies", "no policy has enforcement: Enforce, so nobody is governed")
		return
	}
	d.ok("policies: %d Enforce, %d Warn, %d Audit", counts[v1alpha1.Enforce], counts[v1alpha1.Warn], counts[v1alpha1.Audit])
}

// policyProblem is what is wrong with a policy, in the operator's words, empty where nothing is. It has not been seen where
// the operator has not looked at its present state.
func policyProblem(p *v1alpha1.AgentActionPolicy) (problem string, seen bool) {
	for _, kind := range []string{v1alpha1.PolicyReady, v1alpha1.PolicyEnforced} {
		c := meta.FindStatusCondition(p.Status.Conditions, kind)
		switch {
		case c == nil || c.ObservedGeneration != p.Generation:
			return "", false
		case c.Status != metav1.ConditionTrue:
			return fmt.Sprintf("not %s: %s", kind, c.Message), true
		}
	}
	return "", true
}

// mostNames is how many names a finding lists.
const mostNames = 5

// someOf names some of many.
func someOf(one, many string, names []string) string {
	switch {
	case len(names) == 1:
		return one + " " + names[0]
	case len(names) <= mostNames:
		return many + " " + strings.Join(names, ", ")
	default:
		return fmt.Sprintf("%s %s and %d more", many, strings.Join(names[:mostNames], ", "), len(names)-mostNames)
	}
}

// maxAccounts bounds how many service accounts of a namespace are read where a policy names all of them.
const maxAccounts = 500

// accounts are the service accounts of namespaces.
type accounts struct {
	d *doctor
	// in has the names by namespace, and whether there are more than are read.
	in   map[string][]string
	more map[string]bool
}

func (a *accounts) of(ctx context.Context, namespace string) ([]string, error) {
	if names, known := a.in[namespace]; known {
		return names, nil
	}
	list, err := a.d.cluster.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{Limit: maxAccounts})
	if err != nil {
		return nil, fmt.Errorf("listing service accounts: %w", err)
	}
	names := []string{}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	a.in[namespace], a.more[namespace] = names, list.Continue != ""
	return names, nil
}

func (a *accounts) exists(ctx context.Context, namespace, name string) (bool, error) {
	names, err := a.of(ctx, namespace)
	if err != nil || slices.Contains(names, name) || !a.more[namespace] {
		return slices.Contains(names, name), err
	}
	_, err = a.d.cluster.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// subjects looks for subjects that are nobody. Users and groups are known to whoever authenticates them, and to nobody else.
func (d *doctor) subjects(ctx context.Context) {
	d.accounts = accounts{d: d, in: map[string][]string{}, more: map[string]bool{}}
	found, elsewhere, lost := 0, 0, 0
	seen := map[v1alpha1.Subject]bool{}
	for _, p := range d.policies {
		for _, s := range p.Spec.Subjects {
			if seen[s] {
				continue
			}
			seen[s] = true
			there, err := d.subject(ctx, p, s)
			switch {
			case err != nil:
				d.unknown(err, "service accounts of namespace %s cannot be looked at", s.Namespace)
				return
			case !there:
				lost++
			case s.Kind == v1alpha1.SubjectServiceAccount:
				found++
			case s.Kind == v1alpha1.SubjectUser || s.Kind == v1alpha1.SubjectGroup:
				elsewhere++
			}
		}
	}
	outside := ""
	if elsewhere > 0 {
		outside = fmt.Sprintf("; users and groups, of which they name %d, are nowhere to be looked up", elsewhere)
	}
	if lost == 0 && len(seen) > 0 {
		d.ok("every service account that policies name exists: %d%s", found, outside)
	}
}

// subject reports a subject that is nobody, and says whether it may be somebody.
func (d *doctor) subject(ctx context.Context, p *v1alpha1.AgentActionPolicy, s v1alpha1.Subject) (bool, error) {
	namespace := s.Namespace
	if in, ok := strings.CutPrefix(s.Name, "system:serviceaccounts:"); ok && s.Kind == v1alpha1.SubjectGroup {
		namespace = in
	}
	switch {
	case s.Kind == v1alpha1.SubjectGoverned:
		for _, other := range d.policies {
			if other.Spec.Enforcement == v1alpha1.Enforce && slices.ContainsFunc(other.Spec.Subjects, func(o v1alpha1.Subject) bool {
				return o.Kind != v1alpha1.SubjectGoverned
			}) {
				return true, nil
			}
		}
		d.warn("kubectl get agentactionpolicies", "policy %s is about everybody whom an Enforce policy names, and none does", p.Name)
		return false, nil
	case namespace == "":
		return true, nil
	case s.Kind == v1alpha1.SubjectServiceAccount && s.Name != "*":
		exists, err := d.accounts.exists(ctx, namespace, s.Name)
		if err == nil && !exists {
			d.warn(fmt.Sprintf("kubectl create serviceaccount %s --namespace %s", s.Name, namespace),
				"policy %s names service account %s/%s, which does not exist", p.Name, namespace, s.Name)
		}
		return exists, err
	}
	names, err := d.accounts.of(ctx, namespace)
	if err == nil && len(names) == 0 {
		d.warn("kubectl get serviceaccounts --namespace "+namespace,
			"policy %s names all service accounts of namespace %s, which has none", p.Name, namespace)
	}
	return len(names) > 0, err
}
