"""Prints how fast `transcribe` is beside ffmpeg, openai-whisper, faster-whisper and whisper.cpp: same work, same
run, in turns.

    python benches/compare.py front-end        needs ffmpeg
    python benches/compare.py end-to-end       needs benches/requirements.txt, and --whisper-cpp PATH for that peer
    python benches/compare.py limits           what the machine can do at most

Every figure is the median of several runs; programs that are compared take turns, so that a change of the
machine's speed hits all of them. All are held to the same number of threads and cores.

Front end: CPU seconds of the whole process.

End to end: seconds from the audio file to the text, the model being loaded already. Random weights at the true
shapes, the same numbers for everybody; the same speech; greedy or with --beams, without timestamps, 64 tokens in every half minute.
The end of the text is forbidden, by an option or, for whisper.cpp, by the weights (weights.py says how). What is
not the same is in the table: `transcribe` cuts at pauses, which makes more windows of the same audio than cutting
each 30 s, as the sequential programs do and faster-whisper's batches are set to (its own voice activity network is
spared). The build of whisper.cpp is the caller's: whisper-cli made for this machine, in release mode.
"""

import argparse
import json
import math
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import limits
import weights
from common import built, keep_to_cores, machine, program, run, speech, table

CODECS = {
    "mp3": ["-c:a", "libmp3lame", "-b:a", "192k"],
    "flac": ["-c:a", "flac"],
    "opus": ["-c:a", "libopus", "-b:a", "96k", "-ar", "48000"],
    "m4a": ["-c:a", "aac", "-b:a", "160k"],
}
WINDOW = 30
PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
# Batch size and seconds of a chunk; all peers are measured against MAIN.
MAIN = "transcribe, batch 8"
OURS = {
    "transcribe, batch 1": (1, 30),
    MAIN: (8, 30),
    "transcribe, batch 8, chunks of 120 s": (8, 120),
    "transcribe, in one piece": (1, 0),
}


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def front_end(args, folder):
    ours = built(["bench", "--bench", "front_end", "--no-run"], "front_end")
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split()[2]
    # Two different channels, as music and interviews have, so that nothing is coded as one.
    wav = speech(folder, args.seconds, ["-af", "aresample=44100,pan=stereo|c0=c0|c1=0.7*c0", "-c:a", "pcm_s16le"])
    rows = []
    for name, options in CODECS.items():
        file = folder / f"coded.{name}"
        run(["ffmpeg", "-v", "error", "-y", "-i", wav, *options, file])
        peer = ["ffmpeg", "-v", "error", "-threads", "1", "-i", file, "-ac", "1", "-ar", "16000", "-f", "f32le", "-y", "/dev/null"]
        commands = {"decode": [ours, file], "mel": [ours, file, "--mel", "80"], "ffmpeg": peer}
        seconds = {key: [] for key in commands}
        for _ in range(args.runs):
            for key, command in commands.items():
                seconds[key].append(cpu_seconds(command))
        speed = {key: args.seconds / statistics.median(values) for key, values in seconds.items()}
        rows.append([
            f"{name}, {'48' if name == 'opus' else '44.1'} kHz stereo", f"{speed['decode']:.0f}x", f"{speed['mel']:.0f}x",
            f"{speed['ffmpeg']:.0f}x", f"{speed['decode'] / speed['ffmpeg']:.2f}",
        ])  # fmt: skip
    print(f"\nFront end, multiples of real time per core ({args.seconds} s of speech, median of {args.runs}; "
          f"ffmpeg {version}; {machine()})\n")  # fmt: skip
    table(["file", "decode + resample", "decode + resample + mel", "ffmpeg decode + resample", "ours / ffmpeg"], rows)


