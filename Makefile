# bike-edge: `make demo` shows it, `make test` proves it, `make ci` is what runs on every change.
# Each target installs or names what it needs.

CARGO ?= cargo
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release/bike-edge
VENV := models/export/.venv
PYTHON := $(VENV)/bin/python
HOST_PYTHON ?= python3
PYTEST = cd models/export && OMP_NUM_THREADS=$$(nproc) BIKE_EDGE=$(if $(wildcard $(BIN)),$(abspath $(BIN))) .venv/bin/python -m pytest -q

# No target is a file but the stamp of the Python environment.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(MAKEFILE_LIST))

help:            ## Say what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup:           ## Check Rust, install a C++ compiler, libclang and nasm where they are missing
	@./board/setup.sh

build: setup     ## Build the binary, target/release/bike-edge
	$(CARGO) build --release --locked

demo: build      ## Recognise a real clip with the model inside the binary
	@clip=$$(./board/demo-clip.sh) && \
	printf '\n$$ bike-edge classify %s\n' "$$clip" && $(BIN) classify "$$clip" && \
	printf '\n$$ bike-edge watch %s --steps    (first fields of each line)\n' "$$clip" && \
	$(BIN) watch "$$clip" --steps --top 1 | sed 's/,"results".*/ .../' && \
	printf '\nYour own clips: %s classify CLIP...   What else: %s --help\n' "$(BIN)" "$(BIN)"

test: setup      ## Run all tests that need no Python
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --release --locked; \
	else \
		$(CARGO) test --release --locked --no-fail-fast; \
	fi

lint:            ## Formatting, clippy and docs, warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --release --locked --no-deps --document-private-items

fmt:             ## Format the sources
	$(CARGO) fmt

ci: setup        ## What runs on every change
	$(MAKE) lint
	$(MAKE) build
	$(MAKE) check-cli
	$(MAKE) test
	$(MAKE) check-devices
	$(MAKE) test-arm
	$(MAKE) test-camera
	$(MAKE) test-export

check-cli: build ## Run the binary as a person would
	$(BIN) doctor
	$(BIN) bundle verify embedded
	$(BIN) classify tests/data/clip.mp4
	$(BIN) watch tests/data/clip.mp4
	$(BIN) check-config board/bike-edge.toml
	$(BIN) bench --runs 10

test-camera: setup ## Run the ARM binary on a virtual V4L2 camera: Debian's kernel and vivid in an emulator
	board/toolchain.sh setup aarch64
	board/toolchain.sh cargo aarch64 build --release --locked --bin bike-edge
	board/test-camera/run.sh arm64 $(TARGET)/aarch64-unknown-linux-gnu/release/bike-edge

dist: setup      ## Build the smaller binary that is shipped, target/dist/bike-edge
	$(CARGO) build --profile dist --locked
	@ls -l $(TARGET)/dist/bike-edge

cross: setup     ## Build for ARM boards, target/{aarch64-unknown-linux-gnu,armv7-unknown-linux-gnueabihf}/release/bike-edge
	./board/toolchain.sh setup aarch64 armv7
	./board/toolchain.sh cargo aarch64 build --release --locked
	./board/toolchain.sh cargo armv7 build --release --locked
	@ls -l $(TARGET)/*-linux-*/release/bike-edge

test-arm: build  ## Test what computes on emulated ARM processors: NEON, SDOT, I8MM
	./board/toolchain.sh setup aarch64
	./board/test-arm.sh numeric

arm-instructions: setup ## Count instructions a frame on ARM (docs/performance.md)
	./board/arm-instructions.sh

check-devices: setup ## Check that the builds for GPUs compile
	$(CARGO) check --release --locked --features cuda-13000
	$(CARGO) check --release --locked --features cuda-12000
	$(CARGO) check --release --locked --features metal

test-gpu: setup  ## Compare this machine's GPU with its CPU, and fail where there is none (CUDA=12000 for CUDA 12)
	BIKE_EDGE_NEED_GPU=1 $(CARGO) test --release --locked --features $(if $(filter Darwin,$(shell uname)),metal,cuda-$(or $(CUDA),13000)) \
		--test promises devices:: -- --nocapture

test-arm-full: test-arm ## Test the rest on ARM too, aarch64 and armv7 (WITH_PROGRAM=1: what starts the program as well, hours)
	./board/toolchain.sh setup aarch64 armv7
	./board/test-arm.sh whole

install: build   ## Install binary, man pages and completions under PREFIX (/usr/local)
	install -Dm755 $(BIN) $(DESTDIR)$(PREFIX)/bin/bike-edge
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BIN) man > $(DESTDIR)$(PREFIX)/share/man/man1/bike-edge.1
	for c in classify watch run eval quality calibrate bench bundle camera check-config doctor; do $(BIN) man $$c > $(DESTDIR)$(PREFIX)/share/man/man1/bike-edge-$$c.1; done
	$(BIN) completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bike-edge

