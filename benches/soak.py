#!/usr/bin/env python3
"""A hundred transcriptions in one process, or a day of audio in one input: does anything grow?

Two models in turn, files of several kinds and lengths, and several output formats, in one run of the program. Of each
finished input the resident memory, the threads and the open files of the process are noted; the memory after the last
must be within 50 MB of that after the fifth, and threads and files as many as then. Once with the memory released
after every chunk, once never, and once with each model closed as soon as it is not needed.

    python3 benches/soak.py [--count 100] [--results benches/results]
    python3 benches/soak.py --hours 24               one recording of a day: a look for each finished chunk
    python3 benches/soak.py --cost [--random base]   what the release costs, side by side

`--model` and `--audio`, as often as wanted, replace the demo model and the fixtures: real weights and human speech.
`--mode` chooses some of the three, and `--name` names the results (NAME.csv and NAME.svg).

Needs nothing but Python, and ffmpeg for the recording of `--hours`.
"""
import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import plot

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/transcribe"
AUDIO = ["long/short_en.flac", "audio/s16-16k-mono.wav", "long/short_es.flac", "long/short_de.flac", "long/long_en.flac"]
FORMATS = [["srt"], ["json", "txt"], ["vtt", "tsv"], ["ass", "lrc", "csv"]]
MODES = {
    "every-chunk": ["--release", "every-chunk"],
    "never": ["--release", "never"],
    "eager": ["--release", "every-chunk", "--eager-release"],
}
GROWTH = 50e6
COLOURS = {"every-chunk": "#1b7f5c", "never": "#b3402f", "eager": "#3563b8"}


@dataclass
class Work:
    """What is transcribed with what."""

    models: list[str]
    audio: list[Path]
    count: int
    hours: float
    options: list[str]

    def arguments(self, folder: Path) -> list[str]:
        if self.hours:
            outputs = ["--export", "srt,json", "--output-dir", folder / "out"]
            return [recording(folder, self.audio, self.hours), "--model", self.models[0], *outputs]
        return ["--manifest", manifest(folder, self), "--jobs", "1"]


def recording(folder: Path, audio: list[Path], hours: float) -> Path:
    """One WAV file: the recordings again and again."""
    decode = ["-ar", "16000", "-ac", "1", "-f", "s16le", "-"]
    lines = [["ffmpeg", "-nostdin", "-v", "error", "-i", path, *decode] for path in audio]
    pause = bytes(2 * 16000)
    round_of_all = b"".join(subprocess.run(line, check=True, capture_output=True).stdout + pause for line in lines)
    path = folder / "long.wav"
    left = int(hours * 3600) * 2 * 16000
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        while left > 0:
            out.writeframesraw(round_of_all[:left])
            left -= len(round_of_all)
    return path


def manifest(folder: Path, work: Work) -> Path:
    models = work.models
    if len(models) == 1 and models[0] == "demo":
        # A second model, so that they take turns.
        second = folder / "second"
        second.mkdir(exist_ok=True)
        for name in ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"]:
            shutil.copy(ROOT / "models/demo" / name, second / name)
        models = ["demo", str(second)]
    audio, count = work.audio, work.count
    path = folder / "jobs.jsonl"
    with path.open("w") as out:
        for nth in range(count):
            formats = FORMATS[nth % len(FORMATS)]
            outputs = {kind: str(folder / f"{nth}.{kind}") for kind in formats}
            job = {"audio": str(audio[nth % len(audio)]), "model": models[nth % len(models)], "outputs": outputs}
            out.write(json.dumps(job) + "\n")
    return path


