# Every target is a command that a newcomer can run; `make help` lists them.

GO            ?= go
CYCLONEDX      = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOLANGCI_LINT  = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# One static binary everywhere. The race detector alone needs cgo, and sets it itself.
export CGO_ENABLED ?= 0

# What is built, as the program itself says it: the tag, or how many commits it is ahead of
# one. Set them where there is no git.
VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.0.0-$$(git rev-list --count HEAD)-g$$(git rev-parse --short=12 HEAD))
COMMIT  ?= $(shell git rev-parse HEAD)$(shell test -z "$$(git status --porcelain)" || echo -dirty)
DATE    ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)
TRIMPATH = -trimpath
GOBUILD  = $(GO) build $(TRIMPATH) -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)'
PACK     = cd internal/dist && $(GO) run . --version '$(VERSION)' --commit '$(COMMIT)' --date '$(DATE)'

BIN       = bin/redrive
DIST      = $(CURDIR)/dist
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
ARCHS     = amd64 arm64

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Ctrl-C goes to all: the server stops with 0, the shell must not die of it, and go run would make
# a 1 of it. So make has nothing to complain of.
.PHONY: run
run: ## Start a demo server on 127.0.0.1:8080 that keeps its data in data/, and print what to try (ARGS="--listen 127.0.0.1:9090" for more flags)
	$(GO) build -buildvcs=false -o bin/demo ./cmd/server
	@trap : INT; DATABASE_URL= QUEUE_URL= REDRIVE_JWT_SECRET= REDRIVE_FILES= REDRIVE_CONFIG= bin/demo serve --demo $(ARGS)

.PHONY: demo
demo: ## Play upload, failure and Continue against a real server process, and print what happens
	$(GO) run ./cmd/server demo

.PHONY: build
build: ## Build the program as one static binary, bin/redrive
	$(GOBUILD) -o $(BIN) ./cmd/server

# The binaries that are packed, by the names of their platforms.
BINARIES = $(DIST)/.binaries

.PHONY: binaries
binaries:
	@set -e; for p in $(PLATFORMS); do \
	  os=$${p%/*} arch=$${p#*/}; case $$os in windows) exe=.exe;; *) exe=;; esac; \
	  echo "building for $$p"; \
	  GOOS=$$os GOARCH=$$arch $(GOBUILD) -o $(BINARIES)/$$os-$$arch/redrive$$exe ./cmd/server; \
	done

.PHONY: dist
dist: ## Build for Linux, macOS and Windows into dist/: archives, Debian packages, a container image, an SBOM, checksums
	rm -rf $(DIST)
	$(MAKE) binaries
	@set -e; for p in $(PLATFORMS); do \
	  os=$${p%/*} arch=$${p#*/} name=redrive-$(VERSION)-$${p%/*}-$${p#*/}; \
	  case $$os in windows) exe=.exe pack=zip;; *) exe= pack=tar.gz;; esac; \
	  (set -x; $(PACK) archive --binary $(BINARIES)/$$os-$$arch/redrive$$exe --name $$name --out $(DIST)/$$name.$$pack); \
	done
	$(MAKE) pack-deb pack-image
	$(GO) run $(CYCLONEDX) bin -json -std -noserial -notimestamp -version '$(VERSION)' -output $(DIST)/redrive-$(VERSION).cdx.json $(BINARIES)/linux-amd64/redrive
	$(PACK) sums $(DIST)

.PHONY: deb
deb: ## Make Debian packages with a systemd unit, in dist/ (ARCHS=amd64 for one)
	$(MAKE) binaries PLATFORMS='$(ARCHS:%=linux/%)'
	$(MAKE) pack-deb

.PHONY: pack-deb
pack-deb:
	@set -e; for arch in $(ARCHS); do \
	  (set -x; $(PACK) deb --binary $(BINARIES)/linux-$$arch/redrive --arch $$arch --out $(DIST)); \
	done

.PHONY: image
image: ## Make a container image without Docker, as an OCI layout in dist/image (ARCHS=amd64 for one)
	$(MAKE) binaries PLATFORMS='$(ARCHS:%=linux/%)'
	$(MAKE) pack-image

.PHONY: pack-image
pack-image:
	$(PACK) image --out $(DIST)/image $(foreach arch,$(ARCHS),$(arch)=$(BINARIES)/linux-$(arch)/redrive)

