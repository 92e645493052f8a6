#!/usr/bin/env python3
"""Writes silero.safetensors, and the values that the tests expect, from the package silero-vad. Needs ffmpeg.

    pip install silero-vad safetensors numpy torch && python3 models/vad/make.py
"""

import subprocess
from pathlib import Path

import numpy as np
import silero_vad
import torch
from safetensors.numpy import save_file

HERE = Path(__file__).parent

NAMES = {
    "stft.forward_basis_buffer": "stft_conv.weight",
    **{f"encoder.{at}.reparam_conv.{kind}": f"conv{at + 1}.{kind}" for at in range(4) for kind in ("weight", "bias")},
    **{f"decoder.rnn.{name}": f"lstm_cell.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    "decoder.decoder.2.weight": "final_conv.weight",
    "decoder.decoder.2.bias": "final_conv.bias",
}

# The package's own silero_vad_16k.safetensors holds an earlier version.
model = silero_vad.load_silero_vad()
state = model.state_dict()
weights = {name: state[f"_model.{there}"].numpy() for there, name in NAMES.items()}

# Its first layer is a Fourier transform under a Hann window, which the program computes as such.
n, k = np.arange(256), np.arange(129)[:, None]
hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 256)
angle = 2 * np.pi * k * n / 256
basis = np.concatenate([np.cos(angle) * hann, -np.sin(angle) * hann])
assert np.abs(weights.pop("stft_conv.weight")[:, 0] - basis).max() < 1e-7

save_file(weights, HERE / "silero.safetensors", metadata={"source": "silero-vad 6.2.3", "licence": "MIT"})

# What Silero's own program computes for a recording.
recording = HERE.parent.parent / "fixtures/long/short_en.flac"
decode = ["ffmpeg", "-v", "error", "-i", str(recording), "-f", "f32le", "-ac", "1", "-ar", "16000", "-"]
samples = np.frombuffer(subprocess.run(decode, capture_output=True, check=True).stdout, "<f4")
with torch.no_grad():
    blocks = torch.from_numpy(samples.copy()).split(512)
    expected = [model(block, 16_000).item() for block in blocks if len(block) == 512]
(HERE.parent.parent / "fixtures/vad/short_en.f32").write_bytes(np.array(expected, "<f4").tobytes())
