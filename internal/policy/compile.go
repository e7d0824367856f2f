package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/legible"
	"github.com/countersign-dev/countersign/internal/window"
)

// Policy is a compiled AgentActionPolicy. It is immutable.
type Policy struct {
	// Name, UID, Generation and CreatedAt are those of the object; Hash identifies the meaning of its spec.
	Name       string
	UID        string
	Generation int64
	CreatedAt  time.Time
	Hash       string

	// Enforcement says what becomes of the policy's verdict.
	Enforcement v1alpha1.Enforcement
	// Errors are the reasons why the policy is invalid, with field paths. An invalid policy refuses its
	// subjects everything that it governs.
	Errors field.ErrorList
	// Unknown are the fields of the stored policy that this version does not have; each is an error.
	Unknown []string
	// Warnings tell the author about what is probably not meant.
	Warnings []string

	subjects   []v1alpha1.Subject
	governs    *governs
	outOfScope v1alpha1.OutOfScope
	timing     *timing
	tasks      []*task
	guards     []guardRule
	// memory says how far back it must be known what the agent did.
	memory  memory
	windows map[v1alpha1.WindowName]*window.Schedule
	consent consentRules
	// outOfScopeRequirements are whom outOfScope asks.
	outOfScopeRequirements []v1alpha1.RequirementName
	// spec is what was compiled. It is never changed.
	spec *v1alpha1.AgentActionPolicySpec
	// broken says why the policy cannot judge what it governs; empty where it can.
	broken string
}

// compiler collects what is found on the way through one spec.
type compiler struct {
	policy *Policy
	spec   *v1alpha1.AgentActionPolicySpec
	zone   *time.Location
	// windows holds every defined name; the value is nil where the definition is invalid.
	windows map[v1alpha1.WindowName]*window.Schedule
	used    map[v1alpha1.WindowName]bool
}

// Compile makes a policy ready to decide. It never fails: a policy with errors is returned with these, and
// refuses its subjects what it governs. Self is whom the operator acts as, so that no policy governs it.
func Compile(p *v1alpha1.AgentActionPolicy, self Identity) *Policy {
	return CompileStored(p, nil, self)
}

// CompileStored is Compile for a policy of which it is known which fields are stored that this version does not have, such
// as "spec.tasks[0].quota". Nobody can say what a policy means of which a part was not read, so it has errors.
func CompileStored(p *v1alpha1.AgentActionPolicy, unknown []string, self Identity) *Policy {
	c := &compiler{
		policy: &Policy{
			Name: p.Name, UID: string(p.UID), Generation: p.Generation, CreatedAt: p.CreationTimestamp.Time,
			Enforcement: p.Spec.Enforcement, outOfScope: p.Spec.OutOfScope,
			outOfScopeRequirements: p.Spec.OutOfScopeRequirements, spec: &p.Spec, governs: &governs{},
		},
		spec:    &p.Spec,
		windows: map[v1alpha1.WindowName]*window.Schedule{},
		used:    map[v1alpha1.WindowName]bool{},
	}
	spec := field.NewPath("spec")
	c.refuseUnknown(unknown)
	c.compileEnforcement(spec)
	c.compileSubjects(self, spec.Child("subjects"))
	c.compileGoverns(spec.Child("governs"))
	if slices.ContainsFunc(unknown, func(f string) bool { return strings.HasPrefix(f, "spec.governs.") }) {
		c.policy.governs = &governs{} // as for other errors there
	}
	c.compileWindows(spec)
	c.policy.timing = c.compileTiming(spec)
	c.compileTasks(spec.Child("tasks"))
	c.compileApproval(spec)
	c.compileGuards(spec.Child("guards"))
	c.checkWords(spec)
	c.share()
	c.finish()
	return c.policy
}

func (c *compiler) fail(err *field.Error) { c.policy.Errors = append(c.policy.Errors, err) }

// warn tells the author about what is probably not meant.
func (c *compiler) warn(at *field.Path, text string) {
	c.policy.Warnings = append(c.policy.Warnings, at.String()+": "+text)
}

// checkWords warns of characters that nobody sees in what the author tells others. Refusals show them as escapes.
func (c *compiler) checkWords(spec *field.Path) {
	check := func(at *field.Path, words string) {
		if r, found := legible.Hidden(words); found {
			c.warn(at, fmt.Sprintf("holds characters that cannot be seen, such as %U", r))
		}
	}
	for i := range c.spec.Tasks {
		check(spec.Child("tasks").Index(i).Child("description"), c.spec.Tasks[i].Description)
	}
	for i := range c.spec.Freezes {
		check(spec.Child("freezes").Index(i).Child("reason"), c.spec.Freezes[i].Reason)
	}
}

// maxUnknown bounds how many fields a policy's errors name.
const maxUnknown = 16

// refuseUnknown comes before all else, since agents are told the first error only.
func (c *compiler) refuseUnknown(unknown []string) {
	c.policy.Unknown = unknown
	for _, f := range unknown[:min(len(unknown), maxUnknown)] {
		c.fail(&field.Error{Type: field.ErrorTypeForbidden, Field: f, Detail: "this version of Countersign does not know the field: " +
			"bring all replicas to the version that does, or remove the field"})
	}
}

