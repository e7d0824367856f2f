package canary

import (
	"context"
	"fmt"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/internal/policy"
)

// Account is who the canary is.
type Account struct {
	// Username under which the API server is asked. The operator impersonates it.
	Username string
	// Groups it has then. Empty: those that the API server gives a service account.
	Groups []string
	// Namespace in which it asks, and where it must be allowed to create config maps.
	Namespace string
}

// DefaultAccount is the name of the canary's service account, where nobody says otherwise.
const DefaultAccount = "countersign-canary"

// AccountFor is the canary of an operator that acts as self. One that is a service account gives nothing of its rights to
// the canary, which has what RBAC grants it. One that is a person, on whose machine no release has granted anything,
// lends it their groups.
func AccountFor(self policy.Identity, username, namespace string) Account {
	account := Account{Username: username, Namespace: namespace}
	if !strings.HasPrefix(self.Username, serviceAccountPrefix) {
		account.Groups = self.Groups
	}
	return account
}

const serviceAccountPrefix = "system:serviceaccount:"

// Writer returns what the canary does: it has a ConfigMap created as a dry run, so that nothing is stored even where
// nobody refuses. Each attempt connects anew, so that a load balancer sends it to one API server after the other.
func Writer(config *rest.Config, account Account) (func(context.Context) error, error) {
	c, disconnect, err := connect(config, account)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		defer disconnect()
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "countersign-canary-"}}
		_, err := c.CoreV1().ConfigMaps(account.Namespace).Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}, nil
}

// connect makes a client that acts as the canary, with connections of its own, and what closes these after use.
func connect(config *rest.Config, account Account) (kubernetes.Interface, func(), error) {
	own := rest.CopyConfig(config)
	own.Impersonate = rest.ImpersonationConfig{UserName: account.Username, Groups: account.Groups}
	own.Dial = (&net.Dialer{}).DialContext // client-go shares no connections between clients that dial for themselves
	connections, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting as the canary: %w", err)
	}
	c, err := kubernetes.NewForConfigAndClient(own, connections)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting as the canary: %w", err)
	}
	return c, func() { utilnet.CloseIdleConnectionsFor(connections.Transport) }, nil
}
