package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/cmd/kubectl-countersign/terminal"
	"github.com/countersign-dev/countersign/internal/policy"
	"github.com/countersign-dev/countersign/internal/protection"
)

// agent is somebody whom an Enforce policy names.
type agent struct {
	// text names it to people.
	text      string
	user      string
	groups    []string
	namespace string // of a service account
	// policy is the one that names it for longest, or may.
	policy *v1alpha1.AgentActionPolicy
	hold   protection.Hold
	tried  bool  // it tried what files of level 4 refuse
	untold error // why its answers do not tell which files name it
	// open and kept are the routes that it has: those that nothing closes now, and the others.
	open, kept []string
}

const (
	// mostAgents bounds who is asked about, and atOnce how many questions the API server has at a time.
	mostAgents, atOnce = 100, 16
	mendRoutes         = "kubectl countersign review"
)

// gatherAgents finds out who is governed. What holds them is the level of the cluster; of level 4, where files name whom they
// hold, only what is below it, until it was found out whom they name.
func (d *doctor) gatherAgents(ctx context.Context) {
	d.governed = d.agents(ctx)
	if d.unasked = max(0, len(d.governed)-mostAgents); d.unasked > 0 {
		d.governed = d.governed[:mostAgents]
	}
	hold := protection.Hold{Level: d.level}
	if d.level == protection.Sealed {
		hold.Level = d.belowSeal()
	}
	for i := range d.governed {
		d.governed[i].hold = hold
	}
}

// askAll asks something about each governed subject, of some at a time.
func (d *doctor) askAll(ctx context.Context, ask func(context.Context, *agent) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range d.governed {
		group.Go(func() error { return ask(ctx, &d.governed[i]) })
	}
	return group.Wait()
}

// routes asks what RBAC lets the governed subjects do that leads around Countersign.
func (d *doctor) routes(ctx context.Context) {
	if d.level != protection.Sealed {
		d.gatherAgents(ctx)
	}
	if len(d.governed) == 0 {
		return
	}
	if err := d.askAll(ctx, d.ask); err != nil {
		d.unknown(err, "what governed subjects may do cannot be asked")
		return
	}
	closed := true
	for _, same := range gather(d.governed, func(a *agent) []string { return a.open }) {
		closed = false
		d.fail(mendRoutes, "RBAC lets %s reach around Countersign: %s", same.who(), strings.Join(same.routes, ", "))
	}
	for level := protection.Sealed; level >= protection.Unknown; level-- {
		refuses := "Countersign refuses"
		if level == protection.Sealed {
			refuses = "Countersign and the files of the API server refuse"
		}
		for _, same := range gather(d.governed, func(a *agent) []string { return a.keptAt(level) }) {
			closed = false
			d.warn(mendRoutes, "RBAC lets %s do what only %s, at level %d: %s", same.who(), refuses, level, strings.Join(same.routes, ", "))
		}
	}
	if d.unasked > 0 {
		d.warn(mendRoutes, "of the governed subjects, %d were not asked about", d.unasked)
	}
	if closed {
		d.ok("RBAC lets no governed subject reach around Countersign: %d asked about", len(d.governed))
	}
}

// keptAt are the routes that are closed to whoever is at a level.
func (a *agent) keptAt(level protection.Level) []string {
	if a.hold.Full() != level {
		return nil
	}
	return a.kept
}

// authenticated is a group that everybody is in.
const authenticated = "system:authenticated"

func serviceAccount(namespace, name string) agent {
	return agent{
		text: namespace + "/" + name, user: policy.ServiceAccountUsername(namespace, name), namespace: namespace,
		groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, authenticated},
	}
}

