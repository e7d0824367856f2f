package decisionlog

// AppendLine appends the event as a line of the decision log, which holds no character that cannot be seen. It means what
// encoding/json makes of the event. That package is asked only about what is in the way of an action: an agent waits for its
// line, and looking at the type of each field anew takes longer than deciding does.
func (e *Event) AppendLine(line []byte) ([]byte, error) {
	w := writer{line: append(line, '{')}
	w.text("specversion", e.SpecVersion)
	w.text("id", e.ID)
	w.text("source", e.Source)
	w.text("type", e.Type)
	w.text("subject", e.Subject)
	w.time("time", e.Time)
	w.text("datacontenttype", e.DataContentType)
	w.object("data", func() { e.Data.write(&w) })
	w.line = append(w.line, "}\n"...)
	return w.line, w.err
}

func (r *Record) write(w *writer) {
	w.object("actor", func() { r.Actor.write(w) })
	w.object("action", func() { r.Action.write(w) })
	w.text("outcome", string(r.Outcome))
	w.optional("task", r.Task)
	w.optional("approval", r.Approval)
	if r.OpensAt != nil {
		w.time("opensAt", *r.OpensAt)
	}
	if len(r.Obstacles) > 0 {
		w.encoded("obstacles", r.Obstacles)
	}
	if len(r.Waived) > 0 {
		w.encoded("waived", r.Waived)
	}
	if len(r.Observed) > 0 {
		w.encoded("observed", r.Observed)
	}
	writeEach(w, "policies", r.Policies, (*Policy).write)
}

func (a *Actor) write(w *writer) {
	w.text("username", a.Username)
	w.optional("uid", a.UID)
	if len(a.Groups) > 0 {
		w.member("groups")
		w.line = append(w.line, '[')
		for _, group := range a.Groups {
			w.separate()
			w.value(group)
		}
		w.line = append(w.line, ']')
	}
	w.optional("podName", a.PodName)
	w.optional("podUID", a.PodUID)
	w.optional("credentialID", a.CredentialID)
}

func (a *Action) write(w *writer) {
	w.text("operation", a.Operation)
	w.optional("group", a.Group)
	w.optional("version", a.Version)
	w.text("resource", a.Resource)
	w.optional("subresource", a.Subresource)
	w.optional("kind", a.Kind)
	w.optional("namespace", a.Namespace)
	w.optional("name", a.Name)
	w.optional("uid", a.UID)
	if a.DryRun {
		w.member("dryRun")
		w.line = append(w.line, "true"...)
	}
	w.optional("hash", a.Hash)
	writeEach(w, "changes", a.Changes, (*Change).write)
	if a.MoreChanges != 0 {
		w.integer("moreChanges", int64(a.MoreChanges))
	}
}

func (c *Change) write(w *writer) {
	w.text("path", c.Path)
	w.optional("from", c.From)
	w.optional("to", c.To)
}

func (p *Policy) write(w *writer) {
	w.text("name", p.Name)
	w.text("uid", p.UID)
	w.text("hash", p.Hash)
	w.text("window", p.Window)
	w.integer("generation", p.Generation)
}
