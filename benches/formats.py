"""Prints whether `transcribe` reads models in the formats of other programs to the same text as those programs.

    python benches/formats.py --models ROOT --whisper-cpp DIR --recordings a.flac b.flac

ROOT holds, for every model NAME, `pt/NAME.pt` as openai-whisper loads it, `hf/NAME` in Hugging Face form and `ct2/NAME` as
faster-whisper loads it, all with the same weights. The other files are made from these in ROOT/made: ggml by the steps of
whisper.cpp's converter, its quantised forms by whisper-quantize in DIR, CTranslate2's int8 by the rule of its converter,
`pytorch_model.bin` by torch, and GGUF by the package `gguf`.

Each file is transcribed by its own program and by `transcribe --chunk-length 0`, both greedy and without fallback. Texts are
compared word by word: "equal" means that every character but white space is, else the number of words that differ is
given. Texts of the other programs are kept in
ROOT/made. Needs benches/requirements.txt and the package `gguf`.
"""

import argparse
import base64
import difflib
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

from common import machine, markdown, program

GGML = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
CT2 = ["float32", "int8_float32", "int8_float16", "int8_bfloat16"]
# The layers of transcribe.cpp's names, which are Hugging Face's otherwise.
GGUF_LAYERS = {
    "encoder": "enc", "decoder": "dec", "layers": "blocks", "embed_positions": "pos_emb", "embed_tokens": "token_embd",
    "layer_norm": "final_norm", "conv1": "conv.0", "conv2": "conv.1", "q_proj": "q", "k_proj": "k", "v_proj": "v",
    "out_proj": "out", "encoder_attn": "cross_attn", "encoder_attn_layer_norm": "norm_cross",
    "final_layer_norm": "norm_ffn", "fc1": "ffn.fc1", "fc2": "ffn.fc2",
}


def ggml(checkpoint, out, floats):
    """Writes whisper.cpp's format: hyper-parameters, mel filters, vocabulary, tensors."""
    import whisper

    assets = Path(whisper.__file__).parent / "assets"
    dims, state = checkpoint["dims"], checkpoint["model_state_dict"]
    filters = np.load(assets / "mel_filters.npz")[f"mel_{dims['n_mels']}"].astype(np.float32)
    vocabulary = "multilingual" if dims["n_vocab"] >= 51865 else "gpt2"
    lines = (assets / f"{vocabulary}.tiktoken").read_text().splitlines()
    names = ["n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx", "n_text_state"]
    names += ["n_text_head", "n_text_layer", "n_mels"]
    with open(out, "wb") as file:
        file.write(struct.pack("<I10iI", 0x67676D6C, *(dims[name] for name in names), int(floats == "f16")))
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        file.write(struct.pack("<i", len(lines)))
        for line in lines:
            token = base64.b64decode(line.split()[0])
            file.write(struct.pack("<i", len(token)) + token)
        for name, tensor in state.items():
            data = tensor.squeeze().float().numpy()
            data = data.reshape(-1, 1) if name.endswith(("conv1.bias", "conv2.bias")) else data
            half = floats == "f16" and data.ndim > 1 and not name.endswith((".bias", "positional_embedding"))
            data = data.astype(np.float16 if half else np.float32)
            file.write(struct.pack("<3i", data.ndim, len(name), int(half)))
            file.write(struct.pack(f"<{data.ndim}i", *reversed(data.shape)) + name.encode() + data.tobytes())


def ct2_variables(path):
    """Yields the name, shape, type and bytes of every variable of a `model.bin`, then its aliases."""
    types = [np.float32, np.int8, np.int16, np.int32, np.float16]
    data, at = path.read_bytes(), 4

    def take(form):
        nonlocal at
        at += struct.calcsize("<" + form)
        return struct.unpack_from("<" + form, data, at - struct.calcsize("<" + form))[0]

    def text():
        nonlocal at
        length = take("H")
        at += length
        return data[at - length : at - 1].decode()

    head = (text(), take("I"))
    variables = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = types[take("B")], take("I")
        variables[name] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size
    aliases = [(text(), text()) for _ in range(take("I"))]
    return head, variables, aliases


