"""Prints how fast `transcribe` is beside ffmpeg, openai-whisper and faster-whisper: same work, same run, in turns.

    python benches/compare.py front-end        needs ffmpeg
    python benches/compare.py end-to-end       needs openai-whisper; faster-whisper and transformers where installed

Every figure is the median of several runs; programs that are compared take turns, so that a change of the
machine's speed hits all of them. Front end: CPU seconds of the whole process. End to end: seconds of the call
that transcribes, the model being loaded already; random weights at the true shapes, the same number of tokens
in every window for everybody, greedy, without timestamps.
"""

import argparse
import json
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODECS = {
    "mp3": ["-c:a", "libmp3lame", "-b:a", "192k"],
    "flac": ["-c:a", "flac"],
    "opus": ["-c:a", "libopus", "-b:a", "96k", "-ar", "48000"],
    "m4a": ["-c:a", "aac", "-b:a", "160k"],
}
PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
SHAPES = {"tiny": (384, 4, 6), "base": (512, 6, 8), "small": (768, 12, 12)}


def bench_binary(name):
    """Builds a bench and gives its path."""
    command = ["cargo", "bench", "--bench", name, "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [m["executable"] for m in map(json.loads, lines) if m.get("executable") and m["target"]["name"] == name]
    return found[-1]


def speech(folder, seconds, extra=()):
    """The fixture recordings one after the other, again and again, as a WAV file."""
    recordings = [ROOT / f"fixtures/long/{name}.flac" for name in ("long_en", "long_de", "long_es")]
    inputs = [a for r in recordings for a in ("-i", str(r))]
    joined, out = folder / "joined.wav", folder / "speech.wav"
    graph = f"concat=n={len(recordings)}:v=0:a=1"
    run(["ffmpeg", "-v", "error", "-y", *inputs, "-filter_complex", graph, str(joined)])
    run(["ffmpeg", "-v", "error", "-y", "-stream_loop", "-1", "-i", str(joined), "-t", str(seconds), *extra, str(out)])
    return out


def run(command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def cpu_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return f"{model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} cores, commit {commit.strip()}"


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(c) for c in row) + " |")


def front_end(args):
    ours = bench_binary("front_end")
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split()[2]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Two different channels, as music and interviews have, so that nothing is coded as one.
        wav = speech(folder, args.seconds, ["-af", "aresample=44100,pan=stereo|c0=c0|c1=0.7*c0", "-c:a", "pcm_s16le"])
        rows = []
        for name, options in CODECS.items():
            file = folder / f"speech.{name}"
            run(["ffmpeg", "-v", "error", "-y", "-i", str(wav), *options, str(file)])
            peer = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(file), "-ac", "1", "-ar", "16000", "-f", "f32le", "-y", "/dev/null"]
            commands = {"decode": [ours, str(file)], "mel": [ours, str(file), "--mel", "80"], "ffmpeg": peer}
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


def random_tensor(name, shape):
    """The weights of src/whisper/random.rs, so that everybody multiplies the same numbers."""
    import numpy as np

    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24) - np.float32(0.5)
    if name.endswith("layer_norm.weight"):
        offset, scale = 1.0, 0.2
    elif name.endswith(".bias"):
        offset, scale = 0.0, 0.2
    elif name.startswith("model.decoder.embed_"):
        offset, scale = 0.0, 0.08
    else:
        offset, scale = 0.0, 3.4641016 / math.sqrt(math.prod(shape[1:]))
    return (np.float32(offset) + u * np.float32(scale)).reshape(shape)


