"""The limits of the machine: matrix products at the encoder's sizes, and memory reads as in the decoder.

Measured with torch, whose products on a CPU are those of the vendor's library (MKL, oneDNN), in f32, best of many runs.
"""

import time

import shapes
from shapes import SHAPES, encoder_products

FLOAT = 4


def best_seconds(call, at_least=0.3):
    call()
    best, spent, turns = float("inf"), 0.0, 0
    while spent < at_least or turns < 3:
        start = time.perf_counter()
        call()
        taken = time.perf_counter() - start
        best, spent, turns = min(best, taken), spent + taken, turns + 1
    return best


def encoder(size):
    """Returns the operations of a window, and their seconds at the speed of bare products of the same sizes."""
    import torch

    operations, seconds = 0, 0.0
    for count, batch, m, k, n in encoder_products(SHAPES[size]):
        a, b, c = torch.rand(batch, m, k), torch.rand(batch, k, n), torch.empty(batch, m, n)
        operations += count * batch * 2 * m * k * n
        seconds += count * best_seconds(lambda: torch.bmm(a, b, out=c))
    return operations, seconds


def step_bytes(size, rows, tokens):
    return shapes.step_bytes(SHAPES[size], rows, tokens, FLOAT)


def bandwidth(count):
    """Returns the read bandwidth for this many bytes: of a matrix-vector product or a sum, whichever is faster."""
    import torch

    width = 4096
    matrix = torch.rand(max(1, int(count) // FLOAT // width), width)
    vector, out = torch.rand(width), torch.empty(matrix.shape[0])
    seconds = min(best_seconds(lambda: torch.mv(matrix, vector, out=out)), best_seconds(matrix.sum))
    return matrix.numel() * FLOAT / seconds


def peak():
    """Returns operations per second of a large square product."""
    import torch

    n = 3072
    a, b, c = torch.rand(n, n), torch.rand(n, n), torch.empty(n, n)
    return 2 * n**3 / best_seconds(lambda: torch.mm(a, b, out=c), 2.0)


def of_machine():
    return f"f32 products of 3072 x 3072: {peak() / 1e9:.0f} GFLOP/s; reading 1 GiB: {bandwidth(2**30) / 1e9:.1f} GB/s"


def row(size, figures):
    """Relates one of our runs to the limits."""
    operations, ideal = encoder(size)
    window = figures["encoder_seconds"] / figures["windows"]
    count = step_bytes(size, figures["rows_per_step"], figures["tokens_per_window"])
    most = bandwidth(count)
    step = figures["decoder_seconds"] / figures["decoder_steps"]
    rest = figures["seconds"] - figures["encoder_seconds"] - figures["decoder_seconds"]
    share = lambda part: f"{part / figures['seconds']:.0%}"
    return [
        size, figures["batch_size"], share(figures["encoder_seconds"]), f"{window * 1e3:.1f}", f"{operations / window / 1e9:.0f}",
        f"{operations / ideal / 1e9:.0f}", f"{ideal / window:.0%}", share(figures["decoder_seconds"]), f"{step * 1e3:.2f}",
        f"{figures['rows_per_step']:.1f}", f"{count / 1e6:.0f}", f"{count / step / 1e9:.1f}", f"{most / 1e9:.1f}",
        f"{count / step / most:.0%}", share(rest),
    ]  # fmt: skip


HEAD = [
    "shape", "batch", "encoder", "ms a window", "GFLOP/s", "limit", "of limit", "decoder", "ms a step", "rows", "MB a step", "GB/s",
    "limit", "of limit", "rest",
]  # fmt: skip
