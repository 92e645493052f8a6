"""Memory: after every chunk, and as seen by another process before, during and after runs that finish, that are stopped by
Ctrl+C, and that need a second Ctrl+C."""

import json
import signal
import subprocess
import time

from harness import MEGABYTE, MIB, OutOfTime, copies, events, megabytes

CHUNKS = 120
# Chunks of the first input, during which buffers are allocated.
WARM = 5
# Tolerated change: one megabyte on the device; more on the host, whose memory fluctuates with the whole system.
FLAT = {True: 1 * MEGABYTE, False: 50 * MEGABYTE}
# Tolerated change as seen by another process: drivers count in pages.
SAME = 2 * MIB
# Policies, and the share of the remaining time that each may take.
SHARES = {"every-chunk": 0.4, "never": 0.55}
# The longest time that Ctrl+C may take, in seconds.
STOPS = 1.0


def held(event, is_gpu):
    usage = event["memory"]
    return usage["device"] if is_gpu and usage["device"] else usage["host"]


def recording(check):
    return check.fixture("long/short_en.flac" if check.quick else "long/long_en.flac")


def chunks(check, result):
    """Runs the demo model over many recordings in one process, one after the other."""
    count = 8 if check.quick else CHUNKS
    rows, table = [], []
    for policy in SHARES:
        report = check.scratch / f"{policy}.jsonl"
        # Each has five chunks of half a minute; or one.
        files = copies(check.scratch / "many", [recording(check)], count if check.quick else count // 5 + 1)
        line = [*files, "--model", "demo", "--release", policy, "--chunk-length", "30", "--jobs", "1", "--report", report]
        line += ["--export", "json", "--output-dir", check.scratch / f"out-{policy}", "--overwrite", "--no-resume", "--quiet"]
        started, ended = time.monotonic(), ""
        try:
            # The policies share the time, and leave some for what follows.
            done = check.transcribe(*line, at_most=check.left() * SHARES[policy])
            ended = f", ended with {done.code}: {done.error}" if done.code else ""
        except OutOfTime as why:
            check.note(str(why))
        looks = [held(event, check.is_gpu) for event in events(report, "chunk_done")[:count]]
        result.require(len(looks) >= count and not ended, f"`--release {policy}`: {len(looks)} of {count} chunks{ended}")
        if len(looks) <= WARM:
            continue
        table += [[policy, nth + 1, look["now"], look["peak"]] for nth, look in enumerate(looks)]
        check.curves.setdefault("memory", {})[policy] = [(nth + 1, look["now"] / MEGABYTE) for nth, look in enumerate(looks)]
        rows.append(verdict(check, result, policy, looks, time.monotonic() - started))
    check.tables["memory"] = (["release", "chunk", "held_bytes", "peak_bytes"], table)
    where = "device" if check.is_gpu else "host"
    head = ["release", "chunks", f"held after chunk {WARM}, MB", "last, MB", "least, MB", "most, MB", "peak, MB", "flat", "seconds"]
    result.say(f"Memory of the {where} as the program reports it when a chunk is finished; every figure is in memory.csv.")
    result.table(head, rows)
    if check.is_gpu:
        outside(check, result)


def verdict(check, result, policy, looks, seconds):
    now = [look["now"] for look in looks]
    later, start = now[WARM - 1 :], now[WARM - 1]
    spread = max(abs(one - start) for one in later)
    # Without releases, the memory held may rise for a while, but must not keep growing.
    is_flat = spread <= FLAT[check.is_gpu] if policy == "every-chunk" else now[-1] <= max(now[: len(now) // 2]) + FLAT[check.is_gpu]
    what = f"flat to {FLAT[check.is_gpu] / MEGABYTE:.0f} MB after chunk {WARM}" if policy == "every-chunk" else "does not grow in the second half"
    result.require(is_flat, f"`--release {policy}`: {what}")
    if policy == "every-chunk" and check.is_gpu:
        goal = check.goals["flat"]
        goal.is_met, goal.figure = is_flat, f"{spread / MEGABYTE:.2f} MB apart at most, over {len(looks)} chunks"
    result.figures[policy] = {"chunks": len(looks), "after_warm": start, "last": now[-1], "least": min(later), "most": max(later),
                              "peak": looks[-1]["peak"], "flat": is_flat, "seconds": seconds}  # fmt: skip
    return [policy, len(looks), *(megabytes(one) for one in (start, now[-1], min(later), max(later), looks[-1]["peak"])),
            "yes" if is_flat else "NO", f"{seconds:.1f}"]  # fmt: skip


# As seen by another process


def outside(check, result):
    """Runs chunks through a large network as long as there is time, and samples its memory from outside."""
    command = [check.program("transcribe"), "bench", "--random", "large-v3-turbo", "--seconds", str(30 * CHUNKS), "--chunk-length", "30",
               "--tokens", "32", "--batch-size", "16", "--device", check.device]  # fmt: skip
    process, looks, began = begin(check, command), [], time.monotonic()
    while process.poll() is None and check.left() > 3:
        looks.append((time.monotonic() - began, look(check, process)))
        time.sleep(0.25)
    is_whole = process.poll() is not None
    if not is_whole:
        process.send_signal(signal.SIGINT)
    by, _ = finished(check, process, time.monotonic())
    # The memory of the process alone, if the driver reports it.
    held = [own if own is not None else total for _, (total, own) in looks]
    loaded = next((nth for nth, one in enumerate(held) if one >= 0.9 * max(held)), 0)
    steady = held[loaded:-1] if is_whole else held[loaded:]
    result.figures["outside"] = {"seconds": [round(at, 2) for at, _ in looks], "held": held, "by": by, "whole": is_whole}
    if len(steady) < 6:
        result.say(f"large-v3-turbo's shapes, seen from outside: ended with {by} before there were enough samples.")
        return
    third = len(steady) // 3
    first, last = max(steady[:third]), max(steady[-third:])
    what = f"{CHUNKS} chunks" if is_whole else f"the {looks[-1][0]:.0f} s that there was time for"
    result.say(f"large-v3-turbo's shapes, seen from outside over {what}: {megabytes(first)} MB at most in the first third once it was "
               f"loaded, {megabytes(last)} MB in the last ({len(steady)} looks).")  # fmt: skip
    result.require(last <= first + SAME, "the memory of a large network, seen from outside, does not grow")


def ends(check, result):
    """Checks the device's memory around each way that a run can end."""
    rows = []
    before = check.memory()
    try:
        for way in (normal, stopped, stopped_large, stopped_twice):
            if check.quick and way is stopped_large:
                continue
            rows.append(one_end(check, result, way, before))
        resumes(check, result)
    finally:
        result.say("Memory used on the device by all processes before, during and after the run.")
        head = ["end", "ended by", "s to the end", "before, MB", "during, MB", "after, MB", "this process, MB", "left behind, MB"]
        result.table(head, rows)


def one_end(check, result, way, before):
    ended = way(check, result)
    after = settled(check, before)
    left = after - before
    name = ended["name"]
    result.figures[way.__name__] = {**ended, "before": before, "after": after}
    # Other processes use the host's memory, too.
    if check.is_gpu:
        result.require(left <= SAME, f"{name}: the memory returns to its start")
    return [name, ended["by"], f"{ended['seconds']:.2f}", *(megabytes(one) for one in (before, ended["during"], after, ended["own"], left))]


def settled(check, before):
    """Waits for the driver to free the memory of a process that ended."""
    for _ in range(10):
        now = check.memory()
        if now - before <= SAME or not check.is_gpu:
            return now
        time.sleep(0.2)
    return now


def line(check, name, count, *more):
    files = copies(check.scratch / "ends", [recording(check)], count)
    # In a quick run few at a time, so that there is something to stop.
    more = (*more, "--batch-size", "2") if check.quick else more
    return [check.program("transcribe"), *files, "--model", "demo", "--device", check.device, "--chunk-length", "30",
            "--export", "json", "--output-dir", check.scratch / name, "--report", check.scratch / f"{name}.jsonl",
            "--verbose", *more]  # fmt: skip


def begin(check, command, env=None):
    return check.start(command, env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def waited(check, process, text):
    """Waits until stderr contains a text; returns False if the process ended before."""
    for line in process.stderr:
        check.note("  " + line.rstrip())
        if text in line:
            return True
    return False


def finished(check, process, started):
    """Returns how the process ended, and after how many seconds."""
    try:
        _, err = process.communicate(timeout=max(check.left(), 0.5))
    except subprocess.TimeoutExpired:
        check.stop(process)
        process.communicate()
        return "NOT ENDED", time.monotonic() - started
    seconds = time.monotonic() - started
    check.note(f"  ended with {process.returncode} after {seconds:.2f} s; {err.strip()[-600:]}")
    return (signal.Signals(-process.returncode).name if process.returncode < 0 else f"exit {process.returncode}"), seconds


def look(check, process):
    return check.memory(), check.memory_of(process)


def chunk_finished(check, process, report, count=1):
    while process.poll() is None and check.left() > 1:
        if len(events(report, "chunk_done")) >= count:
            return True
        time.sleep(0.02)
    return False


def normal(check, result):
    process = begin(check, line(check, "normal", 2 if check.quick else 12, "--overwrite"))
    chunk_finished(check, process, check.scratch / "normal.jsonl")
    during, own = look(check, process)
    by, seconds = finished(check, process, time.monotonic())
    result.require(by == "exit 0", f"a run to its end: {by}")
    return {"name": "by itself", "by": by, "seconds": seconds, "during": during, "own": own}


def stopped(check, result):
    """Ctrl+C while chunks are being processed."""
    # Again with more inputs, if the run finished before it could be stopped.
    for count in (6, 18) if check.quick else (16, 64):
        process = begin(check, line(check, "stopped", count, "--overwrite"))
        is_working = chunk_finished(check, process, check.scratch / "stopped.jsonl", 2)
        during, own = look(check, process)
        if process.poll() is None:
            break
        finished(check, process, time.monotonic())
        (check.scratch / "stopped.jsonl").unlink(missing_ok=True)
    else:
        raise RuntimeError("every run had ended before it could be stopped")
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    by, seconds = finished(check, process, started)
    result.require(is_working and by == "SIGINT", f"Ctrl+C in the middle: {by}")
    result.require(seconds <= STOPS, f"Ctrl+C takes effect within {STOPS:.0f} s: {seconds:.2f} s")
    check.stopped = count
    return {"name": "Ctrl+C", "by": by, "seconds": seconds, "during": during, "own": own}


def resumes(check, result):
    """Resumes the stopped run, and compares its texts with those of an uninterrupted run."""
    count = check.stopped
    again = check.call(line(check, "stopped", count), 60)
    written = sorted((check.scratch / "stopped").glob("*.json")) if again.code == 0 else []
    segments = lambda path: json.loads(path.read_text())["segments"]
    uninterrupted = segments(check.scratch / "normal/ends000.json")
    is_same = len(written) == count and all(segments(path) == uninterrupted for path in written)
    result.require(is_same, "the same command resumes after Ctrl+C, with the same transcripts")


def stopped_large(check, result):
    """Ctrl+C at a decoder step of a large network."""
    command = [check.program("transcribe"), "bench", "--random", "large-v3-turbo", "--seconds", "300", "--tokens", "128",
               "--batch-size", "8", "--device", check.device]  # fmt: skip
    process = begin(check, command, {"TRANSCRIBE_TEST_AT": "stop step 20"})
    is_there = waited(check, process, "test hook:")
    during, own = look(check, process)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    by, seconds = finished(check, process, started)
    result.require(is_there and by == "SIGINT", f"Ctrl+C with large-v3-turbo's shapes: {by}")
    result.require(seconds <= 2 * STOPS, f"Ctrl+C takes effect within {2 * STOPS:.0f} s: {seconds:.2f} s")
    return {"name": "Ctrl+C, large", "by": by, "seconds": seconds, "during": during, "own": own}


def stopped_twice(check, result):
    """A second Ctrl+C, where the first one cannot take effect."""
    process = begin(check, line(check, "twice", 2, "--overwrite"), {"TRANSCRIBE_TEST_AT": "hang step 20"})
    is_there = waited(check, process, "test hook:")
    during, own = look(check, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    still = process.poll() is None
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    by, seconds = finished(check, process, started)
    result.require(is_there and still and by == "SIGINT", f"a second Ctrl+C: {by}")
    result.require(seconds <= STOPS, f"a second Ctrl+C takes effect within {STOPS:.0f} s: {seconds:.2f} s")
    return {"name": "second Ctrl+C", "by": by, "seconds": seconds, "during": during, "own": own}
