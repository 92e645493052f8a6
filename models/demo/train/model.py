"""The Whisper graph at demo size, with the initialisation that lets it learn to find its way in minutes.

Holds only the vocabulary rows that occur (targets.py); all others are zero. export.py makes the standard checkpoint.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass(frozen=True)
class Dims:
    mels: int = 80
    state: int = 128
    heads: int = 2
    encoder_layers: int = 3
    decoder_layers: int = 2
    frames: int = 1500
    positions: int = 448


def sinusoids(length, channels):
    rates = torch.exp(-math.log(10000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    def __init__(self, state, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(state, state)
        self.key = nn.Linear(state, state, bias=False)
        self.value = nn.Linear(state, state)
        self.out = nn.Linear(state, state)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, source):
        return self.split(self.key(source)), self.split(self.value(source))

    def attend(self, q, keys_values, mask=None, causal=False):
        mixed = F.scaled_dot_product_attention(q, *keys_values, attn_mask=mask, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, state, heads, cross):
        super().__init__()
        self.attn, self.attn_ln = Attention(state, heads), nn.LayerNorm(state)
        if cross:
            self.cross_attn, self.cross_attn_ln = Attention(state, heads), nn.LayerNorm(state)
        self.mlp_in, self.mlp_out = nn.Linear(state, 4 * state), nn.Linear(4 * state, state)
        self.mlp_ln = nn.LayerNorm(state)

    def mlp(self, x):
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_ln(x))))


class Encoder(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.conv1 = nn.Conv1d(dims.mels, dims.state, 3, padding=1)
        self.conv2 = nn.Conv1d(dims.state, dims.state, 3, stride=2, padding=1)
        self.register_buffer("positions", sinusoids(dims.frames, dims.state), persistent=False)
        self.blocks = nn.ModuleList(Block(dims.state, dims.heads, False) for _ in range(dims.encoder_layers))
        self.ln_post = nn.LayerNorm(dims.state)

    def forward(self, mel, offsets):
        """(output, hidden states after the first layer, queries and keys of the last layer)."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        rows = offsets[:, None] + torch.arange(x.shape[1])
        x = x + self.positions[rows]
        first = looks = None
        for block in self.blocks:
            h = block.attn_ln(x)
            q, (k, v) = block.attn.split(block.attn.query(h)), block.attn.keys_values(h)
            x = block.mlp(x + block.attn.attend(q, (k, v)))
            first = x if first is None else first
            looks = (q, k)
        return self.ln_post(x), first, looks


class Decoder(nn.Module):
    def __init__(self, dims, vocabulary_size):
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(vocabulary_size, dims.state))
        self.positions = nn.Parameter(torch.empty(dims.positions, dims.state))
        self.blocks = nn.ModuleList(Block(dims.state, dims.heads, True) for _ in range(dims.decoder_layers))
        self.ln = nn.LayerNorm(dims.state)

    def cross(self, sound):
        """Keys and values of the sound for every layer; one window may be decoded several times."""
        return [block.cross_attn.keys_values(sound) for block in self.blocks]

    def forward(self, tokens, cross, tail):
        """(logits, cross-attention queries of each layer), both only for positions from `tail` on."""
        count = tokens.shape[1]
        x = self.tokens[tokens] + self.positions[:count]
        queries = []
        for number, block in enumerate(self.blocks):
            h = block.attn_ln(x)
            keys_values = block.attn.keys_values(h)
            if number + 1 < len(self.blocks):
                x = x + block.attn.attend(block.attn.split(block.attn.query(h)), keys_values, causal=True)
            else:
                # Nothing reads what the last layer makes of the prompt.
                x, h = x[:, tail:], h[:, tail:]
                mask = torch.ones(count - tail, count, dtype=torch.bool).tril(tail)
                x = x + block.attn.attend(block.attn.split(block.attn.query(h)), keys_values, mask=mask)
            q = block.cross_attn.split(block.cross_attn.query(block.cross_attn_ln(x)))
            queries.append(q[:, :, -(count - tail) :])
            x = block.mlp(x + block.cross_attn.attend(q, cross[number]))
        return F.linear(self.ln(x), self.tokens), queries


class Whisper(nn.Module):
    def __init__(self, vocabulary, seed=1, dims=Dims()):
        super().__init__()
        torch.manual_seed(seed)
        self.dims = dims
        self.encoder = Encoder(dims)
        self.decoder = Decoder(dims, len(vocabulary.used))
        with torch.no_grad():
            _initialise(self, vocabulary)


def _initialise(model, vocabulary):
    """Starts the attention heads as soft pointers, so that learning begins with sound and not with searching.

    Encoder heads look at neighbouring frames, one looks ahead; the decoder's first layer looks at the previous token,
    and its timestamp tokens at their own frame.
    """
    encoder, decoder, dims = model.encoder, model.decoder, model.dims
    half = dims.state // 2
    rates = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))

    # Decoder positions live in a 32-dimensional subspace that token embeddings leave free.
    plane = torch.linalg.qr(torch.randn(dims.state, dims.state)).Q[:, :32]
    angles = torch.arange(dims.positions)[:, None] * rates[0:32:2][None]
    waves = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
    decoder.positions.copy_(0.3 * waves @ plane.T)

    decoder.tokens.normal_(0, 0.1)
    stamps = sinusoids(1501, dims.state)
    slow = torch.cat([torch.arange(half)] * 2) >= round(0.7 * half)
    stamps[:, slow] *= 0.1
    decoder.tokens[vocabulary.stamp :] = 0.15 * stamps
    decoder.tokens -= decoder.tokens @ plane @ plane.T
    decoder.ln.weight.fill_(2.0)

    axes = torch.eye(dims.state)
    frames = {f: (axes[f], axes[half + f]) for f in range(half)}
    tokens = {f: (plane[:, f], plane[:, f + 1]) for f in range(0, 32, 2)}
    for layer, reach in ((0, 5), (1, 10)):
        attention = encoder.blocks[layer].attn
        attention.query.bias.zero_()
        _point(attention, 0, -reach, 1.0, 0.3, frames, rates, range(32))
        _point(attention, 1, reach, 1.0, 0.3, frames, rates, range(32))
    _point(encoder.blocks[2].attn, 1, 50, 0.5, 1.0, frames, rates, range(16, 48))
    _point(decoder.blocks[0].attn, 0, -1, 0.9, 0.3, tokens, rates, range(0, 32, 2))
    _point(decoder.blocks[0].attn, 1, -1, 0.4, 1.0, tokens, rates, range(0, 32, 2))
    _point(decoder.blocks[0].cross_attn, 1, 0, 0.7, 1.0, frames, rates, range(4, 36))


def _point(attention, head, delta, strength, keep, axes, rates, frequencies):
    """Makes a head's score at distance j - i peak at `delta`: a sum of cos(rate * (i + delta - j))."""
    width = attention.query.out_features // attention.heads
    queries = torch.zeros(width, attention.query.in_features)
    keys = torch.zeros_like(queries)
    for row, f in enumerate(frequencies):
        sine, cosine = axes[f]
        turn = float(rates[f]) * delta
        keys[2 * row], keys[2 * row + 1] = sine, cosine
        queries[2 * row] = math.cos(turn) * sine + math.sin(turn) * cosine
        queries[2 * row + 1] = math.cos(turn) * cosine - math.sin(turn) * sine
    rows = slice(head * width, (head + 1) * width)
    attention.query.weight[rows] = keep * attention.query.weight[rows] + strength * queries
    attention.key.weight[rows] = keep * attention.key.weight[rows] + strength * keys
