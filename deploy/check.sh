#!/usr/bin/env bash
# Checks everything in deploy/ with the tools that are here, and says what it left out. It starts nothing and needs no network.
#
# SHIPWATCH names a shipwatch binary for the checks of its own files; without one target/{release,debug} are looked into.
# CHECK_TOOLS names a folder of tools that come before those on PATH.
set -uo pipefail
cd "$(dirname "$0")" || exit

[ -n "${CHECK_TOOLS:-}" ] && PATH="$CHECK_TOOLS:$PATH"
PATH="$PATH:/usr/sbin"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

# check WHAT COMMAND...: runs it; what it prints is shown where it fails.
check() {
    local what="$1"
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        printf 'ok       %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAILED   %s\n' "$what"
        sed 's/^/         /' "$work/out"
    fi
}

# have TOOL WHAT: whether it is here; says what is left out where it is not.
have() {
    command -v "$1" >/dev/null && return 0
    skipped=$((skipped + 1))
    printf 'skipped  %s: there is no %s\n' "$2" "$1"
    return 1
}

shipwatch() {
    local file
    for file in "${SHIPWATCH:-}" "${CARGO_TARGET_DIR:-../target}"/{release,debug}/shipwatch; do
        [ -n "$file" ] && [ -x "$file" ] && realpath "$file" && return 0
    done
    return 1
}

# --- NATS
nats_server() {
    env NATS_NODE=nats-1 NATS_PORT=4222 NATS_MONITOR_PORT=8222 NATS_CLUSTER_PORT=6222 NATS_STORE_DIR="$work/nats" \
        NATS_ROUTE_1=nats://route:x@a:6222 NATS_ROUTE_2=nats://route:x@b:6222 NATS_ROUTE_3=nats://route:x@c:6222 \
        ROUTE_PASSWORD=x SHIPWATCH_PASSWORD=x GATEWAY_PASSWORD=x PUBLISHER_PASSWORD=x ADMIN_PASSWORD=x SYSTEM_PASSWORD=x \
        nats-server -t -c "$1"
}
if have nats-server "NATS configuration"; then
    for file in nats/server.conf nats/cluster.conf; do
        check "$file" nats_server "$file"
    done
fi
# Both streams hold what the packs want and differ in their copies alone.
same_streams() {
    diff <(jq -S 'del(.num_replicas)' nats/stream.json) <(jq -S 'del(.num_replicas)' nats/stream-r3.json)
}
if have jq "streams of NATS"; then
    check "nats/stream.json and nats/stream-r3.json" same_streams
fi

# --- containers
if have hadolint "Dockerfile"; then
    check "Dockerfile" hadolint Dockerfile
