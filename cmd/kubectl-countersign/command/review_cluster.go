package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/privilege"
)

// readCluster reads what a review is made from. What the caller may not read is said, and not guessed.
func (o *reviewOptions) readCluster(ctx context.Context, asked []privilege.Subject) (*privilege.Review, error) {
	j, err := o.newJudge(ctx)
	if err != nil {
		return nil, err
	}
	c := privilege.Cluster{
		Now: o.Now().UTC(), Set: j.set, Policies: j.stored, NotKnown: j.notes,
		Namespaces: map[string]map[string]string{}, Accounts: map[privilege.Subject]string{},
	}
	if err := served(j.discovery, &c); err != nil {
		return nil, err
	}
	for _, read := range []func(context.Context, *judge, *privilege.Cluster) error{
		o.readRBAC, o.readNamespaces, o.readAccounts, o.readActivities, approvalsOf(o, asked),
	} {
		if err := read(ctx, j, &c); err != nil {
			return nil, err
		}
	}
	return privilege.New(c), nil
}

// served is what the API server serves. A group whose server does not answer is said.
func served(d discovery.DiscoveryInterface, c *privilege.Cluster) error {
	_, lists, err := d.ServerGroupsAndResources()
	if failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err); partial {
		for gv := range failed {
			c.NotKnown = append(c.NotKnown, "what "+gv.String()+" serves: its server does not answer, so rights in it are not seen")
		}
		slices.Sort(c.NotKnown)
	} else if err != nil {
		return fmt.Errorf("asking what the API server serves: %w", err)
	}
	found := map[schema.GroupResource]*privilege.Resource{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return fmt.Errorf("reading what the API server serves: %w", err)
		}
		for i := range l.APIResources {
			r := &l.APIResources[i]
			key := schema.GroupResource{Group: gv.Group, Resource: r.Name}
			if found[key] == nil {
				found[key] = &privilege.Resource{Group: gv.Group, Name: r.Name, Namespaced: r.Namespaced}
			}
			for _, verb := range r.Verbs {
				if !slices.Contains(found[key].Verbs, verb) {
					found[key].Verbs = append(found[key].Verbs, verb)
				}
			}
		}
	}
	for _, r := range found {
		c.Served = append(c.Served, *r)
	}
	return nil
}

// all reads a list in pages, and hands over each. Where the caller lacks the right, it says so, and what follows from it.
func (o *reviewOptions) all(
	ctx context.Context, j *judge, c *privilege.Cluster, list client.ObjectList, what, follows string, page func(), only ...client.ListOption,
) (lacking bool, err error) {
	for {
		err := j.reader.List(ctx, list, append(only, client.Limit(pageSize), client.Continue(list.GetContinue()))...)
		switch {
		case apierrors.IsForbidden(err):
			if follows != "" {
				c.NotKnown = append(c.NotKnown, "you may not list "+what+": "+follows)
			}
			return true, nil
		case err != nil:
			return false, fmt.Errorf("listing %s: %w", what, err)
		}
		page()
		if list.GetContinue() == "" {
			return false, nil
		}
	}
}

func (o *reviewOptions) readRBAC(ctx context.Context, j *judge, c *privilege.Cluster) error {
	var (
		roles           rbacv1.RoleList
		clusterRoles    rbacv1.ClusterRoleList
		bindings        rbacv1.RoleBindingList
		clusterBindings rbacv1.ClusterRoleBindingList
	)
	var lacks []string
	for _, read := range []struct {
		list client.ObjectList
		what string
		page func()
	}{
		{&roles, "roles", func() { c.Roles = append(c.Roles, roles.Items...) }},
		{&clusterRoles, "cluster roles", func() { c.ClusterRoles = append(c.ClusterRoles, clusterRoles.Items...) }},
		{&bindings, "role bindings", func() { c.RoleBindings = append(c.RoleBindings, bindings.Items...) }},
		{&clusterBindings, "cluster role bindings", func() { c.ClusterRoleBindings = append(c.ClusterRoleBindings, clusterBindings.Items...) }},
	} {
		lacking, err := o.all(ctx, j, c, read.list, read.what, "", read.page)
		if err != nil {
			return err
		}
		if lacking {
			lacks = append(lacks, read.what)
		}
	}
	if c.Missing.RBAC = len(lacks) > 0; c.Missing.RBAC {
		c.NotKnown = append(c.NotKnown, "you may not list "+strings.Join(lacks, ", ")+
			": what they grant is not in this report, and no replacement is made")
	}
	return nil
}

func (o *reviewOptions) readNamespaces(ctx context.Context, j *judge, c *privilege.Cluster) (err error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	c.Missing.Namespaces, err = o.all(ctx, j, c, &list, "namespaces",
		"those that RBAC and policies name are taken, and tasks with a namespaceSelector cover none of them", func() {
			for i := range list.Items {
				c.Namespaces[list.Items[i].Name] = labelsOf(&list.Items[i])
			}
		})
	return err
}

// labelsOf are labels that are known, also where there are none.
func labelsOf(o metav1.Object) map[string]string {
	if labels := o.GetLabels(); labels != nil {
		return labels
	}
	return map[string]string{}
}

func (o *reviewOptions) readAccounts(ctx context.Context, j *judge, c *privilege.Cluster) (err error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccountList"))
	c.Missing.Accounts, err = o.all(ctx, j, c, &list, "service accounts", "whether those that policies name exist is not said", func() {
		for i := range list.Items {
			item := &list.Items[i]
			subject := privilege.Subject{Kind: v1alpha1.SubjectServiceAccount, Namespace: item.Namespace, Name: item.Name}
			c.Accounts[subject] = string(item.UID)
		}
	})
	return err
}

func (o *reviewOptions) readActivities(ctx context.Context, j *judge, c *privilege.Cluster) (err error) {
	var list v1alpha1.AgentActivityList
	c.Missing.Activities, err = o.all(ctx, j, c, &list, "agentactivities", "nothing is called unused", func() {
		c.Activities = append(c.Activities, list.Items...)
	})
	return notServed(c, &c.Missing.Activities, "agentactivities", err)
}

// approvalsOf reads the approvals of those who are asked about, or of all.
func approvalsOf(o *reviewOptions, asked []privilege.Subject) func(context.Context, *judge, *privilege.Cluster) error {
	var only []client.ListOption
	if len(asked) == 1 && asked[0].Username() != "" {
		only = append(only, client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector(requesterField, asked[0].Username())})
	}
	return func(ctx context.Context, j *judge, c *privilege.Cluster) (err error) {
		var list v1alpha1.ActionApprovalList
		c.Missing.Approvals, err = o.all(ctx, j, c, &list, "actionapprovals in all namespaces",
			"standing approvals and requests are not in this report", func() { c.Approvals = append(c.Approvals, list.Items...) }, only...)
		return notServed(c, &c.Missing.Approvals, "actionapprovals", err)
	}
}

// notServed takes a kind of Countersign that is not installed for one that cannot be read.
func notServed(c *privilege.Cluster, missing *bool, what string, err error) error {
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		*missing = true
		c.NotKnown = append(c.NotKnown, what+": the cluster does not serve them")
		return nil
	}
	return err
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
