"""Whisper's published shapes, and the least that a window and a step of the decoder cost: operations and bytes."""

from dataclasses import dataclass

AUDIO_LENGTH, TEXT_LENGTH = 1500, 448
# Tokens before the text: begin, language, task, no times.
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
    """How often, how many side by side, and rows, inner length and columns: one window through the encoder, and
    the keys and values that the decoder makes of what it heard."""
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
    """Of one window: two for every multiplication that is added up."""
    return sum(count * batch * 2 * m * k * n for count, batch, m, k, n in encoder_products(shape))


def decoder_weights(shape):
    """How many numbers of the decoder's weights a step needs: in each layer the attention to the text (4), to what was
    heard (2, its keys and values being there already) and the feed-forward (8), and the vocabulary."""
    return shape.decoder_layers * (4 + 2 + 8) * shape.width**2 + shape.vocabulary * shape.width


def step_bytes(shape, rows, tokens, number):
    """What a step of the decoder reads, with numbers of so many bytes: all weights once, and for each row the keys and
    values of what it heard and of what it has written, half of its text on average."""
    caches = shape.decoder_layers * 2 * (AUDIO_LENGTH + PROMPT + tokens / 2) * shape.width
    return number * (decoder_weights(shape) + rows * caches)


def step_operations(shape, rows, tokens):
    attention = shape.decoder_layers * 2 * (AUDIO_LENGTH + PROMPT + tokens / 2) * shape.width
    return 2 * rows * (decoder_weights(shape) + attention)


def floor_seconds(shape, windows, rows, tokens, number, operations_per_second, bytes_per_second):
    """The least time for so many windows: the encoder at the speed of large products, and the steps of full batches at
    the speed of memory, one after the other."""
    encoding = windows * encoder_operations(shape) / operations_per_second
    step = max(
        step_bytes(shape, rows, tokens, number) / bytes_per_second,
        step_operations(shape, rows, tokens) / operations_per_second,
    )
    return encoding + windows / rows * tokens * step