def end_to_end(args, folder):
    binary, versions, rows, shares, best = program(), {}, [], [], []
    options = ["-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le"]
    wav, short = speech(folder, args.seconds, options), speech(folder, 2 * WINDOW, options, "short.wav")
    for size in args.sizes:
        calls = {name: our_call(binary, size, args, *how) for name, how in OURS.items()}
        calls |= peers(size, folder, args, versions)
        calls = {name: call for name, call in calls.items() if name == MAIN or any(part in name for part in args.only)}
        runs = {name: [] for name in calls}
        for name, call in calls.items():
            call(short)  # warms up
        for turn in range(args.runs):
            for name, call in calls.items():
                time.sleep(0.5)  # threads of the one before that wait in a loop have given up
                runs[name].append(call(wav))
                print(f"{size}, turn {turn + 1}, {name}: {runs[name][-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
        middle = {name: sorted(all, key=lambda run: run["seconds"])[len(all) // 2] for name, all in runs.items()}
        ours = middle[MAIN]["seconds"]
        for name, figures in middle.items():
            seconds = figures["seconds"]
            rows.append([
                size, name, f"{seconds:.2f}", f"{args.seconds / seconds:.1f}x", figures["windows"], figures["tokens"],
                f"{seconds / figures['windows'] * 1e3:.0f}", f"{seconds / ours:.2f}",
            ])  # fmt: skip
        best += nearest(size, middle)
        shares += [limits.row(size, middle[name]) for name in list(OURS)[:2] if name in middle and has_torch()]
        shutil.rmtree(folder / size, ignore_errors=True)
    versions = [f"{name} {version}" for name, version in versions.items()]
    search = f"{args.beams} beams" if args.beams > 1 else "greedy"
    print(f"\nEnd to end, {args.seconds} s of speech, {args.tokens} tokens per window, {search}, without timestamps, "
          f"{args.threads} threads; median of {args.runs}; {'; '.join([*versions, machine()])}\n")  # fmt: skip
    table(["shape", "program", "seconds", "times real time", "windows", "tokens", "ms a window", "time against ours"], rows)
    print()
    for line in best:
        print(line)
    if shares:
        print(f"\nWhere our time goes, and how near it comes to the machine's limits ({limits.of_machine()})\n")
        table(limits.HEAD, shares)


def nearest(size, middle):
    """Ours against the best of all and the best that computes in f32, by time and by time for each window."""
    ours, names = middle[MAIN], [name for name in middle if name not in OURS]
    for kind, those in (("peer", names), ("peer in f32", [name for name in names if "32" in name])):
        if those:
            name = min(those, key=lambda name: middle[name]["seconds"])
            ratio = middle[name]["seconds"] / ours["seconds"]
            per_window = ratio * ours["windows"] / middle[name]["windows"]
            yield f"{size}: the best {kind} is {name}; {MAIN} is {ratio:.2f} times as fast, {per_window:.2f} times by window."


def has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def our_call(binary, size, args, batch, chunk):
    def call(wav):
        command = [binary, "bench", wav, "--json", "--random", size, "--tokens", args.tokens, "--beam-size", args.beams,
                   "--batch-size", batch,
                   "--threads", args.threads, "--chunk-length", chunk, "--device", "cpu"]  # fmt: skip
        out = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
        return json.loads(out)

    return call


def peers(size, folder, args, versions):
    """A call for each peer that is there."""
    calls = {}
    try:
        import torch

        torch.set_num_threads(args.threads)
        made = folder / size
        state = weights.hugging_face(size, made)
        for add in (openai_whisper, faster_whisper, whisper_cpp):
            try:
                calls |= add(size, made, state, args, versions)
            except ImportError as missing:
                print(f"left out: {missing}; see benches/requirements.txt", file=sys.stderr)
    except ImportError as missing:
        print(f"no peer to compare with: {missing}; see benches/requirements.txt", file=sys.stderr)
    return calls


def openai_whisper(size, _, state, args, versions):
    import torch
    import whisper

    versions |= {"openai-whisper": whisper.__version__, "torch": torch.__version__}
    model = weights.openai(size, state)

    def call(wav):
        start = time.perf_counter()
        result = whisper.transcribe(
            model, str(wav), fp16=False, language="en", temperature=0.0, compression_ratio_threshold=None,
            logprob_threshold=None, no_speech_threshold=None, condition_on_previous_text=False,
            without_timestamps=True, suppress_tokens=[-1, weights.EOT], sample_len=args.tokens, verbose=None,
            beam_size=args.beams if args.beams > 1 else None,
        )  # fmt: skip
        segments = result["segments"]
        return {
            "seconds": time.perf_counter() - start, "windows": len({s["seek"] for s in segments}),
            "tokens": sum(len(s["tokens"]) for s in segments),
        }  # fmt: skip

    return {"openai-whisper f32": call}


def faster_whisper(_, folder, __, args, versions):
    import ctranslate2
    import faster_whisper

    versions |= {"faster-whisper": faster_whisper.__version__, "CTranslate2": ctranslate2.__version__}
    converted = folder / "ct2"
    ctranslate2.converters.TransformersConverter(str(folder), copy_files=["tokenizer.json"]).convert(str(converted))
    # CTranslate2 stops at half of the length that it is given, prompt included.
    most = 2 * args.tokens - len(PROMPT)
    options = {
        "language": "en", "beam_size": args.beams, "temperature": 0.0, "compression_ratio_threshold": None,
        "log_prob_threshold": None, "no_speech_threshold": None, "condition_on_previous_text": False,
        "without_timestamps": True, "suppress_tokens": [-1, weights.EOT], "max_new_tokens": most,
    }  # fmt: skip

    def sequential(model):
        return lambda wav: model.transcribe(str(wav), **options)

    def batched(model):
        pipeline = faster_whisper.BatchedInferencePipeline(model)

        def transcribe(wav):
            audio = faster_whisper.decode_audio(str(wav))
            seconds = len(audio) / 16000
            clips = [{"start": WINDOW * n, "end": min(WINDOW * (n + 1), seconds)} for n in range(math.ceil(seconds / WINDOW))]
            return pipeline.transcribe(audio, clip_timestamps=clips, batch_size=8, **options)

        return transcribe

    def timed(transcribe):
        def call(wav):
            start = time.perf_counter()
            segments = list(transcribe(wav)[0])
            return {
                "seconds": time.perf_counter() - start, "windows": len({s.seek for s in segments}),
                "tokens": sum(len(s.tokens) for s in segments),
            }  # fmt: skip

        return call

    calls = {}
    for kind in ("float32", "int8"):
        model = faster_whisper.WhisperModel(str(converted), device="cpu", compute_type=kind, cpu_threads=args.threads)
        calls[f"faster-whisper {kind}"] = timed(sequential(model))
        calls[f"faster-whisper {kind}, batch 8"] = timed(batched(model))
    return calls


def whisper_cpp(size, folder, state, args, versions):
    if args.whisper_cpp is None:
        print("left out: whisper.cpp; --whisper-cpp says where its whisper-cli is", file=sys.stderr)
        return {}
    versions["whisper.cpp"] = whisper_cpp_version(args.whisper_cpp)

    def timed(file):
        command = [args.whisper_cpp, "-m", file, "-t", args.threads, "-l", "en", "-nt", "-nf", "-bs", args.beams, "-bo", 1, "-mc", 0, "-ng", "-f"]

        def call(wav):
            done = subprocess.run([str(part) for part in [*command, wav]], check=True, capture_output=True, text=True, errors="replace")
            figure = lambda pattern: float(re.search(pattern, done.stderr).group(1))
            windows, steps = (int(figure(rf"{part} time = .*/ *(\d+) runs")) for part in ("encode", "decode"))
            # The first token of a window comes with its prompt, each other with a step.
            seconds = (figure(r"total time = *([\d.]+)") - figure(r"load time = *([\d.]+)")) / 1e3
            return {"seconds": seconds, "windows": windows, "tokens": windows + steps}

        return call

    calls = {}
    for kind in ("f16", "f32"):
        file = folder / f"ggml-{kind}.bin"
        weights.ggml(size, state, args.tokens, kind == "f16", file)
        calls[f"whisper.cpp {kind}"] = timed(file)
    return calls


def whisper_cpp_version(binary):
    printed = subprocess.run([binary, "--version"], capture_output=True, text=True, errors="replace")
    found = re.search(r"version: *(\S+)", printed.stdout + printed.stderr)
    return found.group(1) if found else "of unknown version"


def show_limits(args, _):
    print(f"{limits.of_machine()}; {machine()}\n")
    rows = []
    for size in args.sizes:
        operations, seconds = limits.encoder(size)
        count = limits.step_bytes(size, 8, args.tokens)
        rows.append([size, f"{operations / 1e9:.1f}", f"{seconds * 1e3:.1f}", f"{operations / seconds / 1e9:.0f}", f"{count / 1e6:.0f}",
                     f"{limits.bandwidth(count) / 1e9:.1f}"])  # fmt: skip
    table(["shape", "GFLOP a window", "ms as bare products", "GFLOP/s", "MB a step of 8 rows", "GB/s reading so many"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["front-end", "end-to-end", "limits"])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", default=list(weights.SHAPES), choices=list(weights.SHAPES))
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="programs with this in their name, beside ours in batches")
    parser.add_argument("--whisper-cpp", type=Path, metavar="PATH", help="whisper-cli of whisper.cpp")
    args = parser.parse_args()
    if not shutil.which("ffmpeg"):
        sys.exit("ffmpeg is needed to make the recordings, and is compared with")
    measure = {"front-end": front_end, "end-to-end": end_to_end, "limits": show_limits}[args.what]
    if args.what != "front-end":
        program()  # built by all cores
        keep_to_cores(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


if __name__ == "__main__":
    main()
