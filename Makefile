# Everything that a person runs here. `make help` lists it.

CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
# Where rustup puts cargo, for shells that do not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test e2e bench guard chaos compat lint audit clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: a C compiler, Rust, PostgreSQL's server
	@scripts/setup

run: setup ## Build, and start everything in the foreground, with simulated providers
	@$(CARGO) build --locked --release -p app -p app-apiserver -p app-processor -p provider-simulator
	@exec $(TARGET_DIR)/release/app up

test: setup ## Run every test against a real PostgreSQL (one of its own, or DATABASE_URL's)
	$(CARGO) build --locked --workspace --bins
	$(TARGET_DIR)/debug/test-database $(CARGO) test --locked --workspace

e2e: setup ## The console in a headless Chromium; screenshots are in target/e2e
	@scripts/setup-browser
	$(CARGO) build --locked -p app
	@cd e2e && npm ci --silent --no-audit --no-fund && npm test

bench: setup ## Measure ours, limits and peers in turns; ARGS="--quick" for a short look, "--help" for more
	@$(CARGO) build --locked --release --workspace --bins
	@$(TARGET_DIR)/release/bench $(ARGS)

guard: setup ## A minute of ratios that tell a regression of speed on a noisy machine too; CI runs it
	@$(CARGO) build --locked --release -p app-apiserver -p app-processor -p provider-simulator -p bench
	@$(TARGET_DIR)/release/bench --guard

chaos: setup ## Kill and hinder everything, and check what must hold; ARGS="--list" lists the scenarios
	@scripts/setup-chaos
	@$(CARGO) build --locked --release --workspace --bins
	@$(TARGET_DIR)/release/chaos $(ARGS)

compat: setup ## Run an older version's binaries on this schema: the newest tag, or REF=<commit>
	@$(CARGO) build --locked -p app -p testkit --bins
	@$(TARGET_DIR)/debug/test-database scripts/compat

lint: setup ## Check format and warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

audit: setup ## Check dependencies: licences, sources, duplicates; vulnerabilities where ADVISORY_DB names a database
	@scripts/setup-audit
	@scripts/audit

clean: ## Back to a fresh clone: build and data are removed
	@scripts/remove-data
	rm -rf $(TARGET_DIR)
