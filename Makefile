# The menu. What is behind an entry is a script in scripts/, bench/, fuzz/ or tests/, or `cargo xtask`.
#
#   make run                      a model, the gateway and a chat page on this machine
#   MODEL=qwen3-0.6b make run     with another model of `gatehouse engine list`
#   PORT=8081 make run            with the page on another port

.DEFAULT_GOAL := help
.PHONY: help run test sim bench soak agents lint fuzz web dist clean

PORT ?= 8080
MODEL ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEASE := cargo build --release --package gatehouse --features engine

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set up, build and start everything on this machine (PORT, MODEL)
	@scripts/setup.sh run
	@scripts/web.sh
	@$(RELEASE)
	@exec $(TARGET)/release/gatehouse up --data-dir var --port $(PORT) $(if $(MODEL),--model $(MODEL))

test: ## set up, build and run every test
	@scripts/setup.sh test
	@scripts/web.sh
	@scripts/test.sh

sim: ## 4,096 random lives of what decides who is served, and ten million names through its tables
	@GATEHOUSE_SIM_SEEDS=4096 GATEHOUSE_SIM_STRANGERS=10000000 cargo test --package gateway --test sim
	@GATEHOUSE_SIM_SEEDS=4096 cargo test --package gateway --lib admit::

bench: ## measure against nginx as a plain proxy and no proxy at all
	@scripts/setup.sh test
	@scripts/web.sh
	@bench/run.sh

soak: ## everything that fills memory at once, under a ceiling of 256 MiB
	@scripts/setup.sh test
	@scripts/web.sh
	@bench/soak.sh

agents: ## Codex and Claude Code against the gateway; installs 700 MB of programs
	@scripts/setup.sh test
	@npm --prefix tests/agents install --no-audit --no-fund --no-package-lock --loglevel=error
	@tests/run.sh -m agents

lint: web ## formatting, clippy, the rules of the house, the page's own checks
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	@cargo xtask tidy
	@npm --prefix web run --silent check

fuzz: ## every fuzz target for a minute
	@fuzz/run.sh 60

web: ## build the page into web/dist
	@scripts/setup.sh web
	@scripts/web.sh

dist: ## what is handed out, in target/dist: .deb, tarballs, bill of materials, SHA256SUMS
	@scripts/setup.sh run
	@scripts/web.sh
	@cargo xtask dist

clean: ## remove what was built; var/ (keys, chats) stays
	@cargo clean
	@rm -rf web/dist web/node_modules fuzz/target tests/.venv tests/node/node_modules tests/clients/.envs tests/clients/node/node_modules tests/agents/node_modules tests/out
