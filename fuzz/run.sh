#!/usr/bin/env bash
# Fuzzes the targets that are named, or all, for so many seconds each; a finding is in fuzz/artifacts and ends it.
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# Needs cargo-fuzz and a nightly compiler. Without a sanitizer: the program has no unsafe code outside kernels, and memory is
# counted by the targets themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(sed -n 's/.*FuzzTarget { name: "\([a-z_]*\)".*/\1/p' fuzz/targets/mod.rs)
fi

cargo test --release --quiet --test it -- --ignored --exact fuzz::write_seeds_for_cargo_fuzz
cargo +nightly fuzz build --sanitizer none any
for target in "${targets[@]}"; do
    echo "== $target for $seconds s"
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    TRANSCRIBE_FUZZ_TARGET=$target cargo +nightly fuzz run --sanitizer none any "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -artifact_prefix="fuzz/artifacts/$target/" -max_len=65536 -timeout=60 \
        -print_final_stats=1 -verbosity=0
done
