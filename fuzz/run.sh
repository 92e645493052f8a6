#!/usr/bin/env bash
# Fuzzes the targets that are named, or all, for so many seconds each; a finding is in fuzz/artifacts and ends it. Prints a row
# for each: executions, edges and features that the seeds reach and that the corpus reaches in the end, and its files.
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# Needs cargo-fuzz and a nightly compiler. Without a sanitizer: the program has no unsafe code outside kernels, and memory is
# counted by the targets themselves. FUZZ_BUILT=1 takes the program and the seeds that are there.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(sed -n 's/.*FuzzTarget { name: "\([a-z_]*\)".*/\1/p' fuzz/targets/mod.rs)
fi

if [ -z "${FUZZ_BUILT:-}" ]; then
    cargo test --release --quiet --test it -- --ignored --exact fuzz::write_seeds_for_cargo_fuzz
    cargo +nightly fuzz build --sanitizer none any
fi
any=$(find fuzz/target -path '*/release/any' -type f | head -n 1)

# What libFuzzer says of its last line of this kind: "#12 INITED cov: 1 ft: 2 corp: 3/4b".
figure() { sed -n "s/^#[0-9]*[[:space:]]*\($2\)[[:space:]].*$3: \([0-9]*\).*/\2/p" "$1" | tail -n 1; }

printf '| target | executions | edges | features | files |\n|---|---|---|---|---|\n'
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=fuzz/artifacts/$target.log
    code=0
    TRANSCRIBE_FUZZ_TARGET=$target "$any" "fuzz/corpus/$target" -max_total_time="$seconds" \
        -artifact_prefix="fuzz/artifacts/$target/" -max_len=65536 -timeout=60 -print_final_stats=1 >"$log" 2>&1 || code=$?
    if [ "$code" != 0 ]; then
        tail -n 40 "$log" >&2
        echo "error: \`$target\` has found something: fuzz/artifacts/$target" >&2
        [ -n "${FUZZ_GO_ON:-}" ] || exit "$code"
    fi
    row="| $target | $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    for kind in cov ft corp; do
        row+=" | $(figure "$log" INITED $kind) → $(figure "$log" 'DONE\|NEW\|REDUCE\|pulse' $kind)"
    done
    echo "$row |"
done