// agents are those whom Enforce policies name, each once; for all accounts of a namespace, those that exist.
func (d *doctor) agents(ctx context.Context) []agent {
	var all []agent
	at := map[string]int{}
	var by *v1alpha1.AgentActionPolicy
	add := func(a agent) {
		i, seen := at[a.text]
		if !seen {
			a.policy = by
			at[a.text] = len(all)
			all = append(all, a)
		} else if by.CreationTimestamp.Before(&all[i].policy.CreationTimestamp) {
			all[i].policy = by
		}
	}
	account := func(namespace, name string) {
		add(serviceAccount(namespace, name))
	}
	for _, p := range d.policies {
		if p.Spec.Enforcement != v1alpha1.Enforce {
			continue
		}
		by = p
		for _, s := range p.Spec.Subjects {
			in, whole := strings.CutPrefix(s.Name, "system:serviceaccounts:")
			switch {
			case s.Kind == v1alpha1.SubjectServiceAccount && s.Name != "*":
				account(s.Namespace, s.Name)
			case s.Kind == v1alpha1.SubjectServiceAccount, s.Kind == v1alpha1.SubjectGroup && whole:
				namespace := s.Namespace + in
				if s.Kind == v1alpha1.SubjectServiceAccount {
					namespace = s.Namespace
				}
				names, err := d.accounts.of(ctx, namespace)
				if err != nil {
					d.unknown(err, "service accounts of namespace %s cannot be looked at", namespace)
				}
				for _, name := range names {
					account(namespace, name)
				}
			case s.Kind == v1alpha1.SubjectUser:
				add(agent{text: "user " + terminal.Clean(s.Name), user: s.Name, groups: []string{authenticated}})
			case s.Kind == v1alpha1.SubjectGroup:
				add(agent{text: "group " + terminal.Clean(s.Name), groups: []string{s.Name, authenticated}})
			}
		}
	}
	return all
}

// ask asks for every route.
func (d *doctor) ask(ctx context.Context, a *agent) error {
	for _, r := range protection.Routes() {
		var open, kept []string
		for i := range r.Probes {
			p := &r.Probes[i]
			may, err := d.may(ctx, a, p)
			switch {
			case err != nil:
				return err
			case !may:
			case a.hold.Refuses(&r, p):
				kept = append(kept, p.String())
			default:
				open = append(open, p.String())
			}
		}
		a.open, a.kept = withRights(a.open, r.What, open), withRights(a.kept, r.What, kept)
	}
	return nil
}

// may asks the API server whether somebody has a right.
func (d *doctor) may(ctx context.Context, a *agent, p *protection.Probe) (bool, error) {
	answer, err := d.review(ctx, a, p)
	return answer.Allowed && !answer.Denied, err
}

// review asks the API server about a right of somebody.
func (d *doctor) review(ctx context.Context, a *agent, p *protection.Probe) (authorizationv1.SubjectAccessReviewStatus, error) {
	attributes := &authorizationv1.ResourceAttributes{Group: p.Group, Resource: p.Resource, Subresource: p.Subresource, Verb: p.Verb}
	if p.Namespaced {
		attributes.Namespace = a.namespace
	}
	answer, err := d.cluster.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: a.user, Groups: a.groups, ResourceAttributes: attributes},
	}, metav1.CreateOptions{})
	if err != nil {
		return authorizationv1.SubjectAccessReviewStatus{}, fmt.Errorf("asking what somebody may do: %w", err)
	}
	return answer.Status, nil
}

// withRights adds a route with the rights that lead there, if there are any.
func withRights(routes []string, what string, rights []string) []string {
	if len(rights) == 0 {
		return routes
	}
	return append(routes, what+" ("+strings.Join(rights, ", ")+")")
}

// alike are subjects with the same routes.
type alike struct{ names, routes []string }

// who names them, the first ones.
func (a *alike) who() string {
	return strings.TrimSpace(someOf("", "", a.names))
}

// gather puts subjects with the same routes together, in their order, and leaves out those without.
func gather(agents []agent, routes func(*agent) []string) []alike {
	var all []alike
	for i := range agents {
		has := routes(&agents[i])
		if len(has) == 0 {
			continue
		}
		at := slices.IndexFunc(all, func(a alike) bool { return slices.Equal(a.routes, has) })
		if at < 0 {
			all = append(all, alike{routes: has})
			at = len(all) - 1
		}
		all[at].names = append(all[at].names, agents[i].text)
	}
	return all
}
