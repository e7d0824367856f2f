package main

// story is what is played. With keep the release stays, to be played with.
func story(o *operator, keep bool) []act {
	acts := []act{
		installing(o),
		{"A shop, a person, and an agent that may edit it", setting()},
		{"The agent in its window, within its task", working()},
		{"The same when its window is closed", closed()},
		{"In the window, beyond the task", beyond()},
		{"A person does all of that", people()},
		{"A freeze wins over every window", frozen()},
		{"What is not covered can be asked for", asking()},
		{"Many harmless steps, and what they come to", counting()},
		{"Newcomers are watched before they are stopped", watching()},
		{"Policies are read, and mistakes found, when they are applied", writing()},
		{"Without the operator agents stop, and nobody else", failing(o)},
	}
	if keep {
		return acts
	}
	return append(acts, act{"Uninstalling leaves nothing that blocks", leaving(o)})
}

func installing(o *operator) act {
	return act{"Installing the chart", []step{
		{who: admin, title: "Helm installs the chart.", vital: true,
			run: `helm install countersign charts/countersign --namespace ` + namespace + ` \
    --create-namespace --hide-notes`,
			want: passing("STATUS: deployed")},
		{who: theOperator, title: "Fake nodes run nothing: it runs here as its own account.", vital: true,
			run: o.line() + " &", do: o.start, want: passing()},
		{who: theOperator, title: "What the chart's RBAC does not give to it, it cannot do.",
			run: "kubectl auth whoami", want: passing("system:serviceaccount:" + namespace + ":countersign")},
		{who: admin, title: "Without a policy nothing but its own canary is sent to it.", patient: true,
			run:  "kubectl get validatingwebhookconfigurations",
			want: passing("countersign-actions    1", "countersign-policies   3")},
	}}
}

func setting() []step {
	return []step{
		{who: admin, title: "Two namespaces. The agent is bound to edit, as Alice is.", vital: true,
			run: "kubectl apply -f shop.yaml -f web.yaml", want: passing("deployment.apps/web created")},
		{who: admin, title: "It really rolls out.", vital: true,
			run: "kubectl -n shop rollout status deployment/web", want: passing("successfully rolled out")},
		{who: deployBot, title: "RBAC knows no hours and no tasks: it says yes.",
			run: "kubectl -n shop auth can-i delete deployments", want: passing("yes")},
		{who: admin, title: "The policy: which agent, when, and what for.",
			run: "cat shop-deploy-bot.yaml", want: passing("roll-images")},
		{who: admin, title: "It is in force as soon as it says so.", vital: true,
			run:  applied("shop-deploy-bot.yaml", "aap/shop-deploy-bot"),
			want: passing("created", "condition met")},
		{who: admin, title: "Its window is open.",
			run: "kubectl get aap", want: passing("Open", "True")},
		{who: deployBot, title: "From now on the agent may do its task, and nothing else.", patient: true,
			run:  "kubectl -n shop delete deployment web --dry-run=server",
			want: refusal("reasons=ActionOutOfScope", "STOP")},
	}
}

// applied stores a policy and waits until it is in force. Kubectl passes over conditions whose observedGeneration is
// older than the object, so it is this state of the policy that is.
func applied(file, policies string) string {
	return "kubectl apply -f " + file + " && \\\n    kubectl wait --for=condition=Enforced " + policies
}

func working() []step {
	return []step{
		{who: deployBot, title: "A new image, in the window and in the task.",
			run:  "kubectl -n shop set image deployment/web web=shop/web:1.1",
			want: passing("image updated")},
		{who: deployBot, title: "The rollout completes: controllers are never asked.",
			run: "kubectl -n shop rollout status deployment/web", want: passing("successfully rolled out")},
		{who: deployBot, title: "Another verb, the same change: apply instead of set image.",
			run: "sed s/web:1.0/web:1.2/ web.yaml | kubectl apply -f -", want: passing("deployment.apps/web configured")},
	}
}

func closed() []step {
	return []step{
		{who: admin, title: "The window moves to later.",
			run: "diff shop-deploy-bot.yaml closed.yaml", want: want{outcome: differs, says: []string{"weekly"}}},
		{who: admin, title: "Applied, and in force.", vital: true,
			run: applied("closed.yaml", "aap/shop-deploy-bot"), want: passing("configured", "condition met")},
		{who: deployBot, title: "Refused: why, and when to come back.",
			run:  "kubectl -n shop set image deployment/web web=shop/web:1.3",
			want: refusal("change window closed (policy shop-deploy-bot): next opens", "next: WAIT until", "opensAt=")},
		{who: admin, title: "Nothing was changed.",
			run:  `kubectl -n shop get deployment web -o wide`,
			want: passing("shop/web:1.2")},
		{who: admin, title: "People see the same.",
			run: "kubectl get aap", want: passing("Closed")},
	}
}

func frozen() []step {
	return []step{
		{who: admin, title: "Payments are down: a freeze, in the middle of the window.",
			run: "diff shop-deploy-bot.yaml frozen.yaml", want: want{outcome: differs, says: []string{"freezes"}}},
		{who: admin, title: "Applied, and in force.", vital: true,
			run: applied("frozen.yaml", "aap/shop-deploy-bot"), want: passing("configured", "condition met")},
		{who: deployBot, title: "Refused, with the reason that was given.",
			run:  "kubectl -n shop set image deployment/web web=shop/web:1.3",
			want: refusal("frozen by incident", "Payments are down", "next: WAIT until")},
		{who: alice, title: "Alice repairs what is broken.",
			run: "kubectl -n shop set env deployment/web PAYMENTS=fallback", want: passing("env updated")},
		{who: admin, title: "The freeze is lifted.", vital: true,
			run: applied("shop-deploy-bot.yaml", "aap/shop-deploy-bot"), want: passing("configured", "condition met")},
		{who: deployBot, title: "The agent goes on.",
			run: "kubectl -n shop set image deployment/web web=shop/web:1.3", want: passing("image updated")},
	}
}
