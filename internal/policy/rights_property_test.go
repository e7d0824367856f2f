package policy

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// allows says what RBAC says: whether rules let somebody do a verb on a resource of a name.
func allows(rules []rule, verb, group, resource, name string) bool {
	return slices.ContainsFunc(rules, func(r rule) bool {
		_, sub, below := strings.Cut(resource, "/")
		return (slices.Contains(r.verbs, "*") || slices.Contains(r.verbs, verb)) &&
			(slices.Contains(r.groups, "*") || slices.Contains(r.groups, group)) &&
			(slices.Contains(r.resources, "*") || slices.Contains(r.resources, resource) || below && slices.Contains(r.resources, "*/"+sub)) &&
			(len(r.names) == 0 || slices.Contains(r.names, name))
	})
}

// examples are one request for each right, with "*" and subresources of any name made concrete.
func (w *right) examples() (verbs, resources []string) {
	for _, v := range w.verbs {
		verbs = append(verbs, strings.Replace(v, "*", "get", 1))
	}
	for _, r := range w.resources {
		switch {
		case r == "*":
			r = "validatingwebhookconfigurations"
		case strings.HasSuffix(r, "/*"):
			r = strings.Replace(r, "*", "scopes", 1)
		}
		resources = append(resources, r)
	}
	return verbs, resources
}

// slipped is a reserved right that new rules give and old ones do not.
func slipped(before, after []rule) string {
	for i := range reservedRights {
		w := &reservedRights[i]
		verbs, resources := w.examples()
		for _, verb := range verbs {
			for _, resource := range resources {
				for _, name := range []string{"a", "b", "c"} {
					if allows(after, verb, w.group, resource, name) && !allows(before, verb, w.group, resource, name) {
						return verb + " " + resource + " " + w.group + " " + name
					}
				}
			}
		}
	}
	return ""
}

// TestNoReservedRightSlipsThrough compares roles made at random with what RBAC makes of them.
func TestNoReservedRightSlipsThrough(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	reserved := 0
	for range 20000 {
		before, after := randomRules(random), randomRules(random)
		if random.IntN(4) == 0 {
			after = append(slices.Clone(before), after...)
		}
		got := grantedAnew(after, before, false)
		if right := slipped(before, after); right != "" && got == "" {
			t.Fatalf("%s is granted by\n%+v\nafter\n%+v", right, after, before)
		}
		if got != "" {
			reserved++
		}
		if same := grantedAnew(after, after, false); same != "" {
			t.Fatalf("%s is granted anew by the same rules %+v", same, after)
		}
		if less := grantedAnew(after[:len(after)-1], after, false); less != "" {
			t.Fatalf("%s is granted anew by fewer rules than %+v", less, after)
		}
	}
	if reserved < 1000 || reserved > 19000 {
		t.Errorf("%d of 20000 changes are reserved: the rules are not random enough", reserved)
	}
}

// randomRules are rules out of words that reserved rights are made of, and a few others.
func randomRules(random *rand.Rand) []rule {
	vocabulary := func(words ...string) []string {
		var some []string
		for range 1 + random.IntN(2) {
			some = append(some, words[random.IntN(len(words))])
		}
		return some
	}
	rules := make([]rule, 1+random.IntN(3))
	for i := range rules {
		rules[i] = rule{
			verbs:  vocabulary("*", "get", "get", "list", "create", "update", "delete", "impersonate", "impersonate:user-info", "bind", "approve", "sign"),
			groups: vocabulary("*", "", "", "apps", v1alpha1.GroupName, rbacGroup, certificatesGroup, authenticationGroup, "admissionregistration.k8s.io"),
			resources: vocabulary("*", "pods", "pods", "deployments", "serviceaccounts", "serviceaccounts/token", "*/token", "*/status", "*/scopes", "users",
				"userextras", "userextras/scopes", "userextras/other", "nodes/proxy", "roles", "actionapprovals", "actionapprovals/status",
				"agentactionpolicies", "signers", "certificatesigningrequests/approval", "validatingwebhookconfigurations"),
		}
		if random.IntN(2) == 0 {
			rules[i].names = vocabulary("a", "b", "c")
		}
	}
	return rules
}

// FuzzReserved has content of any form looked at for every class, with and without a role. Nothing may panic, and what
// is reserved has a reason on one line.
func FuzzReserved(f *testing.F) {
	f.Add(uint8(14), uint8(0), "", `{}`, `{"roleRef":{"kind":"Role"},"subjects":[{"kind":"User"}, 1, null]}`, `{"rules":[{"verbs":[1,"*"]}]}`)
	f.Add(uint8(12), uint8(1), "", `{"rules":{}}`, `{"rules":[null,{"verbs":"*"}],"aggregationRule":{"clusterRoleSelectors":[{}]}}`, `null`)
	f.Add(uint8(10), uint8(0), "", `null`, `{"spec":{"signerName":"kubernetes.io/x","request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"}}`, `null`)
	f.Add(uint8(6), uint8(1), "", `{"spec":{"rules":[{"subjects":[{"kind":"User"}]}]}}`, `{"spec":{"rules":[[]]}}`, `null`)
	f.Add(uint8(7), uint8(0), "token", `null`, `{"spec":{"boundObjectRef":{"kind":["Pod"]}}}`, `null`)
	set := NewSet(nil, Operator{Namespace: "countersign-system", OwnerClusterRole: "countersign-anchor"})
	operations := []v1alpha1.Operation{
		v1alpha1.OperationCreate, v1alpha1.OperationUpdate, v1alpha1.OperationDelete, v1alpha1.OperationConnect, "UNKNOWN",
	}
	f.Fuzz(func(t *testing.T, class, operation uint8, subresource, old, current, role string) {
		c := reservedClasses[int(class)%len(reservedClasses)]
		in := Input{Action: &action.Action{
			Operation: operations[int(operation)%len(operations)], Group: c.group, Resource: c.resource, Subresource: subresource,
			Namespaced: class%2 == 0, Namespace: "shop", Name: "n", Old: decoded(old), New: decoded(current),
			Actor: action.Actor{Username: deployBot, UID: "u"},
		}, Role: decoded(role)}
		if why := set.reserved(&in); strings.ContainsAny(why, "\n\r\x1b") || len([]rune(why)) > maxDetail {
			t.Errorf("the reason is %q", why)
		}
	})
}

func decoded(text string) map[string]any {
	var content map[string]any
	if err := json.Unmarshal([]byte(text), &content); err != nil {
		return nil
	}
	return content
}
