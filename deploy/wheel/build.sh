#!/usr/bin/env bash
# Builds the wheel into ./dist; needs maturin. Further arguments go to maturin: --features cuda, --target ...
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -e pyproject.toml ]; then
    echo "error: pyproject.toml is in the way" >&2
    exit 1
fi
cp deploy/wheel/pyproject.toml pyproject.toml
trap 'rm -f pyproject.toml' EXIT
maturin build --release --out dist "$@"
