# MODE of the demo: embedded (no redis-server needed), sentinel or cluster.
MODE ?= embedded
# Runs of chaos, and the seed of the first; 0 draws one.
N ?= 10
SEED ?= 0
LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build demo test real chaos load freight browser bench bench-failover deploy-check lint cover

build: ## bin/migrate
	go build -o bin/ ./cmd/...

demo: ## a whole migration and its verdict, in under a minute
	go run ./cmd/migrate demo --mode $(MODE)

test: ## vet, the simulation, then unit and real-process tests: two packages at a time, of which one has real servers (internal/redistest/alone.go), and six tests, since they wait more than they work
	@.ci/needs
	go vet -race ./...
	go test -count 1 -run 'TestSimulation$$' ./internal/protocol
	GORACE=atexit_sleep_ms=10 go test -race -vet off -p 2 -parallel 6 ./...

real: ## what the fence leans on, five times over; then the demo in every mode
	@.ci/needs
	go test -race -p 1 -count 5 ./internal/sockets ./internal/redistest ./internal/faultproxy
	LONG=1 go test -race -count 1 -parallel 1 -run Demo ./cmd/migrate
	LONG=1 go test -race -count 1 -run InterruptedAtEachStep ./internal/drill
	LONG=1 go test -race -count 1 -run EmergencyPage ./cmd/migrate
	LONG=1 go test -race -count 1 -timeout 90m ./internal/crash
	LONG=1 go test -count 1 -run TestChaos ./internal/chaos
	LONG=1 go test -count 1 -p 1 -run 'TestContract|TestUluleTogether' ./ratelimit ./sessions ./queue ./pubsub ./cache
	LONG=1 go test -count 1 -timeout 40m -parallel 1 -v -run 'TestBigKeys|TestMemory|TestFrozenCoordinator' ./migrate/coordinator
	LONG=1 go test -count 1 -timeout 40m -v ./internal/mutants
	go test -count 1 -timeout 40m -v -run 'TestSimulation$$' ./internal/protocol -first 10001 -seeds 100000
	go run ./cmd/migrate demo --mode sentinel --keys 1000000 --rate 900
	go run ./cmd/migrate demo --mode cluster --keys 1000000 --rate 900

chaos: ## N whole migrations in a row, with what is killed, stopped and cut off drawn from a seed: some 45 s each
	@.ci/needs
	go test -count 1 -timeout 0 -v -run TestChaos ./internal/chaos -runs $(N) -seed $(SEED)

load: ## a workload (W=ratelimit) under load through migration, failovers and restarts
	@.ci/needs
	LOAD=1 go test -count 1 -timeout 40m -v -run TestLoad ./$(W)

freight: ## the freight app at work, moved from standalone to Sentinel to Cluster with a failover in between; then every Redis killed: some six minutes
	@.ci/needs
	FREIGHT=1 go test -count 1 -timeout 30m -v -run 'TestFreight|TestEverythingDies' ./examples/freight

browser: ## in a headless Chromium (apt-get install chromium): the browser client of pubsub, and the freight app; SCREENSHOTS=DIR takes pictures of that
	@.ci/needs
	cd internal/browser && go vet ./... && BROWSER=1 go test -count 1 -p 1 -timeout 10m -v ./...

bench: ## figures; run nothing else meanwhile
	@.ci/needs
	go test -p 1 -run '^$$' -bench . -benchmem ./...

bench-failover: ## outages and losses, ours beside plain go-redis, in half an hour; run nothing else meanwhile
	@.ci/needs
	BENCH_FAILOVER=5 go test -count 1 -timeout 45m -v -run TestFailoverFigures ./internal/drill

deploy-check: ## all of deploy/: its settings and scripts as processes, alerts, Compose, Kubernetes, Terraform, Railway, scripts
	@.ci/needs promtool:prometheus shellcheck:shellcheck
	DEPLOY=1 go test -count 1 -timeout 10m ./deploy
	cd deploy/check && go vet ./... && go test -count 1 -timeout 10m -v ./...
	@echo "not run here, for it takes the services themselves: docker compose up, kubectl apply, terraform validate and apply, Railway"

lint:
	go run $(LINT) run ./...

cover: ## of the tests that need no server
	go test -short -coverprofile cover.out ./...
	go tool cover -func cover.out | tail -1
