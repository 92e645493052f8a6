"""Speed: the limits of the device, and how much of them the program and transformers reach."""

import array
import json
import math
import subprocess
import sys
import wave
from pathlib import Path

from harness import OutOfTime, Skip

import shapes

HOUR, FEW = 3600, 300
RATE = 16000
TOKENS = 128
NUMBER = {"f32": 4, "f16": 2, "bf16": 2}
# The most important runs first, in case time runs out.
RUNS = [("large-v3-turbo", "bf16", 32), ("large-v3", "bf16", 32), ("large-v3-turbo", "bf16", 64), ("large-v3", "bf16", 64),
        ("large-v3-turbo", "f16", 64), ("large-v3-turbo", "bf16", 16), ("large-v3-turbo", "bf16", 8), ("large-v3", "bf16", 16),
        ("large-v3", "bf16", 8), ("large-v3", "f16", 64)]  # fmt: skip
QUICK = [("tiny", None, 2)]
# Goals.
SHARE, REAL_TIME, OVER_PEER = 0.6, 1000, 3
PEER = "transformers, sdpa, end to end"


def limits(check, result):
    found = check.gpu("limits", at_most=60, must=True).json()
    check.limits = {"flops": found["flops"], "bytes": max(found["bytes_per_second"].values())}
    result.figures |= found
    flops = [[f"{name} product of squares", f"{value / 1e12:.1f} TFLOP/s"] for name, value in found["flops"].items()]
    flops += [[f"bf16 product {one['rows']} × {one['inner']} × {one['columns']}", f"{one['flops'] / 1e12:.1f} TFLOP/s"]
              for one in found["encoder_products"]]  # fmt: skip
    flops += [[name.replace("_", " "), f"{value / 1e9:.0f} GB/s"] for name, value in found["bytes_per_second"].items()]
    result.table(["limit", "measured"], flops)
    result.say("Shares below are of the bf16 (or f32) product of squares and of the fastest of the memory figures. A copy counts "
               "what it reads and what it writes.")  # fmt: skip
    result.require(min(found["flops"].values()) > 0, "the limits are measured")
    doctor = check.call([check.program("transcribe"), "doctor"], 20)
    result.say("Output of `transcribe doctor`:", "", "```", *doctor.out.splitlines(), "```")


def recording(check, seconds):
    """Writes tones that rise and fall like syllables, with pauses between phrases: one minute, repeated."""
    path = check.scratch / f"speech-{seconds}.wav"
    if path.exists():
        return path
    if not hasattr(check, "minute"):
        samples = array.array("h")
        for nth in range(20 * RATE):
            at = nth / RATE
            turn, is_pause = 2 * math.pi * at, at % 4 > 3.4
            loudness = 0 if is_pause else max(math.sin(turn * 2.5), 0)
            pitch = turn * (120 + 20 * math.sin(at * 0.7))
            voice = sum(math.sin(pitch * n) / n for n in (1, 2, 3, 5, 8)) if loudness else 0
            samples.append(int(4000 * loudness * voice))
        check.minute = samples.tobytes() * 3
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        for first in range(0, seconds, 60):
            out.writeframesraw(check.minute[: 2 * RATE * min(60, seconds - first)])
    return path


def ours(check, result):
    measured, rows, runs, left_out, is_late = [], [], {}, [], False
    try:
        parts(check, result)
        for size, dtype, batch in QUICK if check.quick else RUNS:
            if dtype and dtype not in check.dtypes("bench") and dtype != "bf16":
                continue
            try:
                figures = bench(check, size, dtype, batch, length(check, size, batch, runs))
            except (OutOfTime, RuntimeError) as why:
                is_late = isinstance(why, OutOfTime)
                left_out.append(f"- {size}, {dtype or 'default'}, {batch} windows: {why}")
                continue
            runs[size] = figures
            measured.append(shares(check, size, dtype, batch, figures))
            rows.append(row_of(measured[-1]))
    finally:
        result.figures["runs"] = measured
        check.ours = measured
        result.table(HEAD, rows)
        if left_out:
            result.say("Left out:", "", *left_out)
        result.say("The times of the encoder and the decoder are measured by the engine on the host: where the device works asynchronously, "
                   "time of one may count as the other's. The table above waits for the device.")
        result.say("`floor`: the least time from operations and bytes (benches/shapes.py), the encoder at the measured matrix peak, "
                   "then the steps of full batches at the measured bandwidth or peak, whichever is slower, without overlap.")  # fmt: skip
        goals(check, measured)
        points = {}
        for one in measured:
            points.setdefault(f"{one['size']} {one['numbers']}", []).append((one["batch"], one["times_real_time"]))
        check.curves.setdefault("speed", {}).update({name: sorted(line) for name, line in points.items()})
    if is_late and not measured:
        raise OutOfTime("no run finished")
    failed = [why for why in left_out if "error" in why]
    result.require(measured and not failed, f"{len(measured)} runs of the benchmark, {len(failed)} failed")


