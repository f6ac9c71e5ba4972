# The verbs of this project; `make help` lists them.
.PHONY: help run test check bench lab crash saga

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: ## serve a shop on 127.0.0.1:8080, data in ./data
	cargo run --release --bin son7shop

# The crash test runs a server whose disk forgets what was not synced: feature `faults`.
TEST = --workspace --features son7shop-http/faults
test: ## every test; fetches the database servers that it needs
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run $(TEST) && cargo test $(TEST) --doc; \
	else cargo test $(TEST); fi

check: ## format, lints, and the dependencies' licences and advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features son7shop-http/faults -- -D warnings
	cargo clippy --package son7shop-http --bins -- -D warnings # what ships: without `faults`
	@if cargo deny --version >/dev/null 2>&1; \
	then cargo deny check; \
	else echo 'NOT RUN: cargo deny is not installed (cargo install cargo-deny)'; fi

bench: ## the speed table (about a quarter of an hour; leave the machine alone meanwhile)
	cargo build --release --bins --workspace
	target/release/speed

lab: ## this engine against everything else: a page in target/lab (45 minutes; LAB=--quick: three)
	cargo build --release --bins --workspace
	target/release/loadtest lab $(LAB)

ROUNDS ?= 1000
crash: ## kill -9 in the middle of load, ROUNDS=1000 times
	SON7_CRASH_ROUNDS=$(ROUNDS) cargo test -p son7shop-http --features faults --test crash -- --nocapture

SECONDS ?= 120
saga: ## 200 shoppers pay for two minutes (SECONDS=120): faults in pairs, kill -9, then verify --gateway
	SON7_SAGA_SECONDS=$(SECONDS) cargo test -p son7shop-http --features faults --test saga_crash -- --nocapture
