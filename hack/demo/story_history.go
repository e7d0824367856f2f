package main

// counting has a threshold beyond which people are asked, a budget that stops the agent, and a guard that sees what it did
// before.
func counting() []step {
	const image = "kubectl -n shop set image deployment/web web=shop/web:"
	return []step{
		{who: admin, title: "Small steps, three rollouts an hour, three deletions.",
			run: "diff shop-deploy-bot.yaml counted.yaml", want: want{outcome: differs, says: []string{"budget", "recent", "small-steps"}}},
		{who: admin, title: "Applied, and in force.", vital: true,
			run: applied("counted.yaml", "aap/shop-deploy-bot"), want: passing("configured", "condition met")},
		{who: deployBot, title: "Two replicas more are a small step.", patient: true,
			run: "kubectl -n shop scale deployment/web --replicas=4", want: passing("scaled")},
		{who: deployBot, title: "A threshold: for eight more somebody is asked.", patient: true,
			run:  "kubectl -n shop scale deployment/web --replicas=12",
			want: refusal("guard small-steps (policy shop-deploy-bot): scaling by 8 replicas at once", "is pending")},
		{who: deployBot, title: "A rollout counts.", run: image + "2.1", want: passing("image updated")},
		{who: deployBot, title: "A dry run does not.", run: image + "2.2 --dry-run=server", want: passing("image updated")},
		{who: deployBot, title: "The second, and the third.",
			run: image + "2.2 && \\\n    " + image + "2.3", want: passing("image updated")},
		{who: deployBot, title: "A budget stops the fourth, and says until when.", run: image + "2.4",
			want: refusal("budget of task roll-images (policy shop-deploy-bot) is used up: 3 of 3 actions within 1h", "next: WAIT until")},
		{who: alice, title: "Alice has no budget. She leaves some files behind.",
			run: `kubectl -n shop set image deployment/web web=shop/web:2.4 && \
    for n in 1 2 3 4; do kubectl -n shop create configmap old-$n; done`,
			want: passing("image updated", "old-4 created")},
		{who: deployBot, title: "A chain: each deletion may be, a fourth may not.",
			run:  "kubectl -n shop delete configmap old-1 old-2 old-3 old-4",
			want: refusal(`"old-3" deleted`, "guard few-deletes (policy shop-deploy-bot): deleted 3 objects", "reasons=GuardViolated")},
		{who: admin, title: "Who did what lately, at a glance.",
			run: "kubectl get aact", want: passing("ci/deploy-bot", "delete", "configmaps/old-3", "clean-up")},
		{who: admin, title: "The policy is as it was.", vital: true,
			run: applied("shop-deploy-bot.yaml", "aap/shop-deploy-bot"), want: passing("condition met")},
	}
}
