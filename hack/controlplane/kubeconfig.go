package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLife is long enough for a day of demo or debugging; a token dies with its
// plane's signing key anyway.
const tokenLife = 12 * time.Hour

// AdminConfig is a client of group system:masters without client-side limits.
func (p *Plane) AdminConfig() *rest.Config { return rest.CopyConfig(p.admin) }

// Kubeconfig returns the path of a kubeconfig written by the plane: "admin", or
// the name of a component.
func (p *Plane) Kubeconfig(name string) string {
	return filepath.Join(p.workDir, "kubeconfig", name+".yaml")
}

// Config reads a kubeconfig that the plane has written, without client-side limits.
func (p *Plane) Config(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return unlimited(config), nil
}

// PersonKubeconfig writes a kubeconfig for a person: a client certificate of the
// cluster's authority. It gives no rights; RBAC does.
func (p *Plane) PersonKubeconfig(user string, groups ...string) (string, error) {
	pair, err := p.pki.cluster.issueClient(user, groups...)
	if err != nil {
		return "", err
	}
	return p.writeKubeconfig(fileName("person", user, groups...), "default", clientcmdapi.AuthInfo{
		ClientCertificateData: pair.cert, ClientKeyData: pair.key,
	})
}

// ServiceAccountKubeconfig writes a kubeconfig with a token of the TokenRequest
// API, and creates the namespace and the account when they are missing.
func (p *Plane) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	client, err := kubernetes.NewForConfig(p.admin)
	if err != nil {
		return "", fmt.Errorf("creating a client: %w", err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	_, err = client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("creating namespace %s: %w", namespace, err)
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err = accounts.Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("creating service account %s/%s: %w", namespace, name, err)
	}
	seconds := int64(tokenLife.Seconds())
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("requesting a token for %s/%s: %w", namespace, name, err)
	}
	return p.writeKubeconfig(fileName("serviceaccount", namespace+"/"+name), namespace, clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// componentKubeconfig writes the kubeconfig a component of the plane runs with.
func (p *Plane) componentKubeconfig(name, user string, groups ...string) error {
	pair, err := p.pki.cluster.issueClient(user, groups...)
	if err != nil {
		return err
	}
	_, err = p.writeKubeconfig(name, "default", clientcmdapi.AuthInfo{ClientCertificateData: pair.cert, ClientKeyData: pair.key})
	return err
}

func (p *Plane) writeKubeconfig(name, namespace string, auth clientcmdapi.AuthInfo) (string, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["plane"] = &clientcmdapi.Cluster{Server: p.URL(), CertificateAuthorityData: p.pki.cluster.pair.cert}
	config.AuthInfos[name] = &auth
	config.Contexts["plane"] = &clientcmdapi.Context{Cluster: "plane", AuthInfo: name, Namespace: namespace}
	config.CurrentContext = "plane"
	path := p.Kubeconfig(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("writing kubeconfig: %w", err)
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("writing kubeconfig: %w", err)
	}
	return path, nil
}

// fileName is readable and unique: users differ in characters no file name has,
// and one user may have several kubeconfigs with different groups.
func fileName(kind, user string, groups ...string) string {
	readable := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r) {
			return r
		}
		return '-'
	}, user)
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q%q", user, groups)))
	return kind + "-" + readable[:min(len(readable), 60)] + "-" + hex.EncodeToString(sum[:3])
}

func unlimited(config *rest.Config) *rest.Config {
	config.QPS = -1
	return config
}
