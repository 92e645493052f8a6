"""Too little memory: another process occupies most of the GPU, and the program must reduce its slots to what is left, or
report in one line that it cannot. On the CPU, a limit replaces the other process."""

import json
import subprocess
import threading

from harness import MEGABYTE, OutOfTime, Skip, copies, events

# Bytes that the other process leaves free: enough for some of the requested windows; for none; and for a part of what
# large-v3 needs for 64 windows.
SOME, NONE, LARGE = 3_000_000_000, 150_000_000, 12_000_000_000
WINDOWS = {True: 1024, False: 64}
LIMIT = ["--max-memory", "100MB"]
# Exit codes: memory exhausted, device unavailable.
MEMORY, DEVICE = 5, 4


class Ballast:
    """A process that occupies memory during the `with` block."""

    def __init__(self, check, leave):
        self.check, self.leave = check, leave

    def __enter__(self):
        command = [self.check.program("gpu"), "ballast", f"leave={self.leave}", "--device", self.check.device]
        self.process = self.check.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watch = threading.Timer(min(30, max(self.check.left(), 0.5)), self.check.stop, [self.process])
        watch.start()
        answer = self.process.stdout.readline()
        watch.cancel()
        if not answer.startswith("ready"):
            self.check.stop(self.process)
            raise OutOfTime(f"the ballast process allocated no memory: {self.process.stderr.read().strip()[:300]}")
        self.held = int(answer.split()[1])
        self.check.note(f"  ballast of {self.held / MEGABYTE:.0f} MB")
        return self

    def __exit__(self, *_):
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.check.stop(self.process)


def line(check, name, *more, few=False):
    files = copies(check.scratch / "short", [check.fixture(f"long/{one}.flac") for one in ("short_en", "short_es")], 2)
    files += [] if check.quick or few else copies(check.scratch / "longer", [check.fixture("long/long_en.flac")], 24)
    # A short guard timeout, because the ballast never frees its memory.
    return [*files, "--model", "demo", "--chunk-length", "30", "--export", "json", "--output-dir", check.scratch / name,
            "--report", check.scratch / f"{name}.jsonl", "--overwrite", "--no-resume", "--verbose", "--guard-timeout", "3s", *more]  # fmt: skip


def texts(check, name):
    """Returns the segments of all outputs, without their settings."""
    return {path.name: json.loads(path.read_text())["segments"] for path in sorted((check.scratch / name).glob("*.json"))}


def ladder(check, result):
    before = check.memory()
    dtype = check.dtypes()[0]
    check.transcribe(*line(check, "enough", "--batch-size", "16"), dtype=dtype, at_most=40, must=True)
    expected, rows = texts(check, "enough"), []
    try:
        if check.is_gpu:
            with Ballast(check, SOME) as ballast:
                rows.append(fewer(check, result, expected, ballast, dtype))
            with Ballast(check, NONE) as ballast:
                rows.append(refused(check, result, ballast))
                rows.append(without_device(check, result, ballast, expected))
            with Ballast(check, LARGE) as ballast:
                rows.append(large(check, result, ballast))
        else:
            rows.append(fewer(check, result, expected, None, dtype))
    finally:
        head = ["what", "left by the ballast, MB", "exit code", "steps", "messages", "texts", "seconds"]
        result.table(head, rows)
    left = check.memory() - before
    if check.is_gpu:
        result.require(left <= 2 << 20, f"memory is freed afterwards: {left / MEGABYTE:.1f} MB more")


def memory_messages(done):
    """Returns the messages about memory, shortened."""
    lines = [text.strip() for text in done.err.splitlines() if "memory" in text.lower() and "released" not in text]
    return "; ".join(dict.fromkeys(lines))[:300].replace("|", "/") or done.error[:200] * (done.code != 0)


