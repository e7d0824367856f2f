package policy

import (
	"fmt"
	"strings"
	"testing"
)

func role(rules ...string) string { return "rules: [" + strings.Join(rules, ", ") + "]\n" }

// granting is a rule of a role.
func granting(verbs, group, resources string) string {
	return fmt.Sprintf("{verbs: [%s], apiGroups: [%s], resources: [%s]}", verbs, group, resources)
}

func TestReservedRights(t *testing.T) {
	const all = `"*"`
	clusterRole := func(want string, rules ...string) attempt {
		return attempt{resource: "rbac.authorization.k8s.io/clusterroles", name: "r", new: role(rules...), want: want}
	}
	localRole := func(want string, rules ...string) attempt {
		return attempt{resource: "rbac.authorization.k8s.io/roles", namespace: "shop", name: "r", new: role(rules...), want: want}
	}
	change := func(old, now, want string) attempt {
		return attempt{operation: "UPDATE", resource: "rbac.authorization.k8s.io/clusterroles", name: "r", old: old, new: now, want: want}
	}
	token, tokenOfOne := granting("create", `""`, "serviceaccounts/token"), `{verbs: [create], apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [a]}`
	labelled := func(labels string) string { return "metadata: {labels: {" + labels + "}}\n" + role(token) }
	const aggregate = "rbac.authorization.k8s.io/aggregate-to-edit: \"true\""
	selecting := "aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}\n"
	checkReserved(t, map[string]attempt{
		"reading":                              clusterRole("", granting("get, list, watch", all, "pods, secrets")),
		"ordinary writing":                     clusterRole("", granting(all, "apps", all), granting("create, delete", `""`, "pods, serviceaccounts, secrets")),
		"non-resource URLs":                    clusterRole("", "{verbs: [\"*\"], nonResourceURLs: [\"*\"]}"),
		"asking for approvals":                 clusterRole("", granting("get, create, patch", "countersign.dev", "actionapprovals")),
		"everything":                           clusterRole("approve what agents ask for", granting(all, all, all)),
		"everything in a namespace":            localRole("approve what agents ask for", granting(all, all, all)),
		"approving":                            localRole("approve what agents ask for", granting("approve", "countersign.dev", "actionapprovals")),
		"approving by a wildcard of groups":    localRole("approve what agents ask for", granting("approve", all, "actionapprovals")),
		"approving by a wildcard of verbs":     localRole("approve what agents ask for", granting(all, "countersign.dev", "actionapprovals")),
		"writing the status of approvals":      localRole("became of approvals", granting("patch", "countersign.dev", `"*/status"`)),
		"writing policies":                     clusterRole("change policies", granting("update", "countersign.dev", "agentactionpolicies")),
		"writing policies from a namespace":    localRole("", granting("update", "countersign.dev", "agentactionpolicies")),
		"impersonating":                        clusterRole("somebody else", granting("impersonate", `""`, "users")),
		"impersonating accounts":               localRole("somebody else", granting("get, impersonate", `""`, "serviceaccounts")),
		"every verb on accounts":               localRole("somebody else", granting(all, `""`, "serviceaccounts")),
		"impersonating extras":                 clusterRole("somebody else", granting(all, "authentication.k8s.io", "userextras/scopes")),
		"impersonating all extras":             clusterRole("somebody else", granting(all, "authentication.k8s.io", `"*/scopes"`)),
		"reviewing tokens":                     clusterRole("", granting(all, "authentication.k8s.io", "tokenreviews")),
		"constrained impersonation":            clusterRole("somebody else", granting(`"impersonate:user-info"`, "authentication.k8s.io", "users")),
		"what is done under it":                localRole("somebody else", granting(`"impersonate-on:user-info:list"`, "apps", "deployments")),
		"escalating":                           localRole("rights that one does not have", granting("escalate", "rbac.authorization.k8s.io", "roles")),
		"binding":                              clusterRole("rights that one does not have", granting("bind", "rbac.authorization.k8s.io", "clusterroles")),
		"writing roles":                        localRole("", granting("create, update", "rbac.authorization.k8s.io", "roles, rolebindings")),
		"tokens":                               localRole("create tokens", token),
		"tokens by subresource":                localRole("create tokens", granting("create", `""`, `"*/token"`)),
		"tokens by resource":                   localRole("create tokens", granting("create", `""`, all)),
		"webhooks":                             clusterRole("admission webhooks", granting("delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations")),
		"reading webhooks":                     clusterRole("", granting("get", "admissionregistration.k8s.io", "validatingwebhookconfigurations")),
		"approving certificates":               clusterRole("certificates", granting("update", "certificates.k8s.io", "certificatesigningrequests/approval")),
		"approving for a signer":               clusterRole("certificates", granting("approve", "certificates.k8s.io", "signers")),
		"asking for certificates":              clusterRole("", granting("create", "certificates.k8s.io", "certificatesigningrequests")),
		"certificates of pods":                 localRole("certificates of pods", granting("create", "certificates.k8s.io", "podcertificaterequests")),
		"reading kubelets":                     clusterRole("kubelets", granting("get", `""`, "nodes/proxy")),
		"reading everything":                   clusterRole("kubelets", granting("get, list, watch", `""`, all)),
		"reading everything in a namespace":    localRole("", granting("get, list, watch", `""`, all)),
		"metrics of kubelets":                  clusterRole("", granting("get", `""`, "nodes/metrics")),
		"the one rule among others":            clusterRole("create tokens", granting("get", `""`, "pods"), token),
		"a right that was there":               change(role(token), role(token, granting("get", `""`, "pods")), ""),
		"a right that was in a wildcard":       change(role(granting(all, all, all)), role(token, granting("impersonate", `""`, "users")), ""),
		"a right that was in two rules":        change(role(tokenOfOne, granting("get", `""`, "pods")), role(tokenOfOne), ""),
		"a right for one name that is for all": change(role(tokenOfOne), role(token), "create tokens"),
		"a right for all that is for one name": change(role(token), role(tokenOfOne), ""),
		"a right for another name":             change(role(tokenOfOne), role(strings.Replace(tokenOfOne, "[a]", "[a, b]", 1)), "create tokens"),
		"taking a right away":                  change(role(token), role(), ""),
		"deleting the role":                    {operation: "DELETE", resource: "rbac.authorization.k8s.io/clusterroles", name: "r", old: role(token)},
		"a label by which it is aggregated":    change(role(token), labelled(aggregate), "create tokens"),
		"a label in a namespace": {operation: "UPDATE", resource: "rbac.authorization.k8s.io/roles", namespace: "shop", name: "r",
			old: role(token), new: labelled(aggregate)},
		"another value of that label":            change(labelled("a: b"), labelled("a: c"), "create tokens"),
		"that label taken away":                  change(labelled(aggregate), role(token), ""),
		"that label for ordinary rights":         change("rules: []", "metadata: {labels: {"+aggregate+"}}\n"+role(granting("get", `""`, "pods")), ""),
		"a selector of other roles":              change("rules: []", selecting, "rules of others"),
		"a new role with one":                    {resource: "rbac.authorization.k8s.io/clusterroles", name: "r", new: selecting, want: "rules of others"},
		"a selector that was there":              change(selecting, selecting+"metadata: {annotations: {a: b}}", ""),
		"more at once than is compared":          change(role(tokenOfOne), role(granting(many("impersonate-on:", 2000), `""`, "pods")), "somebody else"),
		"more at once, although it was there":    change(role(granting(all, all, all)), role(granting(many("impersonate-on:", 2000), `""`, "pods")), "somebody else"),
		"a rule that is no rule":                 clusterRole("", "x"),
		"a resource with the name of another":    clusterRole("", granting("create", "example.com", "serviceaccounts/token")),
		"the verb approve on something else":     clusterRole("", granting("approve", "example.com", "actionapprovals")),
		"all of a group without reserved rights": clusterRole("", granting(all, "batch", all)),
	})
}

