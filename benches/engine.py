"""Prints how well the engine is filled and what it needs, on the built-in demo model and the fixtures' speech.

    python benches/engine.py occupancy     how full the batch is on mixed files; whether time grows linearly with files
    python benches/engine.py memory        peak memory for a long recording on standard input beside a short one

Needs ffmpeg, and no Python package. Occupancy: 30 files of 1 to 20 minutes, 5.25 hours in all, in one run; then 1,
5, 10, 20 and 30 files of ten minutes. `--scale 0.1` makes all of them shorter.

Memory: the peak resident memory (VmHWM) that the system reports for `transcribe -`, the model included, with ten
minutes and with one hour (`--full`: ten hours) of WAV that a thread makes while it is read; `--hours` says another
length. The program puts its standard input aside in a temporary file without a name (115 MB per hour here), which
is no memory unless TMPDIR is.
"""

import argparse
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import LONG, joined, machine, program, run, table

RATE = 16000
MINUTE = 60
COUNTS = (1, 5, 10, 20, 30)
MIXED = 30
# What the difference in memory may be.
MOST_MORE = 300


def mixed_lengths(scale):
    """From 1 to 20 minutes in even steps, in an order in which long and short ones follow each other."""
    steps = MIXED - 1
    return [scale * MINUTE * (1 + 19 * (7 * n % MIXED) / steps) for n in range(MIXED)]


def recordings(folder, lengths, prefix):
    """Each in one of the languages, and starting elsewhere than the one before it."""
    files = []
    for number, seconds in enumerate(lengths):
        file = folder / f"{prefix}{number:02}.flac"
        loop = ["-stream_loop", "-1", "-i", LONG[number % len(LONG)], "-ss", number * 7 % 60, "-t", f"{seconds:.3f}"]
        run(["ffmpeg", "-v", "error", "-y", *loop, "-ar", RATE, "-ac", "1", file])
        files.append(file)
    return files


def transcribe(binary, files, folder, args):
    """The account that `--stats` gives, as numbers."""
    command = [binary, *files, "--model", "demo", "--device", "cpu", "--batch-size", args.batch_size, "--export", "json",
               "--output-dir", folder / "out", "--overwrite", "--stats"]  # fmt: skip
    command += ["--threads", args.threads] if args.threads else []
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    figure = lambda pattern: float(re.search(pattern, done.stderr).group(1))
    return {
        "audio": figure(r"audio +([\d.]+) s"), "seconds": figure(r" s in ([\d.]+) s"), "windows": figure(r"windows +(\d+)"),
        "rows": figure(r"steps of ([\d.]+) rows"), "occupancy": figure(r"slot occupancy +([\d.]+)"),
        "waited": figure(r"waited for audio +([\d.]+)"), "again": figure(r", (\d+) retries"),
    }  # fmt: skip


