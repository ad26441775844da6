#!/usr/bin/env bash
# Prints the path of a usable nats-server on standard output, installing one where there is none.
#
# Order: $NATS_SERVER, PATH and the usual folders, Debian's package, Homebrew, else where to get it (exit 1).
# Everything else it has to say goes to standard error, so `NATS_SERVER="$(deploy/nats-server.sh)"` is safe.
set -euo pipefail

readonly page='https://nats.io/download/'
# Older servers drop fields of a pull consumer that Shipwatch relies on.
readonly oldest_major=2 oldest_minor=9

say() { printf 'nats-server.sh: %s\n' "$*" >&2; }

# usable FILE: it runs, and is new enough.
usable() {
    local text major minor
    [ -x "$1" ] && text="$("$1" --version 2>/dev/null)" || return 1
    text="${text##*v}"
    major="${text%%.*}"
    minor="${text#*.}"
    minor="${minor%%.*}"
    case "$major$minor" in '' | *[!0-9]*) return 1 ;; esac
    if [ "$major" -gt "$oldest_major" ] || { [ "$major" -eq "$oldest_major" ] && [ "$minor" -ge "$oldest_minor" ]; }; then
        return 0
    fi
    say "passing over $1: version $major.$minor, at least $oldest_major.$oldest_minor is needed"
    return 1
}

# find_one: prints the first usable server. A user's PATH on Debian lacks /usr/sbin, where the package puts it.
find_one() {
    local file
    for file in "$(command -v nats-server || true)" /usr/sbin/nats-server /usr/local/bin/nats-server \
        /opt/homebrew/bin/nats-server "${HOME:-/nonexistent}/go/bin/nats-server"; do
        if [ -n "$file" ] && usable "$file"; then
            printf '%s\n' "$file"
            return 0
        fi
    done
    return 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "installing a package needs root, and there is no sudo"
        return 1
    fi
}

# Debian's package starts a broker and has it start at boot. Nobody asked for that: tests and demo start their own.
stop_service() {
    if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
        as_root systemctl disable --now nats-server >&2 || say "could not stop the service nats-server; it may be running"
    elif [ -x /etc/init.d/nats-server ]; then
        as_root /etc/init.d/nats-server stop >&2 || true
    fi
}

install_from_debian() {
    command -v apt-get >/dev/null || return 1
    say "installing Debian's package nats-server"
    # Old package lists are the usual reason for a failure; fetching them takes longer than the package.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nats-server >&2 ||
        { as_root apt-get update >&2 &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nats-server >&2; } ||
        return 1
    stop_service
}

install_from_homebrew() {
    command -v brew >/dev/null || return 1
    say "installing Homebrew's formula nats-server"
    brew install nats-server >&2
}

if [ -n "${NATS_SERVER:-}" ]; then
    if usable "$NATS_SERVER"; then
        printf '%s\n' "$NATS_SERVER"
        exit 0
    fi
    say "NATS_SERVER is set to $NATS_SERVER, which is not a usable nats-server"
    exit 1
fi
find_one && exit 0
install_from_debian && find_one && exit 0
install_from_homebrew && find_one && exit 0
say "no nats-server $oldest_major.$oldest_minor or newer, and none could be installed"
say "get it from $page and put it on PATH, or set NATS_SERVER to its path"
exit 1
