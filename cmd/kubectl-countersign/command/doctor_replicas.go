package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/countersign-dev/countersign/internal/heartbeat"
)

// silent is how long a replica may tell nothing before it counts as gone. It renews its Lease every few seconds, and clocks
// are never quite alike.
const silent = heartbeat.Limit + 5*time.Second

// replicas looks at what each replica tells by its Lease.
func (d *doctor) replicas(ctx context.Context) {
	list, err := d.cluster.CoordinationV1().Leases(d.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set(heartbeat.Labels).String(),
	})
	if err != nil {
		d.unknown(err, "what the replicas tell cannot be looked at")
		return
	}
	living := slices.DeleteFunc(slices.Clone(list.Items), func(l coordinationv1.Lease) bool {
		return l.Spec.RenewTime == nil || d.e.Now().Add(-d.skew).Sub(l.Spec.RenewTime.Time) > silent
	})
	if len(living) == 0 {
		d.fail(d.restart(), "no replica of the operator in namespace %s tells that it lives%s", d.namespace, lastHeard(list.Items))
		return
	}
	versions, policies := map[string]int{}, map[string]int{}
	for i := range living {
		notes := living[i].Annotations
		versions[notes[heartbeat.VersionAnnotation]]++
		policies[notes[heartbeat.PoliciesAnnotation]]++
		if found := notes[heartbeat.CanaryAnnotation]; strings.HasPrefix(found, heartbeat.CanaryDown) {
			d.fail(d.restart(), "replica %s finds that its canary is not refused (%s), and reports policies as not enforced", living[i].Name, found)
		}
	}
	if len(policies) > 1 {
		d.warn("kubectl countersign doctor",
			"replicas decide with %d different states of the policies: look again in some seconds", len(policies))
	}
	d.versions(len(living), versions)
}

// lastHeard says when the last replica told something.
func lastHeard(leases []coordinationv1.Lease) string {
	var last time.Time
	for i := range leases {
		if at := leases[i].Spec.RenewTime; at != nil && at.After(last) {
			last = at.Time
		}
	}
	if last.IsZero() {
		return " (--operator-namespace says where else to look)"
	}
	return ": the last one did so at " + last.UTC().Format(stampFormat)
}

// versions compares the plugin with what the replicas run.
func (d *doctor) versions(replicas int, found map[string]int) {
	all := slices.Sorted(maps.Keys(found))
	text := fmt.Sprintf("replicas tell that they live: %d, of version %s; the plugin is %s", replicas, strings.Join(all, " and "), d.e.Version)
	if len(all) > 1 {
		d.warn("kubectl rollout status deployment --selector app.kubernetes.io/name=countersign --namespace "+d.namespace, "%s", text)
		return
	}
	operator, err := version.ParseSemantic(all[0])
	plugin, pluginErr := version.ParseSemantic(d.e.Version)
	switch {
	case err != nil || pluginErr != nil:
		d.ok("%s, which cannot be compared: one of them is no release", text)
	case operator.Major() != plugin.Major() || operator.Minor() != plugin.Minor():
		mend := fmt.Sprintf("git checkout v%d.%d.%d && make install", operator.Major(), operator.Minor(), operator.Patch())
		d.warn(mend, "%s: what can-i, explain and windows say may not be what the operator decides", text)
	default:
		d.ok("%s", text)
	}
}
