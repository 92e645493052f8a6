"""Whisper's published shapes, and the minimum operations and bytes of a window and of a decoder step."""

from dataclasses import dataclass

AUDIO_LENGTH, TEXT_LENGTH = 1500, 448
# Tokens before the text: start of transcript, language, task, no timestamps.
PROMPT = 4
WINDOW_SECONDS = 30


@dataclass(frozen=True)
class Shape:
    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mels: int = 80
    vocabulary: int = 51865


SHAPES = {
    "tiny": Shape(384, 4, 4, 6),
    "base": Shape(512, 6, 6, 8),
    "small": Shape(768, 12, 12, 12),
    "medium": Shape(1024, 24, 24, 16),
    "large-v3": Shape(1280, 32, 32, 20, 128, 51866),
    "large-v3-turbo": Shape(1280, 32, 4, 20, 128, 51866),
}


def encoder_products(shape):
    """Returns the matrix products of one window: count, batch, rows, inner length and columns. Covers the encoder and the
    cross-attention's keys and values."""
    width, layers, frames, head = shape.width, shape.encoder_layers, AUDIO_LENGTH, shape.width // shape.heads
    return [
        (1, 1, 2 * frames, 3 * shape.mels, width),
        (1, 1, frames, 3 * width, width),
        (4 * layers + 2 * shape.decoder_layers, 1, frames, width, width),
        (layers, 1, frames, width, 4 * width),
        (layers, 1, frames, 4 * width, width),
        (layers, shape.heads, frames, head, frames),
        (layers, shape.heads, frames, frames, head),
    ]


def encoder_operations(shape):
    """Returns the operations of one window: two for every multiply-add."""
    return sum(count * batch * 2 * m * k * n for count, batch, m, k, n in encoder_products(shape))


def decoder_weights(shape):
    """Returns the number of decoder weights that a step reads: in each layer the self-attention (4), the cross-attention (2,
    because its keys and values are cached) and the feed-forward (8), and the vocabulary."""
    return shape.decoder_layers * (4 + 2 + 8) * shape.width**2 + shape.vocabulary * shape.width


def step_bytes(shape, rows, tokens, number):
    """Returns the bytes that a decoder step reads, with numbers of `number` bytes: all weights once, and for each row the keys
    and values of its audio and of its text so far, half of the text on average."""
    caches = shape.decoder_layers * 2 * (AUDIO_LENGTH + PROMPT + tokens / 2) * shape.width
    return number * (decoder_weights(shape) + rows * caches)


def step_operations(shape, rows, tokens):
    attention = shape.decoder_layers * 2 * (AUDIO_LENGTH + PROMPT + tokens / 2) * shape.width
    return 2 * rows * (decoder_weights(shape) + attention)


def floor_seconds(shape, windows, rows, tokens, number, operations_per_second, bytes_per_second):
    """Returns the minimum time for these windows: the encoder at the speed of large products, then the steps of full batches
    at the speed of memory."""
    encoding = windows * encoder_operations(shape) / operations_per_second
    step = max(
        step_bytes(shape, rows, tokens, number) / bytes_per_second,
        step_operations(shape, rows, tokens) / operations_per_second,
    )
    return encoding + windows / rows * tokens * step
