#!/usr/bin/env python3
"""The workload of `transcribe bench --random` in transformers on the same device: random weights in the published shapes,
greedy decoding, a fixed number of tokens for every window, in batches of 24.

    python3 benches/gpu/peer.py [--device cpu --size tiny --windows 2 --tokens 8]

Prints a line of JSON after every measurement; `{"skipped": …}` if torch or transformers is missing.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shapes import AUDIO_LENGTH, SHAPES, TEXT_LENGTH, WINDOW_SECONDS  # noqa: E402

RATE = 16000
PROMPT = [50258, 50259, 50360, 50364]
END = 50257
FEATURES, END_TO_END, STATIC = "features", "end to end", "features, static cache, compiled"
# Variant, shape, number format, and number of batches, the most important first.
PLAN = [
    (END_TO_END, "large-v3-turbo", "bf16", 5),
    (FEATURES, "large-v3-turbo", "bf16", 5),
    (END_TO_END, "large-v3", "bf16", 2),
    (END_TO_END, "large-v3-turbo", "f16", 5),
    (FEATURES, "large-v3", "bf16", 2),
    (STATIC, "large-v3-turbo", "bf16", 5),
    (END_TO_END, "large-v3", "f16", 2),
    (STATIC, "large-v3", "bf16", 2),
]  # fmt: skip


def emit(**figures):
    print(json.dumps(figures), flush=True)


def network(size, dtype, device):
    """Returns the library's own network with its own initialization, which is quick on the device."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    shape = SHAPES[size]
    config = WhisperConfig(
        d_model=shape.width, encoder_layers=shape.encoder_layers, decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads, encoder_ffn_dim=4 * shape.width,
        decoder_ffn_dim=4 * shape.width, vocab_size=shape.vocabulary, num_mel_bins=shape.mels,
        max_source_positions=AUDIO_LENGTH, max_target_positions=TEXT_LENGTH, pad_token_id=END, bos_token_id=END,
        eos_token_id=END, decoder_start_token_id=PROMPT[0], begin_suppress_tokens=None,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = WhisperForConditionalGeneration._from_config(config, attn_implementation="sdpa", dtype=dtype)
    return model.to(device).eval()


class Peer:
    def __init__(self, size, dtype, device, batch, tokens):
        import torch
        from transformers import WhisperFeatureExtractor

        self.size, self.name, self.device, self.batch, self.tokens = size, dtype, device, batch, tokens
        self.dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
        self.model = network(size, self.dtype, device)
        self.extractor = WhisperFeatureExtractor(feature_size=SHAPES[size].mels)
        self.prompt = torch.tensor([PROMPT] * batch, device=device)

    def generate(self, features, **how):
        import torch

        with torch.inference_mode():
            out = self.model.generate(
                features, attention_mask=torch.ones(features.shape[0], features.shape[2], device=self.device, dtype=torch.long),
                decoder_input_ids=self.prompt[: features.shape[0]], min_new_tokens=self.tokens, max_new_tokens=self.tokens,
                do_sample=False, num_beams=1, return_timestamps=False, **how,
            )  # fmt: skip
        # Whether the output includes the prompt depends on the version.
        if out.shape[1] not in (self.tokens, self.tokens + len(PROMPT)):
            raise RuntimeError(f"{out.shape[1]} tokens instead of {self.tokens}")
        return out

    def mel(self, count):
        import torch

        return torch.rand(count, SHAPES[self.size].mels, 2 * AUDIO_LENGTH, device=self.device, dtype=self.dtype) * 2 - 1

    def features(self, samples):
        """Computes spectrograms from samples, on the device."""
        found = self.extractor(samples, sampling_rate=RATE, return_tensors="pt", device=self.device)
        return found.input_features.to(self.device, self.dtype)

    def measure(self, variant, windows):
        import torch

        sizes = [min(self.batch, windows - first) for first in range(0, windows, self.batch)]
        if variant == END_TO_END:
            noise = torch.rand(self.batch, WINDOW_SECONDS * RATE).numpy() * 0.2 - 0.1
            work = lambda count: self.generate(self.features(list(noise[:count]))).cpu()
        else:
            mel, how = self.mel(self.batch), {}
            if variant == STATIC:
                how = {"cache_implementation": "static", "disable_compile": True}  # compiled below, with the mode of our choice
                self.model.forward = torch.compile(self.model.forward, mode="reduce-overhead", fullgraph=True)
            work = lambda count: self.generate(mel[:count], **how).cpu()
        started = time.perf_counter()
        for count in dict.fromkeys(sizes):
            work(count)
            if variant == STATIC:
                work(count)  # the first records, the second compiles what was recorded
        self.synchronize()
        prepared = time.perf_counter() - started
        started = time.perf_counter()
        for count in sizes:
            work(count)
        self.synchronize()
        seconds = time.perf_counter() - started
        name = f"transformers, sdpa, {variant}"
        emit(variant=name, size=self.size, dtype=self.name, batch=self.batch, windows=windows, tokens_per_window=self.tokens,
             seconds=seconds, prepare_seconds=prepared, tokens_per_second=windows * self.tokens / seconds,
             times_real_time=windows * WINDOW_SECONDS / seconds)  # fmt: skip

    def synchronize(self):
        import torch

        if self.device != "cpu":
            torch.cuda.synchronize()


def plan(args):
    if args.size:
        return [(variant, args.size, dtype, args.windows) for dtype in args.dtypes for variant in args.variants]
    return [(variant, size, dtype, batches * args.batch) for variant, size, dtype, batches in PLAN]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=list(SHAPES), help="only this one, instead of the whole plan")
    parser.add_argument("--dtypes", nargs="+", default=["bf16"], choices=["f32", "f16", "bf16"])
    parser.add_argument("--variants", nargs="+", default=[FEATURES, END_TO_END], choices=[FEATURES, END_TO_END, STATIC])
    parser.add_argument("--windows", type=int, default=120)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="small workload on a small shape")
    args = parser.parse_args()
    if args.quick:
        args.size, args.dtypes, args.windows, args.batch, args.tokens = "tiny", ["f32"], 3, 2, 4
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import torch
        import transformers
    except ImportError as missing:
        return emit(skipped=f"no transformers: {missing}")
    transformers.logging.set_verbosity_error()
    emit(versions={"torch": torch.__version__, "transformers": transformers.__version__})
    peer = None
    for variant, size, dtype, windows in plan(args):
        try:
            if peer is None or (peer.size, peer.name) != (size, dtype) or STATIC in (variant,):
                peer = None  # frees the old one first
                peer = Peer(size, dtype, args.device, args.batch, args.tokens)
            peer.measure(variant, windows)
        except Exception as error:  # the next one may work
            text = str(error).strip() or type(error).__name__
            emit(variant=f"transformers, sdpa, {variant}", size=size, dtype=dtype, error=text.splitlines()[0][:300])
            peer = None
    return None


if __name__ == "__main__":
    main()
