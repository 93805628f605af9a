# Set-up, demo and checks, each one command. `make` alone lists them.

SHELL := /bin/sh
CARGO ?= cargo
DEMO_DIR ?= demo
FUZZ_SECONDS ?= 180

VENV := $(CURDIR)/.venv
VENV_TORCH := $(CURDIR)/.venv-torch
VENV_SCALE := $(CURDIR)/.venv-scale
# The wheel's library carries its version in its name, so it is found by pattern, after set-up.
ORT_IN_VENV = $$(ls $(VENV)/lib*/python*/site-packages/onnxruntime/capi/libonnxruntime.so.* \
	$(VENV)/lib*/python*/site-packages/onnxruntime/capi/libonnxruntime.*.dylib 2>/dev/null | head -n 1)
# What is set already wins: another ONNX Runtime, another Python.
WITH_RUNTIME = ORT_DYLIB_PATH="$${ORT_DYLIB_PATH:-$(ORT_IN_VENV)}" \
	SALTWORKS_PYTHON="$${SALTWORKS_PYTHON:-$(VENV)/bin/python}"
# The Python tests run the programs that cargo built last.
WITH_PROGRAMS = $(WITH_RUNTIME) SALTWORKS_BIN="$${SALTWORKS_BIN:-$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug}"
SHARED_DATA ?= $(if $(SALTWORKS_SHARED_DATA),$(SALTWORKS_SHARED_DATA),$(CURDIR)/../shared/data)
# Every feature of Cargo.toml but `default`, so that a new one is checked without a line here.
FEATURES = $$(awk '/^\[/ { inside = ($$0 == "[features]") } \
	inside && /^[a-z]/ && $$1 != "default" { print $$1 }' Cargo.toml)

.PHONY: help setup setup-torch setup-scale demo test test-python test-torch scale-test lint lint-python doc check-features deny audit miri real-data real-data-torch bench dist wheel fuzz coverage

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv: ONNX Runtime, the tests' Parquet readers, Python's checks, pinned with hashes.
	@sh scripts/setup.sh

setup-torch: ## Make .venv-torch: the same with PyTorch, for test-torch (some 3 GB to fetch on Linux).
	@sh scripts/setup.sh torch

setup-scale: ## Make .venv-scale: the same with Ray, datatrove, an S3 server and the schemas of Kubernetes, for scale-test.
	@sh scripts/setup.sh scale

demo: setup ## From text to a report: SLM, labels, selection, LLMs with and without (CORPUS=PATH for your text, QUICK=1 for one minute).
	$(CARGO) build --locked --release --bins
	$(WITH_RUNTIME) $(CARGO) run --locked --release -- demo --output "$(DEMO_DIR)" $(if $(QUICK),--quick) $(if $(CORPUS),--corpus $(CORPUS))

test: setup ## Run every test but those with real data and those with PyTorch.
	$(WITH_RUNTIME) $(CARGO) test --locked
	$(MAKE) --no-print-directory test-python

# Those that need PyTorch are in python/tests/with_torch, those that need Ray and the like in python/tests/with_scale.
test-python: setup ## Run the Python package's tests that need no PyTorch.
	$(CARGO) build --locked --bins
	$(WITH_PROGRAMS) $(VENV)/bin/python -m pytest --ignore python/tests/with_torch \
		--ignore python/tests/with_titan --ignore python/tests/with_real_data --ignore python/tests/with_scale

test-torch: setup-torch ## Run the Python package's tests that need PyTorch, in .venv-torch.
	$(CARGO) build --locked --bins
	$(WITH_PROGRAMS) $(VENV_TORCH)/bin/python -m pytest python/tests/with_torch

scale-test: setup setup-scale ## Test labelling to an S3 server, and under the engines of deploy/: Ray, datatrove, the schemas of Kubernetes.
	$(CARGO) build --locked --bins
	SALTWORKS_MOTO_SERVER="$(VENV_SCALE)/bin/moto_server" $(WITH_RUNTIME) $(CARGO) test --locked --test objects -- --nocapture --test-threads=1
	$(WITH_PROGRAMS) $(VENV_SCALE)/bin/python -m pytest python/tests/with_scale

lint: ## rustfmt and clippy, warnings denied.
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

