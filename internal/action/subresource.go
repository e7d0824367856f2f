package action

import (
	"errors"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// target checks the live object and returns it: there must be one, with the name and, where it is known, the UID.
func (n *normaliser) target(resource, name, uid string) (map[string]any, error) {
	target := n.facts.Target
	fail := func(cause string) (map[string]any, error) {
		return nil, &TargetError{Resource: resource, Namespace: n.Namespace, Name: name, Cause: cause}
	}
	switch {
	case target == nil:
		return fail("it was not found")
	case textAt(target, "metadata", "name") != name || textAt(target, "metadata", "namespace") != n.Namespace:
		return fail("it is another object")
	case textAt(target, "metadata", "uid") == "":
		return fail("it has no UID")
	case uid != "" && textAt(target, "metadata", "uid") != uid:
		return fail("it is not the object of that UID")
	}
	return target, nil
}

// scale turns the update of a Scale into that of its parent. A Scale holds no labels, and leaves out 0.
func (n *normaliser) scale() error {
	a := n.action
	before, err := n.decodeOldObject()
	if err != nil {
		return err
	}
	after, err := n.decodeObject()
	if err != nil {
		return err
	}
	if err := n.identify("oldObject", before); err != nil {
		return err
	}
	a.UID = textAt(before, "metadata", "uid")
	if a.Target, err = n.target(n.Resource, a.Name, a.UID); err != nil {
		return err
	}
	a.Subresource = ""
	path := replicasPath(n.facts.Kind)
	a.Old, err = withReplicas(a.Target, before, path)
	if err != nil {
		return &DecodeError{Part: "oldObject", Err: err}
	}
	a.New, err = withReplicas(a.Target, after, path)
	if err != nil {
		return &DecodeError{Part: "object", Err: err}
	}
	// The reviewed version of the parent, which may not be the live one.
	if version := at(before, "metadata", "resourceVersion"); version.Present {
		a.Old = with(a.Old, version.V, "metadata", "resourceVersion")
	}
	from, to := at(a.Old, path...), at(a.New, path...)
	if !equalValues(from, to) {
		a.Changes = []Change{{Path: fields(path...), From: from, To: to}}
	}
	return nil
}

func replicasPath(k KindFacts) []string {
	if k.SpecReplicasPath == "" {
		return []string{"spec", "replicas"}
	}
	return strings.Split(strings.TrimPrefix(k.SpecReplicasPath, "."), ".")
}

// withReplicas returns the parent with the number of the Scale. Where the parent shows as that Scale it stays as it is:
// an absent number shows as 0, and a large one is cut to 32 bits.
func withReplicas(parent, scale map[string]any, path []string) (map[string]any, error) {
	replicas := int64(0)
	if v := at(scale, "spec", "replicas"); v.Present {
		n, ok := v.V.(int64)
		if !ok {
			return nil, errors.New("reading spec.replicas: not an integer")
		}
		replicas = n
	}
	live, _ := at(parent, path...).V.(int64)
	if live<<32>>32 == replicas {
		return parent, nil
	}
	return with(parent, replicas, path...), nil
}

// eviction turns the creation of an Eviction into the deletion of its pod.
func (n *normaliser) eviction() error {
	a := n.action
	eviction, err := n.decodeObject()
	if err != nil {
		return err
	}
	if err := n.identify("object", eviction); err != nil {
		return err
	}
	options, _ := at(eviction, "deleteOptions").V.(map[string]any)
	if a.Delete, err = deleteOptions("object", options); err != nil {
		return err
	}
	if a.Target, err = n.target("pods", a.Name, a.Delete.UID); err != nil {
		return err
	}
	a.Operation, a.Subresource, a.Kind = v1alpha1.OperationDelete, "", "Pod"
	a.Old, a.UID, a.hasStatus = a.Target, textAt(a.Target, "metadata", "uid"), true
	a.Delete.forPod(a.Old)
	return nil
}

// binding gives both ways of binding a pod one form.
func (n *normaliser) binding() (err error) {
	a := n.action
	if a.New, err = n.decodeObject(); err != nil {
		return err
	}
	a.Resource, a.Subresource, a.Kind = "pods", "binding", "Pod"
	a.Namespaced, a.Namespace = true, n.Namespace
	if err := n.identify("object", a.New); err != nil {
		return err
	}
	return n.aim("pods", a.Name)
}

// token is the creation of a token for a service account.
func (n *normaliser) token() (err error) {
	a := n.action
	if a.New, err = n.decodeObject(); err != nil {
		return err
	}
	if err := n.identify("object", a.New); err != nil {
		return err
	}
	return n.aim("serviceaccounts", a.Name)
}

// connect is a session. What it is about is live; the object of the review holds its options.
func (n *normaliser) connect() (err error) {
	a := n.action
	a.Name, a.Address = n.connected()
	if len(n.Object) > 0 {
		if a.New, err = n.decodeObject(); err != nil {
			return err
		}
	}
	if need := n.Need(); need.Target {
		return n.aim(need.Resource, need.Name)
	}
	return nil
}

// aim sets the live target and its UID.
func (n *normaliser) aim(resource, name string) (err error) {
	a := n.action
	if a.Target, err = n.target(resource, name, ""); err != nil {
		return err
	}
	a.UID = textAt(a.Target, "metadata", "uid")
	return nil
}
