#!/usr/bin/env bash
# Runs all fuzz targets side by side: `fuzz/run.sh [SECONDS]`, a minute unless told. Stable Rust and a C++ compiler will do.
#
# They begin with the stored corpora and the files that people read: packs, example rules, example events. What a run finds
# stays below the build folder for the next one; an input that fails goes to fuzz/artifacts. Repeat one with
# `fuzz/run.sh rules FILE`, and store it in fuzz/corpus once it is mended, under a name that says what it was.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}"
case "$target" in /*) ;; *) target="$PWD/$target" ;; esac
work="$target/fuzz"
# With --target, the flags do not reach build scripts and macros.
host="$(rustc -vV | sed -n 's/^host: //p')"
# Coverage as libFuzzer wants it. Sanitizers need a nightly compiler, and the code has no `unsafe` of its own.
flags='-Cpasses=sancov-module'
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
done
(cd fuzz && CARGO_TARGET_DIR="$work" CARGO_INCREMENTAL=0 RUSTFLAGS="$flags" cargo build --quiet --locked --target "$host")

# fuzz TARGET ARGS...
fuzz() {
    local name="$1"
    shift
    mkdir -p "$work/found/$name" "$work/tmp" "fuzz/artifacts/$name"
    # An input that takes 10 seconds or 2 GB fails as a panic does.
    TMPDIR="$work/tmp" "$work/$host/debug/$name" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="fuzz/artifacts/$name/" "$@"
}

rules=(-dict=fuzz/rules.dict "$work/found/rules" fuzz/corpus/rules shipyard/rules tests/shipyard/rules)
event=(-dict=fuzz/event.dict "$work/found/event" fuzz/corpus/event events)
webhooks=(-dict=fuzz/webhooks.dict "$work/found/webhooks" fuzz/corpus/webhooks)

case "${1:-}" in
    rules | event | webhooks)
        # Of a folder libFuzzer would make a corpus, and never end.
        [ -f "${2:-}" ] || { echo "usage: fuzz/run.sh [SECONDS] | fuzz/run.sh rules|event|webhooks FILE..." >&2; exit 2; }
        fuzz "$@"
        exit
        ;;
esac

limits=(-max_total_time="${1:-60}" -print_final_stats=1)
fuzz rules "${limits[@]}" "${rules[@]}" >"$work/rules.log" 2>&1 &
running=($!)
fuzz event "${limits[@]}" "${event[@]}" >"$work/event.log" 2>&1 &
running+=($!)
fuzz webhooks "${limits[@]}" "${webhooks[@]}" >"$work/webhooks.log" 2>&1 &
running+=($!)
trap 'kill "${running[@]}" 2>/dev/null || true' EXIT

failed=0
for pid in "${running[@]}"; do
    wait "$pid" || failed=1
done
for name in rules event webhooks; do
    if grep -q '^stat::number_of_executed_units' "$work/$name.log" && ! grep -q 'SUMMARY: libFuzzer' "$work/$name.log"; then
        awk -v name="$name" '/ cov: /{ for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1) }
            /^stat::number_of_executed_units/ { runs = $2 }
            END { printf "fuzz %s: %d inputs, %d branches reached, nothing found\n", name, runs, cov }' "$work/$name.log"
    else
        tail -n 80 "$work/$name.log"
        echo "fuzz $name: failed, the whole log is $work/$name.log"
    fi
done
exit "$failed"