.PHONY: test-dist
test-dist: packing ## Install the Debian package into a folder, look into the image, and start what is in them
	cd internal/dist && $(GO) test ./...

.PHONY: packing
packing: ## Find the dpkg and systemd-analyze that the tests of the packing use, or install them
	@internal/dist/install.sh

.PHONY: postgres
postgres: ## Find the Postgres binaries that the tests start, or install them
	@internal/testkit/pgtest/install.sh

.PHONY: browser
browser: ## Find the Chromium that the tests of pages start, or install it
	@internal/testkit/browser/install.sh

.PHONY: clients
clients: ## Find Node.js and the packages of npm that lint the OpenAPI document and make clients of it, or install them
	@internal/apiclients/install.sh

.PHONY: screenshots
screenshots: browser ## Picture every page in its states into docs/screenshots, and look at each with axe-core
	$(GO) test -run '^TestEveryState$$' -count 1 -timeout 15m ./adapters/webui -looks all -screenshots $(CURDIR)/docs/screenshots

.PHONY: test
test: postgres browser clients ## Run all tests
	$(GO) test ./...
	$(MAKE) test-dist

.PHONY: compiler
compiler: ## Find the C compiler that the race detector needs, or install it
	@internal/testkit/race/install.sh

# Left out of the race detector's run as a whole: what starts programs, which are not watched,
# compares texts, or plays worlds with one goroutine at a time; and the page, whose handlers
# keep nothing between requests: what they share with the API is watched there. Of the stores, what runs at the
# same time: SQLite is C translated to Go and slow when it is watched (it cannot be built without
# the detector: generic code of the standard library that it shares with the rest would not be
# watched either), and Postgres is another program.
UNWATCHED = -e '/adapters/webui$$' -e '/adapters/sqlite$$' -e '/adapters/postgres$$' -e '/internal/apiclients' -e '/internal/sim' -e '/cmd/sim$$' -e '/internal/testkit/archtest$$' -e '/internal/testkit/chaos$$'
AT_ONCE = ^Test(Group.*|Backup.*|WriteAhead.*|MixedRace|ConcurrentContinues|Compensation|Closed|LockOrder|Deadlock.*|Conformance)$$/^(Deadlock|Races|HotTenant|Starts|Moves)?$$

.PHONY: race
race: postgres browser compiler ## Run all tests of what runs at the same time under the race detector
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./... | grep -v $(UNWATCHED))
	CGO_ENABLED=1 $(GO) test -race -run '$(AT_ONCE)' ./adapters/sqlite ./adapters/postgres

.PHONY: load
load: ## Put 2,000 idle connections, 500 event streams, slow and vanishing clients and bodies of 10 GB on a server, and look at what it holds afterwards
	$(GO) test -run '^TestLoad$$' -count 1 -v -timeout 10m ./cmd/server -args -load.full

.PHONY: chaos
chaos: postgres ## Kill servers for minutes while users work, then look at the books (CHAOS="-seed 7 -runs 50" for other settings)
	$(GO) test -run '^TestChaos$$' -count 1 -v -timeout 6m ./internal/testkit/chaos -args -within 270s -runs 200 -files 50 -workers 16 -kill-every 1s -faults 150s -settle 75s $(CHAOS)

.PHONY: chaos-sqlite
chaos-sqlite: postgres ## The same on SQLite: one server, killed once a second and started again on its file
	$(GO) test -run '^TestChaosSQLite$$' -count 1 -v -timeout 6m ./internal/testkit/chaos -args -within 270s -runs 200 -files 50 -workers 64 -kill-every 1s -faults 150s -settle 75s $(CHAOS)

.PHONY: chaos-bulk
chaos-bulk: postgres ## Continue 300 runs by one bulk continue while a server is killed each second
	$(GO) test -run '^TestChaosBulk$$' -count 1 -v -timeout 6m ./internal/testkit/chaos -args -within 270s -bulk-runs 300 -kill-every 1s $(CHAOS)

.PHONY: citus
citus: postgres ## Run the tests that need a cluster of Citus, and those beside them (REDRIVE_TEST_CITUS names its coordinator)
	@test -n "$$REDRIVE_TEST_CITUS" || { echo "REDRIVE_TEST_CITUS has to name the coordinator of a cluster: postgres://user@host/database" >&2; exit 1; }
	$(GO) test -p 1 -timeout 60m -parallel 4 -run 'Citus|Distribute|OneNode|ShardMoves' ./adapters/postgres ./internal/sim/history ./cmd/server ./internal/testkit/chaos

