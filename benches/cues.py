#!/usr/bin/env python3
"""Measures how well the cues of subtitles fit the sound and the sentences, beside openai-whisper and stable-ts.

    python benches/cues.py --models DIR --recordings DIR [--pt DIR] [--before PATH]

DIR of `real.py models` and of its recordings (NAME.flac, .wav or .mp3); `--pt` has openai-whisper's NAME.pt; `--before` is
another version of the program. Needs numpy and ffmpeg. Percentages of cues that
- begin more than 0.2 s before the first sound in them,
- end more than 1 s after the last sound in them,
- span a pause of at least 0.5 s,
- end inside a clause that fits one cue of two lines of 42 columns,
- have a line that ends inside a clause that fits one line of 42 columns;
and the score of `transcribe export --check`. Sound is what exceeds a level between the noise and the speech of the recording.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import machine, program, table

SOUNDS = (".flac", ".wav", ".mp3")
RATE, HOP = 16_000, 160
CLAUSE_ENDS = ".,?!;:…—"


def sounding(path):
    """Which frames of 10 ms have sound. Pauses under 0.1 s are filled, sounds under 0.05 s dropped."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    samples = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")
    # Without hum.
    samples = np.append(samples[8:] - samples[:-8], np.zeros(8, "f4"))
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    power = np.convolve((frames**2).mean(1), np.ones(3) / 3, "same")
    level = 10 * np.log10(power + 1e-12)
    quiet, loud = np.percentile(level, 5), np.percentile(level, 95)
    sound = level > max(quiet + 0.35 * (loud - quiet), loud - 40)
    for value, length in ((True, 5), (False, 10)):
        for start, end in runs(sound == value):
            if end - start < length and (value or 0 < start and end < len(sound)):
                sound[start:end] = not value
    return sound


def runs(mask):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2]))


def read_srt(file):
    time = lambda text: sum(float(part.replace(",", ".")) * 60**power for power, part in enumerate(reversed(text.split(":"))))
    cues = []
    for block in re.split(r"\n\s*\n", file.read_text(encoding="utf-8").strip()):
        lines = block.split("\n")
        if len(lines) >= 3:
            start, end = lines[1].split(" --> ")
            cues.append((time(start), time(end), [line.strip() for line in lines[2:]]))
    return cues


def torn(pieces, columns):
    """Which pieces end inside a clause that is no longer than so many columns."""
    words = [(word, at) for at, piece in enumerate(pieces) for word in piece.split()]
    torn_pieces, clause = set(), []
    for index, (word, at) in enumerate(words):
        clause.append((word, at))
        if word.rstrip("\"'”’)").endswith(tuple(CLAUSE_ENDS)) or index == len(words) - 1:
            if len(" ".join(word for word, _ in clause)) <= columns:
                last = clause[-1][1]
                torn_pieces.update(at for _, at in clause if at != last)
            clause = []
    return len(torn_pieces)


def measure(cues, sound):
    early = late = across = 0
    for start, end, _ in cues:
        first, last = int(round(start * 100)), int(round(end * 100))
        inside = np.flatnonzero(sound[first:last])
        if not len(inside):
            early, late = early + 1, late + 1
            continue
        early += inside[0] > 20
        late += last - first - inside[-1] - 1 > 100
        spoken = sound[first + inside[0] : first + inside[-1] + 1]
        across += any(end - start >= 50 for start, end in runs(~spoken))
    between = torn([" ".join(lines) for *_, lines in cues], 84)
    lines = sum(torn(lines, 42) for *_, lines in cues)
    return np.array([early, late, across, between, lines, len(cues)])


def transcribe(binary, model, options):
    def run(path, out):
        common = ["--model", str(model), "--language", "en", "--export", "srt", "--output-dir", str(out), "--quiet", "--no-config"]
        subprocess.run([str(binary), str(path), *common, *options], check=True)

    return run


def openai(checkpoint):
    import whisper
    from whisper.utils import get_writer

    network = whisper.load_model(str(checkpoint), device="cpu")

    def run(path, out):
        found = network.transcribe(str(path), language="en", fp16=False, word_timestamps=True)
        limits = {"max_line_width": 42, "max_line_count": 2, "highlight_words": False, "max_words_per_line": None}
        get_writer("srt", str(out))(found, str(path), limits)

    return run


def stable(checkpoint):
    import stable_whisper

    network = stable_whisper.load_model(str(checkpoint), device="cpu")

    def run(path, out):
        found = network.transcribe(str(path), language="en", fp16=False, verbose=None)
        found.split_by_length(max_chars=84)
        found.to_srt_vtt(str(out / f"{path.stem}.srt"), word_level=False)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("real-models"))
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--recordings", type=Path, default=Path("recordings"))
    parser.add_argument("--pt", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--program")
    args = parser.parse_args()
    binary, model = args.program or program(), args.models / args.model
    programs = {}
    if args.before:
        programs["transcribe, before"] = transcribe(args.before, model, [])
    programs["transcribe"] = transcribe(binary, model, [])
    programs["transcribe --subtitles netflix"] = transcribe(binary, model, ["--subtitles", "netflix"])
    programs["transcribe --subtitles openai"] = transcribe(binary, model, ["--subtitles", "openai"])
    for name, load in (("openai-whisper, 42 columns, 2 lines", openai), ("stable-ts, 84 columns", stable)):
        try:
            if not args.pt:
                raise ImportError("no --pt")
            programs[name] = load(args.pt / f"{args.model}.pt")
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    paths = sorted(path for path in args.recordings.iterdir() if path.suffix in SOUNDS)
    sounds = {path: sounding(path) for path in paths}
    print(machine())
    rows = []
    for name, run in programs.items():
        total, scores = np.zeros(6), []
        with tempfile.TemporaryDirectory() as folder:
            for path in paths:
                run(path, Path(folder))
                file = Path(folder) / f"{path.stem}.srt"
                total += measure(read_srt(file), sounds[path])
                check = subprocess.run([str(binary), "export", "--check", str(file)], capture_output=True, text=True, check=True)
                scores.append(re.search(r"([\d.]+) of 100", check.stdout).group(1))
        rows.append([name, int(total[5]), *(f"{100 * part / total[5]:.1f}" for part in total[:5]), " ".join(scores)])
    print(f"\n{args.model}, {', '.join(path.stem for path in paths)}\n")
    table(["program", "cues", "early", "late", "across a pause", "clause torn", "line torn", "check"], rows)


if __name__ == "__main__":
    main()