def fewer(check, result, expected, ballast, dtype):
    """Requests many more windows than fit; the program must try fewer until they do."""
    limit = [] if ballast else LIMIT
    windows = WINDOWS[check.is_gpu]
    done = check.transcribe(*line(check, "fewer", "--batch-size", windows, *limit), dtype=dtype, at_most=60)
    steps = [event["slots"] for event in events(check.scratch / "fewer.jsonl", "out_of_memory")]
    is_same = texts(check, "fewer") == expected if done.code == 0 else False
    result.require(done.code == 0, f"{windows} windows in too little memory: exit code {done.code}")
    result.require(steps, "every reduction of windows is reported")
    result.require(is_same, "texts and times equal those with enough memory")
    result.figures["fewer"] = {"code": done.code, "steps": steps, "same": is_same}
    return row(f"{windows} windows", ballast, done, " → ".join(map(str, [windows, *steps])), is_same)


def refused(check, result, ballast):
    done = check.transcribe(*line(check, "refused", few=True), at_most=40)
    is_clear = done.code in (MEMORY, DEVICE) and "error" in done.err and "panicked" not in done.err
    result.require(is_clear, f"not enough memory for one window: exit code {done.code} with a reason")
    result.figures["refused"] = {"code": done.code}
    return row(f"too little memory, `--device {check.device}`", ballast, done, "", None)


def without_device(check, result, ballast, expected):
    done = check.transcribe(*line(check, "elsewhere", few=True), device="auto", at_most=40)
    found = texts(check, "elsewhere") if done.code == 0 else {}
    text_of = lambda segments: [segment["text"] for segment in segments]
    is_same = found and all(text_of(segments) == text_of(expected[name]) for name, segments in found.items())
    result.require(done.code == 0 and is_same, f"too little memory with `--device auto`: falls back to the CPU, exit code {done.code}")
    result.figures["elsewhere"] = {"code": done.code, "same": bool(is_same)}
    return row("too little memory, `--device auto`", ballast, done, "", bool(is_same))


def large(check, result, ballast):
    command = ["bench", "--random", "large-v3", "--batch-size", "64", "--seconds", "600", "--tokens", "16", "--json"]
    done = check.transcribe(*command, at_most=60)
    result.require(done.code in (0, MEMORY) and "panicked" not in done.err, f"large-v3 with 64 windows: exit code {done.code}")
    slots = done.json()["batch_size"] if done.code == 0 else None
    result.figures["large"] = {"code": done.code, "slots": slots}
    return row("large-v3's shapes, 64 windows", ballast, done, f"64 → {slots}" if slots else "", None)


def row(what, ballast, done, steps, is_same):
    left = f"{ballast.leave / MEGABYTE:.0f}" if ballast else "limit"
    same = {None: "", True: "the same", False: "NOT the same"}[is_same]
    return [what, left, done.code, steps, memory_messages(done), same, f"{done.seconds:.1f}"]


def sanitizer(check, result):
    """Runs the kernel comparisons, and a small subset of them under compute-sanitizer, which slows everything down."""
    import shutil

    tool = shutil.which("compute-sanitizer")
    if not check.is_gpu:
        raise Skip("compute-sanitizer checks GPU kernels only")
    if tool is None:
        raise Skip("`compute-sanitizer` is not installed")
    rows = []
    kernels = check.gpu("kernels", must=False)
    cases(result, kernels)
    try:
        for name in ("memcheck", "racecheck"):
            command = [tool, "--tool", name, "--error-exitcode", "99", check.program("gpu"), "kernels", "--few", "--device", check.device]
            done = check.call(command)
            summary = next((text for text in done.out.splitlines() + done.err.splitlines() if "SUMMARY" in text), "")
            if "not supported" in done.out + done.err and not summary:
                rows.append([name, "does not support this device", done.code])
                continue
            result.require(done.code == 0, f"{name}: {summary.strip('= ') or done.error}")
            rows.append([name, summary.strip("= "), done.code])
    finally:
        result.table(["tool", "result", "exit code"], rows)


def cases(result, done):
    """Reports the comparisons at their full sizes."""
    found = done.json()["cases"] if done.out.strip() else []
    wrong = [one for one in found if not one["passed"]]
    result.require(found and not wrong, f"{len(found)} kernel comparisons, {len(wrong)} of them beyond the tolerance")
    result.figures["kernels"] = found
    for one in wrong[:12]:
        result.say(f"- {one['name']}, {one['dtype']}: {one.get('error') or one['worst']}")