def occupancy(args, folder):
    binary = program()
    files = recordings(folder, mixed_lengths(args.scale), "mixed")
    one = transcribe(binary, files, folder, args)
    print(f"\n{MIXED} mixed files of {args.scale:g} to {20 * args.scale:g} minutes, demo model, batch {args.batch_size}; {machine()}\n")
    table(["audio, s", "seconds", "times real time", "windows", "tried again", "rows a step", "slots occupied", "waited for audio, s"], [[
        f"{one['audio']:.0f}", f"{one['seconds']:.1f}", f"{one['audio'] / one['seconds']:.0f}x", f"{one['windows']:.0f}",
        f"{one['again']:.0f}", f"{one['rows']:.2f}", f"{one['occupancy']:.1f} %", f"{one['waited']:.2f}",
    ]])  # fmt: skip
    [first] = recordings(folder, [10 * MINUTE * args.scale], "equal")
    equal = [folder / f"copy{n:02}.flac" for n in range(max(COUNTS))]
    for file in equal:
        file.symlink_to(first)
    runs = {count: [] for count in COUNTS}
    for _ in range(args.runs):
        for count, done in runs.items():
            done.append(transcribe(binary, equal[:count], folder, args))
    runs = {count: sorted(done, key=lambda one: one["seconds"])[len(done) // 2] for count, done in runs.items()}
    start, slope = line([(count, one["seconds"]) for count, one in runs.items()])
    print(f"\nEqual files of {10 * args.scale:g} minutes, median of {args.runs}; the line that fits best: {start:.2f} s and {slope:.3f} s a file\n")
    table(["files", "seconds", "seconds a file", "from the line", "slots occupied"], [[
        count, f"{one['seconds']:.2f}", f"{one['seconds'] / count:.2f}", f"{one['seconds'] / (start + slope * count) - 1:+.1%}",
        f"{one['occupancy']:.1f} %",
    ] for count, one in runs.items()])  # fmt: skip


def line(points):
    """Where the line that misses the points least starts, and how steep it is."""
    middle = [sum(values) / len(points) for values in zip(*points)]
    slope = sum((x - middle[0]) * (y - middle[1]) for x, y in points) / sum((x - middle[0]) ** 2 for x, _ in points)
    return middle[1] - slope * middle[0], slope


def wav(samples, seconds):
    """A WAV file of so many seconds, piece by piece: the samples again and again."""
    left = int(seconds * RATE) * 2
    yield b"RIFF" + struct.pack("<I", 36 + left) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    yield b"data" + struct.pack("<I", left)
    while left:
        piece = samples[:left]
        yield piece
        left -= len(piece)


def peak(binary, samples, seconds, folder, args):
    """Megabytes of memory at most, and seconds that it took."""
    command = [binary, "-", "--model", "demo", "--device", "cpu", "--batch-size", args.batch_size, "--language", "en", "--export",
               "json", "--output-dir", folder, "--overwrite", "--quiet"]  # fmt: skip
    command += ["--threads", args.threads] if args.threads else []
    started = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE) as process:

        def feed():
            try:
                with process.stdin as pipe:
                    for piece in wav(samples, seconds):
                        pipe.write(piece)
            except BrokenPipeError:
                pass  # its exit code says it

        feeder = threading.Thread(target=feed)
        feeder.start()
        most, status = 0, Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            # The mark never falls; at the very end there is none.
            found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
            most = max(most, int(found.group(1)) if found else 0)
            time.sleep(0.02)
        feeder.join()
    if process.returncode:
        sys.exit(f"transcribe ended with {process.returncode}")
    return most / 1024, time.perf_counter() - started


def memory(args, folder):
    if not Path("/proc/self/status").exists():
        sys.exit("peak memory is read from /proc, which is not here")
    binary, file = program(), joined(folder)
    samples = subprocess.run(["ffmpeg", "-v", "error", "-i", file, "-ar", str(RATE), "-ac", "1", "-f", "s16le", "-"],
                             check=True, stdout=subprocess.PIPE).stdout  # fmt: skip
    lengths = [10 * MINUTE, (10 if args.full else args.hours) * 60 * MINUTE]
    peaks = [peak(binary, samples, seconds, folder, args) for seconds in lengths]
    print(f"\nPeak memory with WAV on standard input, demo model, batch {args.batch_size}; {machine()}\n")
    table(["minutes of audio", "peak, MB", "seconds"], [[f"{seconds / MINUTE:g}", f"{most:.1f}", f"{taken:.0f}"]
                                                        for seconds, (most, taken) in zip(lengths, peaks)])  # fmt: skip
    more = peaks[1][0] - peaks[0][0]
    print(f"\nThe long one takes {more:.1f} MB more; {'within' if more <= MOST_MORE else 'OVER'} {MOST_MORE} MB.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["occupancy", "memory"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, help="all cores if not given")
    parser.add_argument("--runs", type=int, default=1, help="occupancy: of each number of equal files")
    parser.add_argument("--scale", type=float, default=1.0, help="occupancy: times the length of each file")
    parser.add_argument("--hours", type=float, default=1.0, help="memory: length of the long recording")
    parser.add_argument("--full", action="store_true", help="memory: ten hours")
    args = parser.parse_args()
    if not shutil.which("ffmpeg"):
        sys.exit("ffmpeg is needed to make the recordings")
    with tempfile.TemporaryDirectory() as folder:
        {"occupancy": occupancy, "memory": memory}[args.what](args, Path(folder))


if __name__ == "__main__":
    main()