HEAD = ["shape", "numbers", "batch", "audio, s", "times real time", "floor", "of floor", "encoder, ms a window", "of peak",
        "decoder, ms a step", "rows", "tokens/s", "MB a step", "of bandwidth", "slots", "waited, s", "loading, s"]  # fmt: skip


def parts(check, result):
    """Times the encoder and steps of full batches alone, including the device's work."""
    sizes = [("tiny", 2, "f32")] if check.quick else [("large-v3-turbo", 64, "bf16"), ("large-v3", 64, "bf16")]
    rows = []
    for size, batch, dtype in sizes:
        try:
            line = ["speed", size, "--dtype", dtype, "--batch", str(batch), "--seconds", "0.1" if check.quick else "0.7"]
            found = check.gpu(*line, at_most=40, must=True).json()
        except (RuntimeError, OutOfTime, Skip) as why:
            result.say(f"The parts of {size} were not measured: {why}")
            continue
        shape, number = shapes.SHAPES[size], NUMBER[dtype]
        bytes_read = shapes.step_bytes(shape, batch, 2 * found["position"], number)
        found["flops"] = shapes.encoder_operations(shape) / found["encoder_seconds_per_window"]
        # The engine samples on the device where it can.
        ahead = found.get("step_seconds_ahead")
        found["bytes_per_second"] = bytes_read / (ahead or found["step_seconds"])
        peak, most = check.limits["flops"][dtype] if check.limits else None, check.limits and check.limits["bytes"]
        found["of_peak"] = peak and found["flops"] / peak
        found["of_bandwidth"] = most and found["bytes_per_second"] / most
        result.figures.setdefault("parts", []).append(found)
        rows.append([size, dtype, batch, f"{found['encoder_seconds_per_window'] * 1e3:.2f}", f"{found['flops'] / 1e12:.1f}",
                     percent(found["of_peak"]), f"{ahead * 1e3:.3f}" if ahead else "–", f"{found['step_seconds'] * 1e3:.3f}",
                     f"{found['step_seconds_without_logits'] * 1e3:.3f}",
                     f"{bytes_read / 1e6:.0f}", percent(found["of_bandwidth"])])  # fmt: skip
        goal = check.goals["encoder"]
        if found["of_peak"] and dtype == "bf16":
            goal.figure = f"{goal.figure}, " if goal.is_met is not None else ""
            goal.figure += f"{size} {percent(found['of_peak'])} of {peak / 1e12:.0f} TFLOP/s"
            goal.is_met = goal.is_met is not False and found["of_peak"] >= SHARE
    head = ["shape", "numbers", "windows", "encoder, ms a window", "TFLOP/s", "of peak", "step, ms: sampled on the device",
            "logits to the host", "no logits", "MB a step", "of bandwidth"]  # fmt: skip
    result.say("The network alone, without the engine, in full batches.")
    result.table(head, rows)


def percent(share):
    return "–" if not share else f"{share:.0%}"


