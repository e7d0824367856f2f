package decisionlog

import "github.com/countersign-dev/countersign/internal/jsontext"

// AppendLine appends the event as a line of the decision log, which holds no character that cannot be seen. It means what
// encoding/json makes of the event. That package is asked only about what is in the way of an action: an agent waits for its
// line. Of the policies it writes what AppendPolicies did, and does not look at the record's own.
func (e *Event) AppendLine(line []byte, policies string) ([]byte, error) {
	w := jsontext.Append(append(line, '{'))
	w.Text("specversion", e.SpecVersion)
	w.Text("id", e.ID)
	w.Text("source", e.Source)
	w.Text("type", e.Type)
	w.Text("subject", e.Subject)
	w.Time("time", e.Time)
	w.Text("datacontenttype", e.DataContentType)
	w.Object("data", func() { e.Data.write(&w, policies) })
	w.Raw("}\n")
	return w.Bytes()
}

func (r *Record) write(w *jsontext.Writer, policies string) {
	w.Object("actor", func() { r.Actor.write(w) })
	w.Object("action", func() { r.Action.write(w) })
	w.Text("outcome", string(r.Outcome))
	w.Optional("task", r.Task)
	w.Optional("approval", r.Approval)
	if r.OpensAt != nil {
		w.Time("opensAt", *r.OpensAt)
	}
	if len(r.Obstacles) > 0 {
		w.Encoded("obstacles", r.Obstacles)
	}
	if len(r.Waived) > 0 {
		w.Encoded("waived", r.Waived)
	}
	if len(r.Observed) > 0 {
		w.Encoded("observed", r.Observed)
	}
	if policies != "" {
		w.Separate()
		w.Raw(policies)
	}
}

// AppendPolicies appends what the line of a decision says of the policies that governed it. Where the same ones govern again
// and again it can be kept, for it is the longest part of a line.
func AppendPolicies(text []byte, policies []Policy) ([]byte, error) {
	w := jsontext.Append(text)
	jsontext.Each(&w, "policies", policies, (*Policy).write)
	return w.Bytes()
}

func (a *Actor) write(w *jsontext.Writer) {
	w.Text("username", a.Username)
	w.Optional("uid", a.UID)
	w.Texts("groups", a.Groups)
	w.Optional("podName", a.PodName)
	w.Optional("podUID", a.PodUID)
	w.Optional("credentialID", a.CredentialID)
}

func (a *Action) write(w *jsontext.Writer) {
	w.Text("operation", a.Operation)
	w.Optional("group", a.Group)
	w.Optional("version", a.Version)
	w.Text("resource", a.Resource)
	w.Optional("subresource", a.Subresource)
	w.Optional("kind", a.Kind)
	w.Optional("namespace", a.Namespace)
	w.Optional("name", a.Name)
	w.Optional("uid", a.UID)
	if a.DryRun {
		w.Bool("dryRun", true)
	}
	w.Optional("hash", a.Hash)
	jsontext.Each(w, "changes", a.Changes, (*Change).write)
	if a.MoreChanges != 0 {
		w.Integer("moreChanges", int64(a.MoreChanges))
	}
}

func (c *Change) write(w *jsontext.Writer) {
	w.Text("path", c.Path)
	w.Optional("from", c.From)
	w.Optional("to", c.To)
}

func (p *Policy) write(w *jsontext.Writer) {
	w.Text("name", p.Name)
	w.Text("uid", p.UID)
	w.Text("hash", p.Hash)
	w.Text("window", p.Window)
	w.Integer("generation", p.Generation)
}
