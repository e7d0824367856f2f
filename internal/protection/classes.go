package protection

import (
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// stop ends every refusal, on the one line that admission policies have for it, as those of the webhook end.
const stop = "next: STOP: no policy and no approval allows this; a person must do it [countersign decision=Deny reasons=ReservedAction]"

// class is one class of requests that subjects are refused. It is a coarse form of a reserved action (internal/policy), of
// those whose result would outlast the absence of the webhook.
type class struct {
	// group and resources are as in a rule of a webhook, operations as well; nil stands for all writes.
	group      string
	resources  []string
	operations []admissionregistrationv1.OperationType
	// when and unless are CEL: what in the group belongs to the class, and what is let pass all the same. They may be empty.
	when, unless string
	// why says what is refused, and the reason.
	why string
}

const admissionGroup = admissionregistrationv1.GroupName

// admissionWebhooks are what a policy in the API is asked about. It is not asked about admission policies.
func admissionWebhooks() []class {
	return []class{{
		group: admissionGroup, resources: []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"},
		why: "no agent may change admission webhooks: they are what asks Countersign",
	}}
}

// allAdmission is all that a policy in a file is asked about.
func allAdmission() []class {
	return []class{{
		group: admissionGroup, resources: []string{"*/*"},
		why: "no agent may change admission webhooks and policies: they are what asks Countersign",
	}}
}

// subresource is that of the request, or empty. request.subResource is absent without one.
const subresource = "(has(request.subResource) ? request.subResource : '')"

// classes are what both policies have.
func classes() []class {
	own := strconv.Quote("." + v1alpha1.GroupName)
	return []class{
		{
			group: "apiextensions.k8s.io", resources: []string{"customresourcedefinitions", "customresourcedefinitions/status"},
			when: "variables.name.endsWith(" + own + ")",
			why:  "no agent may change Countersign's own resource definitions: they keep approvals from being forged",
		},
		{
			group: "apiregistration.k8s.io", resources: []string{"apiservices", "apiservices/status"},
			when: "(variables.name.endsWith(" + own + ") || oldObject != null && has(oldObject.metadata.labels) && " +
				"'kube-aggregator.kubernetes.io/automanaged' in oldObject.metadata.labels)",
			why: "no agent may change who serves Countersign's API and those of the API server itself: " +
				"another server could make up policies and approvals, or who may do what",
		},
		{
			group: v1alpha1.GroupName, resources: []string{"*/*"}, unless: ownWords,
			why: "no agent may change Countersign's own objects: they say what agents may do",
		},
		{
			group: "certificates.k8s.io",
			resources: []string{"certificatesigningrequests/approval", "certificatesigningrequests/status",
				"podcertificaterequests", "podcertificaterequests/status"},
			when: "(request.resource.resource != 'certificatesigningrequests' || " + subresource + " != '') && request.operation != 'DELETE'",
			why:  "no agent may approve or issue certificates, or ask for those of pods: a certificate can make anybody of its holder",
		},
		{
			resources: []string{"serviceaccounts/token"}, operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			when: "request.resource.resource == 'serviceaccounts'",
			// The name is that of the account; without one it is nobody's own.
			unless: "has(request.namespace) && has(request.name) && request.userInfo.username == " +
				"'system:serviceaccount:' + request.namespace + ':' + request.name",
			why: "no agent may create tokens for another account than its own: it would act as that account",
		},
		{
			resources: []string{"nodes/proxy"}, operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Connect},
			when: "request.resource.resource == 'nodes'",
			why:  "no agent may talk to kubelets: they run commands in every pod of their node",
		},
	}
}

// ownWords is what a requester may say for itself in approvals: it asks for a run, or justifies a request.
const ownWords = "request.resource.resource == 'actionapprovals' && " + subresource + " == '' && " +
	"(request.operation == 'CREATE' && has(object.spec.task) && !has(object.spec.action) && " +
	"!has(object.spec.decision) && !has(object.spec.decisions) || " +
	"request.operation == 'UPDATE' && " +
	"object.spec.all(k, k == 'justification' || k in oldObject.spec && object.spec[k] == oldObject.spec[k]) && " +
	"oldObject.spec.all(k, k == 'justification' || k in object.spec))"

// ownerRole is the ClusterRole that owns the policy, which goes with it.
func ownerRole(name string) class {
	return class{
		group: "rbac.authorization.k8s.io", resources: []string{"clusterroles"},
		when: "variables.name == " + strconv.QuoteToASCII(name),
		why:  "no agent may change what the webhook configurations of Countersign belong to: they go with it",
	}
}

// nodeCertificates are requests that controllers approve by themselves, for identities of nodes. Who asks for another
// certificate is for the webhook to see: in CEL the request cannot be read.
func nodeCertificates() class {
	return certificates("object.spec.signerName in ['kubernetes.io/kube-apiserver-client-kubelet', 'kubernetes.io/kubelet-serving']",
		"no agent may ask for certificates of nodes: controllers approve them")
}

// userCertificates are requests for every certificate that the API server may take for a user.
func userCertificates() class {
	return certificates("object.spec.signerName.startsWith('kubernetes.io/')",
		"no agent may ask for certificates of the cluster: whom they would be for cannot be seen here")
}

func certificates(when, why string) class {
	return class{
		group: "certificates.k8s.io", resources: []string{"certificatesigningrequests"},
		operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		when:       "request.resource.resource == 'certificatesigningrequests' && " + subresource + " == '' && " + when, why: why,
	}
}
