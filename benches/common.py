"""What the measuring scripts share: the program, speech, the machine's name, tables."""

import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONG = [ROOT / f"fixtures/long/{name}.flac" for name in ("long_en", "long_de", "long_es")]


def run(command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def built(command, name):
    """Runs a cargo command and gives the path of what it built."""
    command = ["cargo", *command, "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [m["executable"] for m in map(json.loads, lines) if m.get("executable") and m["target"]["name"] == name]
    return found[-1]


def program():
    return built(["build", "--release", "--bin", "transcribe"], "transcribe")


def joined(folder):
    """The fixture recordings one after the other, once."""
    out = folder / "joined.wav"
    inputs = [part for recording in LONG for part in ("-i", recording)]
    run(["ffmpeg", "-v", "error", "-y", *inputs, "-filter_complex", f"concat=n={len(LONG)}:v=0:a=1", out])
    return out


def speech(folder, seconds, options=(), name="speech.wav"):
    """The fixture recordings again and again, as one file of a given length."""
    out = folder / name
    run(["ffmpeg", "-v", "error", "-y", "-stream_loop", "-1", "-i", joined(folder), "-t", seconds, *options, out])
    return out


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True)
    return f"{model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} cores, commit {commit.stdout.strip()}"


def keep_to_cores(threads):
    """Holds this process and all that it starts to so many cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    # The libraries of the peers read these when they are loaded.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


def markdown(head, rows):
    """The lines of a table."""
    line = lambda row: "| " + " | ".join(str(cell) for cell in row) + " |"
    return [line(head), "|" + "---|" * len(head), *map(line, rows)]


def table(head, rows):
    print("\n".join(markdown(head, rows)), flush=True)
