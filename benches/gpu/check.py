#!/usr/bin/env python3
"""Checks the program on a GPU in under nine minutes, and writes a report.

    .gpu/run [FOLDER]                                  as packed by `just gpu-check`; FOLDER defaults to ./gpu-report
    python3 benches/gpu/check.py --device cpu --quick  runs the check itself on the CPU

Needs only Python; the comparison with transformers needs PyTorch and transformers. Every part has a time budget, and
later parts may use what earlier ones leave over. A part that fails or runs out of time is reported as such, and the
others continue. The report is rewritten after every part. Exit code 0: all parts passed or had nothing to check with;
1: at least one did not; 2: there is nothing to check.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True

import harness  # noqa: E402
import memory  # noqa: E402
import parity  # noqa: E402
import report  # noqa: E402
import shortage  # noqa: E402
import speed  # noqa: E402
from harness import Check, Goal, OutOfTime, Result, Skip  # noqa: E402


@dataclass(frozen=True)
class Part:
    name: str
    title: str
    seconds: int
    run: callable
    # Whether the part also runs on the CPU, where it is meaningful and quick.
    is_quick: bool = True


PARTS = [
    Part("limits", "Limits of the device", 25, speed.limits, False),
    Part("parity", "The demo model compared with the CPU", 45, parity.demo),
    Part("network", "The network compared with the CPU", 50, parity.network),
    Part("memory", "Memory after each chunk", 45, memory.chunks),
    Part("speed", "Speed", 135, speed.ours),
    Part("peer", "Compared with transformers", 95, speed.peer, False),
    Part("ends", "Memory after each kind of exit", 35, memory.ends),
    Part("shortage", "Too little memory", 50, shortage.ladder),
    Part("sanitizer", "Kernels, also under compute-sanitizer", 40, shortage.sanitizer, False),
]
# The sum leaves time to unpack the archive within nine minutes (540 s).
SECONDS = sum(part.seconds for part in PARTS)

GOALS = {
    "encoder": "encoder at or above 60 % of the measured bf16 matrix peak",
    "decoder": "decoder step at or above 60 % of the measured bandwidth at full batch",
    "real time": "large-v3-turbo at or above 1000 times real time end to end",
    "peer": "at least 3 times transformers with sdpa in the same run",
    "flat": "memory flat to the megabyte after chunk 5",
}


def run(check, part, later, scale):
    """Runs a part within its budget, which excludes those of later parts; `scale` stretches all budgets."""
    result = Result(part.name, part.title)
    started = time.monotonic()
    check.part_end = check.deadline - scale * sum(one.seconds for one in later)
    check.note(f"== {part.title}: {check.left():.0f} s")
    try:
        if check.left() < 1:
            raise OutOfTime("no time was left")
        part.run(check, result)
    except Skip as why:
        result.status = "skipped"
        result.say(f"Skipped: {why}.")
    except OutOfTime as why:
        result.status = "OUT OF TIME"
        result.say(f"Out of time: {why}.")
    except Exception as error:  # the other parts continue after any error
        check.note(traceback.format_exc())
        result.status = "FAILED"
        result.say(f"Failed: {error}.")
    finally:
        check.stop_all()
    result.conclude()
    result.seconds = time.monotonic() - started
    return result


def output_of(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def about(check, args):
    """Describes the machine and the program."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    device = output_of([*query, "-i", check.ordinal]) if check.is_gpu else ""
    packed = harness.TREE / "pack.json"
    program = json.loads(packed.read_text()) if packed.exists() else {"version": output_of([str(args.program), "--version"])}
    return {
        "date": datetime.date.today().isoformat(),
        "device": device or check.device,
        "machine": f"{os.cpu_count()} cores, {platform.system()} on {platform.machine()}, Python {platform.python_version()}",
        "program": ", ".join(f"{name} {value}" for name, value in program.items()),
        "note": "Quick run: it tests the check itself, and its figures are meaningless." if args.quick else "",
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("gpu-report"), metavar="FOLDER")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="small workloads, to test the check itself")
    parser.add_argument("--program", type=Path, default=harness.TREE / "bin/transcribe", metavar="PATH")
    parser.add_argument("--gpu", type=Path, default=harness.TREE / "bin/gpu", metavar="PATH", help="the benchmark `gpu`")
    parser.add_argument("--only", nargs="+", metavar="PART", choices=[part.name for part in PARTS])
    parser.add_argument("--seconds", type=int, default=SECONDS, help="time budget of all parts")
    return parser.parse_args()


def usable(check):
    """Returns why there is nothing to check, or None."""
    if "transcribe" not in check.programs:
        return "the program `transcribe` was not found; set `--program`"
    if not check.is_gpu:
        return None
    done = check.gpu("memory", at_most=60)
    return None if done.code == 0 else done.error.removeprefix("error: ")


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    programs = {"transcribe": args.program.resolve(), "gpu": args.gpu.resolve()}
    programs = {name: path for name, path in programs.items() if path.is_file()}
    scratch = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    check = Check(programs, args.device, args.quick, args.out, scratch, args.seconds)
    check.goals |= {name: Goal(what) for name, what in GOALS.items()}
    # Raises an exception, so that every process that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = []
    try:
        why_not = usable(check)
        if why_not:
            print(f"error: {why_not}", file=sys.stderr)
            report.write(check, {**about(check, args), "note": f"Nothing was checked: {why_not}"}, [])
            return 2
        chosen = [part for part in PARTS if part.name in args.only] if args.only else PARTS
        if not check.is_gpu and not args.only:
            chosen = [part for part in chosen if part.is_quick]
        description, scale = about(check, args), args.seconds / sum(part.seconds for part in chosen)
        for nth, part in enumerate(chosen):
            results.append(run(check, part, chosen[nth + 1 :], scale))
            report.write(check, description, results)
            print(f"{results[-1].seconds:6.1f} s  {results[-1].status:12} {part.title}", flush=True)
    finally:
        check.stop_all()
        shutil.rmtree(scratch, ignore_errors=True)
        check.log.close()
    return conclude(check, results)


def conclude(check, results):
    print()
    for goal in check.goals.values():
        print(f"{report.MET[goal.is_met]:12}  {goal.what}: {goal.figure}")
    for result in results:
        for one in result.requirements:
            if not one["met"]:
                print(f"NOT MET  {result.title}: {one['what']}")
    print(f"\n{check.out / 'report.md'}")
    return 0 if all(result.status in ("passed", "skipped") for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
