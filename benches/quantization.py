#!/usr/bin/env python3
"""What 8-bit integers cost in each part of a network: how far its logits diverge from f32, simulated with PyTorch.

    python benches/quantization.py tiny.en.pt RECORDING...

Weights are rounded to s8 per output, activations to u8 per row, as `--dtype int8` does; everything else stays in f32. Prints the
mean Kullback-Leibler divergence over the tokens that f32 chooses, for every part alone and for all of them, as they are and with
equalized inputs (src/device/cpu/int8). Needs openai-whisper.
"""

import argparse
import types

import torch
import whisper

from common import table

WINDOW = 3000
TOKENS = 60


def rounded_rows(x):
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-30)
    zero = torch.round(-low / scale)
    return (torch.round(x / scale + zero).clamp(0, 255) - zero) * scale


def rounded_weight(w):
    scale = (w.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-30)
    return torch.round(w / scale) * scale


def part(name):
    """The part that a layer belongs to."""
    side = "encoder" if name.startswith("encoder") else "decoder"
    if "cross_attn" in name:
        return {"key": "cross keys", "value": "cross values"}.get(name.split(".")[-1], "cross " + name.split(".")[-1])
    for ending, label in (("mlp.0", "fc1"), ("mlp.2", "fc2"), ("attn.out", "out")):
        if name.endswith(ending):
            return f"{side} {label}"
    return f"{side} qkv"


def norm_before(network, name):
    """The norm whose outputs a layer takes, if it takes those of one."""
    block = getattr(network, name.split(".")[0]).blocks[int(name.split(".")[2])]
    if "cross_attn" in name:
        found = {"query": block.cross_attn_ln, "key": network.encoder.ln_post, "value": network.encoder.ln_post}
        return found.get(name.split(".")[-1])
    if name.endswith("mlp.0"):
        return block.mlp_ln
    return block.attn_ln if name.endswith(("query", "key", "value")) else None


class Network:
    def __init__(self, path, recordings, windows):
        self.network = whisper.load_model(path, device="cpu").float().eval()
        mels = []
        for recording in recordings:
            mel = whisper.log_mel_spectrogram(whisper.load_audio(recording))
            whole = mel.shape[1] // WINDOW
            chosen = [at * whole // windows for at in range(windows)] if whole > windows else range(whole)
            mels += [mel[:, at * WINDOW : (at + 1) * WINDOW] for at in chosen]
        self.mels = torch.stack(mels)
        self.start = list(whisper.tokenizer.get_tokenizer(self.network.is_multilingual, language="en").sot_sequence_including_notimestamps)
        self.quantized = {}
        self.weights = {"vocabulary": (self.network.decoder.token_embedding.weight.data, self.network.decoder.ln)}
        for name, layer in self.network.named_modules():
            if isinstance(layer, torch.nn.Linear):
                self.weights[name] = (layer.weight.data, norm_before(self.network, name))
                layer.forward = types.MethodType(lambda own, x, name=name: self.multiply(name, x, own.weight, own.bias), layer)
        self.network.decoder.forward = types.MethodType(self.decode, self.network.decoder)

    def multiply(self, name, x, weight, bias):
        if name not in self.quantized:
            return torch.nn.functional.linear(x, weight, bias)
        weight, divisors = self.quantized[name]
        return torch.nn.functional.linear(rounded_rows(x / divisors), weight, bias)

    def decode(self, decoder, tokens, audio, kv_cache=None):
        x = decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.shape[-1]]
        for block in decoder.blocks:
            x = block(x, audio, mask=decoder.mask)
        return self.multiply("vocabulary", decoder.ln(x), decoder.token_embedding.weight, None)

    def quantize(self, parts, equalizes):
        self.quantized = {}
        for name, (weight, norm) in self.weights.items():
            if (name if name == "vocabulary" else part(name)) not in parts:
                continue
            divisors = torch.ones(weight.shape[1])
            if equalizes and norm is not None:
                magnitudes = (3 * norm.weight.abs() + norm.bias.abs()).detach().clamp(min=1e-3)
                divisors = (magnitudes / weight.abs().amax(0).clamp(min=1e-12)).sqrt()
            self.quantized[name] = (rounded_weight(weight * divisors), divisors)

    @torch.no_grad()
    def choose(self):
        audio, tokens = self.network.encoder(self.mels), torch.tensor([self.start] * len(self.mels))
        for _ in range(TOKENS):
            logits = self.network.decoder(tokens, audio)[:, -1]
            tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], 1)
        return tokens

    @torch.no_grad()
    def scores(self, tokens):
        return self.network.decoder(tokens, self.network.encoder(self.mels))[:, len(self.start) - 1 : -1].log_softmax(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--windows", type=int, default=3, help="of each recording")
    args = parser.parse_args()
    network = Network(args.model, args.recordings, args.windows)
    tokens = network.choose()
    exact = network.scores(tokens)
    end = 50256 if not network.network.is_multilingual else 50257
    counted = (tokens[:, len(network.start) :] == end).cumsum(1) <= 1

    def divergence(parts, equalizes):
        network.quantize(parts, equalizes)
        return f"{(exact.exp() * (exact - network.scores(tokens))).sum(-1)[counted].mean():.5f}"

    parts = ["vocabulary", *sorted({part(name) for name in network.weights if name != "vocabulary"})]
    rows = [[name, divergence([name], False), divergence([name], True)] for name in parts]
    print(f"{len(network.mels)} windows, {int(counted.sum())} tokens: divergence from f32\n")
    table(["part in 8 bits", "as it is", "equalized"], [*rows, ["all", divergence(parts, False), divergence(parts, True)]])


if __name__ == "__main__":
    main()
