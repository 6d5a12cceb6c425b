# bike-edge: `make demo` shows it, `make test` tests it, `make ci` runs on every change.
# Each target installs what it needs, or names it.

CARGO ?= cargo
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release/bike-edge
VENV := models/export/.venv
PYTHON := $(VENV)/bin/python
HOST_PYTHON ?= python3
LINT := .cache/lint
PYTHON_CODE := models/export benches docs tests/data board tools
PYTEST = cd models/export && OMP_NUM_THREADS=$$(nproc) BIKE_EDGE=$(if $(wildcard $(BIN)),$(abspath $(BIN))) .venv/bin/python -m pytest -q

# Every target but the stamps of the Python environments is phony.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(MAKEFILE_LIST))

help:            ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "%-24s %s\n", $$1, $$2 }'

setup:           ## Check Rust, install a C++ compiler, libclang and nasm if they are missing
	@./board/setup.sh

build: setup     ## Build the binary, target/release/bike-edge
	$(CARGO) build --release --locked

demo: build      ## Classify a real clip with the embedded model
	@clip=$$(./board/demo-clip.sh) && \
	printf '\n$$ bike-edge classify %s\n' "$$clip" && $(BIN) classify "$$clip" && \
	printf '\n$$ bike-edge watch %s --steps    (first fields of each line)\n' "$$clip" && \
	$(BIN) watch "$$clip" --steps --top 1 | sed 's/,"results".*/ .../' && \
	printf '\nYour own clips: %s classify CLIP...   All commands: %s --help\n' "$(BIN)" "$(BIN)"

test: setup      ## Run all Rust tests, the examples in the documentation and the programs in examples/
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --release --locked; \
	else \
		$(CARGO) test --release --locked --no-fail-fast --lib --bins --tests; \
	fi
	$(CARGO) test --release --locked --doc
	$(CARGO) run --release --locked --quiet --example classify_clip -- tests/data/clip.mp4
	$(CARGO) run --release --locked --quiet --example watch_stream -- tests/data/clip.mp4
	$(CARGO) run --release --locked --quiet --example score_embeddings

lint: lint-scripts lint-python lint-words check-structure ## Check formatting, clippy, docs, scripts, Python, wording, structure
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --release --locked --no-deps --document-private-items

lint-scripts:    ## Run shellcheck on all shell scripts
	@command -v shellcheck >/dev/null || board/install-packages.sh shellcheck
	shellcheck -x $$(git ls-files --cached --others --exclude-standard '*.sh' .ci/run board/deb | sort -u | while read -r f; do [ ! -e "$$f" ] || echo "$$f"; done)

lint-python: $(LINT)/.stamp ## Run ruff on all Python code (ruff.toml)
	$(LINT)/bin/ruff check --quiet --cache-dir $(LINT)/ruff $(PYTHON_CODE)
	$(LINT)/bin/ruff format --check --quiet --cache-dir $(LINT)/ruff $(PYTHON_CODE)

lint-words:      ## Check comments, messages and docs for words that tools/words.txt replaces
	tools/check-words.sh

check-structure: ## Check import cycles, clap outside the command line, file sizes and the library's dependencies
	@python3 -c '' 2>/dev/null || board/install-packages.sh python3
	python3 tools/check-structure.py

# The stamp comes last, so that an interrupted installation is repeated.
$(LINT)/.stamp: tools/requirements.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || board/install-packages.sh python3-venv
	python3 -m venv $(LINT)
	$(LINT)/bin/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt
	@touch $@

fmt:             ## Format the Rust code
	$(CARGO) fmt

ci: setup        ## Run every check of a change
	$(MAKE) lint
	$(MAKE) build
	$(MAKE) check-cli
	$(MAKE) test
	fuzz/run.sh 5
	$(MAKE) check-devices
	$(MAKE) test-arm
	$(MAKE) test-camera
	$(MAKE) test-export

check-cli: build ## Run the main commands of the binary
	$(BIN) doctor
	$(BIN) bundle verify embedded
	$(BIN) classify tests/data/clip.mp4
	$(BIN) watch tests/data/clip.mp4
	$(BIN) check-config board/bike-edge.toml
	$(BIN) bench --runs 10

fuzz: setup      ## Fuzz the parsers of outside files: make fuzz MINUTES=5 (for each target), TARGETS="mp4 gif"
	fuzz/run.sh $$(( $(or $(MINUTES),1) * 60 )) $(TARGETS)

