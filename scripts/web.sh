#!/bin/sh
# Builds the page into web/dist, if anything that it is made of has changed.
#
# Cargo embeds web/dist, so every build of the program begins here. The result of an unchanged page keeps its time, and
# Cargo then has nothing to do either.
set -eu
cd "$(dirname "$0")/../web"
lock=node_modules/.installed-lock.json
if ! cmp -s package-lock.json "$lock"; then
    echo "web: installing the packages of web/package-lock.json"
    npm ci --no-progress --loglevel=error
    cp package-lock.json "$lock"
fi
stamp=node_modules/.built-from
made_of() {
    find src index.html package-lock.json vite.config.ts svelte.config.js tsconfig.json scripts -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum
}
if [ -f dist/index.html ] && [ "$(made_of)" = "$(cat "$stamp" 2>/dev/null)" ]; then
    exit 0
fi
npm run --silent build
made_of >"$stamp"
