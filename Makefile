# make: what a change has to pass before it is sent. `make real` needs Debian's
# dovecot-imapd, dovecot-pop3d, postfix, nginx, libnginx-mod-mail, haproxy and
# stunnel4, and root.

GO ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
FUZZTIME ?= 30s

PKG_VERSION = github.com/prometheus/common/version
LDFLAGS = -s -w -X $(PKG_VERSION).Version=$(VERSION) -X $(PKG_VERSION).Revision=$(REVISION)

.PHONY: all fmt vet lint platforms test race fuzz real bench build release generate demo clean

PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 \
	freebsd/amd64 freebsd/arm64 openbsd/amd64 openbsd/arm64 netbsd/amd64 netbsd/arm64

all: fmt vet lint test build

fmt: ## say which files gofmt would change
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt -w $$files"; exit 1; }

vet:
	$(GO) vet ./...

lint: ## .golangci.yml says what; the tool is built at the first run
	.ci/lint

platforms: ## builds and vets for each; .ci/platforms does so in a tenth of the time, without compiling
	@set -e; for p in $(PLATFORMS); do echo $$p; export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/}; $(GO) build ./...; $(GO) vet ./...; done

test:
	$(GO) test ./...

race:
	$(GO) test -race -shuffle=on ./...

fuzz: ## each fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

real: ## the tests against real servers; here it is a failure if they cannot run
	MAILPROBE_REAL=require $(GO) test -count=1 -run 'Real|Dovecot|Postfix|Nginx|TLSProxies' ./...

bench: ## whole processes against a hand-written dialogue; BLACKBOX names a blackbox_exporter
	$(GO) run ./internal/benchmark -blackbox '$(BLACKBOX)'

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o mailprobe .

release: ## archives, packages, SBOMs, chart and checksums of VERSION in ./dist
	deploy/release/build $(VERSION:v%=%) dist

generate: ## writes every file that is generated; a test names each one that is stale
	$(GO) test -count=1 ./mail -run 'TestDocs' -update
	$(GO) test -count=1 ./config -run 'TestSchemaFileIsUpToDate|TestReferenceIsUpToDate' -update
	$(GO) test -count=1 ./metrics -run 'TestDocumentationIsTheTable' -update
	$(GO) test -count=1 ./prober -run TestFaultsPageIsWritten -update
	$(GO) test -count=1 ./guard -run TestAttacksPageIsWritten -update
	$(GO) test -count=1 ./routes -run TestBreakagesPageIsWritten -update
	$(GO) test -count=1 . -run TestREADMEExplainsMetrics -update
	$(GO) generate ./...

demo:
	$(GO) run . demo

clean:
	rm -f mailprobe