.PHONY: sim
sim: ## Play 10,000 simulated worlds full of faults and look for lost work or money (ARGS="--for 10m" for more)
	$(GO) run ./cmd/sim run $(ARGS)

.PHONY: sim-ci
sim-ci: ## All that the simulator can say of a commit: a long campaign, small scenarios exhaustively, histories, determinism
	$(GO) run ./cmd/sim run --profile ci
	$(GO) run ./cmd/sim exhaust --preempt 1 --faults 1
	$(GO) run ./cmd/sim linearize --seeds 2000 --limit 1m
	$(GO) run ./cmd/sim doctor

.PHONY: mutants
mutants: ## Measure how many seeds the simulator needs to find each planted bug (ARGS="--only no-run-lock --campaigns 5" for less)
	$(GO) run ./cmd/sim mutants $(ARGS)

.PHONY: mutants-gate
mutants-gate: ## Fail if a planted bug is not found within ten times the seeds that it ever took
	$(GO) run ./cmd/sim mutants --gate --campaigns 3

.PHONY: lint
lint: ## Run go vet and the linters
	$(GO) vet ./...
	$(GOLANGCI_LINT) run
	cd internal/bench && $(GO) vet ./...
	cd internal/dist && $(GO) vet ./... && $(GOLANGCI_LINT) run
	cd internal/embedder && $(GO) vet ./... && $(GOLANGCI_LINT) run

.PHONY: cover
cover: ## Show how much of core its own tests cover
	$(GO) test -coverprofile=coverage.out ./core
	$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: bench
bench: ## Measure initiate, work and Continue of 1,000, 10,000 and 100,000 files in memory
	$(GO) test -run '^$$' -bench Run -benchtime 3x -benchmem ./core/app

.PHONY: bench-sim
bench-sim: ## Measure how many simulated worlds are played a second, with all checks
	$(GO) test -run '^$$' -bench Seeds -benchtime 60000x -count 5 ./internal/sim

.PHONY: bench-postgres
bench-postgres: postgres ## Compare Continue on Postgres with pgbench, and 10,000 files with 1,000,000 (fsync on)
	$(GO) test -run '^$$' -bench '^Benchmark(Continue|Scale)' -benchtime 1x -timeout 20m ./adapters/postgres

.PHONY: bench-hot
bench-hot: postgres ## Compare 64 clients of one tenant who initiate, or continue, with pgbench sending the same (fsync on)
	$(GO) test -run '^$$' -bench '^BenchmarkHot' -benchtime 1x -timeout 20m ./adapters/postgres

.PHONY: bench-sqlite
bench-sqlite: postgres ## Compare Continue on SQLite with its statements sent by the bare driver, and whole runs with Postgres (fsync on)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 20m ./adapters/sqlite

.PHONY: power-cuts
power-cuts: ## Cut the power 500 times under a SQLite store, and look whether everything that was answered is there
	$(GO) test -run '^TestPowerCut$$' -count 1 -v -timeout 20m ./adapters/sqlite -args -power-cuts 500

.PHONY: bench-river
bench-river: postgres ## Measure Redrive beside River, in turns on one Postgres (BENCH="-queue memory -rounds 5" for other settings)
	cd internal/bench && $(GO) test -run '^$$' -bench BesideRiver -benchtime 1x -timeout 60m $(BENCH_FLAGS) . -args $(BENCH)

.PHONY: generate
generate: ## Make anew what is made of the code: docs/errors.md, docs/examples.md and the Go client of the API
	$(GO) test -count 1 -run '^TestErrorsDocument$$' ./adapters/httpapi -args -write
	$(GO) test -count 1 -run '^Test(GoClientIsFresh|ExamplesDocument)$$' ./internal/apiclients -args -write

.PHONY: tidy
tidy: ## Bring go.mod and go.sum of every module in the repository up to date
	$(GO) mod tidy
	cd internal/bench && $(GO) mod tidy
	cd internal/embedder && $(GO) mod tidy

.PHONY: fmt
fmt: ## Format the code
	$(GOLANGCI_LINT) fmt