def look(process: int) -> tuple[int, int, int]:
    """Resident bytes, threads and open files."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":" in line)
    return int(status["VmRSS"].split()[0]) * 1024, int(status["Threads"]), len(os.listdir(f"/proc/{process}/fd"))


def soak(mode: str, work: Work) -> list[tuple[int, int, int]]:
    """One look at the process for each finished input, or chunk of a long one."""
    finished = b'"event":"chunk_done"' if work.hours else b'"event":"file_done"'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = folder / "run.jsonl"
        report.touch()
        line = [PROGRAM, *work.arguments(folder), "--overwrite", "--report", report, *work.options, *MODES[mode]]
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        looks, read = [], 0
        while True:
            is_over = process.poll() is not None
            with report.open("rb") as lines:
                lines.seek(read)
                for text in lines:
                    if not text.endswith(b"\n"):
                        break
                    read += len(text)
                    if finished in text.replace(b" ", b"") and not is_over:
                        looks.append(look(process.pid))
            if is_over:
                break
            time.sleep(0.01)
        if process.returncode != 0:
            sys.exit(f"{mode}: the program ended with {process.returncode}")
        return looks


def verdict(mode: str, looks: list[tuple[int, int, int]]) -> bool:
    """The last ten beside the ten from the fifth on, by their medians: a single look hits a moment of some input."""
    first, last = looks[5:15], looks[-10:]
    middle = lambda part, what: statistics.median(one[what] for one in part)
    growth = middle(last, 0) - middle(first, 0)
    # The fewest: sometimes the next input is open already.
    fewest = lambda part, what: min(one[what] for one in part)
    threads, files = (fewest(last, what) - fewest(first, what) for what in (1, 2))
    print(f"{mode:12} after 5: {middle(first, 0) / 1e6:.1f} MB, after {len(looks)}: {middle(last, 0) / 1e6:.1f} MB, "
          f"grown by {growth / 1e6:+.1f} MB; threads {threads:+.0f}, open files {files:+.0f}; "
          f"highest {max(one[0] for one in looks) / 1e6:.1f} MB")
    return growth < GROWTH and threads <= 0 and files <= 0


def cost(random: str, rounds: int) -> None:
    """Rounds of the same work with each policy, in turn, so that a noisy neighbour hits all of them."""
    policies = ["never", "every-chunk", "4"]
    seconds: dict[str, list[float]] = {policy: [] for policy in policies}
    for nth in range(rounds):
        for policy in policies[nth % 3:] + policies[:nth % 3]:
            line = [PROGRAM, "bench", "--random", random, "--seconds", "300", "--chunk-length", "30", "--release", policy, "--json"]
            figures = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
            seconds[policy].append(figures["seconds"])
            print(f"{policy:12} {figures['seconds']:.2f} s, of that releasing {figures['releasing_seconds']:.3f} s")
    for policy in policies:
        ratios = [one / never for one, never in zip(seconds[policy], seconds["never"])]
        print(f"{policy:12} {statistics.median(ratios):.3f} times the time of `never` (median of {rounds})")


def write(args: argparse.Namespace, runs: dict[str, list[tuple[int, int, int]]]) -> None:
    args.results.mkdir(parents=True, exist_ok=True)
    with (args.results / f"{args.name}.csv").open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["mode", "finished", "resident_bytes", "threads", "open_files"])
        for mode, looks in runs.items():
            rows.writerows([mode, nth + 1, *one] for nth, one in enumerate(looks))
    curves = {mode: [(nth + 1, look[0] / 1e6) for nth, look in enumerate(looks)] for mode, looks in runs.items()}
    what = "finished chunks of one recording" if args.hours else "finished transcriptions"
    plot.curves(args.results / f"{args.name}.svg", curves, f"{what}; resident memory in MB", COLOURS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--results", type=Path, default=ROOT / "benches/results")
    parser.add_argument("--hours", type=float, default=0)
    parser.add_argument("--model", action="append")
    parser.add_argument("--audio", action="append", type=Path)
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--name", default="soak")
    parser.add_argument("--option", action="append", default=[], help="an option of the program: --option=--chunk-length=30")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--random", default="base")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.cost:
        return cost(args.random, args.rounds)
    fixtures = [path for path in (ROOT / "fixtures" / name for name in AUDIO) if path.is_file()]
    audio = [path.resolve() for path in args.audio or fixtures]
    work = Work(args.model or ["demo"], audio, args.count, args.hours, args.option)
    runs = {mode: soak(mode, work) for mode in args.mode or MODES}
    good = [verdict(mode, looks) for mode, looks in runs.items()]
    write(args, runs)
    if not all(good[nth] for nth, mode in enumerate(runs) if mode != "never"):
        sys.exit("something grows")


if __name__ == "__main__":
    main()
