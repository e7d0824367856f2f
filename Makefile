# Everything but the image is built from Go modules: the tools below, and the control plane for the tests by hack/controlplane.
# Both are kept in $COUNTERSIGN_CACHE, by default a directory of the user's cache.

SHELL := /usr/bin/env bash -euo pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.NOTPARALLEL:

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null || echo unknown)
CHART := charts/countersign
PLUGIN := cmd/kubectl-countersign
# Where make install puts the plugin: it must be on the PATH.
BINDIR ?= $(or $(shell $(GO) env GOBIN),$(shell $(GO) env GOPATH)/bin)
FUZZTIME ?= 30s

# The flags of every binary that is built here: static, and the same wherever it is built.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# Tools. A directory for every state of a module under hack/tools, so that a second run costs nothing.
CACHE := $(abspath $(or $(COUNTERSIGN_CACHE),$(shell case "$$(uname)" in \
	(Darwin) echo "$$HOME/Library/Caches";; (*) echo "$${XDG_CACHE_HOME:-$$HOME/.cache}";; esac)/countersign))
tooldir = $(CACHE)/tools/$(1)-$(shell { $(GO) env GOVERSION GOHOSTOS GOHOSTARCH; find hack/tools/$(1) -name 'go.*' -o -name '*.go' \
	| LC_ALL=C sort | xargs cat; } | git hash-object --stdin | cut -c1-12)
GENERATE_BIN := $(call tooldir,generate)
LINT_BIN := $(call tooldir,lint)
HELMUNITTEST_BIN := $(call tooldir,helmunittest)
PROMETHEUS_BIN := $(call tooldir,prometheus)
CONTROLLER_GEN := $(GENERATE_BIN)/controller-gen
CRD_REF_DOCS := $(GENERATE_BIN)/crd-ref-docs
GOLANGCI_LINT := $(LINT_BIN)/golangci-lint
HELM_UNITTEST := $(HELMUNITTEST_BIN)/helm-unittest
PROMETHEUS := $(PROMETHEUS_BIN)/prometheus
HELM := $(GO) run ./hack/tools/helm
export GOLANGCI_LINT_CACHE ?= $(CACHE)/golangci-lint

# What make generate writes; make verify wants it committed.
GENERATED := 'api/*zz_generated*' config/crd $(CHART)/templates/crds docs/reference/api.md docs/kubectl
MODULES := . hack/tools/certmanager hack/tools/generate hack/tools/helmunittest hack/tools/lint hack/tools/prometheus \
	hack/tools/promql
# Packages with goroutines are tested with the race detector, where there is a C compiler for it.
RACE_PACKAGES := /(cmd|controllers|hack/controlplane|internal/archive|internal/catalogue|internal/certificate|internal/operatortest|internal/registry|internal/settlement|webhooks)(/|$$)
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

##@ Develop

.PHONY: help
help: ## Say what there is to make.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the operator, and the kubectl plugin, into bin.
	$(BUILD) -o bin/countersign .
	$(BUILD) -o bin/kubectl-countersign ./$(PLUGIN)

.PHONY: install
install: ## Install the kubectl plugin and its completion into BINDIR.
	mkdir -p '$(BINDIR)'
	$(BUILD) -o '$(BINDIR)/kubectl-countersign' ./$(PLUGIN)
	install -m 755 $(PLUGIN)/kubectl_complete-countersign '$(BINDIR)/'

.PHONY: krew
krew: ## Build the archives of the plugin for all platforms, and the krew manifest with their checksums, into dist.
	$(GO) run ./hack/tools/krew --version $(VERSION) --out dist

.PHONY: image
image: ## Build the image with buildah, without a registry, as an OCI archive in dist.
	@command -v buildah >/dev/null || { echo 'make image needs buildah (apt-get install buildah, dnf install buildah);' \
		'docker build . does the same with a registry.' >&2; exit 1; }
	hack/image.sh '$(VERSION)' "$$($(GO) env GOARCH)"

.PHONY: generate
generate: $(CONTROLLER_GEN) $(CRD_REF_DOCS) ## Generate deep copies, CRDs, the chart's CRDs, docs/reference/api.md and docs/kubectl.
	rm -rf config/crd
	$(CONTROLLER_GEN) paths=./api/... object:headerFile=hack/boilerplate.go.txt crd output:crd:dir=config/crd
	$(GO) run ./hack/tools/chartcrds config/crd $(CHART)/templates/crds
	mkdir -p docs/reference
	$(CRD_REF_DOCS) --log-level ERROR --source-path api --renderer markdown --config hack/tools/generate/crd-ref-docs.yaml \
		--templates-dir hack/tools/generate/templates --output-path docs/reference/api.md
	$(GO) run ./hack/tools/plugindocs docs/kubectl

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the Go code.
	$(GOLANGCI_LINT) fmt

.PHONY: chart-snapshots
chart-snapshots: $(HELM_UNITTEST) ## Write anew what the chart's unit suites expect of it as it is.
	rm -rf $(CHART)/tests/__snapshot__
	$(HELM_UNITTEST) --strict $(CHART)

