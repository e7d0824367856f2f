package webhooks_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

const (
	// crowdSize is how many agents act at once, and crowdRounds how often: as often as an agent may ask in a row.
	crowdSize, crowdRounds = 50, 4
)

// BenchmarkRedeem has fifty agents act at once, as the API server's clients see it, in three ways: a person does it, a
// task covers it, and an approval of each lets it pass. The time of one of them alone is that of fifty on the machine at
// hand, so what counts is the ratio.
func BenchmarkRedeem(b *testing.B) {
	e := newEnvironment(b)
	c := newCrowd(b, e)
	for b.Loop() {
		var plain, covered, redeemed []time.Duration
		requests := map[string]int{}
		for round := range crowdRounds {
			plain = append(plain, c.atOnce(b, c.person, `{"spec":{"revisionHistoryLimit":%d}}`, round+1)...)
			covered = append(covered, c.atOnce(b, nil, imageBody, round+2)...)
			c.consent(b, e, round)
			before := e.requests(b)
			redeemed = append(redeemed, c.atOnce(b, nil, `{"spec":{"minReadySeconds":%d}}`, round+1)...)
			for name, n := range e.requests(b) {
				requests[name] += n - before[name]
			}
		}
		report(b, "person", plain, nil)
		report(b, "covered", covered, plain)
		report(b, "redeemed", redeemed, covered)
		report(b, "covered-alone", c.oneByOne(b, imageBody, 9), nil)
		c.consent(b, e, crowdRounds) // an agent's other change of the object would end it
		report(b, "redeemed-alone", c.oneByOne(b, `{"spec":{"minReadySeconds":%d}}`, crowdRounds+1), nil)
		for _, name := range slices.Sorted(maps.Keys(requests)) {
			b.ReportMetric(float64(requests[name])/float64(len(redeemed)), name+"/redeemed")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRedeemRun has one agent change fifty objects at once under one run of its task: all of them write the same
// approval.
func BenchmarkRedeemRun(b *testing.B) {
	e := newEnvironment(b)
	namespace, agent, _ := governed(b, e, strings.ReplaceAll(fleetTask, "MOST", strconv.Itoa(crowdSize)))
	c := &crowd{namespace: namespace, person: e.person(b, "erin")}
	for i := range crowdSize {
		c.add(b, e, agent, i)
	}
	for b.Loop() {
		var plain, redeemed []time.Duration
		for round := range crowdRounds {
			plain = append(plain, c.atOnce(b, c.person, `{"spec":{"revisionHistoryLimit":%d}}`, round+1)...)
			a := asked(b, e, namespace, func() error {
				return patch(b.Context(), agent, c.webs[0], types.StrategicMergePatchType, fmt.Sprintf(imageBody, round+2))
			})
			allowed(b, decide(b.Context(), c.person, a, string(v1alpha1.VerdictApprove)))
			redeemed = append(redeemed, c.atOnce(b, nil, imageBody, round+2)...)
			waitState(b, e, a, "Spent")
		}
		report(b, "person", plain, nil)
		report(b, "redeemed", redeemed, plain)
	}
	b.ReportMetric(0, "ns/op")
}

const imageBody = `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:%d"}]}}}}`

// report says the median and the 99th percentile, and the ratio of medians to what it is compared with.
func report(b *testing.B, name string, all, to []time.Duration) {
	b.Helper()
	b.ReportMetric(float64(quantile(all, 0.5).Microseconds())/1000, "ms-p50-"+name)
	b.ReportMetric(float64(quantile(all, 0.99).Microseconds())/1000, "ms-p99-"+name)
	if len(to) > 0 {
		b.ReportMetric(float64(quantile(all, 0.5))/float64(quantile(to, 0.5)), "ratio-"+name)
	}
}

func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1))]
}

// crowd is many agents, each with a Deployment of its own, and a person.
type crowd struct {
	namespace string
	agents    []*identity
	webs      []*appsv1.Deployment
	person    *identity
}

func newCrowd(b *testing.B, e *environment) *crowd {
	b.Helper()
	namespace, first, _ := governed(b, e, crowdPolicy)
	c := &crowd{namespace: namespace, person: e.person(b, "erin")}
	for i := range crowdSize {
		agent := first
		if i > 0 {
			agent = e.agentNamed(b, namespace, fmt.Sprintf("agent-%d", i))
		}
		c.add(b, e, agent, i)
	}
	return c
}