fi
# Every file that the build copies is let in by the ignore file.
lets_in() {
    local name
    for name in $(sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' Dockerfile); do
        [ -e "../$name" ] && grep -qx "!$name" Dockerfile.dockerignore || { echo "$name is not let in"; return 1; }
    done
    # Empty files stand for each benchmark that Cargo.toml names, or the build of the dependencies ends there.
    for name in $(sed -n '/^\[\[bench\]\]/,/^name/s/^name = "\(.*\)"/\1/p' ../Cargo.toml); do
        grep -q "benches/$name.rs" Dockerfile || { echo "benches/$name.rs is missing in Dockerfile"; return 1; }
    done
}
check "Dockerfile.dockerignore" lets_in
# Old releases know all of it but the project's name.
compose() { sed '/^name:/d' compose.yaml | docker-compose -f - --project-directory . config; }
if command -v docker-compose >/dev/null || ! docker compose version >/dev/null 2>&1; then
    have docker-compose "compose.yaml" && check "compose.yaml" compose
else
    check "compose.yaml" docker compose -f compose.yaml config
fi

# --- Kubernetes
if have kubectl "Kubernetes manifests"; then
    for folder in base overlays/demo; do
        name="kubernetes-${folder##*/}.yaml"
        render() { kubectl kustomize "kubernetes/$folder" >"$work/$name"; }
        check "kubernetes/$folder" render
        if have kubernetes-validate "schemas of kubernetes/$folder"; then
            check "kubernetes/$folder against the schemas" kubernetes-validate --strict --quiet "$work/$name"
        fi
    done
fi

# --- systemd
# A key that systemd does not know is a remark to it; to us it is a mistake. What it says of other units is not ours.
verify() {
    local said
    said="$(systemd-analyze verify --man=no "$1" 2>&1)" || { echo "$said"; return 1; }
    ! grep -F "$1" <<<"$said"
}
if have systemd-analyze "systemd units"; then
    mkdir "$work/units"
    for unit in shipwatch shipwatch-gateway; do
        # The binary need not be installed here.
        sed 's#=/usr/bin/shipwatch#=/bin/true#' "systemd/$unit.service" >"$work/units/$unit.service"
        check "systemd/$unit.service" verify "$work/units/$unit.service"
        check "systemd/$unit.service is closed" systemd-analyze security --no-pager --offline=true --threshold=15 \
            "$work/units/$unit.service"
    done
fi
# On a system of its own, a folder.
tables() {
    mkdir -p "$work/root/etc" "$work/root/var/lib"
    systemd-sysusers --root="$work/root" "$PWD/systemd/shipwatch.sysusers.conf" &&
        grep -q '^shipwatch:' "$work/root/etc/passwd" &&
        systemd-tmpfiles --root="$work/root" --create "$PWD/systemd/shipwatch.tmpfiles.conf" &&
        [ -d "$work/root/etc/shipwatch/shipyard/rules" ]
}
if have systemd-sysusers "sysusers and tmpfiles" && have systemd-tmpfiles "sysusers and tmpfiles"; then
    if [ "$(id -u)" -eq 0 ]; then
        check "systemd/shipwatch.sysusers.conf and shipwatch.tmpfiles.conf" tables
    else
        skipped=$((skipped + 1))
        echo "skipped  sysusers and tmpfiles: only root may give files away"
    fi
fi

# --- monitoring
if have promtool "Prometheus rules"; then
    check "monitoring/alerts.yaml" promtool check rules monitoring/alerts.yaml
    check "monitoring/alerts.test.yaml" promtool test rules monitoring/alerts.test.yaml
    check "monitoring/prometheus.yaml" promtool check config monitoring/prometheus.yaml
fi
# Whatever is drawn or alerted on is a metric of ours.
metrics() {
    local ours used
    ours="$(grep -o '"shipwatch_[a-z_]*"' ../src/metrics.rs | tr -d '"' | sort -u)"
    used="$(grep -oh 'shipwatch_[a-z_]*' monitoring/dashboard.json monitoring/alerts.yaml | sed -E 's/(_seconds|_size)_(bucket|sum|count)$/\1/' | sort -u)"
    [ -n "$ours" ] && [ -n "$used" ] || return 1
    ! comm -13 <(echo "$ours") <(echo "$used") | grep .
}
check "metrics of dashboard and alerts" metrics
if have jq "dashboard"; then
    check "monitoring/dashboard.json" jq -e '.panels | length > 0 and (map(.id) | length == (unique | length))
        and all(.targets | length > 0 and all(.expr != ""))' monitoring/dashboard.json
    expressions() {
        jq -r '.panels[].targets[].expr' monitoring/dashboard.json |
            sed 's/\$__rate_interval/5m/g; s/\$job/shipwatch/g' | jq -R '{record: "x:y", expr: .}' |
            jq -s '{groups: [{name: "dashboard", rules: (to_entries | map(.value + {labels: {n: "\(.key)"}}))}]}' >"$work/expressions.yaml"
        promtool check rules "$work/expressions.yaml"
    }
    command -v promtool >/dev/null && check "expressions of the dashboard" expressions
fi

# --- our own files, by our own binary
if binary="$(shipwatch)"; then
    for file in systemd/shipwatch.yaml systemd/gateway.yaml kubernetes/{base,overlays/demo}/{shipwatch,gateway-config}.yaml; do
        check "$file" env -i "$binary" serve --config "$file" --dump-config
    done
    mkdir -p "$work/shipyard/rules"
    cp kubernetes/overlays/demo/rules.yaml "$work/shipyard/rules/"
    check "rules of the demo" env -i "$binary" rules check --shipyard-dir "$work/shipyard"
    check "tests of the rules of the demo" env -i "$binary" rules test --shipyard-dir "$work/shipyard"
else
    skipped=$((skipped + 1))
    echo "skipped  configuration files of Shipwatch: there is no binary, build one or set SHIPWATCH"
fi

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
