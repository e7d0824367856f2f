package history_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/countersign-dev/countersign/hack/controlplane"
	"github.com/countersign-dev/countersign/internal/history"
	"github.com/countersign-dev/countersign/internal/operatortest"
)

func TestMain(m *testing.M) { controlplane.Main(m, controlplane.Options{}) }

// cluster is a real API server with a ConfigMap that has a history.
type cluster struct {
	kubernetes.Interface
	reader *history.Reader
	object history.Object
	// versions are the resourceVersions that the object has had.
	versions []string
}

// newCluster makes an object with the values 0, 1 and 2, one after the other.
func newCluster(t *testing.T, plane *controlplane.Plane) *cluster {
	t.Helper()
	config := plane.AdminConfig()
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := history.NewReader(config, client)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Interface: set, reader: reader}
	made, err := set.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "past-"}, Data: map[string]string{"value": "0"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.object = history.Object{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: "default", Name: made.Name}
	c.versions = append(c.versions, made.ResourceVersion)
	c.set(t, 1)
	c.set(t, 2)
	return c
}

func (c *cluster) set(t *testing.T, value int) {
	t.Helper()
	body := fmt.Sprintf(`{"data":{"value":"%d"}}`, value)
	changed, err := c.CoreV1().ConfigMaps("default").Patch(t.Context(), c.object.Name, types.MergePatchType, []byte(body), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.versions = append(c.versions, changed.ResourceVersion)
}

func value(object map[string]any) any {
	data, _ := object["data"].(map[string]any)
	return data["value"]
}

func TestSnapshots(t *testing.T) {
	c := newCluster(t, controlplane.Shared(t))
	for i, version := range c.versions {
		s, err := c.reader.At(t.Context(), c.object, version)
		if err != nil || value(s.Object) != fmt.Sprint(i) || s.Object["kind"] != "ConfigMap" || s.Object["apiVersion"] != "v1" {
			t.Errorf("at %s it was %v (%v), want %d", version, s.Object, err, i)
		}
	}
	now, err := c.reader.Now(t.Context(), c.object)
	if err != nil || value(now.Object) != "2" || now.Revision == "" {
		t.Errorf("it is %+v (%v)", now, err)
	}
	other := c.object
	other.Name = "never"
	if s, err := c.reader.Now(t.Context(), other); err != nil || s.Object != nil || s.Revision == "" {
		t.Errorf("what is not there is %+v (%v)", s, err)
	}
	if _, err := c.reader.At(t.Context(), c.object, "999999999"); err == nil || errors.Is(err, history.ErrLost) {
		t.Errorf("what will be is answered by %v", err)
	}
}

func TestBetween(t *testing.T) {
	c := newCluster(t, controlplane.Shared(t))
	if err := c.CoreV1().ConfigMaps("default").Delete(t.Context(), c.object.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	now, err := c.reader.Now(t.Context(), c.object)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		after, until string
		most         int
		want         []any
	}{
		"all of it":                 {c.versions[0], now.Revision, 9, []any{"1", "2", nil}},
		"up to a version":           {c.versions[0], c.versions[1], 9, []any{"1"}},
		"until it is enough":        {c.versions[0], now.Revision, 1, []any{"1"}},
		"what nothing has followed": {now.Revision, now.Revision, 9, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []any
			err := c.reader.Between(t.Context(), c.object, tc.after, tc.until, func(version map[string]any) (bool, error) {
				got = append(got, value(version))
				return len(got) < tc.most, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestVisitorsAndWhatIsToCome(t *testing.T) {
	c := newCluster(t, controlplane.Shared(t))
	failed := errors.New("it is enough")
	err := c.reader.Between(t.Context(), c.object, c.versions[0], c.versions[2], func(map[string]any) (bool, error) { return true, failed })
	if !errors.Is(err, failed) {
		t.Errorf("a visitor that fails is answered by %v", err)
	}
	never := func(map[string]any) (bool, error) { return true, errors.New("it is visited") }
	if err := c.reader.Between(t.Context(), c.object, c.versions[2], "999999999", never); !errors.Is(err, history.ErrBehind) {
		t.Errorf("what is to come is answered by %v, want %v", err, history.ErrBehind)
	}
}

// TestWhatIsNotKept has an API server that forgets after a second.
func TestWhatIsNotKept(t *testing.T) {
	plane, err := controlplane.Start(t.Context(), controlplane.Options{
		Flags: map[string][]string{controlplane.APIServer: {"--etcd-compaction-interval=1s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := newCluster(t, plane)
	operatortest.Eventually(t, "the beginning is forgotten", func(ctx context.Context) error {
		_, err := c.reader.At(ctx, c.object, c.versions[0])
		if !errors.Is(err, history.ErrLost) {
			return fmt.Errorf("it is answered by %w", errors.Join(errors.New("something else"), err))
		}
		return nil
	})
}