// many is a list of different verbs.
func many(prefix string, n int) string {
	verbs := make([]string, n)
	for i := range verbs {
		verbs[i] = fmt.Sprintf("%q", prefix+itoa(i))
	}
	return strings.Join(verbs, ", ")
}

func TestReservedBindings(t *testing.T) {
	token, reading := role(granting("create", `""`, "serviceaccounts/token")), role(granting("get", `""`, "pods"))
	webhooks := role(granting("delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations"))
	binding := func(subjects string) string {
		return "roleRef: {kind: ClusterRole, name: r}\nsubjects: [" + subjects + "]\n"
	}
	const alice, bob = "{kind: User, name: alice}", "{kind: User, name: bob}"
	local := func(subjects, role, want string) attempt {
		return attempt{resource: "rbac.authorization.k8s.io/rolebindings", namespace: "shop", name: "b", new: binding(subjects), role: role, want: want}
	}
	change := func(old, now, role, want string) attempt {
		return attempt{operation: "UPDATE", resource: "rbac.authorization.k8s.io/rolebindings", namespace: "shop", name: "b", old: old, new: now, role: role, want: want}
	}
	checkReserved(t, map[string]attempt{
		"an ordinary role":                local(alice, reading, ""),
		"a role that is not known":        local(alice, "", "not known"),
		"nobody, to a role not known":     local("", "", ""),
		"a role with a reserved right":    local(alice, token, "clusterrole r, which grants the right to create tokens"),
		"a right without effect there":    local(alice, webhooks, ""),
		"that right everywhere":           {resource: "rbac.authorization.k8s.io/clusterrolebindings", name: "b", new: binding(alice), role: webhooks, want: "admission webhooks"},
		"nobody":                          local("", token, ""),
		"one more":                        change(binding(alice), binding(alice+", "+bob), token, "create tokens"),
		"one less":                        change(binding(alice+", "+bob), binding(bob), token, ""),
		"another role":                    change(strings.Replace(binding(alice), "name: r", "name: q", 1), binding(alice), token, "create tokens"),
		"deleting it":                     {operation: "DELETE", resource: "rbac.authorization.k8s.io/rolebindings", namespace: "shop", name: "b", old: binding(alice), role: token},
		"itself":                          local("{kind: ServiceAccount, namespace: ci, name: deploy-bot}", reading, "itself"),
		"itself by its user name":         local("{kind: User, name: \""+deployBot+"\"}", reading, "itself"),
		"its group":                       local("{kind: Group, name: \"system:serviceaccounts:ci\"}", reading, "itself"),
		"everybody":                       local("{kind: Group, name: \"system:authenticated\"}", reading, "itself"),
		"another group":                   local("{kind: Group, name: \"system:serviceaccounts:shop\"}", reading, ""),
		"its name in another namespace":   local("{kind: ServiceAccount, name: deploy-bot}", reading, ""),
		"a kind of subject not known":     local("{kind: Robot, name: x}", reading, "itself"),
		"itself, who was in it before":    change(binding("{kind: User, name: \""+deployBot+"\"}"), binding("{kind: User, name: \""+deployBot+"\"}, "+alice), reading, ""),
		"the same written in another way": change(binding("{kind: ServiceAccount, name: x}"), binding("{kind: ServiceAccount, namespace: shop, name: x}"), token, ""),
	})
}