chaos: setup     ## Run the service among failing programs, disks, clocks and a real RTSP server (under ten minutes)
	board/install-packages.sh ffmpeg python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly
	BIKE_EDGE_CHAOS=1 $(CARGO) test --release --locked --test integration chaos:: -- --nocapture --test-threads 2

test-camera: setup ## Test the ARM binary with virtual V4L2 cameras, in an emulator with Debian's kernel
	board/toolchain.sh setup aarch64
	board/toolchain.sh cargo aarch64 build --release --locked --bin bike-edge
	board/test-camera/run.sh arm64 $(TARGET)/aarch64-unknown-linux-gnu/release/bike-edge

dist: setup      ## Build the smaller binary for releases, target/dist/bike-edge
	$(CARGO) build --profile dist --locked
	@ls -l $(TARGET)/dist/bike-edge

cross: setup     ## Build for ARM boards, target/{aarch64-unknown-linux-gnu,armv7-unknown-linux-gnueabihf}/release/bike-edge
	./board/toolchain.sh setup aarch64 armv7
	./board/toolchain.sh cargo aarch64 build --release --locked
	./board/toolchain.sh cargo armv7 build --release --locked
	@ls -l $(TARGET)/*-linux-*/release/bike-edge

test-arm: build  ## Run the numeric tests on emulated ARM processors: NEON, SDOT, I8MM
	./board/toolchain.sh setup aarch64
	./board/test-arm.sh numeric

arm-instructions: setup ## Count instructions per frame on ARM (docs/measurements/performance.md)
	./board/arm-instructions.sh

check-devices: setup ## Check that the builds for GPUs compile
	$(CARGO) check --release --locked --features cuda-13000
	$(CARGO) check --release --locked --features cuda-12000
	$(CARGO) check --release --locked --features metal

test-gpu: setup  ## Compare this machine's GPU with its CPU; fails without a GPU (CUDA=12000 for CUDA 12)
	BIKE_EDGE_NEED_GPU=1 $(CARGO) test --release --locked --features $(if $(filter Darwin,$(shell uname)),metal,cuda-$(or $(CUDA),13000)) \
		--test integration devices:: -- --nocapture

test-arm-full: test-arm ## Run the other tests on emulated aarch64 and armv7 too (WITH_PROGRAM=1: also those that start the program, hours)
	./board/toolchain.sh setup aarch64 armv7
	./board/test-arm.sh whole

install: build   ## Install binary, man pages and completions under PREFIX (/usr/local)
	install -Dm755 $(BIN) $(DESTDIR)$(PREFIX)/bin/bike-edge
	board/install-pages.sh $(BIN) $(DESTDIR)$(PREFIX)/share zsh/site-functions

eval-events: build ## Measure events on streams concatenated from labelled clips: make eval-events CLIPS=folder-or-list
	@test -n "$(CLIPS)" || { echo "eval-events: no clips; name a list of labelled clips (path,label): make eval-events CLIPS=clips.csv"; exit 2; }
	$(BIN) eval-events $(CLIPS)

bench: bench-parts bench-networks bench-clips ## Measure parts, networks and clips for docs/measurements/performance.md (half an hour, on an idle machine)

bench-parts: build ## Measure kernels, preprocessing, spotting, retrieval, and the stages of the demo model
	$(CARGO) bench --profile release --locked --bench kernels --bench preprocess --bench spotting --bench retrieval
	$(BIN) bench --threads 1
	$(BIN) bench --threads 2

bench-networks: setup export-env ## Measure networks against onnxruntime and rten in turns, for docs/measurements/performance.md
	$(CARGO) bench --profile release --locked --bench network --no-run --message-format json | \
		sed -n 's/.*"executable":"\([^"]*network-[^"]*\)".*/\1/p' | tail -1 > $(TARGET)/network-bench
	cd benches/rten && $(CARGO) build --release --locked --target-dir $(abspath $(TARGET))/rten
	$(PYTHON) benches/make_vit.py $(TARGET)/vit b32 b16 header demo > $(TARGET)/vit.log 2>&1
	$(PYTHON) benches/table.py $(TARGET)/vit --ours "$$(cat $(TARGET)/network-bench)" --rten $(TARGET)/rten/release/rten-runner --write docs/measurements/performance.md
	$(PYTHON) benches/exactness.py $(TARGET)/vit b32 b16 header --ours "$$(cat $(TARGET)/network-bench)"

bench-clips: build export-env ## Measure whole clips against the reference in PyTorch: make bench-clips CLIPS=...
	$(PYTHON) benches/whole_clip.py $(or $(CLIPS),tests/data/clip.mp4) --binary $(BIN)

