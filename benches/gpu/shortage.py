"""Too little memory: most of the card is taken by another process, and the work must shrink to what is left, or say in
one line that it cannot. On the CPU a limit takes the place of the other process."""

import json
import subprocess
import threading

from harness import MEGABYTE, OutOfTime, Skip, copies, events

# Bytes that the other process leaves: enough for some of the windows that are asked for; for none; and for a part of
# what large-v3 needs for 64 windows.
SOME, NONE, LARGE = 3_000_000_000, 150_000_000, 12_000_000_000
WINDOWS = {True: 1024, False: 64}
LIMIT = ["--max-memory", "100MB"]
# Exit codes: memory is exhausted, the device cannot be used.
MEMORY, DEVICE = 5, 4


class Ballast:
    """A process that takes memory as long as the block lasts."""

    def __init__(self, check, leave):
        self.check, self.leave = check, leave

    def __enter__(self):
        command = [self.check.program("gpu"), "ballast", f"leave={self.leave}", "--device", self.check.device]
        self.process = self.check.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watch = threading.Timer(min(30, max(self.check.left(), 0.5)), self.check.stop, [self.process])
        watch.start()
        said = self.process.stdout.readline()
        watch.cancel()
        if not said.startswith("ready"):
            self.check.stop(self.process)
            raise OutOfTime(f"the ballast took no memory: {self.process.stderr.read().strip()[:300]}")
        self.held = int(said.split()[1])
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
    # Not waiting for memory that nobody will give back.
    return [*files, "--model", "demo", "--chunk-length", "30", "--export", "json", "--output-dir", check.scratch / name,
            "--report", check.scratch / f"{name}.jsonl", "--overwrite", "--no-resume", "--verbose", "--guard-timeout", "3s", *more]  # fmt: skip


def texts(check, name):
    """What was written, without the settings that tell how."""
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
        head = ["what", "left by the ballast, MB", "exit code", "steps", "what was said", "texts", "seconds"]
        result.table(head, rows)
    left = check.memory() - before
    if check.is_gpu:
        result.require(left <= 2 << 20, f"the memory is back afterwards: {left / MEGABYTE:.1f} MB more")


def told(done):
    """The lines about memory, in short."""
    lines = [text.strip() for text in done.err.splitlines() if "memory" in text.lower() and "released" not in text]
    return "; ".join(dict.fromkeys(lines))[:300].replace("|", "/") or done.error[:200] * (done.code != 0)


def fewer(check, result, expected, ballast, dtype):
    """Many more windows than there is room for: fewer and fewer are tried, until they fit."""
    limit = [] if ballast else LIMIT
    windows = WINDOWS[check.is_gpu]
    done = check.transcribe(*line(check, "fewer", "--batch-size", windows, *limit), dtype=dtype, at_most=60)
    steps = [event["slots"] for event in events(check.scratch / "fewer.jsonl", "out_of_memory")]
    is_same = texts(check, "fewer") == expected if done.code == 0 else False
    result.require(done.code == 0, f"{windows} windows in too little memory end with {done.code}")
    result.require(steps, "and every step to fewer windows is reported")
    result.require(is_same, "and the texts and times are those of enough memory")
    result.figures["fewer"] = {"code": done.code, "steps": steps, "same": is_same}
    return row(f"{windows} windows", ballast, done, " → ".join(map(str, [windows, *steps])), is_same)


def refused(check, result, ballast):
    done = check.transcribe(*line(check, "refused", few=True), at_most=40)
    is_clear = done.code in (MEMORY, DEVICE) and "error" in done.err and "panicked" not in done.err
    result.require(is_clear, f"no room at all: ends with {done.code}, and says why")
    result.figures["refused"] = {"code": done.code}
    return row(f"no room, `--device {check.device}`", ballast, done, "", None)


def without_device(check, result, ballast, expected):
    done = check.transcribe(*line(check, "elsewhere", few=True), device="auto", at_most=40)
    found = texts(check, "elsewhere") if done.code == 0 else {}
    said = lambda segments: [segment["text"] for segment in segments]
    is_same = found and all(said(segments) == said(expected[name]) for name, segments in found.items())
    result.require(done.code == 0 and is_same, f"no room and `--device auto`: the CPU does it, and ends with {done.code}")
    result.figures["elsewhere"] = {"code": done.code, "same": bool(is_same)}
    return row("no room, `--device auto`", ballast, done, "", bool(is_same))


def large(check, result, ballast):
    command = ["bench", "--random", "large-v3", "--batch-size", "64", "--seconds", "600", "--tokens", "16", "--json"]
    done = check.transcribe(*command, at_most=60)
    result.require(done.code in (0, MEMORY) and "panicked" not in done.err, f"large-v3 for 64 windows: ends with {done.code}")
    slots = done.json()["batch_size"] if done.code == 0 else None
    result.figures["large"] = {"code": done.code, "slots": slots}
    return row("large-v3's shapes, 64 windows", ballast, done, f"64 → {slots}" if slots else "", None)


def row(what, ballast, done, steps, is_same):
    left = f"{ballast.leave / MEGABYTE:.0f}" if ballast else "limit"
    same = {None: "", True: "the same", False: "NOT the same"}[is_same]
    return [what, left, done.code, steps, told(done), same, f"{done.seconds:.1f}"]


def sanitizer(check, result):
    """compute-sanitizer over the comparisons of all kernels; they are small there, since it slows everything down."""
    import shutil

    tool = shutil.which("compute-sanitizer")
    if not check.is_gpu:
        raise Skip("on the CPU there is nothing to look at")
    if tool is None:
        raise Skip("there is no `compute-sanitizer` on this machine")
    rows = []
    kernels = check.gpu("kernels", must=False)
    cases(result, kernels)
    try:
        for name in ("memcheck", "racecheck"):
            command = [tool, "--tool", name, "--error-exitcode", "99", check.program("gpu"), "kernels", "--few", "--device", check.device]
            done = check.call(command)
            summary = next((text for text in done.out.splitlines() + done.err.splitlines() if "SUMMARY" in text), "")
            if "not supported" in done.out + done.err and not summary:
                rows.append([name, "cannot look at this device", done.code])
                continue
            result.require(done.code == 0, f"{name}: {summary.strip('= ') or done.error}")
            rows.append([name, summary.strip("= "), done.code])
    finally:
        result.table(["tool", "what it says", "exit code"], rows)


def cases(result, done):
    """The comparisons themselves, at their full sizes."""
    found = done.json()["cases"] if done.out.strip() else []
    wrong = [one for one in found if not one["passed"]]
    result.require(found and not wrong, f"{len(found)} comparisons of kernels, {len(wrong)} of them differ by more than they may")
    result.figures["kernels"] = found
    for one in wrong[:12]:
        result.say(f"- {one['name']}, {one['dtype']}: {one.get('error') or one['worst']}")
