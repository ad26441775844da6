# The commands of the README. `make help` lists them.

# Where cargo builds; the user may have moved it.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Prints the path of a nats-server, installing one where there is none.
BROKER := NATS_SERVER="$$(deploy/nats-server.sh)" && export NATS_SERVER
# The debug binary, for what drives it from outside.
BINARY := SHIPWATCH_BIN="$$(cd $(TARGET)/debug && pwd)/shipwatch" && export SHIPWATCH_BIN

.DEFAULT_GOAL := help
.PHONY: help demo test screenshots deploy-check fuzz bench lint fmt

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Play an afternoon of deliveries and watch issues open and close (ONESHOT=1 ends by itself)
	@$(BROKER) && cargo build --release --locked --bin shipwatch \
		&& exec $(TARGET)/release/shipwatch demo $(if $(filter-out 0 no false,$(ONESHOT)),--oneshot) $(DEMO_ARGS)

test: lint ## Formatting, lints, documentation and all tests
	@$(BROKER) && echo "with $$NATS_SERVER, $$($$NATS_SERVER --version)" \
		&& cargo test --locked --doc --quiet \
		&& if cargo nextest --version >/dev/null 2>&1; \
			then cargo nextest run --locked --no-fail-fast $(TEST_ARGS); \
			else cargo test --locked --no-fail-fast --lib --bins --tests $(TEST_ARGS); fi \
		&& cargo build --locked --bin shipwatch --quiet && $(BINARY) && tests/page/run.sh test

screenshots: ## Pictures of the page with few and many issues, wide and narrow, light and dark, in tests/shots
	@$(BROKER) && cargo build --locked --bin shipwatch && $(BINARY) && PAGE_TESTS=required tests/page/run.sh shots

deploy-check: ## Check what deploy/ ships, with the tools that are here
	@deploy/check.sh

fuzz: ## Feed rule files, webhook files and events whatever breaks their readers, a minute each (FUZZ_SECONDS=60)
	fuzz/run.sh $(or $(FUZZ_SECONDS),60)

bench: ## Measure the transport alone and Shipwatch on one broker, side by side; then the fold with few and many rules
	@$(BROKER) && cargo bench --locked --bench throughput $(if $(BENCH_ARGS),-- $(BENCH_ARGS))
	@cargo bench --locked --bench fold

lint: ## Formatting, clippy and rustdoc, warnings as errors
	cargo fmt --check && cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

fmt: ## Format the code
	cargo fmt && cargo fmt --manifest-path fuzz/Cargo.toml