picture: build   ## Redraw docs/terminal.svg
	cp "$$(./board/demo-clip.sh)" $(TARGET)/street.mp4
	cd $(TARGET) && python3 $(CURDIR)/docs/make_picture.py $(CURDIR)/docs/terminal.svg --bin release/bike-edge \
		'bike-edge classify street.mp4' \
		'bike-edge classify street.mp4 --top 3 --categories "driving a car,riding a bicycle,a street,a garden"'

export-env: $(VENV)/.stamp ## Install the exporter's pinned Python packages in models/export/.venv (6 GB)

# Repeated when a pin changes. The stamp comes last, so that an interrupted installation is repeated.
$(VENV)/.stamp: models/export/requirements.txt models/export/requirements-test.txt
	@$(HOST_PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "export-env: Python 3.11 or newer with venv not found; install it (apt install python3-venv) or set HOST_PYTHON=..."; exit 1; }
	test -x $(PYTHON) || $(HOST_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet -r models/export/requirements-test.txt
	@touch $@

demo-bundle: export-env ## Export models/demo, the embedded model, from its recipe
	cd models/export && .venv/bin/python -m bike_export demo

# Activities and background are the categories of the demo model, and its phrases are the lexicon.
clip: build export-env ## Export a CLIP from a model hub, 0.6 GB, and classify a clip: make clip MODEL=hf:OWNER/NAME CLIP=file
	@mkdir -p .cache/clip
	@sed '/^#/d; /^$$/d; s/"/""/g' models/lexicon/categories/activities.txt models/lexicon/categories/background.txt | \
		awk 'BEGIN { print "id,name" } { printf "%d,\"%s\"\n", NR - 1, $$0 }' > .cache/clip/labels.csv
	@sed '/^#/d; /^$$/d' models/lexicon/*.txt | LC_ALL=C sort -fu > .cache/clip/lexicon.txt
	cd models/export && .venv/bin/python -m bike_export $(or $(MODEL),hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K) \
		--labels $(abspath .cache/clip/labels.csv) --lexicon $(abspath .cache/clip/lexicon.txt) --no-composer \
		--keep-text --threads $$(nproc) --out $(abspath .cache/clip/bundle) --force
	$(BIN) bundle verify .cache/clip/bundle
	$(BIN) classify $(or $(CLIP),tests/data/clip.mp4) --bundle .cache/clip/bundle

test-export: export-env ## Test the exporter with tiny models and one B/32, and with the binary if it is built
	$(PYTEST) -m "not slow"

test-export-full: export-env ## Test the exporter at full size too: B/16, L/14 and a new export of the demo
	$(PYTEST) -m "slow or not slow"

clean:           ## Remove builds and downloads
	$(CARGO) clean
	rm -rf .cache

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ARM64_BIN := $(TARGET)/aarch64-unknown-linux-gnu/release/bike-edge

deb: build       ## Build the Debian package, target/deb; for arm64 too if `make cross` has built the binary
	board/deb/build.sh $(BIN) $$(dpkg --print-architecture) $(TARGET)/deb
	@if [ -x $(ARM64_BIN) ] && [ "$$(dpkg --print-architecture)" != arm64 ]; then \
		if [ -n "$$(find src build build.rs models/demo Cargo.toml Cargo.lock -newer $(ARM64_BIN) -type f | head -n 1)" ]; then \
			echo "deb: no package for arm64, because $(ARM64_BIN) is older than its sources; run make cross"; \
		else \
			board/deb/build.sh $(ARM64_BIN) arm64 $(TARGET)/deb $(BIN); \
		fi; \
	fi

test-deb: deb    ## Install, run, upgrade, remove and purge the packages in a fresh Debian (root)
	@for package in $(TARGET)/deb/bike-edge_$(VERSION)_*.deb; do board/deb/test.sh $$package || exit 1; done

test-service: setup ## Test the installed service under systemd, in an emulator with a virtual camera (root)
	$(MAKE) build
	board/toolchain.sh setup aarch64
	board/toolchain.sh cargo aarch64 build --release --locked --bin bike-edge
	board/deb/build.sh $(ARM64_BIN) arm64 $(TARGET)/deb $(BIN)
	board/test-service/run.sh arm64 $(TARGET)/deb/bike-edge_$(VERSION)_arm64.deb

soak: setup      ## Check that memory stays constant over a million frames and SOAK_SECONDS (3600) of the demo model (docs/reliability.md)
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} nice -n 19 $(CARGO) test --release --locked --test integration -- --ignored --nocapture --test-threads=1 soak::