# mypy needs the types of PyTorch.
lint-python: setup-torch ## ruff, and mypy in its strict mode, over the Python package.
	$(VENV_TORCH)/bin/ruff format --check python
	$(VENV_TORCH)/bin/ruff check python
	$(VENV_TORCH)/bin/mypy

doc: ## Build the library's documentation, warnings denied.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib

check-features: ## Type-check with no features, and with each feature alone.
	$(CARGO) check --locked --no-default-features
	@for feature in $(FEATURES); do \
		echo "$(CARGO) check --no-default-features --features $$feature"; \
		$(CARGO) check --locked --no-default-features --features "$$feature" || exit 1; \
	done

# Built once into target/, from crates.io; the machine's own is used where there is one.
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY = $$(command -v cargo-deny || echo $(CURDIR)/target/tools/bin/cargo-deny)

target/tools/bin/cargo-deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --root target/tools \
		--target-dir target/tools/build cargo-deny --version $(CARGO_DENY_VERSION)
	@rm -rf target/tools/build

deny: target/tools/bin/cargo-deny ## Check licences, bans and sources of every dependency (deny.toml).
	"$(CARGO_DENY)" --locked check --hide-inclusion-graph licenses bans sources

audit: target/tools/bin/cargo-deny ## The same and RUSTSEC's advisories, which are fetched from GitHub.
	"$(CARGO_DENY)" --locked check --hide-inclusion-graph

# The unsafe code that calls nothing foreign: exp of `signals`; attention, shared, matmul, head and
# embed of the trainer. The rest (mmap, CUDA, ONNX Runtime, ioctl) Miri cannot run.
MIRI_TESTS := signals::exp train::ops

miri: ## Run the pure unsafe code under Miri (needs a nightly toolchain with the component miri).
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { echo "needs Miri: rustup toolchain install nightly --component miri" >&2; exit 1; }
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 \
		$(CARGO) +nightly miri test --locked --lib --no-default-features --features train -- $(MIRI_TESTS)

real-data: setup ## Check against real text and models (SHARED_DATA=DIR, default ../shared/data).
	@test -d "$(SHARED_DATA)" || { echo "no real data at $(SHARED_DATA): name it, SHARED_DATA=DIR" >&2; exit 1; }
	$(WITH_RUNTIME) SALTWORKS_SHARED_DATA="$(SHARED_DATA)" $(CARGO) test --locked --test real_data -- --nocapture

real-data-torch: setup-torch ## The same of the Python package, with PyTorch: labels of a real checkpoint by transformers' logits.
	@test -d "$(SHARED_DATA)" || { echo "no real data at $(SHARED_DATA): name it, SHARED_DATA=DIR" >&2; exit 1; }
	$(CARGO) build --locked --bins
	$(WITH_PROGRAMS) SALTWORKS_SHARED_DATA="$(SHARED_DATA)" $(VENV_TORCH)/bin/python -m pytest python/tests/with_real_data -s

bench: setup ## Run the benchmarks (release profile).
	$(WITH_RUNTIME) $(CARGO) bench --locked

dist: wheel ## Make dist/saltworks-VERSION-TARGET.tar.gz: the wheel's programs and ONNX Runtime, for glibc 2.28 (x86_64 Linux).
	@sh scripts/dist.sh

wheel: setup ## Make dist/saltworks_lm-*.whl (manylinux_2_28; ARCH=aarch64 cross-compiles) and the sdist, and try the wheel.
	@sh scripts/wheel.sh

fuzz: ## Fuzz every target for FUZZ_SECONDS (default 180) each.
	@command -v cargo-fuzz >/dev/null || { echo "needs cargo-fuzz: cargo install cargo-fuzz" >&2; exit 1; }
	@mkdir -p fuzz/corpus/shard
	@for kind in positions scores; do \
		cp fixtures/shard-v1/labels/$$kind/part-00000.parquet fuzz/corpus/shard/$$kind; done
	@for target in $$($(CARGO) fuzz list); do \
		$(CARGO) fuzz run --sanitizer none "$$target" -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

coverage: setup ## Measure which lines of the library the tests run.
	@command -v cargo-tarpaulin >/dev/null || { echo "needs cargo-tarpaulin: cargo install cargo-tarpaulin --locked" >&2; exit 1; }
	$(WITH_RUNTIME) $(CARGO) tarpaulin --engine llvm --follow-exec --lib --tests --skip-clean --locked \
		--exclude-files 'fuzz/*' 'benches/*' --timeout 600