def length(check, size, batch, runs):
    """Returns the seconds of audio for the next run: an hour, or what fits in half of the time left."""
    if check.quick:
        return 30
    if size not in runs:
        # A first estimate from a few minutes of audio.
        runs[size] = bench(check, size, "bf16", batch, FEW)
    last = runs[size]
    # Minus the time to load the model, and to decode the recording once.
    room = check.left() - last["load_seconds"] - HOUR * last["front_end_seconds"] / last["audio_seconds"] - 2
    hour = HOUR / last["times_real_time"]
    if hour < 0.8 * room:
        return HOUR
    seconds = int(room / 2 / hour * HOUR // FEW) * FEW
    if seconds < FEW:
        raise OutOfTime(f"an hour of audio takes {hour:.0f} s, and {max(room, 0):.0f} s are left")
    return seconds


def bench(check, size, dtype, batch, seconds):
    tokens = 8 if check.quick else TOKENS
    line = ["bench", recording(check, seconds), "--random", size, "--tokens", str(tokens), "--batch-size", str(batch), "--json"]
    # An hour must have enough chunks to fill the batch.
    line += ["--chunk-length", "60" if batch <= 32 else "30"]
    return check.transcribe(*line, dtype=dtype, must=True).json()


def shares(check, size, dtype, batch, found):
    """Relates a run to the limits."""
    # The program computes in f32 unless a dtype is selected.
    numbers = dtype if dtype and dtype in check.dtypes("bench") else "f32"
    shape, number = shapes.SHAPES[size], NUMBER[numbers]
    peak, most = (check.limits["flops"][numbers], check.limits["bytes"]) if check.limits else (None, None)
    windows, steps = found["windows"], max(found["decoder_steps"], 1)
    one = {"size": size, "numbers": numbers, "batch": batch, **found}
    one["encoder_ms"] = found["encoder_seconds"] / windows * 1e3
    one["step_ms"] = found["decoder_seconds"] / steps * 1e3
    one["tokens_per_second"] = found["tokens"] / max(found["decoder_seconds"], 1e-9)
    one["step_bytes"] = shapes.step_bytes(shape, found["rows_per_step"], found["tokens_per_window"], number)
    one["encoder_of_peak"] = peak and shapes.encoder_operations(shape) / (one["encoder_ms"] / 1e3) / peak
    one["of_bandwidth"] = most and one["step_bytes"] / (one["step_ms"] / 1e3) / most
    floor = peak and shapes.floor_seconds(shape, windows, batch, found["tokens_per_window"], number, peak, most)
    one["floor_times_real_time"] = floor and found["audio_seconds"] / floor
    return one


def row_of(one):
    floor = one["floor_times_real_time"]
    return [one["size"], one["numbers"], one["batch"], f"{one['audio_seconds']:.0f}", f"{one['times_real_time']:.0f}",
            f"{floor:.0f}" if floor else "–", percent(floor and one["times_real_time"] / floor), f"{one['encoder_ms']:.2f}",
            percent(one["encoder_of_peak"]), f"{one['step_ms']:.3f}", f"{one['rows_per_step']:.1f}",
            f"{one['tokens_per_second']:.0f}", f"{one['step_bytes'] / 1e6:.0f}", percent(one["of_bandwidth"]),
            f"{one['slot_occupancy']:.0%}", f"{one['waited_for_audio']:.2f}", f"{one['load_seconds']:.1f}"]  # fmt: skip


def goals(check, measured):
    turbo = [one for one in measured if one["size"] == "large-v3-turbo"]
    if turbo:
        best = max(turbo, key=lambda one: one["times_real_time"])
        goal = check.goals["real time"]
        goal.is_met = best["times_real_time"] >= REAL_TIME
        goal.figure = f"{best['times_real_time']:.0f} times ({best['numbers']}, {best['batch']} windows, {best['audio_seconds']:.0f} s of audio)"
    found = [max((one for one in measured if one["size"] == size), key=lambda one: one["batch"], default=None)
             for size in ("large-v3-turbo", "large-v3")]  # fmt: skip
    found = [one for one in found if one and one["of_bandwidth"]]
    if found:
        goal = check.goals["decoder"]
        goal.is_met = all(one["of_bandwidth"] >= SHARE for one in found)
        goal.figure = ", ".join(f"{one['size']} {percent(one['of_bandwidth'])} at {one['rows_per_step']:.0f} rows a step" for one in found)


# Comparison with transformers


def peer(check, result):
    script = Path(__file__).with_name("peer.py")
    line = [sys.executable, script, "--device", "cuda" if check.is_gpu else "cpu"]
    line += ["--quick"] if check.quick else []
    path = check.scratch / "peer.jsonl"
    with path.open("w") as out:
        process = check.start(line, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)
        try:
            # Killed when time is up, possibly during a measurement.
            _, err = process.communicate(timeout=max(check.left(), 1))
        except subprocess.TimeoutExpired:
            check.stop(process)
            _, err = process.communicate()
            result.say("Stopped when its time was up; the measurements so far are below.")
    check.note(f"  {process.returncode}; {path.read_text()[-3000:]} {err.strip()[-1500:]}")
    found = [json.loads(text) for text in path.read_text().splitlines() if text.startswith("{") and text.endswith("}")]
    skipped = next((one["skipped"] for one in found if "skipped" in one), None)
    if skipped:
        raise Skip(skipped)
    report_peer(check, result, [one for one in found if "seconds" in one], [one for one in found if "error" in one])


def report_peer(check, result, found, failed):
    rows = []
    for one in found:
        same = [run for run in getattr(check, "ours", []) if (run["size"], run["numbers"]) == (one["size"], one["dtype"])]
        best = max((run["times_real_time"] for run in same), default=None)
        one["ours_times_as_fast"] = best and best / one["times_real_time"]
        rows.append([one["variant"], one["size"], one["dtype"], one["batch"], one["windows"], f"{one['seconds']:.2f}",
                     f"{one['tokens_per_second']:.0f}", f"{one['times_real_time']:.1f}",
                     f"{one['ours_times_as_fast']:.2f}" if best else "–", f"{one['prepare_seconds']:.1f}"])  # fmt: skip
        if one["variant"] == PEER:
            name = f"{one['size']} {one['dtype']} transformers sdpa"
            check.curves.setdefault("speed", {})[name] = [(one["batch"], one["times_real_time"])]
    result.figures["peer"] = found + failed
    head = ["transformers", "shape", "numbers", "batch", "windows", "seconds", "tokens/s", "times real time",
            "speedup of our best run", "warming up, s"]  # fmt: skip
    result.table(head, rows)
    result.say(*(f"- {one['variant']}, {one['size']}, {one['dtype']}: {one['error']}" for one in failed))
    result.say("Our runs are end to end, from the file to the text. `features`: the spectrograms are on the device already; `end to end`: "
               "they are computed on the device from samples in memory; neither reads a file or converts tokens to text.")  # fmt: skip
    result.require(found, f"{len(found)} measurements of transformers")
    ends = [one for one in found if one["variant"] == PEER and one["ours_times_as_fast"]]
    if ends and check.is_gpu:
        goal = check.goals["peer"]
        goal.is_met = all(one["ours_times_as_fast"] >= OVER_PEER for one in ends)
        goal.figure = ", ".join(f"{one['size']} {one['dtype']} {one['ours_times_as_fast']:.2f} times" for one in ends)
