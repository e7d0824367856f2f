package main

// asking has the agent want more than its task, and a person decide about that one change.
func asking() []step {
	const more = "kubectl -n shop scale deployment/web --replicas=6"
	return []step{
		{who: admin, title: "What no task covers may be asked for; Alice may decide.", vital: true,
			run: `kubectl patch aap shop-deploy-bot --type=merge \
    -p '{"spec":{"outOfScope":"RequireApproval"}}' && \
    kubectl wait --for=condition=Enforced aap/shop-deploy-bot && \
    kubectl -n shop create rolebinding deciders \
    --clusterrole=countersign-approver --user=alice`,
			want: passing("patched", "condition met", "deciders created")},
		{who: deployBot, title: "A dry run says so, and opens nothing.", patient: true,
			run:  more + " --dry-run=server",
			want: refusal("next: ASK: the same command without dry run opens a request for approval")},
		{who: deployBot, title: "Refused, and asked for.", patient: true,
			run: more, want: refusal("is pending, repeat the same command once approved")},
		{who: alice, title: "Who wants what, and why it needs consent.", patient: true,
			run: "kubectl -n shop get aa", want: passing("Pending", "update", "deployments/web", "FieldOutOfScope")},
		{who: alice, title: "Exactly what would change.",
			run: "kubectl -n shop get aa -o jsonpath='{.items[0].spec.action.diff}'", want: passing("+  replicas: 6")},
		{who: deployBot, title: "The agent cannot consent to itself.",
			run: `kubectl -n shop patch $(kubectl -n shop get aa -o name) --type=merge \
    -p '{"spec":{"decision":{"verdict":"Approve"}}}'`,
			want: want{outcome: refused, says: []string{"cannot patch resource"}}},
		{who: alice, title: "Alice consents, with a patch.", vital: true,
			run: `kubectl -n shop patch $(kubectl -n shop get aa -o name) --type=merge \
    -p '{"spec":{"decision":{"verdict":"Approve","comment":"sale tonight"}}}'`,
			want: passing("patched")},
		{who: alice, title: "It is granted, and says until when.",
			run: "kubectl -n shop wait --for=condition=Approved aa --all && kubectl -n shop get aa", want: passing("condition met", "Approved")},
		{who: deployBot, title: "The same command passes.", patient: true, run: more, want: passing("scaled")},
		{who: alice, title: "Alice scales back.",
			run: "kubectl -n shop scale deployment/web --replicas=2", want: passing("scaled")},
		{who: deployBot, title: "Consent was to one change, once.", patient: true,
			run: more, want: refusal("is pending, repeat the same command once approved")},
		{who: alice, title: "The first is spent; the second one waits.",
			run: "kubectl -n shop get aa", want: passing("Spent", "Pending")},
		{who: admin, title: "The policy is as it was.", vital: true,
			run: applied("shop-deploy-bot.yaml", "aap/shop-deploy-bot"), want: passing("condition met")},
	}
}
