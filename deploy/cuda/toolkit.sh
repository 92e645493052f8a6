#!/usr/bin/env bash
# Provides what `cargo build --features cuda` needs, without root and without a GPU: NVIDIA's compiler and headers from its
# wheels on PyPI (a download of about 100 MB), laid out like an installed toolkit.
#
#   eval "$(deploy/cuda/toolkit.sh [FOLDER])"      # into ./.cuda; downloaded once
#
# Prints the variables to set. With an installed toolkit none of this is needed: CUDA_HOME is enough.
set -euo pipefail
folder=${1:-$(dirname "$0")/../../.cuda}

say() { echo "toolkit.sh: $*" >&2; }

if [ "$(uname -s) $(uname -m)" != "Linux x86_64" ]; then
    say "only for Linux on x86-64; elsewhere install NVIDIA's toolkit and set CUDA_HOME"
    exit 1
fi

# CUDA 13.0, not a later one: a driver rejects the output of a newer compiler, and this one suits every driver for 13.
wheels='nvidia-cuda-nvcc==13.0.88 --hash=sha256:56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-cuda-crt==13.0.88 --hash=sha256:2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-nvvm==13.0.88 --hash=sha256:c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cccl==13.0.85 --hash=sha256:e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649'
mark=$(sha256sum "$0" | cut -c1-16)

if [ "$(cat "$folder/.made-by" 2>/dev/null)" != "$mark" ]; then
    python3 -m pip --version >/dev/null 2>&1 || { say "python3 with pip is needed to download the wheels"; exit 1; }
    if [ ! -e "$folder/.made-by" ] && [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
        say "$folder exists and was not created by this script: choose another folder"
        exit 1
    fi
    say "downloading NVIDIA's compiler, about 100 MB"
    mkdir -p "$folder"
    staging=$(mktemp -d "$folder/.staging.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    printf '%s\n' "$wheels" >"$staging/wheels.txt"
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps --ignore-installed \
        --root-user-action ignore --only-binary :all: --require-hashes --target "$staging/packages" --requirement "$staging/wheels.txt" >&2
    made=$staging/packages/nvidia/cu13
    chmod +x "$made"/bin/* "$made/nvvm/bin/cicc"
    # The linker only checks that the libraries exist: the program looks for them at run time, and contains the static
    # runtime.
    rm -f "$made"/lib/*.so*
    for library in cuda cudart cublas cublasLt curand nvrtc; do
        printf '!<arch>\n' >"$made/lib/lib$library.a"
    done
    ln -s lib "$made/lib64"
    find "$folder" -mindepth 1 -maxdepth 1 ! -path "$staging" -exec rm -rf {} +
    mv "$made"/* "$folder/"
    echo "$mark" >"$folder/.made-by"
fi

folder=$(cd "$folder" && pwd)
"$folder/bin/nvcc" --version >/dev/null || { say "the compiler in $folder does not start"; exit 1; }

quoted() { printf '%q' "$1"; }
echo "export CUDA_HOME=$(quoted "$folder")"
echo "export NVCC=$(quoted "$folder/bin/nvcc")"
echo "export PATH=$(quoted "$folder/bin"):\$PATH"
echo "export CUDARC_CUDA_VERSION=13000"
# candle's kernels as PTX for Ampere, which the driver can compile for every later architecture.
echo "export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-80}"
# Makes the program about 30 MB smaller.
echo "export NVCC_APPEND_FLAGS=\${NVCC_APPEND_FLAGS:---compress-mode=size}"
