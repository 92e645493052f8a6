"""The demo model's weights under the names that Hugging Face and openai-whisper use, and loading it into the latter."""

import json
import pathlib

import numpy as np
import torch
import whisper
from safetensors.torch import load_file

# Ours -> Hugging Face's, and Hugging Face's -> openai's, as successive replacements.
_TO_HF = [
    ("encoder.positions", "encoder.embed_positions.weight"), ("decoder.positions", "decoder.embed_positions.weight"),
    ("decoder.tokens", "decoder.embed_tokens.weight"), (".ln_post.", ".layer_norm."), ("decoder.ln.", "decoder.layer_norm."),
    (".blocks.", ".layers."), (".cross_attn_ln.", ".encoder_attn_layer_norm."), (".attn_ln.", ".self_attn_layer_norm."),
    (".mlp_ln.", ".final_layer_norm."), (".mlp_in.", ".fc1."), (".mlp_out.", ".fc2."), (".cross_attn.", ".encoder_attn."),
    (".attn.", ".self_attn."), (".query.", ".q_proj."), (".key.", ".k_proj."), (".value.", ".v_proj."), (".out.", ".out_proj."),
]
_TO_OPENAI = [
    ("model.", ""), ("encoder.embed_positions.weight", "encoder.positional_embedding"),
    ("decoder.embed_positions.weight", "decoder.positional_embedding"), ("embed_tokens", "token_embedding"),
    (".self_attn_layer_norm.", ".attn_ln."), (".encoder_attn_layer_norm.", ".cross_attn_ln."),
    (".final_layer_norm.", ".mlp_ln."), ("encoder.layer_norm.", "encoder.ln_post."), ("decoder.layer_norm.", "decoder.ln."),
    (".layers.", ".blocks."), (".self_attn.", ".attn."), (".encoder_attn.", ".cross_attn."), (".q_proj.", ".query."),
    (".k_proj.", ".key."), (".v_proj.", ".value."), (".out_proj.", ".out."), (".fc1.", ".mlp.0."), (".fc2.", ".mlp.2."),
]


def _renamed(name, replacements):
    for old, new in replacements:
        name = name.replace(old, new)
    return name


def to_hugging_face(name):
    return "model." + _renamed(name, _TO_HF)


def load_ours(folder, model, vocabulary):
    """A checkpoint folder's weights as the training's model names and shapes them."""
    weights = load_file(pathlib.Path(folder) / "model.safetensors")
    state = {name: weights[to_hugging_face(name)].float() for name in model.state_dict()}
    return state | {"decoder.tokens": weights[to_hugging_face("decoder.tokens")][vocabulary.used].float()}


def load(folder, heads=None):
    """A checkpoint folder as an openai-whisper model in float32, with its alignment heads set (or those given)."""
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    dims = whisper.ModelDimensions(
        n_mels=config["num_mel_bins"], n_audio_ctx=config["max_source_positions"], n_audio_state=config["d_model"],
        n_audio_head=config["encoder_attention_heads"], n_audio_layer=config["encoder_layers"],
        n_vocab=config["vocab_size"], n_text_ctx=config["max_target_positions"], n_text_state=config["d_model"],
        n_text_head=config["decoder_attention_heads"], n_text_layer=config["decoder_layers"],
    )
    model = whisper.Whisper(dims)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({_renamed(name, _TO_OPENAI): w.float() for name, w in weights.items()})
    if heads is None:
        heads = json.loads((folder / "generation_config.json").read_text())["alignment_heads"]
    mask = np.zeros((dims.n_text_layer, dims.n_text_head), bool)
    for layer, head in heads:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", torch.from_numpy(mask).to_sparse(), persistent=False)
    return model.eval()
