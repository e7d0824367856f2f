package protection

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"
)

// configVersion is the version of the configuration files of the API server.
const configVersion = "apiserver.config.k8s.io/v1"

// admissionConfiguration is AdmissionConfiguration of k8s.io/apiserver/pkg/apis/apiserver/v1, as far as it is used. The
// original brings tracing with it.
type admissionConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Plugins         []admissionPlugin `json:"plugins"`
}

type admissionPlugin struct {
	Name          string          `json:"name"`
	Configuration staticManifests `json:"configuration"`
}

// staticManifests is ValidatingAdmissionPolicyConfiguration.
type staticManifests struct {
	metav1.TypeMeta    `json:",inline"`
	StaticManifestsDir string `json:"staticManifestsDir"`
}

func (s *Seal) admission() admissionConfiguration {
	return admissionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: configVersion, Kind: "AdmissionConfiguration"},
		Plugins: []admissionPlugin{{Name: "ValidatingAdmissionPolicy", Configuration: staticManifests{
			TypeMeta:           metav1.TypeMeta{APIVersion: configVersion, Kind: "ValidatingAdmissionPolicyConfiguration"},
			StaticManifestsDir: s.in(ManifestsDirectory),
		}}},
	}
}

// authorizationConfiguration is AuthorizationConfiguration of the same package, as far as it is used.
type authorizationConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Authorizers     []authorizer `json:"authorizers"`
}

type authorizer struct {
	Type    string             `json:"type"`
	Name    string             `json:"name"`
	Webhook *authorizerWebhook `json:"webhook,omitempty"`
}

type authorizerWebhook struct {
	Timeout                                  metav1.Duration       `json:"timeout"`
	AuthorizedTTL                            metav1.Duration       `json:"authorizedTTL"`
	UnauthorizedTTL                          metav1.Duration       `json:"unauthorizedTTL"`
	SubjectAccessReviewVersion               string                `json:"subjectAccessReviewVersion"`
	MatchConditionSubjectAccessReviewVersion string                `json:"matchConditionSubjectAccessReviewVersion"`
	FailurePolicy                            string                `json:"failurePolicy"`
	ConnectionInfo                           connectionInfo        `json:"connectionInfo"`
	MatchConditions                          []authorizerCondition `json:"matchConditions"`
}

type connectionInfo struct {
	Type           string `json:"type"`
	KubeConfigFile string `json:"kubeConfigFile"`
}

type authorizerCondition struct {
	Expression string `json:"expression"`
}

// authorization denies the subjects impersonation, before Node and RBAC are asked.
func (s *Seal) authorization() *authorizationConfiguration {
	return &authorizationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: configVersion, Kind: "AuthorizationConfiguration"},
		Authorizers: []authorizer{
			{Type: "Webhook", Name: "countersign-seal", Webhook: &authorizerWebhook{
				Timeout:       metav1.Duration{Duration: authorizerTimeout},
				AuthorizedTTL: metav1.Duration{Duration: authorizerTimeout}, UnauthorizedTTL: metav1.Duration{Duration: authorizerTimeout},
				SubjectAccessReviewVersion: "v1", MatchConditionSubjectAccessReviewVersion: "v1",
				FailurePolicy:  "Deny",
				ConnectionInfo: connectionInfo{Type: "KubeConfigFile", KubeConfigFile: s.in(AuthorizerFile)},
				MatchConditions: []authorizerCondition{
					{Expression: s.Subjects.accessExpression()}, {Expression: s.denied()},
				},
			}},
			{Type: "Node", Name: "node"},
			{Type: "RBAC", Name: "rbac"},
		},
	}
}

// denied is true for what the subjects may not do at all. A review without a verb is one too many: it fails, and is denied.
func (s *Seal) denied() string {
	denied := []string{"request.resourceAttributes.verb.startsWith('impersonate')"}
	if s.Secrets {
		denied = append(denied, "request.resourceAttributes.resource == 'secrets' && request.resourceAttributes.verb in ['get', 'list', 'watch']")
	}
	return "has(request.resourceAttributes) && (" + strings.Join(denied, " || ") + ")"
}

// compile says whether the API server can use the conditions.
func (c *authorizationConfiguration) compile() error {
	compiler := authorizationcel.NewDefaultCompiler()
	for _, a := range c.Authorizers {
		if a.Webhook == nil {
			continue
		}
		for _, condition := range a.Webhook.MatchConditions {
			_, err := compiler.CompileCELExpression(&authorizationcel.SubjectAccessReviewMatchCondition{Expression: condition.Expression})
			if err != nil {
				return fmt.Errorf("compiling a condition of authorizer %s: %w", a.Name, err)
			}
		}
	}
	return nil
}

// nowhere is the kubeconfig of the authorizer. Only root may listen at the port, and who did would need a certificate for
// this address of an authority that the node trusts. Whoever is denied is told the address: its path says who denies.
func nowhere() clientcmdapi.Config {
	const name = "nowhere"
	return clientcmdapi.Config{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Clusters:  []clientcmdapi.NamedCluster{{Name: name, Cluster: clientcmdapi.Cluster{Server: "https://127.0.0.1:1/denied-by-countersign-seal"}}},
		AuthInfos: []clientcmdapi.NamedAuthInfo{{Name: name}},
		Contexts:  []clientcmdapi.NamedContext{{Name: name, Context: clientcmdapi.Context{Cluster: name, AuthInfo: name}}},
	}
}
