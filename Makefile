# Sluice. `make help` lists the targets.

VERSION ?= 0.1.0
IMAGE ?= sluice:$(VERSION)
CALLER_IMAGE ?= sluice-e2e-caller:$(VERSION)
REDIS_IMAGE ?= sluice-e2e-redis:$(VERSION)
DATA_DIR ?= .sluice
STORE ?= journal
# What a release is of, and where its image is.
RELEASE_REPOSITORY ?= ghcr.io/sluice-mail/sluice
RELEASE_IMAGE ?= $(RELEASE_REPOSITORY):$(VERSION)
CHARTS ?= ghcr.io/sluice-mail/charts
RELEASE_PLATFORMS = linux_amd64 linux_arm64 darwin_amd64 darwin_arm64
RELEASE_BINARIES = $(addprefix dist/release/sluice_$(VERSION)_,$(RELEASE_PLATFORMS))

# Tools are pinned in go.tools.mod. The path of a tool is its import path.
tool = go tool -modfile=$(CURDIR)/go.tools.mod
export HELM4 = $(tool) helm.sh/helm/v4/cmd/helm
export HELM3 = $(tool) helm.sh/helm/v3/cmd/helm
BENCHSTAT = $(tool) benchstat
CONTROLLER_GEN = $(tool) controller-gen
GOLANGCI_LINT = $(tool) golangci-lint
KUBE_API_LINT = $(tool) golangci-lint-kube-api-linter
HELM_DOCS = $(tool) helm-docs
HELM_UNITTEST = $(tool) helm-unittest
KUBECONFORM = $(tool) kubeconform
ACTIONLINT = go -C hack/actionlint tool actionlint

# Where the tests find kube-apiserver and etcd. Where it is not set, both are built here, once.
ASSETS = $(CURDIR)/bin/controlplane
export KUBEBUILDER_ASSETS ?= $(ASSETS)

GO_BUILD = CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=v$(VERSION)"

SHELL = bash
.SHELLFLAGS = -o pipefail -ec
.DEFAULT_GOAL := help

##@ Use

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the binary, bin/sluice
	$(GO_BUILD) -o bin/sluice ./cmd/sluice

.PHONY: run
run: build ## Serve decisions for the sample accounts, without a cluster; DATA_DIR keeps what was sent, STORE=redis in a Redis
	@case "$(STORE)" in \
	journal) exec bin/sluice serve --accounts config/samples/valid --data-dir $(DATA_DIR) --log-format text ;; \
	redis) exec hack/run-redis $(DATA_DIR) ;; \
	*) echo "STORE must be journal or redis, not $(STORE)" >&2; exit 1 ;; \
	esac

##@ Test

.PHONY: test
test: assets ## Run the tests, against a real kube-apiserver (the first run builds it: 6 to 9 minutes)
	go test ./...

.PHONY: race
race: assets ## Run the tests with the race detector, random ones a fifth as long (needs a C compiler)
	CGO_ENABLED=1 go test -race -short $$(go list ./... | grep -v /hack/)

.PHONY: fuzz
fuzz: ## Fuzz what callers and files can say, 10 seconds for each target
	for target in ./api/httpv1:FuzzDecode ./api/httpv1:FuzzDecodeBatch ./server:FuzzPath ./server:FuzzID ./manifest:FuzzParse \
			./limiter/memory:FuzzRestore ./limiter/journal:FuzzFrame; do \
		go test $${target%:*} -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime 10s -fuzzminimizetime 100x || exit 1; \
	done

.PHONY: faults
faults: ## Test the real process under kills, full and failing disks (needs root, strace, e2fsprogs and iproute2)
	go test -tags faults ./test/faults -count 1 -v -timeout 10m
	go test -tags faults ./limiter/redis/faults -run '^TestPartitionOfNetworks$$' -count 1 -v

.PHONY: chaos
chaos: build ## Flood the real binary and keep it waiting, and break the API server of the cluster that KUBECONFIG names (45 minutes; CHAOS=-short: 8)
	go test -tags chaos ./test/chaos -count 1 -v -timeout 30m $(CHAOS)
	go test -tags chaos ./test/chaos/apiserver -count 1 -v -timeout 1h $(CHAOS)