quality: build   ## Measure events on streams glued from labelled clips: make quality CLIPS=folder-or-list
	@test -n "$(CLIPS)" || { echo "quality: name a list of labelled clips (path,label): make quality CLIPS=clips.csv"; exit 2; }
	$(BIN) quality $(CLIPS)

bench: bench-parts bench-networks bench-clips ## Measure parts, networks and clips for docs/performance.md (half an hour, on a quiet machine)

bench-parts: build ## Measure kernels, preprocessing, spotting, retrieval, and the stages of the demo model
	$(CARGO) bench --profile release --locked --bench kernels --bench preprocess --bench spotting --bench retrieval
	$(BIN) bench --threads 1
	$(BIN) bench --threads 2

bench-networks: setup export-env ## Measure networks against onnxruntime and rten in turns, into docs/performance.md
	$(CARGO) bench --profile release --locked --bench network --no-run --message-format json | \
		sed -n 's/.*"executable":"\([^"]*network-[^"]*\)".*/\1/p' | tail -1 > $(TARGET)/network-bench
	cd benches/rten && $(CARGO) build --release --locked --target-dir $(abspath $(TARGET))/rten
	$(PYTHON) benches/make_vit.py $(TARGET)/vit b32 b16 header demo > $(TARGET)/vit.log 2>&1
	$(PYTHON) benches/table.py $(TARGET)/vit --ours "$$(cat $(TARGET)/network-bench)" --rten $(TARGET)/rten/release/rten-runner --write docs/performance.md
	$(PYTHON) benches/exactness.py $(TARGET)/vit b32 b16 header --ours "$$(cat $(TARGET)/network-bench)"

bench-clips: build export-env ## Measure whole clips against the reference's steps in PyTorch: make bench-clips CLIPS=...
	$(PYTHON) benches/whole_clip.py $(or $(CLIPS),tests/data/clip.mp4) --binary $(BIN)

picture: build   ## Draw docs/terminal.svg anew
	cp "$$(./board/demo-clip.sh)" $(TARGET)/street.mp4
	cd $(TARGET) && python3 $(CURDIR)/docs/make_picture.py $(CURDIR)/docs/terminal.svg --bin release/bike-edge \
		'bike-edge classify street.mp4' \
		'bike-edge classify street.mp4 --top 3 --categories "driving a car,riding a bicycle,a street,a garden"'

export-env: $(VENV)/.stamp ## Set up Python for the exporter, pinned, in models/export/.venv (6 GB)

# Made again when a pin changes. The stamp comes last, so that what was broken off is not taken for done.
$(VENV)/.stamp: models/export/requirements.txt models/export/requirements-test.txt
	@$(HOST_PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "export-env: needs Python 3.11 or newer with venv (apt install python3-venv), or HOST_PYTHON=..."; exit 1; }
	test -x $(PYTHON) || $(HOST_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet -r models/export/requirements-test.txt
	@touch $@

demo-bundle: export-env ## Make models/demo, the model inside the binary, from its recipe
	cd models/export && .venv/bin/python -m bike_export demo

test-export: export-env ## Test the exporter: tiny models and one B/32, and the binary where it is built
	$(PYTEST) -m "not slow"

test-export-full: export-env ## Test the exporter at full size too: B/16, L/14 and the demo made anew
	$(PYTEST) -m "slow or not slow"

clean:           ## Remove what was built and fetched
	$(CARGO) clean
	rm -rf .cache

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ARM64_BIN := $(TARGET)/aarch64-unknown-linux-gnu/release/bike-edge

deb: build       ## Make the Debian package, target/deb; for arm64 too where `make cross` has built it
	board/deb/build.sh $(BIN) $$(dpkg --print-architecture) $(TARGET)/deb
	@if [ -x $(ARM64_BIN) ] && [ "$$(dpkg --print-architecture)" != arm64 ]; then \
		if [ -n "$$(find src build build.rs models/demo Cargo.toml Cargo.lock -newer $(ARM64_BIN) -type f | head -n 1)" ]; then \
			echo "no package for arm64: $(ARM64_BIN) is older than its sources; make cross"; \
		else \
			board/deb/build.sh $(ARM64_BIN) arm64 $(TARGET)/deb $(BIN); \
		fi; \
	fi

test-deb: deb    ## Install, run, upgrade, remove and purge the packages in a fresh Debian (root)
	@for package in $(TARGET)/deb/bike-edge_$(VERSION)_*.deb; do board/deb/test.sh $$package || exit 1; done

test-service: setup ## Work the installed service under a real systemd, in an emulator with a virtual camera (root)
	$(MAKE) build
	board/toolchain.sh setup aarch64
	board/toolchain.sh cargo aarch64 build --release --locked --bin bike-edge
	board/deb/build.sh $(ARM64_BIN) arm64 $(TARGET)/deb $(BIN)
	board/test-service/run.sh arm64 $(TARGET)/deb/bike-edge_$(VERSION)_arm64.deb

soak: setup      ## A million frames and SOAK_SECONDS (3600) of the demo model with flat memory (docs/reliability.md)
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} nice -n 19 $(CARGO) test --release --locked --test promises -- --ignored --nocapture --test-threads=1 soak::
