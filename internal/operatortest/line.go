package operatortest

import (
	"net/url"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// Line is a way to an API server that can be cut, for whoever uses its kubeconfig.
type Line struct {
	// Kubeconfig leads through the line, as the same identity.
	Kubeconfig string

	balancer *balancer
}

// NewLine makes one for a kubeconfig. It is taken down when the test ends: before what is started after it, if that is
// to end in peace.
func NewLine(tb testing.TB, kubeconfig string) *Line {
	tb.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		tb.Fatal(err)
	}
	cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	server, err := url.Parse(cluster.Server)
	if err != nil {
		tb.Fatal(err)
	}
	l := &Line{Kubeconfig: filepath.Join(tb.TempDir(), "kubeconfig")}
	if l.balancer, err = newBalancer(server.Host); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.balancer.close(); err != nil {
			tb.Errorf("taking the line down: %v", err)
		}
	})
	cluster.Server = "https://" + l.balancer.address()
	if err := clientcmd.WriteToFile(*config, l.Kubeconfig); err != nil {
		tb.Fatal(err)
	}
	return l
}

// Cut keeps back what the API server answers, until Restore: as where packets are lost, nobody hears of an end.
func (l *Line) Cut() { l.balancer.hold(0) }

// Restore passes on what was kept back, and what follows.
func (l *Line) Restore() { l.balancer.release(0) }
