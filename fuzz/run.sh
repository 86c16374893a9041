#!/bin/sh
# Runs every fuzz target for SECONDS (60 unless told) and prints one line each. Installs cargo-fuzz if it is missing.
# The targets need nightly flags; RUSTC_BOOTSTRAP lets the stable toolchain take them.
set -eu
seconds="${1:-60}"
cd "$(dirname "$0")"
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="$PWD/target"
if ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "fuzz: installing cargo-fuzz"
    cargo install cargo-fuzz --locked --quiet
fi
log="$CARGO_TARGET_DIR/fuzz.log"
mkdir -p "$CARGO_TARGET_DIR"
failed=0
for target in json ndjson sse request completions embeddings responses messages ollama models answers translate relay refusal; do
    mkdir -p "corpus/$target"
    if cargo fuzz run "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -dict=words.dict >"$log" 2>&1; then
        echo "fuzz $target: ok, $(grep -Eo 'Done [0-9]+ runs in [0-9]+ second' "$log" | tail -1 || true)"
    else
        echo "fuzz $target: FAILED"
        tail -40 "$log"
        failed=1
    fi
done
exit "$failed"