.PHONY: prove
prove: ## Prove the guarantees at length, with random calls, clocks, providers, kills and concurrent histories (half an hour)
	go test ./limiter/memory -count 1 -v -timeout 1h -rapid.checks 200000 \
		-run '^TestStore$$/^(Model|Observer|EarliestSlotIs.*|EarliestSlotOf.*|WindowBoundaryIs.*)$$'
	go test ./limiter/journal -count 1 -v -timeout 1h -rapid.checks 3000 -journal.long \
		-run '^Test(Durable|EIO|Damage)$$'
	go test ./limiter/limitertest -count 1 -v -run '^TestTheObserverNotices$$'
	go test ./server -count 1 -v -timeout 1h -prove.histories 50000 -run '^TestHistoriesAreLinearizable$$'

.PHONY: bench
bench: assets ## Run the benchmarks, each side by side with its reference, and sum them up with benchstat (40 minutes)
	mkdir -p bin
	go test ./limiter/memory -run '^$$' -bench . -skip 'Sweep|List|DeadlinesDue' -benchtime 1000000x -count 6 \
		| tee bin/bench.txt
	go test ./limiter/memory -run '^$$' -bench List -benchtime 20000x -count 6 | tee -a bin/bench.txt
	go test ./limiter/memory -run '^$$' -bench Sweep -benchtime 3x -count 6 | tee -a bin/bench.txt
	go test ./limiter/memory -run '^$$' -bench DeadlinesDue -benchtime 1x -count 2 | tee -a bin/bench.txt
	go test ./server -run '^$$' -bench . -skip 'Journal|Shared|Replicas|Auth|Overload' -benchtime 200000x -count 6 | tee -a bin/bench.txt
	go test ./server -run '^$$' -bench Auth -benchtime 200000x -count 6 | tee -a bin/bench.txt
	go test ./server/kubeauth -run '^$$' -bench . -skip ForgedToken/New -benchtime 1000000x -count 6 | tee -a bin/bench.txt
	go test ./server -run '^$$' -bench Overload -benchtime 5x -count 3 | tee -a bin/bench.txt
	go test ./server -run '^$$' -bench Journal -benchtime 60000x -count 6 | tee -a bin/bench.txt
	go test ./server -run '^$$' -bench 'Shared|Replicas' -benchtime 60000x -count 6 | tee -a bin/bench.txt
	go test ./limiter/redis -run '^$$' -bench . -skip Merge -benchtime 60000x -count 6 | tee -a bin/bench.txt
	go test ./limiter/redis -run '^$$' -bench Merge -benchtime 3x -count 6 | tee -a bin/bench.txt
	go test ./limiter/journal -run '^$$' -bench GroupCommit -benchtime 40000x -count 6 | tee -a bin/bench.txt
	go test ./limiter/journal -run '^$$' -bench Recover -benchtime 1x -count 3 | tee -a bin/bench.txt
	$(BENCHSTAT) bin/bench.txt

.PHONY: scale
scale: assets ## Measure the controllers with 100,000 MailAccounts, and 10,000 fresh tokens, on a real kube-apiserver (17 minutes)
	go test -tags scale ./controllers -run TestScale -count 1 -v -timeout 1h
	go test -tags scale ./server/kubeauth -run TestScale -count 1 -v

.PHONY: e2e
e2e: ## Test the image and the chart on the cluster that KUBECONFIG names (see CONTRIBUTING.md)
	IMAGE=$(IMAGE) CALLER_IMAGE=$(CALLER_IMAGE) REDIS_IMAGE=$(REDIS_IMAGE) \
		go test -tags e2e ./test/e2e -count 1 -v -timeout 30m

.PHONY: fidelity
fidelity: build assets ## Measure how exactly the promises are kept, and write docs/fidelity.md (4 minutes)
	go run ./test/fidelity -out docs/fidelity.md

.PHONY: assets
assets:
	@if [ "$$KUBEBUILDER_ASSETS" = "$(ASSETS)" ]; then hack/controlplane/build "$(ASSETS)"; fi

##@ Change

.PHONY: generate
generate: ## Generate what is generated: deepcopy, apply configurations, CRD, RBAC, the chart's copies of them, its README
	$(CONTROLLER_GEN) object paths=./api/v1alpha1
	$(CONTROLLER_GEN) applyconfiguration paths=./api/v1alpha1
	$(CONTROLLER_GEN) crd paths=./api/v1alpha1 output:crd:dir=config/crd
	$(CONTROLLER_GEN) rbac:roleName=sluice paths=./controllers output:rbac:dir=config/rbac
	go run ./hack/chart .
	$(HELM_DOCS) --chart-search-root charts --sort-values-order file --log-level warning

