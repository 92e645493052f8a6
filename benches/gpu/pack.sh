#!/usr/bin/env bash
# Builds the program (with its test hooks) and the benchmark `gpu` for CUDA, and packs them with the check into .gpu
# (ignored by git), to be copied to a machine with a GPU. Needs cargo, python3 and strip, and a CUDA toolkit in CUDA_HOME,
# in .cuda or on PATH; otherwise downloads one.
set -euo pipefail
cd "$(dirname "$0")/../.."

limit=25000000
out=.gpu

if [ -z "${CUDA_HOME:-}" ] && { [ -x .cuda/bin/nvcc ] || ! command -v nvcc >/dev/null; }; then
    if [ -x deploy/cuda/toolkit.sh ]; then
        exports=$(deploy/cuda/toolkit.sh .cuda)
        eval "$exports"
    elif [ -x .cuda/bin/nvcc ]; then
        export CUDA_HOME=$PWD/.cuda
    else
        echo "error: no CUDA toolkit was found: set CUDA_HOME" >&2
        exit 2
    fi
fi
if [ -n "${CUDA_HOME:-}" ]; then
    export NVCC=${NVCC:-$CUDA_HOME/bin/nvcc} PATH=$CUDA_HOME/bin:$PATH
fi
# Machine code for Hopper only, compressed, to keep the archive small.
export CUDA_COMPUTE_CAP=90 NVCC_APPEND_FLAGS=--compress-mode=size

built() { # target options, name: prints the path of the built executable
    (cd benches && python3 -Bc "from common import built; print(built('build --release --features cuda,testing $1'.split(), '$2'))")
}
program=$(built "--bin transcribe" transcribe)
gpu=$(built "--bench gpu" gpu)

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage"/{bin,benches/gpu,fixtures/long}
strip -o "$stage/bin/transcribe" "$program"
strip -o "$stage/bin/gpu" "$gpu"
cp benches/{common,plot,shapes}.py "$stage/benches/"
cp benches/gpu/*.py "$stage/benches/gpu/"
rm "$stage/benches/gpu/run.py"
cp fixtures/long/{short_en,short_es,long_en}.flac "$stage/fixtures/long/"
# The program starts without a GPU.
version=$("$stage/bin/transcribe" --version)
cat > "$stage/pack.json" <<JSON
{"version": "$version", "commit": "$(git describe --always --dirty --exclude='*')", "compiler": "$(rustc --version)",
 "nvcc": "$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')", "for": "sm_$CUDA_COMPUTE_CAP"}
JSON

rm -rf "$out"
mkdir "$out"
python3 - "$stage" "$out/check.tar.xz" <<'PYTHON'
import sys
import tarfile

def plain(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry

# One archive, so that what both programs share is compressed once.
with tarfile.open(sys.argv[2], "w:xz", preset=9) as archive:
    archive.add(sys.argv[1], arcname="", filter=plain)
PYTHON
install -m 755 benches/gpu/run.py "$out/run"

size=$(du --bytes --total "$out"/* | tail -1 | cut -f1)
echo "$out: $((size / 1000)) kB of $((limit / 1000))"
if [ "$size" -ge "$limit" ]; then
    echo "error: the archive is too large; if the kernels were built without NVCC_APPEND_FLAGS=--compress-mode=size," >&2
    echo "run \`cargo clean --release -p candle-kernels\` to rebuild them" >&2
    exit 1
fi
echo "Copy $out to a machine with a GPU, and run there:"
echo
echo "    $out/run"
echo
echo "It takes under nine minutes, and writes its report to ./gpu-report or to the given folder."
