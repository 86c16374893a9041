#!/bin/sh
# Looks for what a purpose needs, installs what Debian packages can give, and says so.
#
#   scripts/setup.sh run     to build and run the program with the embedded model
#   scripts/setup.sh test    the same, and what the end-to-end tests use
#   scripts/setup.sh web     the page alone
#
# As root it installs; otherwise it prints the one command that does. It never touches Rust or Node themselves: their
# versions are the user's choice.
set -eu
purpose=${1:-run}
PATH=$PATH:/usr/sbin:/sbin

missing= optional=
want() { # want PACKAGE TEST...
    package=$1
    shift
    if ! "$@" >/dev/null 2>&1; then
        missing="$missing $package"
    fi
}
# Not every distribution has these. Tests that need them are skipped where they are not, and say so.
rather() { # rather PACKAGE TEST...
    package=$1
    shift
    if ! "$@" >/dev/null 2>&1; then
        optional="$optional $package"
    fi
}
has() { command -v "$1"; }
has_libclang() { ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* 2>/dev/null | grep -q .; }
has_pip() { python3 -m pip --version; }
has_venv() { python3 -c 'import ensurepip, venv'; }

stop() {
    echo "setup: $1" >&2
    exit 3
}

case $purpose in
run | test | web) ;;
*) stop "say what for: run, test or web" ;;
esac

# Node runs the page's build; Vite needs 20.19 or newer.
has node >/dev/null || stop "Node 20.19 or newer is needed (nodejs.org, or your distribution's package)."
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    stop "Node 20.19 or newer is needed, this one is $(node --version)."
has npm >/dev/null || stop "npm is needed; it comes with Node."

if [ "$purpose" != web ]; then
    has cargo >/dev/null || stop "Rust is needed (rustup.rs); rust-version in Cargo.toml says which."
    # The embedded model is C++ with a generated binding.
    want cmake has cmake
    want ninja-build has ninja
    want g++ has g++
    want clang has clang
    want libclang-dev has_libclang
    want pkg-config has pkg-config
    # Its weights may come through the user's pip.
    want python3 has python3
    want python3-pip has_pip
fi
if [ "$purpose" = test ]; then
    want python3-venv has_venv
    want nginx-light has nginx
    want chromium has chromium
    want curl has curl
    want jq has jq
    want procps has pgrep
    want nftables has nft
    want iproute2 has ip
    # Ends a program in the middle of a call, and lets calls fail.
    want strace has strace
    want openssl has openssl
    want iproute2 has ip
    # Packages, units, and the machine that they run in.
    want dpkg-dev has dpkg-shlibdeps
    want lintian has lintian
    want debootstrap has debootstrap
    want systemd has systemd-analyze
    want logrotate has logrotate
    want man-db has man
    want zsh has zsh
    want fish has fish
    # The static binary of `make dist`.
    want musl-tools has musl-gcc
    # Builds the container image, without an engine.
    rather buildah has buildah
    # Asks for certificates, and the CA that it asks.
    rather certbot has certbot
    rather pebble has pebble
fi

[ -n "$missing$optional" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    [ -z "$missing" ] || stop "these Debian packages are missing; install them and start again: sudo apt-get install$missing$optional"
    echo "setup: some tests are skipped without: sudo apt-get install$optional"
    exit 0
fi
if ! has apt-get >/dev/null; then
    [ -z "$missing" ] || stop "these are missing, and there is no apt-get to install them:$missing$optional"
    exit 0
fi
echo "setup: installing with apt-get:$missing$optional"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086  # the list is words
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
for package in $optional; do
    apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
        echo "setup: $package cannot be installed here; the tests that need it are skipped"
done
echo "setup: done"