.PHONY: verify
verify: ## Verify that everything generated is up to date
	hack/verify

.PHONY: lint
lint: ## Lint the code, the API, the chart and the workflows, and look for known vulnerabilities
	$(GOLANGCI_LINT) run --build-tags chaos,e2e,faults,scale ./...
	$(KUBE_API_LINT) run --config .golangci-kal.yaml ./api/v1alpha1
	for values in charts/sluice/ci/*-values.yaml; do \
		$(HELM4) lint --strict charts/sluice --values $$values && $(HELM3) lint --strict charts/sluice --values $$values || exit 1; \
	done
	$(ACTIONLINT) -shellcheck= -pyflakes=
	hack/vulncheck

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the binary calls; GOVULNDB names a database
	hack/vulncheck

##@ Ship

.PHONY: image
image: ## Build the image, and dist/sluice.tar with it, with docker, podman or buildah
	$(GO_BUILD) -o dist/image/sluice ./cmd/sluice
	hack/image $(IMAGE) Dockerfile dist/sluice.tar

.PHONY: e2e-image
e2e-image: ## Build the images of the end-to-end tests, dist/caller.tar and dist/redis.tar
	$(GO_BUILD) -o dist/image/caller ./test/e2e/caller
	hack/image $(CALLER_IMAGE) test/e2e/Dockerfile dist/caller.tar
	test/e2e/redis/files dist/image/redis
	hack/image $(REDIS_IMAGE) test/e2e/redis/Dockerfile dist/redis.tar

.PHONY: chart-test
chart-test: ## Test the chart: unit tests, rendered manifests against the schemas of Kubernetes
	$(HELM_UNITTEST) --strict charts/sluice
	hack/chart/conform

.PHONY: chart
chart: ## Package the chart into dist
	$(HELM4) package charts/sluice --destination dist

.PHONY: reproducible
reproducible: ## Build the binary and the image twice, in two folders, and hold them to be the same
	hack/reproducible

.PHONY: sbom
sbom: build ## Write the bill of materials of bin/sluice, dist/sluice.cdx.json, as CycloneDX
	mkdir -p dist
	go run ./hack/sbom -version v$(VERSION) -out dist/sluice.cdx.json bin/sluice

.PHONY: install-yaml
install-yaml: ## Write dist/install.yaml, all of Sluice for kubectl apply, with the image RELEASE_IMAGE
	mkdir -p dist
	hack/install-manifest $(RELEASE_IMAGE) >dist/install.yaml

.PHONY: binaries
binaries: $(RELEASE_BINARIES) ## Build the binaries of a release, for Linux and macOS, into dist/release

.PHONY: $(RELEASE_BINARIES)
$(RELEASE_BINARIES): dist/release/sluice_$(VERSION)_%:
	GOOS=$(word 1,$(subst _, ,$*)) GOARCH=$(word 2,$(subst _, ,$*)) $(GO_BUILD) -o $@ ./cmd/sluice

.PHONY: push-image
push-image: binaries ## Push the image of a release, for all platforms, and write its digest to dist/image.digest
	hack/release-image docker://$(RELEASE_REPOSITORY):$(VERSION) dist/image.digest \
		$(filter dist/release/sluice_$(VERSION)_linux_%,$(RELEASE_BINARIES))

.PHONY: release-files
release-files: binaries ## Write all files of a release into dist/release, with their checksums
	go run ./hack/sbom -version v$(VERSION) -out dist/release/sluice_$(VERSION).cdx.json $(RELEASE_BINARIES)
	hack/install-manifest $(RELEASE_IMAGE) >dist/release/install.yaml
	hack/release-chart $(RELEASE_REPOSITORY) $(VERSION) dist/release
	cd dist/release && rm -f checksums.txt && sha256sum -- * >../checksums.txt && mv ../checksums.txt .

.PHONY: push-chart
push-chart: ## Push the chart of a release to CHARTS, and print its digest
	$(HELM4) push dist/release/sluice-$(VERSION).tgz oci://$(CHARTS) 2>&1
