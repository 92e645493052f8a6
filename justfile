# List the recipes
default:
    @just --list

# Build the program into target/release
build *ARGS:
    cargo build --release {{ARGS}}

# Build it for CUDA into target/cuda/release, with the toolkit of `just toolkit` or the one in CUDA_HOME
cuda *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -z "${CUDA_HOME:-}" ] && [ -d .cuda ]; then eval "$(deploy/cuda/toolkit.sh .cuda)"; fi
    cargo build --release --features cuda --target-dir target/cuda {{ARGS}}

# Install NVIDIA's compiler into .cuda: about 100 MB from PyPI; needs neither root nor a GPU
toolkit:
    deploy/cuda/toolkit.sh .cuda

# Run every test; needs no network, no GPU, and no model but the demo
test *ARGS:
    cargo test --release {{ARGS}}

# Run the black-box tests of one theme, for example `just only hub`
only NAME:
    cargo test --release --test it {{NAME}}

# Kill the program at fifty random moments, and resume each time
kill:
    cargo test --release --test it fifty_random -- --ignored --nocapture

# Check formatting and lints
lint:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings

# Check licences, sources and known vulnerabilities of the dependencies (needs cargo-deny)
deny *ARGS:
    cargo deny check {{ARGS}}

# Fuzz a target with cargo-fuzz and a nightly compiler, or every target: `just fuzz 600 audio`
fuzz SECONDS *TARGETS:
    fuzz/run.sh {{SECONDS}} {{TARGETS}}

# Run the pool of models in many orders of its threads' steps: deadlocks, lost wake-ups, a model resident twice
schedules *ORDERS:
    cargo run --release --manifest-path tests/schedules/Cargo.toml --target-dir target/schedules -- {{ORDERS}}

# Run the CPU kernels with a sanitizer of a nightly compiler: address (with leaks) or leak
sanitize SANITIZER="address":
    RUSTFLAGS="-Zsanitizer={{SANITIZER}}" cargo +nightly run --release --target x86_64-unknown-linux-gnu \
        --manifest-path tests/kernels/Cargo.toml --target-dir target/sanitize

# Format the code
fmt:
    cargo fmt

# Run everything that continuous integration checks
ci:
    .ci/run

# Transcribe a short recording with the built-in demo model
demo:
    cargo run --release --quiet -- fixtures/long/short_en.flac --model demo

# Measure speed beside ffmpeg, openai-whisper, faster-whisper and whisper.cpp where they are installed
bench *ARGS:
    python3 benches/compare.py front-end {{ARGS}}
    python3 benches/compare.py end-to-end {{ARGS}}

# Measure words, seams and times on human speech with real weights; `benches/real.py --help` says what it needs
real PART *ARGS:
    python3 benches/real.py {{PART}} {{ARGS}}

# Measure batch occupancy, how time grows with the number of files, and peak memory: about ten minutes
engine *ARGS:
    python3 benches/engine.py occupancy {{ARGS}}
    python3 benches/engine.py memory {{ARGS}}

# Run a hundred transcriptions in one process: memory, threads and open files, as CSV and a plot
soak *ARGS:
    cargo build --release
    python3 benches/soak.py {{ARGS}}

# Use `transcribe serve` through the `openai` package, schemathesis and curl; about five minutes, with packages from PyPI
serve-clients *ARGS:
    cargo build --release
    python3 -m venv target/clients
    target/clients/bin/pip install --quiet --requirement tests/clients/requirements.txt
    target/clients/bin/python tests/clients/check.py {{ARGS}}

# Put `transcribe serve` under load, `just serve-load load`, `compare` one client with many, or `kills` it again and again
serve-load MODE *ARGS:
    cargo build --release
    python3 benches/serve_load.py {{MODE}} {{ARGS}}

# Measure what `transcribe serve` holds: `growth` over thousands of requests, a `queue` of a thousand, an `upload` of 10 GB
serve-trials MODE *ARGS:
    cargo build --release
    python3 benches/serve_trials.py {{MODE}} {{ARGS}}

# Compare the outputs of two builds of the program to the byte; both with `--features testing` (see benches/before_after.py)
before-after BEFORE AFTER *ARGS:
    python3 benches/before_after.py --before {{BEFORE}} --after {{AFTER}} {{ARGS}}

# Measure what releasing memory between chunks costs
release-cost *ARGS:
    cargo build --release
    python3 benches/soak.py --cost {{ARGS}}

# Measure single parts: audio, mel, encoder, decoder step, for example `just parts network base`
parts BENCH *FILTER:
    cargo bench --bench {{BENCH}} -- {{FILTER}}

# Draw docs/images/speed.svg from benches/results/speed.csv (`--check`: fail if it is out of date)
charts *ARGS:
    python3 benches/charts.py {{ARGS}}

# Build and pack the GPU check into .gpu, and print the one command to run on a machine with a GPU
gpu-check:
    benches/gpu/pack.sh

# Regenerate the reference numbers that depend on models/demo (needs Python and ffmpeg)
fixtures:
    fixtures/make.sh

# Open the crate's documentation, which starts with a map of the modules
doc:
    cargo doc --no-deps --open
