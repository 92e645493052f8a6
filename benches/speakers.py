#!/usr/bin/env python3
"""Measures who-speaks-when beside senko and Resemblyzer, and the words of each speaker.

    python benches/speakers.py der FOLDER            NAME.flac beside NAME.rttm: diarization error rates
    python benches/speakers.py words LONG MODEL      cpWER of conversations composed of the recordings in LONG
                                                     (NAME.flac beside NAME.json: [{"start", "end", "text"}])
    python benches/speakers.py cost RECORDING MODEL  CPU seconds of a run with and without speakers

Needs numpy, soundfile and pyannote.metrics; the peers are measured if senko, or Resemblyzer with scikit-learn and
silero-vad, can be imported. DER counts overlapping speech; a collar of 0.25 leaves out so much on either side of the
reference's boundaries.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile
from common import built, machine, markdown, program

warnings.filterwarnings("ignore")


def load(path):
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000, f"{path} must have 16 kHz"
    return samples if samples.ndim == 1 else samples.mean(1)


def read_rttm(path):
    rows = [line.split() for line in Path(path).read_text().splitlines() if line.startswith("SPEAKER")]
    return [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def ours(recordings, folder):
    bench = built(["bench", "--bench", "speakers", "--no-run"], "speakers")
    subprocess.run([bench, folder, "auto", *recordings], check=True, stdout=subprocess.DEVNULL)
    return {path.stem: read_rttm(Path(folder) / f"{path.stem}.rttm") for path in recordings}


def senko(recordings, _):
    import senko

    diarizer = senko.Diarizer(device="cpu", quiet=True)
    found = {}
    for path in recordings:
        result = diarizer.diarize_samples(load(path))
        turns = result["merged_segments"] if result else []
        found[path.stem] = [(turn["start"], turn["end"], str(turn["speaker"])) for turn in turns]
    return found


def resemblyzer(recordings, _):
    """GE2E embeddings of 1.6 s every 0.4 s of what Silero VAD takes for speech, clustered agglomeratively."""
    import torch
    from resemblyzer import VoiceEncoder
    from silero_vad import get_speech_timestamps, load_silero_vad
    from sklearn.cluster import AgglomerativeClustering

    encoder, vad = VoiceEncoder("cpu", verbose=False), load_silero_vad()
    found = {}
    for path in recordings:
        samples = load(path)
        regions = get_speech_timestamps(torch.from_numpy(samples), vad)
        pieces = []
        for region in regions:
            for start in range(region["start"], max(region["start"] + 1, region["end"] - 12_800), 6_400):
                pieces.append((start, min(start + 25_600, region["end"])))
        if not pieces:
            found[path.stem] = []
            continue
        embeddings = np.stack([encoder.embed_utterance(np.pad(samples[a:b], (0, max(0, 8_000 - b + a)))) for a, b in pieces])
        labels = [0]
        if len(pieces) > 1:
            clustering = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=0.25)
            labels = clustering.fit_predict(embeddings)
        turns = []
        for (a, b), label in zip(pieces, labels):
            a, b = a / 16_000, min(b, a + 6_400 if (b - a) > 6_400 else b) / 16_000
            if turns and turns[-1][2] == str(label) and a - turns[-1][1] < 0.5:
                turns[-1] = (turns[-1][0], max(b, turns[-1][1]), str(label))
            else:
                turns.append((a, b, str(label)))
        found[path.stem] = turns
    return found


def annotation(turns):
    from pyannote.core import Annotation, Segment

    made = Annotation()
    for index, (start, end, name) in enumerate(turns):
        if end > start:
            made[Segment(start, end), index] = name
    return made


def der(arguments):
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    recordings = sorted(path for path in Path(arguments.folder).iterdir() if path.with_suffix(".rttm").exists() and path.suffix == ".flac")
    seconds = {path.stem: soundfile.info(path).duration for path in recordings}
    truth = {path.stem: read_rttm(path.with_suffix(".rttm")) for path in recordings}
    rows, pooled, counts = {name: [name] for name in truth}, ["**pooled**"], ["number of speakers right"]
    head, spent = ["recording"], ["times real time, with loading"]
    for title, peer in [("ours", ours), ("senko", senko), ("Resemblyzer + AHC", resemblyzer)]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                started = time.time()
                found = peer(recordings, folder)
                elapsed = time.time() - started
            except ImportError as error:
                print(f"{title} is left out: {error}", file=sys.stderr)
                continue
        metrics = [DiarizationErrorRate(collar=collar) for collar in (0.0, 0.5)]
        for name, turns in found.items():
            whole = Timeline([Segment(0, seconds[name])])
            rates = [metric(annotation(truth[name]), annotation(turns), uem=whole) for metric in metrics]
            speakers = f"{len({turn[2] for turn in turns})}/{len({turn[2] for turn in truth[name]})}"
            rows[name] += [f"{100 * rates[0]:.1f}", f"{100 * rates[1]:.1f}", speakers]
        pooled += [*(f"**{100 * abs(metric):.2f}**" for metric in metrics), ""]
        right = sum(len({turn[2] for turn in turns}) == len({turn[2] for turn in truth[name]}) for name, turns in found.items())
        counts += ["", "", f"{right} of {len(found)}"]
        spent += [f"{sum(seconds.values()) / elapsed:.0f}", "", ""]
        head += [title, "collar 0.25", "speakers"]
    print(f"{machine()}\n")
    print("\n".join(markdown(head, [*rows.values(), pooled, counts, spent])))


def compose(sources, speakers, overlaps, folder, seed):
    """A conversation of sentences of several readers, and the truth: a JSON with speakers."""
    random = np.random.default_rng(seed)
    samples, at, segments = np.zeros(16_000 * 600, np.float32), 8_000, []
    left = {name: list(sources[name][1]) for name in speakers}
    speaker = speakers[0]
    while sum(map(len, left.values())) and at < 16_000 * 240:
        others = [name for name in speakers if left[name] and name != speaker]
        if others and (random.random() < 0.7 or not left[speaker]):
            speaker = random.choice(others)
        if not left[speaker]:
            break
        sentence = left[speaker].pop(0)
        audio = sources[speaker][0][int(16_000 * sentence["start"]) : int(16_000 * sentence["end"])]
        if overlaps and segments and random.random() < 0.25:
            at -= int(16_000 * random.uniform(0.3, 1.0))
        audio = audio * 0.06 / max(1e-4, np.sqrt((audio**2).mean()))
        samples[at : at + len(audio)] += audio
        times = {"start": at / 16_000, "end": (at + len(audio)) / 16_000}
        segments.append({**times, "text": sentence["text"], "speaker": str(speaker)})
        at += len(audio) + int(16_000 * random.uniform(0.1, 0.8))
    name = f"{len(speakers)}_{'overlap' if overlaps else 'clean'}"
    noise = random.normal(0, 5e-4, at + 8_000).astype(np.float32)
    soundfile.write(folder / f"{name}.wav", samples[: at + 8_000] + noise, 16_000)
    text = " ".join(segment["text"] for segment in segments)
    (folder / f"{name}.json").write_text(json.dumps({"text": text, "language": "en", "segments": segments}))
    return name


def words(arguments):
    sources = {}
    for path in sorted(Path(arguments.long).glob("*.flac")):
        if path.with_suffix(".json").exists() and path.stem != "pauses":
            sources[path.stem] = (load(path), json.loads(path.with_suffix(".json").read_text()))
    names, binary, rows = list(sources), program(), []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cases = [(names[:2], False), (names[:2], True), (names[:3], False), (names[:3], True)]
        for seed, (speakers, overlaps) in enumerate(cases):
            name = compose(sources, speakers, overlaps, folder, seed)
            options = ["--speakers", "auto", "--export", "json", "--output-dir", folder / "out", "--language", "en"]
            subprocess.run([binary, folder / f"{name}.wav", "--model", arguments.model, *options], check=True, capture_output=True)
            score = [binary, "score", folder / f"{name}.json", folder / "out" / f"{name}.json", "--json"]
            report = json.loads(subprocess.run(score, check=True, capture_output=True, text=True).stdout)
            total = report["total"]
            count = f"{total['speakers']['hypothesis']}/{total['speakers']['reference']}"
            rows.append([name, *(f"{100 * total[key]:.2f}" for key in ("wer", "cpwer", "der")), count])
    print(f"{machine()}\n")
    print("\n".join(markdown(["conversation", "WER", "cpWER", "DER", "speakers"], rows)))


def cost(arguments):
    binary = program()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for title, options in [("words, no speakers", ["--align-words"]), ("--speakers auto", ["--speakers", "auto"])] * 2:
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
            command = [binary, arguments.recording, "--model", arguments.model, "--export", "json", "--overwrite", "--output-dir", folder]
            subprocess.run([*command, *options, "--language", "en"], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            rows.append([title, f"{time.time() - started:.1f}", f"{spent:.1f}"])
        print("\n".join(markdown(["", "wall s", "CPU s"], rows)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, names in [("der", der, ["folder"]), ("words", words, ["long", "model"]), ("cost", cost, ["recording", "model"])]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for argument in names:
            command.add_argument(argument)
    arguments = parser.parse_args()
    arguments.run(arguments)


main()