// add takes in an agent, with a Deployment.
func (c *crowd) add(b *testing.B, e *environment, agent *identity, number int) {
	b.Helper()
	web := deployment(c.namespace, fmt.Sprintf("web-%d", number))
	web.Spec.Replicas = new(int32(0))
	allowed(b, e.admin.Create(b.Context(), web))
	c.agents, c.webs = append(c.agents, agent), append(c.webs, web)
}

// crowdPolicy governs all accounts of the namespace. Nobody can be asked for what is done by the task.
const crowdPolicy = `
enforcement: Enforce
subjects: [AGENT, {kind: ServiceAccount, namespace: NAMESPACE, name: "*"}]
outOfScope: RequireApproval
tasks:
- name: roll-images
  scope:
    resourceRules: [{apiGroups: [apps], resources: [deployments], operations: [UPDATE]}]
    namespaces: [NAMESPACE]
    fields: ["spec.template.spec.containers[*].image"]
approval:
  requirements:
  - {name: sre, approvers: [{kind: User, name: erin}], minApprovals: 1}
`

// atOnce has every agent, or somebody else in their place, change its Deployment, and says how long each waited.
func (c *crowd) atOnce(b *testing.B, who *identity, body string, number int) []time.Duration {
	b.Helper()
	took, errs := make([]time.Duration, crowdSize), make([]error, crowdSize)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range crowdSize {
		actor := c.agents[i]
		if who != nil {
			actor = who
		}
		group.Go(func() {
			<-start
			began := time.Now()
			errs[i] = patch(b.Context(), actor, c.webs[i], types.StrategicMergePatchType, fmt.Sprintf(body, number))
			took[i] = time.Since(began)
		})
	}
	close(start)
	group.Wait()
	for _, err := range errs {
		allowed(b, err)
	}
	return took
}

// oneByOne has the agents change their Deployments one after the other.
func (c *crowd) oneByOne(b *testing.B, body string, number int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, crowdSize)
	for i, agent := range c.agents {
		began := time.Now()
		allowed(b, patch(b.Context(), agent, c.webs[i], types.StrategicMergePatchType, fmt.Sprintf(body, number)))
		took[i] = time.Since(began)
	}
	return took
}

// consent has each agent ask for its change of a round, and the person approve it.
func (c *crowd) consent(b *testing.B, e *environment, round int) {
	b.Helper()
	body := fmt.Sprintf(`{"spec":{"minReadySeconds":%d}}`, round+1)
	for i := range crowdSize {
		a := asked(b, e, c.namespace, func() error {
			return patch(b.Context(), c.agents[i], c.webs[i], types.StrategicMergePatchType, body)
		})
		allowed(b, decide(b.Context(), c.person, a, string(v1alpha1.VerdictApprove)))
	}
	c.waitApproved(b, e)
}

// waitApproved waits until nothing is pending, and what was spent is settled: what is measured then is not disturbed.
func (c *crowd) waitApproved(b *testing.B, e *environment) {
	b.Helper()
	var list v1alpha1.ActionApprovalList
	allowed(b, e.admin.List(b.Context(), &list, client.InNamespace(c.namespace)))
	for i := range list.Items {
		if len(list.Items[i].Status.Uses) == 0 {
			waitState(b, e, &list.Items[i], "Approved")
		}
	}
}

var requestTotal = regexp.MustCompile(`(?m)^apiserver_request_total\{[^}]*\} (\d+)$`)

// requests are how many requests the API server has answered of the kinds that redeeming makes.
func (e *environment) requests(b *testing.B) map[string]int {
	b.Helper()
	text, err := e.person(b, "erin").Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(context.WithoutCancel(b.Context()))
	allowed(b, err)
	counted := map[string]int{}
	for name, labels := range map[string][]string{
		"reads-of-approvals": {`resource="actionapprovals"`, `verb="GET"`}, "reads-of-policies": {`resource="agentactionpolicies"`, `verb="GET"`},
		"access-reviews": {`resource="subjectaccessreviews"`, `verb="POST"`}, "status-writes": {`resource="actionapprovals"`, `verb="PUT"`, `subresource="status"`},
	} {
		for _, line := range requestTotal.FindAllStringSubmatch(string(text), -1) {
			matches := true
			for _, l := range labels {
				matches = matches && regexp.MustCompile(regexp.QuoteMeta(l)).MatchString(line[0])
			}
			if n, err := strconv.Atoi(line[1]); matches && err == nil {
				counted[name] += n
			}
		}
	}
	return counted
}
