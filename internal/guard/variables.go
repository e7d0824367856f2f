package guard

import (
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
	"github.com/countersign-dev/countersign/internal/activity"
)

// Input is what guards may know about one action.
type Input struct {
	// Action in normal form.
	Action *action.Action
	// NamespaceLabels are the labels of the action's namespace, nil where they are not known.
	NamespaceLabels map[string]string
	// Now is the instant of the decision.
	Now time.Time
	// History is what the actor did before, nil where that is not known: what reads recent fails then.
	History *activity.History
}

// variables give the values of the variables of one action. They are built when they are first read.
type variables struct {
	Input
	task  string
	meter *meter
	// redacted says that secret values are hidden, as in messages.
	redacted bool

	object, oldObject, request, namespace, changes any
	// lookBack is how far recent goes, and recentBy how far the one goes that is built.
	lookBack, recentBy time.Duration
	recent             any
}

// ResolveName implements interpreter.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case varMeter:
		return v.meter, true
	case varObject:
		return once(&v.object, func() any { return v.content(v.Action.New) }), true
	case varOldObject:
		return once(&v.oldObject, func() any { return v.content(v.Action.Old) }), true
	case varRequest:
		return once(&v.request, func() any { return requestOf(v.Action) }), true
	case varNamespace:
		if v.Action.Namespace != "" && v.NamespaceLabels == nil {
			// A new one each time: CEL notes in an error where it came from.
			return types.NewErr("%s", errLabelsUnknown), true
		}
		return once(&v.namespace, v.namespaceObject), true
	case varChanges:
		return once(&v.changes, v.changeList), true
	case varTask:
		return v.task, true
	case varNow:
		return v.Now, true
	case varRecent:
		return v.recently(), true
	default:
		return nil, false
	}
}

// Parent implements interpreter.Activation.
func (v *variables) Parent() interpreter.Activation { return nil }

func once(value *any, build func() any) any {
	if *value == nil {
		*value = build()
	}
	return *value
}

// content is null where the action has none.
func (v *variables) content(object map[string]any) any {
	switch {
	case object == nil:
		return types.NullValue
	case v.redacted:
		return v.Action.Redact(object)
	}
	return object
}

// requestOf leaves out what is empty, as ValidatingAdmissionPolicy does.
func requestOf(a *action.Action) any {
	request := map[string]any{
		"operation": string(a.Operation), "dryRun": a.DryRun,
		"kind":     map[string]any{"group": a.Group, "version": a.Version, "kind": a.Kind},
		"resource": map[string]any{"group": a.Group, "version": a.Version, "resource": a.Resource},
		"userInfo": userInfo(&a.Actor),
	}
	putText(request, "subResource", a.Subresource)
	putText(request, "namespace", a.Namespace)
	putText(request, "name", a.Name)
	if a.Operation == v1alpha1.OperationDelete {
		request["options"] = deleteOptions(a.Delete)
	}
	return request
}

func userInfo(actor *action.Actor) map[string]any {
	info := map[string]any{}
	putText(info, "username", actor.Username)
	putText(info, "uid", actor.UID)
	if len(actor.Groups) > 0 {
		info["groups"] = actor.Groups
	}
	return info
}

func putText(object map[string]any, key, text string) {
	if text != "" {
		object[key] = text
	}
}

// deleteOptions are those that the API server goes by, in the words of the API.
func deleteOptions(d *action.DeleteOptions) map[string]any {
	options := map[string]any{}
	if d == nil {
		return options
	}
	if d.GracePeriodSeconds != nil {
		options["gracePeriodSeconds"] = *d.GracePeriodSeconds
	}
	putText(options, "propagationPolicy", d.PropagationPolicy)
	return options
}

// namespaceObject is null for what is in no namespace.
func (v *variables) namespaceObject() any {
	if v.Action.Namespace == "" {
		return types.NullValue
	}
	metadata := map[string]any{"name": v.Action.Namespace}
	if len(v.NamespaceLabels) > 0 {
		labels := make(map[string]any, len(v.NamespaceLabels))
		for key, value := range v.NamespaceLabels {
			labels[key] = value
		}
		metadata["labels"] = labels
	}
	return map[string]any{"metadata": metadata}
}

const errLabelsUnknown = "the labels of the namespace are not known"

func (v *variables) changeList() any {
	list := make([]any, len(v.Action.Changes))
	for i, c := range v.Action.Changes {
		if v.redacted {
			c = v.Action.RedactChange(c)
		}
		change := map[string]any{"path": c.Path.String()}
		if c.From.Present {
			change["from"] = c.From.V
		}
		if c.To.Present {
			change["to"] = c.To.V
		}
		list[i] = change
	}
	return list
}

const errHistoryUnknown = "what the agent did before is not known"

// recently is what the actor did within the look-back of the guard.
func (v *variables) recently() any {
	if v.History == nil || v.lookBack <= 0 {
		return types.NewErr("%s", errHistoryUnknown)
	}
	if v.recent == nil || v.recentBy != v.lookBack {
		entries := v.History.Since(v.lookBack, v.Now)
		list := make([]any, len(entries))
		for i := range entries {
			list[i] = entryObject(&entries[i])
		}
		v.recent, v.recentBy = list, v.lookBack
	}
	return v.recent
}

// entryObject has every field, so that an expression need not ask whether there is one.
func entryObject(entry *v1alpha1.AdmittedAction) map[string]any {
	return map[string]any{
		"time": entry.Time.Time, "operation": string(entry.Operation), "group": entry.Group, "resource": entry.Resource,
		"subResource": entry.Subresource, "namespace": entry.Namespace, "name": entry.Name, "task": entry.Task,
	}
}
