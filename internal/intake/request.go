// Package intake takes in what arrives at admission: it makes of a review, and of the few facts about the cluster that
// the review lacks, what a decision depends on. The webhook of actions does so with the live cluster, the kubectl plugin
// with that or with files: what is judged is the same.
package intake

import (
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// Keys of userInfo.extra that the API server's service account authenticator sets
// (k8s.io/apiserver/pkg/authentication/serviceaccount).
const (
	extraPodName      = "authentication.kubernetes.io/pod-name"
	extraPodUID       = "authentication.kubernetes.io/pod-uid"
	extraCredentialID = "authentication.kubernetes.io/credential-id"
)

// RequestOf takes from a review what a decision may depend on. User agents, field managers and HTTP verbs are
// chosen by the caller and left out.
func RequestOf(r *admissionv1.AdmissionRequest) action.Request {
	return action.Request{
		ID:          string(r.UID),
		Operation:   v1alpha1.Operation(r.Operation),
		Group:       r.Resource.Group,
		Version:     r.Resource.Version,
		Resource:    r.Resource.Resource,
		Subresource: r.SubResource,
		Kind:        r.Kind.Kind,
		Namespace:   r.Namespace,
		Name:        r.Name,
		Actor:       ActorOf(r.UserInfo),
		Object:      r.Object.Raw,
		OldObject:   r.OldObject.Raw,
		Options:     r.Options.Raw,
		DryRun:      r.DryRun != nil && *r.DryRun,
	}
}

// ActorOf is who makes a request, as the API server authenticated them.
func ActorOf(u authenticationv1.UserInfo) action.Actor {
	return action.Actor{
		Username: u.Username, UID: u.UID, Groups: u.Groups,
		PodName:      only(u.Extra[extraPodName]),
		PodUID:       only(u.Extra[extraPodUID]),
		CredentialID: only(u.Extra[extraCredentialID]),
	}
}

// only is the one value of an extra; several are not what the authenticator sets, and count as none.
func only(values authenticationv1.ExtraValue) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}