.PHONY: demo
demo: controlplane ## Show it on a real control plane; KEEP=1 leaves it running.
	$(GO) run ./hack/demo $(if $(KEEP),--keep)

##@ Check

.PHONY: verify
verify: verify-generated verify-modules lint lint-api lint-chart ## Check all that is not a test.

.PHONY: verify-generated
verify-generated: generate ## Check that generated files are committed as generated.
	@git diff --exit-code -- $(GENERATED) || { echo 'Generated files differ: commit what make generate wrote.'; exit 1; }
	@new=$$(git ls-files --others --exclude-standard -- $(GENERATED)); \
		test -z "$$new" || { printf 'Generated files are not committed:\n%s\n' "$$new"; exit 1; }

.PHONY: verify-modules
verify-modules: ## Check that every go.mod is tidy.
	@for module in $(MODULES); do (cd $$module && $(GO) mod tidy -diff) || { echo "$$module/go.mod is not tidy."; exit 1; }; done

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Lint the Go code.
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run ./...

.PHONY: lint-api
lint-api: $(GOLANGCI_LINT) ## Check the API types against the Kubernetes API conventions.
	$(GOLANGCI_LINT) config verify --config .golangci-kal.yml
	$(GOLANGCI_LINT) run --config .golangci-kal.yml ./api/...

.PHONY: lint-chart
lint-chart: controlplane $(HELM_UNITTEST) ## Check the chart with the real Helm, and by its unit suites.
	$(HELM) lint --strict $(CHART) --namespace countersign-system
	$(HELM) template countersign $(CHART) --namespace countersign-system >/dev/null
	$(HELM_UNITTEST) --strict $(CHART)

##@ Test

.PHONY: test
# The go command's cache of results does not see what the programs that tests start are built from: -count=1 runs all.
test: controlplane ## Run all tests, on a real control plane; K8S=1.34.4 picks another version that is pinned.
	@packages=$$($(GO) list ./...); failed=0; \
	$(GO) test -count=1 -timeout 20m $$(grep -vE '$(RACE_PACKAGES)' <<<"$$packages") || failed=1; \
	concurrent=$$(grep -E '$(RACE_PACKAGES)' <<<"$$packages" || true); \
	test -z "$$concurrent" || $(GO) test -count=1 -timeout 40m $(RACE) $$concurrent || failed=1; \
	exit $$failed

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME; make test runs their seeds, and mutants of these.
	@{ grep -rEo '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . || true; } | sort | while IFS=: read -r file target; do \
		echo "$$file $${target#func }"; \
		$(GO) test -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$(dirname "$$file")"; done

.PHONY: bench
bench: controlplane ## Measure what Countersign costs, all or the BENCH, and write docs/performance.md.
	$(GO) run ./hack/bench $(if $(BENCH),--only $(BENCH)) $(if $(PROFILES),--profiles $(PROFILES)) $(if $(PACE),--pace $(PACE),--document docs/performance.md)

.PHONY: drill
drill: controlplane ## Break things under load, all or the DRILL, and write docs/reliability.md.
	$(GO) run ./hack/drill $(if $(DRILL),--only $(DRILL)) $(if $(PACE),--pace $(PACE),--document docs/reliability.md)

.PHONY: dashboard
dashboard: controlplane $(PROMETHEUS) ## Draw the dashboard with real data into docs and dist, and raise every alert.
	$(GO) run ./hack/dashboard --prometheus-binary $(PROMETHEUS) $(if $(PACE),--pace $(PACE),--picture docs/dashboard.svg)

.PHONY: controlplane
controlplane: ## Build the control plane that the tests run on, once; K8S=1.34.4 picks another version.
	@$(GO) run ./hack/controlplane/cmd/controlplane build

##@ Other

.PHONY: clean
clean: ## Remove what was built, but not the cache.
	rm -rf bin dist coverage.out

# Tools are built next to their place and then moved, so that an interrupted build leaves nothing behind.
tool = @echo 'Building $(notdir $@)'; new=$(@D).$$$$; trap 'rm -rf "$$new"' EXIT; \
	cd hack/tools/$(1) && GOOS= GOARCH= GOFLAGS= CGO_ENABLED=0 GOBIN=$$new $(GO) install -trimpath -buildvcs=false $(2); \
	mkdir -p $(@D); mv -f $$new/* $(@D)/

$(CONTROLLER_GEN):
	$(call tool,generate,sigs.k8s.io/controller-tools/cmd/controller-gen)

$(CRD_REF_DOCS):
	$(call tool,generate,github.com/elastic/crd-ref-docs)

$(GOLANGCI_LINT):
	$(call tool,lint,./golangci-lint)

$(HELM_UNITTEST):
	$(call tool,helmunittest,github.com/helm-unittest/helm-unittest/cmd/helm-unittest)

# Without the discovery of targets in clouds, which nothing here needs: it takes most of the building.
$(PROMETHEUS):
	$(call tool,prometheus,-tags remove_all_sd github.com/prometheus/prometheus/cmd/prometheus)
