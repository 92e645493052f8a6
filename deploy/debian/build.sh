#!/usr/bin/env bash
# Builds the Debian package into target/debian; needs cargo-deb. Further arguments go to cargo deb.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked
out=target/package
rm -rf "$out"
mkdir -p "$out/man"
target/release/transcribe man --dir "$out/man"
for shell in bash zsh fish; do
    target/release/transcribe completions "$shell" >"$out/transcribe.$shell"
done
cargo deb --no-build --strip "$@"
