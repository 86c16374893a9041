#!/bin/sh
# The benchmark: the played Ollama directly, nginx as a plain proxy, Gatehouse with everything on, and what ends TLS in front
# of it; tables of Markdown.
#
#   bench/run.sh            about fifteen minutes
#   bench/run.sh --quick    about three
#   bench/run.sh --only json
#   bench/run.sh --only https
#
# The proxies get one processor, the generator and the player the other; with a single processor all share it. Any lost
# token or wrong status fails the run. Everything runs on loopback, from a folder that is removed afterwards.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

need() { command -v "$1" >/dev/null 2>&1 || { echo "bench/run.sh needs $1: apt-get install $2" >&2; exit 3; }; }
PATH=$PATH:/usr/sbin:/sbin
need nginx nginx-light
need taskset util-linux
need timeout coreutils

target=${CARGO_TARGET_DIR:-$root/target}
# A binary that is not named is built, which costs nothing when it is fresh.
[ -n "${GATEHOUSE_BIN:-}" ] || cargo build --release --quiet --package gatehouse --features engine
gatehouse=${GATEHOUSE_BIN:-$target/release/gatehouse}
cargo build --release --quiet --package bench

folder=$(mktemp -d)
keep=${GATEHOUSE_BENCH_KEEP:-}
trap '[ -n "$keep" ] || rm -rf "$folder"' EXIT
# nginx drops root for its workers, which have to reach their folder.
chmod 755 "$folder"

# 5,000 streams through a proxy are 20,000 descriptors on this machine, 10,000 of them in one process.
ulimit -n 32768 2>/dev/null || ulimit -n "$(ulimit -Hn)"

pin=""
processor=""
if [ "$(nproc)" -ge 2 ]; then
    pin="taskset -c 1"
    processor="--proxy-processor 0"
fi

# shellcheck disable=SC2086
timeout --kill-after=20 1500 $pin "$target/release/bench" \
    --gatehouse "$gatehouse" --player "$target/release/play-ollama" --nginx "$(command -v nginx)" \
    --folder "$folder" $processor "$@"
echo "Command: bench/run.sh $*. $(nginx -v 2>&1 | sed 's/nginx version: //'), one worker; Gatehouse $("$gatehouse" --version 2>/dev/null | head -1), one thread."
