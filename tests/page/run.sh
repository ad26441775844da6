#!/usr/bin/env bash
# Runs the tests of the page, or makes its pictures: `run.sh test` or `run.sh shots`. Wants the binary in SHIPWATCH_BIN and the
# broker in NATS_SERVER.
#
# Where Chromium or Node is missing it says so and passes, unless PAGE_TESTS is `required`.
set -euo pipefail
cd "$(dirname "$0")"

without() {
    echo "the tests of the page are left out: $1" >&2
    [ "${PAGE_TESTS:-}" != required ]
    exit
}

major="$(node --version 2>/dev/null | sed 's/^v//; s/\..*//')" || true
[ "${major:-0}" -ge 20 ] && command -v npm >/dev/null || without "they need Node 20 or newer, with npm"
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    CHROMIUM="$(command -v "$name" || true)"
    [ -z "$CHROMIUM" ] || break
done
[ -n "$CHROMIUM" ] || without "they need Chromium (set CHROMIUM to it, or install it)"
export CHROMIUM

# Two packages without dependencies; neither brings a browser.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || without "npm could not fetch playwright-core and axe-core"
fi
exec npm run --silent "${1:-test}"
