#!/bin/sh
# The end-to-end tests on the release binary: official SDKs, vectors over HTTP, faults, raw sockets, a real browser.
#
#   tests/run.sh                      everything
#   tests/run.sh -k faults            arguments go to pytest
#   tests/run.sh -m "not clients"     without installing and running other people's clients
#   GATEHOUSE_BIN=/path tests/run.sh  another binary
#
# Makes what it needs: a Python environment beside this file, the Node packages, the player and the binary.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
cd "$root"

need() { command -v "$1" >/dev/null 2>&1 || { echo "tests/run.sh needs $1: apt-get install $2" >&2; exit 3; }; }
need python3 "python3 python3-venv"
need node nodejs
need npm npm
need curl curl
# Debian keeps it where only root looks.
PATH=$PATH:/usr/sbin
need nginx nginx-light
need cargo "(see https://rustup.rs)"

target=${CARGO_TARGET_DIR:-$root/target}
# What is not named is built, which costs nothing when it is fresh: a stale binary proves nothing.
[ -n "${GATEHOUSE_BIN:-}" ] || cargo build --release --quiet --package gatehouse --features engine
[ -n "${PLAY_OLLAMA_BIN:-}" ] || cargo build --release --quiet --package bench --bin play-ollama --bin soak
export GATEHOUSE_BIN="${GATEHOUSE_BIN:-$target/release/gatehouse}"
export PLAY_OLLAMA_BIN="${PLAY_OLLAMA_BIN:-$target/release/play-ollama}"
# What packs the binary under test; it is itself not under test, so it need not be fast.
[ -n "${XTASK_BIN:-}" ] || cargo build --quiet --package xtask
export XTASK_BIN="${XTASK_BIN:-$target/debug/xtask}"

venv=${GATEHOUSE_TEST_VENV:-$here/.venv}
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    echo "tests: a Python environment in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" || { echo "tests/run.sh needs venv: apt-get install python3-venv" >&2; exit 3; }
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
if ! cmp -s "$here/node/package-lock.json" "$here/node/node_modules/installed.json"; then
    echo "tests: the Node packages of tests/node"
    (cd "$here/node" && npm ci --no-progress --loglevel=error)
    cp "$here/node/package-lock.json" "$here/node/node_modules/installed.json"
fi
case "$*" in
*"not clients"*) ;;
*) "$venv/bin/python" "$here/clients/install.py" ;;
esac

# Every test is bounded by itself; this bounds all of them together.
cd "$here"
exec timeout --kill-after=30 "${GATEHOUSE_TEST_SECONDS:-2400}" "$venv/bin/python" -m pytest "$@"
