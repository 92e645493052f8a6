"""Common code of the check's parts: running programs with a time limit, the device's memory as other processes see it, and
the results of a part."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TREE / "benches"))

from common import markdown  # noqa: E402

MEGABYTE = 1e6
MIB = 1 << 20
# The minimum time limit of a program, in seconds.
LEAST = 0.5


class OutOfTime(Exception):
    pass


class Skip(Exception):
    """There is nothing to check with."""


@dataclass
class Done:
    code: int
    out: str
    err: str
    seconds: float

    @property
    def error(self):
        """The line that says what went wrong."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else f"ended with {self.code}")

    def json(self):
        return json.loads(self.out.strip().splitlines()[-1])


@dataclass
class Result:
    """What a part has found; reported even if the part does not finish."""

    name: str
    title: str
    status: str = "not run"
    seconds: float = 0.0
    text: list = field(default_factory=list)
    requirements: list = field(default_factory=list)
    figures: dict = field(default_factory=dict)

    def say(self, *lines):
        self.text += [*lines, ""]

    def table(self, head, rows):
        if rows:
            self.say(*markdown(head, rows))

    def require(self, is_met, what):
        """A requirement: the part has failed if one is not met."""
        self.requirements.append({"met": bool(is_met), "what": what})
        return is_met

    def conclude(self):
        if self.status == "not run":
            missed = [one for one in self.requirements if not one["met"]]
            self.status = "FAILED" if missed or not self.requirements else "passed"


@dataclass
class Goal:
    what: str
    is_met: bool | None = None
    figure: str = "not measured"


class Check:
    """One run over all parts."""

    def __init__(self, programs, device, quick, out, scratch, seconds):
        self.programs, self.device, self.quick, self.out, self.scratch = programs, device, quick, out, scratch
        self.deadline = time.monotonic() + seconds
        self.part_end = self.deadline
        self.running, self.lock = [], threading.Lock()
        self.log = (out / "log.txt").open("w")
        self.goals, self.curves, self.tables = {}, {}, {}
        self.limits = None
        self._helps = {}
        self.began = time.monotonic()
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("TRANSCRIBE_", "RUST_"))}
        nowhere = {"HF_HOME": str(scratch / "nowhere"), "XDG_CONFIG_HOME": str(scratch / "nowhere"), "HF_HUB_OFFLINE": "1"}
        self.env = {**keep, **nowhere, "RUST_BACKTRACE": "0"}
        # NVIDIA's libraries may be packages of the current Python.
        self.env["PATH"] = os.pathsep.join([self.env.get("PATH", ""), str(Path(sys.executable).parent)])

    @property
    def is_gpu(self):
        return self.device != "cpu"

    @property
    def ordinal(self):
        return self.device.partition(":")[2] or "0"

    def left(self):
        """Returns the seconds that are left for the part."""
        return self.part_end - time.monotonic()

    def note(self, text):
        with self.lock:
            self.log.write(f"[{time.monotonic() - self.began:7.2f}] {text}\n")
            self.log.flush()

    def fixture(self, name):
        return TREE / "fixtures" / name

    # Programs

    def program(self, name):
        path = self.programs.get(name)
        if path is None:
            raise Skip(f"the program `{name}` was not found")
        return path

    def start(self, command, env=None, **pipes):
        command = [str(part) for part in command]
        self.note("$ " + " ".join(command) + (f"   {env}" if env else ""))
        process = subprocess.Popen(command, env={**self.env, **(env or {})}, text=True, start_new_session=True,
                                   errors="replace", **pipes)  # fmt: skip
        with self.lock:
            self.running.append(process)
        return process

    def stop(self, process):
        """Kills a program that the check started, and its children."""
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def stop_all(self):
        for process in self.running:
            self.stop(process)

    def call(self, command, at_most=600.0, env=None, must=False):
        """Runs a program to its end, within the time that is left for the part."""
        seconds = min(at_most, self.left())
        if seconds < LEAST:
            raise OutOfTime("no time is left to start " + Path(str(command[0])).name)
        started = time.monotonic()
        process = self.start(command, env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.stop(process)
            out, err = process.communicate()
            self.note(f"  stopped after {seconds:.1f} s; {err.strip()[-500:]}")
            raise OutOfTime(f"`{Path(str(command[0])).name} {command[1]}` was stopped after {seconds:.0f} s") from None
        done = Done(process.returncode, out, err, time.monotonic() - started)
        self.note(f"  {done.code} after {done.seconds:.2f} s; {out.strip()[:1500]} {err.strip()[-1500:]}")
        if must and done.code != 0:
            raise RuntimeError(f"`{Path(str(command[0])).name} {command[1]}`: {done.error}")
        return done

    def transcribe(self, *line, device=None, dtype=None, **how):
        command = [self.program("transcribe"), *line, "--device", device or self.device]
        if dtype and self.has("--dtype", "bench" if line[0] == "bench" else None):
            command += ["--dtype", dtype]
        return self.call(command, **how)

    def gpu(self, *line, device=None, **how):
        return self.call([self.program("gpu"), *line, "--device", device or self.device], **how)

    def has(self, option, command=None):
        """Returns whether the program has an option."""
        if command not in self._helps:
            line = [self.program("transcribe"), *([command] if command else []), "--help"]
            self._helps[command] = subprocess.run([str(part) for part in line], capture_output=True, text=True, env=self.env, timeout=20).stdout
        return option in self._helps[command]

    def dtypes(self, command=None):
        """Returns the number formats to request; None where the program has only one."""
        if not self.is_gpu or not self.has("--dtype", command):
            return [None]
        return ["f32", "f16", "bf16"]

    # Memory

    def memory(self):
        """Returns the bytes used on the device by all processes; on the CPU, those of the host."""
        if self.is_gpu and shutil.which("nvidia-smi"):
            done = self.call(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", self.ordinal], 10)
            if done.code == 0:
                return int(done.out.strip().splitlines()[0]) * MIB
        if self.is_gpu:
            return self.gpu("memory", at_most=20, must=True).json()["used"]
        with open("/proc/meminfo") as lines:
            figures = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return figures["MemTotal"] - figures["MemAvailable"]

    def memory_of(self, process):
        """Returns the bytes that one process holds on the device, or None if that is not reported."""
        if not self.is_gpu:
            try:
                text = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return None
            found = [line for line in text.splitlines() if line.startswith("VmRSS")]
            return int(found[0].split()[1]) * 1024 if found else None
        if not shutil.which("nvidia-smi"):
            return None
        done = self.call(["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"], 10)
        for line in done.out.splitlines():
            pid, _, used = line.partition(",")
            if pid.strip() == str(process.pid) and used.strip().isdigit():
                return int(used) * MIB
        return None


def megabytes(count):
    return "–" if count is None else f"{count / MEGABYTE:,.1f}"


def copies(folder, files, count):
    """Copies recordings repeatedly, so that each copy is an input of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for nth in range(count):
        file = files[nth % len(files)]
        names.append(folder / f"{folder.name}{nth:03}{file.suffix}")
        if not names[-1].exists():
            shutil.copy(file, names[-1])
    return names


def events(path, kind):
    """Returns the events of a kind in a report, which may still be growing."""
    found = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # an incomplete line
            if event.get("event") == kind:
                found.append(event)
    return found