def ct2(source, out, kind):
    """Converts a folder of CTranslate2 as its converter does: int8 by the largest value of each row."""
    shutil.copytree(source, out, dirs_exist_ok=True)
    (spec, revision), variables, aliases = ct2_variables(source / "model.bin")
    types = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4, "bfloat16": 5}
    string = lambda text: struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
    written = {}
    for name, value in variables.items():
        if value.dtype != np.float16:
            written[name] = (value.shape, value.dtype.name, value.tobytes())
            continue
        value = value.astype(np.float32)
        if kind.startswith("int8") and name.endswith("/weight"):
            rows = value.reshape(value.shape[0], -1)
            largest = np.abs(rows).max(axis=1)
            scale = (127 / np.where(largest == 0, 127, largest)).astype(np.float32)
            written[name] = (value.shape, "int8", np.rint(rows * scale[:, None]).astype(np.int8).tobytes())
            written[name + "_scale"] = (scale.shape, "float32", scale.tobytes())
            continue
        rest = kind.rpartition("_")[2]
        if rest == "bfloat16":
            bits = value.view(np.uint32)
            packed = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        else:
            packed = value.astype(rest)
        written[name] = (value.shape, rest, packed.tobytes())
    aliases += [(alias + "_scale", name + "_scale") for alias, name in aliases if name + "_scale" in written]
    with open(out / "model.bin", "wb") as file:
        file.write(struct.pack("<I", 6) + string(spec) + struct.pack("<2I", revision, len(written)))
        for name, (shape, dtype, data) in sorted(written.items()):
            file.write(string(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape))
            file.write(struct.pack("<BI", types[dtype], len(data)) + data)
        file.write(struct.pack("<I", len(aliases)) + b"".join(string(a) + string(b) for a, b in aliases))