def hugging_face_model(size, folder):
    """A checkpoint with random weights, for the peers to load or convert."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    width, layers, heads = SHAPES[size]
    config = WhisperConfig(
        d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, vocab_size=51865,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name not in ("proj_out.weight", "model.encoder.embed_positions.weight"):
                tensor.copy_(torch.from_numpy(random_tensor(name, tuple(tensor.shape))))
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "special_tokens_map.json"):
        shutil.copy(ROOT / "models/demo" / file, folder)
    return model


def openai_model(hf, size):
    import torch
    import whisper

    width, layers, heads = SHAPES[size]
    dims = whisper.model.ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_audio_state=width, n_audio_head=heads, n_audio_layer=layers,
        n_vocab=51865, n_text_ctx=448, n_text_state=width, n_text_head=heads, n_text_layer=layers,
    )  # fmt: skip
    names = [
        ("model.", ""), ("layers.", "blocks."), ("self_attn_layer_norm", "attn_ln"), ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("self_attn", "attn"), ("encoder_attn", "cross_attn"), ("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"),
        ("out_proj", "out"), ("final_layer_norm", "mlp_ln"), ("fc1", "mlp.0"), ("fc2", "mlp.2"),
        ("encoder.layer_norm", "encoder.ln_post"), ("decoder.layer_norm", "decoder.ln"), ("embed_tokens", "token_embedding"),
        ("encoder.embed_positions.weight", "encoder.positional_embedding"), ("decoder.embed_positions.weight", "decoder.positional_embedding"),
    ]  # fmt: skip
    state = {}
    for name, tensor in hf.state_dict().items():
        if name != "proj_out.weight":
            for old, new in names:
                name = name.replace(old, new)
            state[name] = tensor
    model = whisper.Whisper(dims)
    model.load_state_dict(state)
    return model.eval(), torch


def end_to_end(args):
    ours = bench_binary("end_to_end")
    rows, versions = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        wav = speech(folder, args.seconds, ["-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le"])
        for size in args.sizes:
            calls = {"transcribe f32": lambda: our_call(ours, wav, size, args)}
            try:
                calls |= peers(size, folder, wav, args, versions)
            except ImportError as missing:
                print(f"no peer to compare with: {missing}; see benches/requirements.txt", file=sys.stderr)
            seconds = {name: [] for name in calls}
            for turn in range(args.runs + 1):
                for name, call in calls.items():
                    taken = call()
                    if turn > 0:  # the first round warms up
                        seconds[name].append(taken)
            median = {name: statistics.median(values) for name, values in seconds.items()}
            for name, value in median.items():
                rows.append([size, name, f"{value:.2f}", f"{args.seconds / value:.1f}x", f"{value / median['transcribe f32']:.2f}"])
    conditions = [f"median of {args.runs}", *versions, machine()]
    print(f"\nEnd to end, {args.seconds} s of speech, {args.tokens} tokens per window, greedy, batch 1, {args.threads} threads; "
          f"{'; '.join(conditions)}\n")  # fmt: skip
    table(["shape", "program", "seconds", "times real time", "time against ours"], rows)


def our_call(binary, wav, size, args):
    command = [binary, str(wav), "--size", size, "--tokens", str(args.tokens), "--threads", str(args.threads)]
    line = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    windows = math.ceil(args.seconds / 30)
    if line["tokens"] != windows * args.tokens:
        sys.exit(f"transcribe made {line['tokens']} tokens in {windows} windows")
    return line["seconds"]


def peers(size, folder, wav, args, versions):
    eot = 50257
    hf_folder = folder / size
    hf = hugging_face_model(size, hf_folder)
    calls = {}
    model, torch = openai_model(hf, size)
    torch.set_num_threads(args.threads)
    import whisper

    def openai_call():
        start = time.perf_counter()
        whisper.transcribe(
            model, str(wav), fp16=False, language="en", temperature=0.0, compression_ratio_threshold=None,
            logprob_threshold=None, no_speech_threshold=None, condition_on_previous_text=False,
            without_timestamps=True, suppress_tokens=[-1, eot], sample_len=args.tokens, verbose=None,
        )  # fmt: skip
        return time.perf_counter() - start

    calls["openai-whisper f32"] = openai_call
    remember(versions, "openai-whisper", whisper.__version__)
    try:
        import ctranslate2
        import faster_whisper
    except ImportError:
        return calls
    remember(versions, "faster-whisper", faster_whisper.__version__)
    converted = folder / f"{size}-ct2"
    ctranslate2.converters.TransformersConverter(str(hf_folder), copy_files=["tokenizer.json"]).convert(str(converted))
    for kind in ("float32", "int8"):
        loaded = faster_whisper.WhisperModel(str(converted), device="cpu", compute_type=kind, cpu_threads=args.threads)

        def faster_call(loaded=loaded):
            start = time.perf_counter()
            # CTranslate2 stops at half of the length that it is given, prompt included.
            most = 2 * args.tokens - len(PROMPT)
            segments, _ = loaded.transcribe(
                str(wav), language="en", beam_size=1, temperature=0.0, compression_ratio_threshold=None,
                log_prob_threshold=None, no_speech_threshold=None, condition_on_previous_text=False,
                without_timestamps=True, suppress_tokens=[-1, eot], max_new_tokens=most,
            )  # fmt: skip
            made = sum(len(s.tokens) for s in segments)
            taken = time.perf_counter() - start
            if made != math.ceil(args.seconds / 30) * args.tokens:
                sys.exit(f"faster-whisper made {made} tokens")
            return taken

        calls[f"faster-whisper {kind}"] = faster_call
    return calls


def remember(versions, name, version):
    if f"{name} {version}" not in versions:
        versions.append(f"{name} {version}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["front-end", "end-to-end"])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "base"])
    args = parser.parse_args()
    if not shutil.which("ffmpeg"):
        sys.exit("ffmpeg is needed to make the recordings, and is compared with")
    {"front-end": front_end, "end-to-end": end_to_end}[args.what](args)


if __name__ == "__main__":
    main()
