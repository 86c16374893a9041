#!/bin/sh
# Every test there is, in the order in which failures are cheapest: Rust, the page, then the release binary from outside.
#
# `make test` calls this after the set-up. Each part prints its own summary; the last line counts the parts.
set -eu
cd "$(dirname "$0")/.."
began=$(date +%s)
parts=0

part() {
    title=$1
    shift
    at=$(date +%s)
    echo "== $title"
    if ! "$@"; then
        echo "== $title: FAILED after $(($(date +%s) - at)) s"
        echo "test result: FAILED. $parts parts passed, 1 failed"
        exit 1
    fi
    echo "== $title: passed in $(($(date +%s) - at)) s"
    parts=$((parts + 1))
}

# Shape, not facts: the model is small. The weights are fetched once and kept in the user's cache.
real_model() {
    "${CARGO_TARGET_DIR:-target}/release/gatehouse" engine pull smollm2-135m || return 1
    GATEHOUSE_TEST_MODEL="${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse/models/SmolLM2-135M-Instruct.Q4_1.gguf" \
        cargo test --release --quiet --package engine --features llama --test real_model
}

part "Rust, all crates" cargo test --workspace --quiet
part "the page" npm --prefix web test --silent
part "release binary with the engine" cargo build --release --quiet --package gatehouse --features engine
part "the embedded model, for real" real_model
part "end to end on the release binary" tests/run.sh
echo "test result: ok. $parts parts passed, 0 failed, in $(($(date +%s) - began)) s"