def pytorch(source, out, shards):
    """Writes `pytorch_model.bin`, whole or in shards, beside the other files of a folder in Hugging Face form."""
    import torch
    from safetensors.torch import load_file

    out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        shutil.copy(source / name, out / name)
    state = load_file(source / "model.safetensors")
    if shards == 1:
        torch.save(state, out / "pytorch_model.bin")
        return
    index = {}
    for shard in range(shards):
        name = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
        part = dict(list(state.items())[shard::shards])
        torch.save({key: value.clone() for key, value in part.items()}, out / name)
        index |= dict.fromkeys(part, name)
    (out / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def gguf(source, out, naming, kind):
    """Writes GGUF with tensors named as by Hugging Face or as by transcribe.cpp."""
    import gguf
    from safetensors.numpy import load_file

    writer = gguf.GGUFWriter(str(out), "whisper")
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    if naming == "enc/dec":
        config = json.loads((source / "config.json").read_text())
        tokens = {**tokenizer["model"]["vocab"], **{t["content"]: t["id"] for t in tokenizer["added_tokens"]}}
        spelled = {index: token for token, index in tokens.items()}
        vocabulary = [spelled.get(index, f"<|unused_{index}|>") for index in range(config["vocab_size"])]
        writer.add_array("tokenizer.ggml.tokens", vocabulary)
        writer.add_uint32("stt.whisper.encoder.n_heads", config["encoder_attention_heads"])
        writer.add_uint32("stt.whisper.decoder.n_heads", config["decoder_attention_heads"])
    types = gguf.GGMLQuantizationType
    for name, data in load_file(source / "model.safetensors").items():
        if naming == "enc/dec":
            pieces = name.removeprefix("model.").split(".")
            pieces[-2] = {"self_attn_layer_norm": f"norm_{'attn' if pieces[0] == 'encoder' else 'self'}"}.get(pieces[-2], pieces[-2])
            name = ".".join(GGUF_LAYERS.get(piece, piece) for piece in pieces)
            if name.startswith("enc.blocks"):
                name = name.replace("self_attn", "attn")
        is_matrix = data.ndim == 2 and "pos" not in name
        stored = types[kind] if is_matrix else types.F16 if data.ndim > 1 else types.F32
        writer.add_tensor(name, gguf.quantize(data.astype(np.float32), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(root, name, bin_dir):
    """Makes all files of a model; returns them with their formats and the programs that they belong to."""
    import torch

    made = root / "made" / name
    made.mkdir(parents=True, exist_ok=True)
    pt, hf, source = root / f"pt/{name}.pt", root / f"hf/{name}", root / f"ct2/{name}"
    files = [("openai `.pt`, f16", pt, openai), ("safetensors, f16", hf, openai)]
    for shards in (1, 2):
        folder = made / f"pytorch-{shards}"
        if not folder.exists():
            pytorch(hf, folder, shards)
        files.append((f"`pytorch_model.bin`, f16{', 2 shards' if shards > 1 else ''}", folder, openai))
    files.append(("CTranslate2 float16", source, faster_whisper))
    for kind in CT2:
        if not (made / kind / "model.bin").exists():
            ct2(source, made / kind, kind)
        files.append((f"CTranslate2 {kind}", made / kind, faster_whisper))
        if kind == "int8_float32":
            # What it computes in by default on a CPU.
            files.append((f"CTranslate2 {kind}, its program computing in int8", made / kind, faster_whisper_int8))
    for kind in ("f32", "f16"):
        file = made / f"ggml-{kind}.bin"
        if not file.exists():
            ggml(torch.load(pt, weights_only=False), file, kind)
        files.append((f"ggml {kind}", file, whisper_cpp))
    for kind in GGML:
        file = made / f"ggml-{kind}.bin"
        if not file.exists():
            subprocess.run([bin_dir / "whisper-quantize", made / "ggml-f16.bin", file, kind], check=True, stdout=subprocess.DEVNULL)
        files.append((f"ggml {kind}", file, whisper_cpp))
    for naming, kind, same in (("Hugging Face", "F16", "f16"), ("enc/dec", "F16", "f16"), ("enc/dec", "Q8_0", "q8_0"), ("enc/dec", "Q5_0", "q5_0")):
        file = made / f"{naming.split('/')[0].replace(' ', '-')}-{kind}.gguf"
        if not file.exists():
            gguf(hf, file, naming, kind)
        # No program for both namings: whisper.cpp with the same numbers.
        files.append((f"GGUF {kind.lower()}, {naming} names", file, lambda _, audio, kind=same: whisper_cpp(made / f"ggml-{kind}.bin", audio)))
    return files


def kept(original):
    """Keeps the texts of the other programs, which do not change, in a file."""

    def text(model, audio):
        path = ROOT / f"made/{NAME}/texts.json"
        texts = json.loads(path.read_text()) if path.exists() else {}
        key = f"{original.__name__} {model.relative_to(ROOT)} {audio.name}"
        if key not in texts:
            texts[key] = original(model, audio)
            path.write_text(json.dumps(texts, indent=1))
        return texts[key]

    return text


def openai(_, audio):
    return openai_whisper(ROOT / f"pt/{NAME}.pt", audio)


@kept
def openai_whisper(path, audio):
    import whisper

    model = whisper.load_model(str(path), device="cpu")
    return model.transcribe(samples(audio), temperature=0, fp16=False, language="en")["text"]


@kept
def faster_whisper(model, audio):
    return ctranslate2(model, audio, "float32")


@kept
def faster_whisper_int8(model, audio):
    return ctranslate2(model, audio, "int8")


def samples(audio):
    """The samples as faster-whisper reads them, which needs no ffmpeg."""
    from faster_whisper import decode_audio

    return decode_audio(str(audio))


def ctranslate2(model, audio, compute):
    from faster_whisper import WhisperModel

    model = WhisperModel(str(model), device="cpu", compute_type=compute, cpu_threads=2)
    segments, _ = model.transcribe(str(audio), beam_size=1, temperature=0, language="en")
    return "".join(segment.text for segment in segments)


@kept
def whisper_cpp(model, audio):
    # Without timestamps it would decode another sequence; it suppresses symbols and spares f16 sums only if asked to.
    command = [BIN / "whisper-cli", "-m", model, "-f", audio, "-l", "en", "-bs", "1", "-bo", "1", "-nf", "-np", "-sns", "-nfa", "-t", "1"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return "".join(line.partition("]  ")[2] for line in lines)


def ours(binary, model, audio):
    command = [binary, audio, "--model", model, "--language", "en", "--temperature", "0", "--chunk-length", "0", "--dtype", "f32"]
    command += ["--offline", "--quiet"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{model}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def compare(expected, found):
    expected, found = expected.split(), found.split()
    if expected == found:
        return "equal"
    matcher = difflib.SequenceMatcher(None, expected, found, autojunk=False)
    changed = sum(max(b - a, d - c) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal")
    return f"{changed} of {len(expected)} words differ"


def main():
    global BIN, ROOT, NAME
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=["tiny.en", "base"])
    parser.add_argument("--whisper-cpp", type=Path, required=True, help="the folder with whisper-cli and whisper-quantize")
    parser.add_argument("--recordings", type=Path, nargs="+", required=True)
    parser.add_argument("--program", type=Path, help="a built `transcribe` instead of building it")
    args = parser.parse_args()
    binary, BIN, ROOT = args.program or program(), args.whisper_cpp, args.models
    print(f"{machine()}\n")
    for NAME in args.names:
        rows = []
        plain = {audio: ours(binary, ROOT / f"hf/{NAME}", audio) for audio in args.recordings}
        for label, file, original in make(ROOT, NAME, BIN):
            row = [label]
            for audio in args.recordings:
                text = ours(binary, file, audio)
                row += [compare(original(file, audio), text), compare(plain[audio], text)]
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
        head = ["format"] + [cell for audio in args.recordings for cell in (f"{audio.stem}: its own program", f"{audio.stem}: safetensors here")]
        print("\n".join([f"**{NAME}**", "", *markdown(head, rows), ""]), flush=True)


if __name__ == "__main__":
    main()
