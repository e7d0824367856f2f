package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// certificateRequests are consent to certificates and their issue, and requests for a certificate with which an agent
// would be somebody else.
func certificateRequests(_ *Set, in *Input) string {
	a := in.Action
	if a.Operation == v1alpha1.OperationDelete {
		return ""
	}
	switch a.Subresource {
	case "":
		if a.Operation != v1alpha1.OperationCreate {
			return "" // the request in it cannot be changed
		}
		return otherSubject(a)
	case "approval":
		return "no agent may approve or deny certificates: a certificate can make anybody of its holder"
	default:
		return "no agent may issue certificates: a certificate can make anybody of its holder"
	}
}

// otherSubject says why an agent may not ask for a certificate. What the signers of others issue the API server does not
// take for a user, unless it is told to; that is not seen here.
func otherSubject(a *action.Action) string {
	if !strings.HasPrefix(textOf(a.New, "spec", "signerName"), "kubernetes.io/") {
		return ""
	}
	request, err := certificateRequest(textOf(a.New, "spec", "request"))
	if err != nil {
		return "no agent may ask for a certificate whose request cannot be read: " + err.Error()
	}
	if !isSubject(request, &a.Actor) {
		return "no agent may ask for a certificate in another name than its own, or for a group that it is not in: " +
			"it would be that user"
	}
	return ""
}

// certificateRequest decodes the request of a CertificateSigningRequest: PKCS#10 in PEM in base64.
func certificateRequest(encoded string) (*x509.CertificateRequest, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("decoding base64: %w", err)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("it is not one PEM block of type CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing PKCS#10: %w", err)
	}
	return request, nil
}

// userID is the attribute of a subject that becomes the UID of the user.
var userID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57683, 2}

// isSubject says whether a certificate would name its holder as what the actor is already, and as nothing more.
func isSubject(request *x509.CertificateRequest, actor *action.Actor) bool {
	for _, attribute := range request.Subject.Names {
		if attribute.Type.Equal(userID) && attribute.Value != actor.UID {
			return false
		}
	}
	return request.Subject.CommonName == actor.Username && !slices.ContainsFunc(request.Subject.Organization, func(group string) bool {
		return !slices.Contains(actor.Groups, group)
	})
}

// podCertificates are requests that kubelets make for the pods of their node, and what is issued for them.
func podCertificates(_ *Set, in *Input) string {
	if in.Action.Operation == v1alpha1.OperationDelete {
		return ""
	}
	return "no agent may ask for certificates in the name of a pod, or issue them: only kubelets know which pod it is"
}
