package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

// slowLists is a way to the API server on which some requests wait until they are let pass.
func slowLists(t *testing.T, e *environment, waits func(*url.URL) bool) (kubeconfig string, letPass func()) {
	t.Helper()
	transport, err := rest.TransportFor(e.plane.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(e.plane.URL())
	if err != nil {
		t.Fatal(err)
	}
	passing, letPass := context.WithCancel(context.Background())
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if waits(r.URL) {
			select {
			case <-passing.Done():
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		letPass()
		// No new connections first: the operator still runs, and would watch again.
		if err := server.Listener.Close(); err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "c"
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, letPass
}

// TestSlowStart has an operator start whose list of policies does not come: a list that is not there is never one of none.
func TestSlowStart(t *testing.T) {
	e, replicas := newReplicated(t, 1)
	_, agent, web := governed(t, e, images)
	act := newImage(agent, web)
	waitAnswer(t, "the agent may act", act, "")
	kubeconfig, letPass := slowLists(t, e, func(u *url.URL) bool { return strings.HasSuffix(u.Path, "/agentactionpolicies") })
	if err := replicas.Kill(0); err != nil {
		t.Fatal(err)
	}
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		replicas.Restart(t, 0, "--kubeconfig", kubeconfig)
	}()
	answered := 0
	operatortest.Eventually(t, "it has answered for a while", func(ctx context.Context) error {
		err := act(ctx)
		switch {
		case err == nil:
			t.Fatal("the agent may act while nobody knows the policies")
		case strings.Contains(err.Error(), "reasons=NotReady]"), strings.Contains(err.Error(), "reasons=DefinitionsChanged]"):
			answered++
		case !strings.Contains(err.Error(), "failed calling webhook"):
			t.Fatalf("the agent is answered by %v", err)
		}
		if answered < 50 {
			return fmt.Errorf("%d times so far, last by %w", answered, err)
		}
		return nil
	})
	letPass()
	select {
	case <-restarted:
	case <-time.After(time.Minute):
		t.Fatal(errors.New("it does not become ready"))
	}
	waitAnswer(t, "the agent may act again", act, "")
}

// TestApprovalsNotRead has an operator start that cannot read all approvals for a long time, as where there are very many:
// it is ready, and decides, opens requests, and redeems what people grant, once each.
func TestApprovalsNotRead(t *testing.T) {
	e, replicas := newReplicated(t, 1)
	s := newStory(t, e, strings.Replace(images, "tasks:", "outOfScope: RequireApproval\napproval: {requirements: [{name: sre}]}\ntasks:", 1))
	roll := newImage(s.agent, s.web)
	waitAnswer(t, "the agent may act", roll, "")
	scale := func() error {
		return patch(t.Context(), s.agent, s.web, types.MergePatchType, `{"spec":{"minReadySeconds":7}}`)
	}
	before := asked(t, e, s.namespace, scale)
	kubeconfig, letPass := slowLists(t, e, func(u *url.URL) bool {
		return strings.HasSuffix(u.Path, "/v1alpha1/actionapprovals") && u.Query().Get("fieldSelector") == ""
	})
	if err := replicas.Kill(0); err != nil {
		t.Fatal(err)
	}
	replicas.Restart(t, 0, "--kubeconfig", kubeconfig)
	waitAnswer(t, "the agent may act while approvals are not read", roll, "")
	a := asked(t, e, s.namespace, scale) // the first request is void: the agent has changed the object since
	if a.Name == before.Name {
		t.Errorf("%s still waits, though the object has changed", a.Name)
	}
	allowed(t, decide(t.Context(), s.person, a, string(v1alpha1.VerdictApprove)))
	waitAnswer(t, "what was approved passes", func(context.Context) error { return scale() }, "")
	if strings.Contains(replicas.Operators[0].LogText(t), "All approvals are in memory") {
		t.Error("it has read all approvals in between")
	}
	letPass()
	waitState(t, e, a, "Spent")
	if n := len(a.Status.Uses); n != 1 {
		t.Errorf("it was used %d times", n)
	}
}
