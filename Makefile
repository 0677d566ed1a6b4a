# Everything a newcomer needs; `make help` lists it.
GO    ?= go
# nodynamic: the WebP codec never loads a libwebp of the machine's own, so results are the same everywhere.
TAGS  := -tags nodynamic
FUZZ  ?= 30s
BUILD := $(GO) build $(TAGS) -trimpath

.PHONY: help build demo test test-setup bench fuzz lint golden clean lab-setup lab lab-questions lab-long
.DEFAULT_GOAL := help

help: ## list what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

build: ## bin/filigrane
	CGO_ENABLED=0 $(BUILD) -o bin/filigrane ./cmd/filigrane

demo: build ## the main job on the real photographs: out/demo/report.html and report.json
	bin/filigrane demo --force -o out/demo

test: test-setup ## all tests, the import law included
	$(GO) vet $(TAGS) ./...
	FILIGRANE_NEED_TOOLS=1 $(GO) test $(TAGS) -timeout 40m ./...

test-setup: bin/versitygw ## install what tests run against: exiftool, openssl, a PostgreSQL server, an S3 server
	@command -v exiftool >/dev/null && command -v openssl >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  root=$$([ $$(id -u) = 0 ] || echo sudo); $$root apt-get update -qq && $$root apt-get install -y -qq libimage-exiftool-perl postgresql openssl; }

bin/versitygw:
	@GOBIN=$(CURDIR)/bin $(GO) install github.com/versity/versitygw/cmd/versitygw@v1.8.0

bench: ## speed, on one core; figures are compared as ratios within one run
	GOMAXPROCS=1 $(GO) test $(TAGS) -run '^$$' -bench . -benchmem ./embed ./detect ./mark ./iscc ./internal/store/dir ./internal/store/s3 ./internal/registry ./internal/ingest ./internal/signal ./internal/raster ./internal/demo ./internal/intake ./proof/log ./proof/stamp

fuzz: ## every fuzz target for FUZZ (30s)
	@for p in $$($(GO) list $(TAGS) ./...); do \
	  for f in $$($(GO) test $(TAGS) -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test $(TAGS) -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) -fuzzminimizetime 10x -parallel 2 $$p || exit 1; \
	  done; done

lint: ## formatting, vet and staticcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet $(TAGS) ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 $(TAGS) ./...

golden: ## rebuild the vectors of the oracles; git must show no difference (needs python3-scipy python3-skimage python3-pil python3-cryptography openssl)
	testdata/oracles/make.py
	testdata/oracles/mark.py
	testdata/oracles/iscc.py
	testdata/oracles/quality.py
	proof/tlogproof/testdata/vectors.py
	git diff --exit-code testdata/oracles proof/tlogproof/testdata

lab-setup: ## install what the lab trains with: Debian's python3-torch
	@/usr/bin/python3 -c 'import torch, PIL' 2>/dev/null || { \
	  root=$$([ $$(id -u) = 0 ] || echo sudo); $$root apt-get update -qq && $$root apt-get install -y -qq python3-torch python3-pil; }

lab: build lab-setup ## train models on deliveries, read what they draw, write docs/lab.md: some 40 minutes on two idle cores
	/usr/bin/python3 -m unittest discover -q -s lab
	$(GO) build $(TAGS) -o bin/lab ./lab
	bin/lab run main
	bin/lab report

lab-questions: build lab-setup ## one more run for each question (an hour and a half)
	$(GO) build $(TAGS) -o bin/lab ./lab
	bin/lab run questions
	bin/lab report

lab-long: build lab-setup ## the same models trained longer (most of a day)
	$(GO) build $(TAGS) -o bin/lab ./lab
	bin/lab run long
	bin/lab report

clean: ## remove what was built, the lab's models included
	rm -rf bin out build
