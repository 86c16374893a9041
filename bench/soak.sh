#!/bin/sh
# Everything that fills memory at once: 10,000 idle connections, 1,000 clients that never read, 1,000 slow uploads, 500
# bodies of the largest size and answers with lines of 100 MiB, beside good clients. Fails when the process reaches 256 MiB
# resident, or when a good client is refused.
#
#   bench/soak.sh            about a minute
#   bench/soak.sh --short    a twentieth of it, within half a minute
#
# GATEHOUSE_BIN and GATEHOUSE_BENCH_DIR name binaries that are built already.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
[ -n "${GATEHOUSE_BIN:-}" ] || cargo build --release --quiet --package gatehouse --features engine
[ -n "${GATEHOUSE_BENCH_DIR:-}" ] || cargo build --release --quiet --package bench
gatehouse=${GATEHOUSE_BIN:-$target/release/gatehouse}
programs=${GATEHOUSE_BENCH_DIR:-$target/release}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The full form opens 13,000 connections on each side.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
timeout --kill-after=20 300 "$programs/soak" \
    --gatehouse "$gatehouse" --player "$programs/play-ollama" --folder "$folder" "$@"