func (c *compiler) compileEnforcement(spec *field.Path) {
	switch c.spec.Enforcement {
	case v1alpha1.Enforce, v1alpha1.Warn, v1alpha1.Audit:
	default:
		c.fail(field.NotSupported(spec.Child("enforcement"), c.spec.Enforcement,
			[]v1alpha1.Enforcement{v1alpha1.Enforce, v1alpha1.Warn, v1alpha1.Audit}))
	}
	switch c.spec.OutOfScope {
	case "", v1alpha1.OutOfScopeDeny, v1alpha1.OutOfScopeAllow, v1alpha1.OutOfScopeRequireApproval:
	default:
		c.fail(field.NotSupported(spec.Child("outOfScope"), c.spec.OutOfScope,
			[]v1alpha1.OutOfScope{v1alpha1.OutOfScopeDeny, v1alpha1.OutOfScopeRequireApproval, v1alpha1.OutOfScopeAllow}))
	}
}

func (c *compiler) compileSubjects(self Identity, at *field.Path) {
	if len(c.spec.Subjects) == 0 {
		c.fail(field.Required(at, "name at least one service account, user or group"))
	}
	for i, s := range c.spec.Subjects {
		errs := ValidateSubject(s, self, at.Index(i))
		c.policy.Errors = append(c.policy.Errors, errs...)
		// A subject that must not be governed is not governed, even if such a policy was stored.
		if len(errs) == 0 {
			c.policy.subjects = append(c.policy.subjects, s)
		}
	}
}

// governs says which actions a policy is about.
type governs struct {
	rules, excluded []v1alpha1.ResourceRule
	namespaces      labels.Selector // nil: every namespace
}

func (c *compiler) compileGoverns(at *field.Path) {
	g := c.spec.Governs
	if g == nil {
		return
	}
	before := len(c.policy.Errors)
	c.policy.governs = &governs{rules: g.ResourceRules, excluded: g.ExcludeResourceRules}
	c.validateRules(g.ResourceRules, at.Child("resourceRules"))
	c.validateRules(g.ExcludeResourceRules, at.Child("excludeResourceRules"))
	c.policy.governs.namespaces = c.compileSelector(g.NamespaceSelector, at.Child("namespaceSelector"))
	if len(c.policy.Errors) > before {
		c.policy.governs = &governs{} // what the policy is about is not known, so it is about everything
	}
}

// compileSelector returns nil for an absent selector, and one that matches nothing for an invalid one.
func (c *compiler) compileSelector(s *metav1.LabelSelector, at *field.Path) labels.Selector {
	if s == nil {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		c.fail(field.Invalid(at, metav1.FormatLabelSelector(s), err.Error()))
		return labels.Nothing()
	}
	return selector
}

func (c *compiler) compileWindows(spec *field.Path) {
	if len(c.spec.Windows) == 0 {
		return
	}
	zone, err := window.LoadZone(c.spec.TimeZone)
	if err != nil {
		c.fail(field.Invalid(spec.Child("timeZone"), c.spec.TimeZone, err.Error()))
	}
	c.zone = zone
	for i := range c.spec.Windows {
		c.compileWindow(&c.spec.Windows[i], spec.Child("windows").Index(i))
	}
}

func (c *compiler) compileWindow(w *v1alpha1.Window, at *field.Path) {
	if _, defined := c.windows[w.Name]; defined {
		c.fail(field.Duplicate(at.Child("name"), w.Name))
		return
	}
	zone := c.zone
	if zone == nil {
		zone = time.UTC // only so that the other problems are found as well: an unknown zone is an error already
	}
	schedule, errs := window.Compile(*w, zone, at)
	c.policy.Errors = append(c.policy.Errors, errs...)
	if len(errs) == 0 {
		schedule = sharedSchedules.one(keyOf(zone.String(), w), schedule)
	}
	c.windows[w.Name] = schedule
}

// finish decides whether the policy can judge at all, and warns about what is probably not meant.
func (c *compiler) finish() {
	p := c.policy
	p.Hash, p.windows, p.consent = hashSpec(c.spec), c.windows, c.consentRules()
	p.memory = p.remembers()
	if len(p.Errors) > 0 {
		p.broken = "the policy is invalid: " + p.Errors[0].Error()
	}
	for i, w := range c.spec.Windows {
		if !c.used[w.Name] {
			p.Warnings = append(p.Warnings, field.NewPath("spec", "windows").Index(i).String()+
				": window "+string(w.Name)+" is defined but neither changeWindows nor freezes name it")
		}
	}
	if len(p.tasks) == 0 && p.outOfScope != v1alpha1.OutOfScopeAllow {
		p.Warnings = append(p.Warnings, "spec.tasks: without a task everything that the policy governs is refused; "+
			"set outOfScope: Allow for a policy that only restricts")
	}
}

// Subjects are those whom the policy names. The caller must not change the slice.
func (p *Policy) Subjects() []v1alpha1.Subject { return p.subjects }

// TaskNames are the names of the policy's tasks, in their order.
func (p *Policy) TaskNames() []string {
	names := make([]string, len(p.tasks))
	for i, t := range p.tasks {
		names[i] = t.name
	}
	return names
}
