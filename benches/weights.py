"""Random weights in Whisper's published shapes, with the values of src/whisper/random.rs, in the format of each peer."""

import json
import math
import shutil
import struct

import shapes
from common import ROOT
from shapes import AUDIO_LENGTH, TEXT_LENGTH

VOCABULARY, MELS, EOT = 51865, 80, 50257
# Width, layers, heads.
SHAPES = {size: (shape.width, shape.encoder_layers, shape.heads)
          for size, shape in shapes.SHAPES.items() if size in ("tiny", "base", "small")}  # fmt: skip
# openai's names for the parts that transformers names differently; longer names first.
OPENAI_NAMES = [
    ("model.", ""), ("layers.", "blocks."), ("self_attn_layer_norm", "attn_ln"), ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn", "attn"), ("encoder_attn", "cross_attn"), ("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"),
    ("out_proj", "out"), ("final_layer_norm", "mlp_ln"), ("fc1", "mlp.0"), ("fc2", "mlp.2"),
    ("encoder.layer_norm", "encoder.ln_post"), ("decoder.layer_norm", "decoder.ln"), ("embed_tokens", "token_embedding"),
    ("encoder.embed_positions.weight", "encoder.positional_embedding"), ("decoder.embed_positions.weight", "decoder.positional_embedding"),
]  # fmt: skip


def random_tensor(name, shape):
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


def hugging_face(size, folder):
    """Writes a checkpoint for the peers to load or convert, and returns its tensors by openai's names."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    width, layers, heads = SHAPES[size]
    config = WhisperConfig(
        d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, vocab_size=VOCABULARY,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name not in ("proj_out.weight", "model.encoder.embed_positions.weight"):
                tensor.copy_(torch.from_numpy(random_tensor(name, tuple(tensor.shape))))
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "special_tokens_map.json"):
        shutil.copy(ROOT / "models/demo" / file, folder)
    state = {}
    for name, tensor in model.state_dict().items():
        if name != "proj_out.weight":
            for old, new in OPENAI_NAMES:
                name = name.replace(old, new)
            state[name] = tensor
    return state


def openai(size, state):
    import whisper

    width, layers, heads = SHAPES[size]
    dims = whisper.model.ModelDimensions(
        n_mels=MELS, n_audio_ctx=AUDIO_LENGTH, n_audio_state=width, n_audio_head=heads, n_audio_layer=layers,
        n_vocab=VOCABULARY, n_text_ctx=TEXT_LENGTH, n_text_state=width, n_text_head=heads, n_text_layer=layers,
    )  # fmt: skip
    model = whisper.Whisper(dims)
    model.load_state_dict(state)
    return model.eval()


def ggml(size, state, tokens, half, path):
    """Writes the file that whisper.cpp reads, so that every window gets the same number of tokens: the embedding of the end of
    text is zero, so that it is never the most likely token, and the text context is so short that the program's own limit
    (half of it, less 4) is the requested number. Neither changes the work of a step."""
    import numpy as np
    import whisper

    width, layers, heads = SHAPES[size]
    text_length = 2 * (tokens + 4)
    with np.load(ROOT.__class__(whisper.__file__).parent / "assets/mel_filters.npz") as file:
        filters = file[f"mel_{MELS}"].astype(np.float32)
    vocabulary = sorted(json.loads((ROOT / "models/demo/tokenizer.json").read_text())["model"]["vocab"].items(), key=lambda t: t[1])
    with open(path, "wb") as out:
        shape = (VOCABULARY, AUDIO_LENGTH, width, heads, layers, text_length, width, heads, layers, MELS, int(half))
        out.write(struct.pack("<12i", 0x67676D6C, *shape))
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        words = [bytes(BYTES[c] for c in word) for word, number in vocabulary if number < EOT]
        out.write(struct.pack("<i", len(words)))
        for word in words:
            out.write(struct.pack("<i", len(word)) + word)
        for name, tensor in state.items():
            values = tensor.numpy()
            if name == "decoder.positional_embedding":
                values = values[:text_length]
            if name == "decoder.token_embedding.weight":
                values = values.copy()
                values[EOT] = 0
            if "conv" in name and name.endswith("bias"):
                values = values.reshape(-1, 1)
            as_half = half and name.endswith(".weight") and values.ndim > 1
            values = np.ascontiguousarray(values, dtype=np.float16 if as_half else np.float32)
            written = name.encode()
            out.write(struct.pack("<3i", values.ndim, len(written), int(as_half)))
            out.write(struct.pack(f"<{values.ndim}i", *reversed(values.shape)))
            out.write(written + values.tobytes())


def byte_letters():
    """Returns the letters that byte-level vocabularies use for bytes: printable ones represent themselves."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(b): b for b in plain} | {chr(256 + n): b for n, b in enumerate(others)}


BYTES = byte_letters()
