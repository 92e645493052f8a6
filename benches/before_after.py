#!/usr/bin/env python3
"""Compares two builds of the program: equal options and inputs must give equal outputs, to the byte.

    python3 benches/before_after.py --before OLD/transcribe --after target/release/transcribe
    just before-after OLD/transcribe target/release/transcribe
    python3 benches/before_after.py --before A --after B --only 'resume*' --only score
    python3 benches/before_after.py --list

For changes that must not change behaviour. An option set is a group of cases, a case is one or more commands. Each
case runs once with each program, each time in a folder of its own with copies of its inputs. After every command
these are compared: the exit code or signal, stdout, and every file and folder below the working folder (name, kind,
permissions, content). stderr is not compared: messages may be reworded.

The set `fixtures` transcribes every audio fixture, damaged ones included, with default options and the built-in demo
model into all formats. The other sets cover decoding, speech and chunk options, output and subtitle options, ways to
name inputs, reports, interruption and resuming, and the commands that need no model.

What depends on time or on the machine, or is a text for people, is masked; the lists are the constants below:

* Reports, metrics and status files: the keys in VOLATILE (times, memory, process id, versions), the texts in WORDING,
  and metrics whose names match VOLATILE_METRICS. Lines of a report are compared in order for each input, not across
  inputs.
* The ledger `.transcribe-done`: line checksums and the digests of options, which the program only compares with each
  other. Of the journal of an unfinished input, the number of records counts. `--strict` compares both to the byte.
* Tables and listings for people (`--dry-run`, `report show`, `models list`): only words that contain a digit.

Points to stop at are set by TRANSCRIBE_TEST_AT (see src/test_hooks.rs), so that what a stopped run leaves can be
compared as well; a point that is not reached counts as a difference. Both programs must be built with the feature
`testing` for it; `--no-hooks` skips such cases instead. `report schema`, `doctor`, `bench`, `man` and the help texts
are not compared.

Needs Unix and nothing but Python; takes some ten minutes of CPU time, half of that on two free cores. Exits with 1 if
anything differs, with the first differing bytes; `--keep FOLDER` keeps the folders of such cases.
"""
import argparse
import fnmatch
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
AUDIO_SUFFIXES = set(".aac .aiff .caf .flac .m4a .mka .mkv .mov .mp3 .mp4 .ogg .opus .wav .webm".split())

# Keys whose values depend on time or on the machine: in reports and status files.
VOLATILE = {
    "time", "elapsed", "seconds", "speed", "load_seconds", "memory", "peak_memory", "host", "pid", "version",
    "started", "uptime_seconds", "heartbeat", "last_looked", "last_done_time", "idle_since",
}
# Keys with text for people.
WORDING = {"message", "hint", "reason", "reasons", "notes", "problem"}
# Metrics whose values depend on time or on the machine.
VOLATILE_METRICS = re.compile(r"run_seconds|real_time_factor|starved_seconds|load_seconds|memory_|timestamp|build_info")
# Keys of a ledger's records that are digests of the program's internal names, or the program's version.
OPAQUE = {"options", "look", "program"}
# A temporary file that a killed program left.
TEMPORARY = re.compile(r"\.\w{6}\.tmp$")
# What the program prints when the point of TRANSCRIBE_TEST_AT is reached; earlier versions print the first.
REACHED = (b"probe: ", b"test hook: ")
HOOK = "TRANSCRIBE_TEST_AT"

TIMEOUT = 180
# A stopped program is at rest when its threads have been idle for so many seconds, in so many samples.
SETTLE = 0.4
SAMPLES = 8
# Modification time of files that are written by this script.
FIXED_TIME = 1_700_000_000

SHORT = "long/short_en.flac"
SPANISH = "long/short_es.flac"
LONG = "long/long_en.flac"
GERMAN = "long/long_de.flac"
HOLE = "long/long_en_hole.flac"
MUSIC = "long/music.flac"
WORD = "audio/s16-16k-mono.wav"

Case = namedtuple("Case", "name action")
Settings = namedtuple("Settings", "before after strict keep hooks", defaults=[True])
SETS = {}


class NeedsHooks(Exception):
    """A case that needs a program with test hooks."""


# Masks


def masked(value, volatile=VOLATILE):
    """The value of a JSON document without what is volatile, and without texts for people."""
    def entry(key, content):
        if key in volatile and content is not None:
            return "*"
        if key in WORDING and content:
            return "words"
        return masked(content, volatile)
    if isinstance(value, dict):
        return {key: entry(key, content) for key, content in value.items()}
    if isinstance(value, list):
        return [masked(content, volatile) for content in value]
    return value


def dump(value):
    return json.dumps(value, ensure_ascii=False).encode()


def mask_status(content):
    return dump(masked(json.loads(content)))


def mask_plan(content):
    """What --dry-run=json prints, without the reasons why inputs are skipped; nothing if there is no plan."""
    if not content:
        return content
    plan = masked(json.loads(content), set())
    for entry in plan["inputs"]:
        entry["skipped"] = bool(entry["skipped"])
    return dump(plan)


def mask_report(content):
    """The lines that concern no input, then those of each input."""
    try:
        lines = [json.loads(line) for line in content.splitlines()]
    except ValueError:
        return content
    lines.sort(key=lambda line: str(line.get("input", "")))
    return b"".join(dump(masked(line)) + b"\n" for line in lines)


def mask_metrics(content):
    lines = []
    for line in content.decode().splitlines():
        if line.startswith("# HELP "):
            line = " ".join(line.split(" ")[:3])
        elif not line.startswith("#") and VOLATILE_METRICS.search(line.split(" ")[0].split("{")[0]):
            line = re.sub(r'"[\d.]+"', '"*"', line.rpartition(" ")[0]) + " *"
        lines.append(line + "\n")
    return "".join(lines).encode()


def mask_ledger(content):
    lines = []
    for line in content.splitlines():
        record = json.loads(line.split(b" ", 1)[1])
        record = {key: "*" if key in OPAQUE else value for key, value in record.items()}
        record["outputs"] = [{key: "*" if key in OPAQUE else value for key, value in output.items()}
                             for output in record["outputs"]]
        lines.append(dump(record) + b"\n")
    # Inputs are finished in any order.
    return b"".join(sorted(lines))


def mask_journal(content):
    return b"%d records\n" % content.count(b"\n")


def figures(text):
    """The words with digits of a text for people."""
    return b"\n".join(re.findall(rb"\S*\d\S*", text))


def assignments(text):
    """Settings and names of options that are not set, as --print-config prints them."""
    lines = re.findall(rb"^(?:# )?[a-z-]+ =[^#\n]*", text, re.MULTILINE)
    return b"\n".join(line.rstrip() for line in lines)


def nothing(_text):
    return b""


def threads(process):
    """State and number of context switches of each thread."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        except OSError:
            continue
        switches = int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])
        found[task.name] = status["State"][0], switches
    return found


def wait_until_idle(process):
    """Waits until no thread has work, apart from the stopped one, which wakes every 2 ms to look for the signal."""
    if not Path("/proc/self/task").is_dir():
        time.sleep(5 * SETTLE)
        return
    deadline = time.monotonic() + TIMEOUT / 2
    while time.monotonic() < deadline:
        samples = []
        for _ in range(SAMPLES):
            samples.append(threads(process))
            time.sleep(SETTLE / SAMPLES)
        first, last = samples[0], samples[-1]
        if set(first) == set(last):
            *others, _stopped = sorted(last, key=lambda thread: last[thread][1] - first[thread][1])
            # A timer may wake a thread now and then.
            if all(sum(sample[thread][0] != "S" for sample in samples if thread in sample) <= 1 for thread in others):
                return


FILE_MASKS = [("*.report.jsonl", mask_report), ("*.prom", mask_metrics), ("*.status.json", mask_status)]
LENIENT_MASKS = [(".transcribe-done", mask_ledger), (".*.transcribe", mask_journal)]


# Running


class Run:
    """One case with one program: the commands, and what each left behind."""

    def __init__(self, settings, program, folder):
        self.settings, self.program, self.folder = settings, program, folder
        self.observed = {}
        self.stderr = {}
        self.missed = []
        self.count = 0
        self.ignored = []
        self.masks = FILE_MASKS + ([] if settings.strict else LENIENT_MASKS)

    def copy(self, fixture, name=None):
        """Copies a fixture into the folder, with its modification time, and returns its name."""
        target = self.folder / (name or Path(fixture).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FIXTURES / fixture, target)
        os.utime(target, (FIXED_TIME, FIXED_TIME))
        return str(target.relative_to(self.folder))

    def write(self, name, content):
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(target, (FIXED_TIME, FIXED_TIME))
        return name

    def ignore(self, pattern):
        """Leaves files of such names out of the comparison."""
        self.ignored.append(pattern)

    def environment(self, extra):
        if HOOK in (extra or {}) and not self.settings.hooks:
            raise NeedsHooks
        fixed = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "TZ": "UTC", "LC_ALL": "C.UTF-8",
            "HF_HOME": "/nonexistent", "HF_ENDPOINT": "http://127.0.0.1:1", "XDG_CONFIG_HOME": "/nonexistent",
            "TRANSCRIBE_MODEL": "demo", "TRANSCRIBE_DEVICE": "cpu", "TRANSCRIBE_THREADS": "1",
        }
        merged = {**fixed, **(extra or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def start(self, args, program, **options):
        command = [str(program or self.program), *map(str, args)]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def __call__(self, *args, env=None, stdin=b"", text=None, program=None, prefix=()):
        """Runs a command to its end; `text` masks its stdout."""
        if prefix:
            args, program = [*prefix[1:], program or self.program, *args], prefix[0]
        child = self.start(args, program, env=self.environment(env), stdin=subprocess.PIPE)
        try:
            stdout, stderr = child.communicate(stdin, timeout=TIMEOUT)
            code = child.returncode
        except subprocess.TimeoutExpired:
            child.kill()
            stdout, stderr = child.communicate()
            code = "timeout"
        self.observe(args, code, stdout, stderr, text)

    def stop(self, *args, at, by, env=None, program=None):
        """Runs a command until a point, then sends a signal."""
        env = {**(env or {}), HOOK: at}
        child = self.start(args, program, env=self.environment(env), stdin=subprocess.DEVNULL)
        timer = threading.Timer(TIMEOUT, child.kill)
        timer.start()
        stderr = b""
        for line in child.stderr:
            stderr += line
            if line.startswith(REACHED):
                wait_until_idle(child.pid)
                child.send_signal(by)
                break
        else:
            self.missed.append(at)
        stdout, rest = child.communicate()
        timer.cancel()
        self.observe(args, child.returncode, stdout, stderr + rest, None)

    def kill_after(self, seconds, *args):
        """Kills a command after some time; what it leaves depends on chance and is not compared."""
        child = self.start(args, None, env=self.environment(None), stdin=subprocess.DEVNULL)
        try:
            child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()

    def observe(self, args, code, stdout, stderr, text):
        self.count += 1
        step = f"command {self.count}"
        self.observed[step, "exit code"] = str(code).encode()
        self.observed[step, "stdout"] = (text or bytes)(stdout)
        self.stderr[step] = " ".join(map(str, args)), stderr
        for path in sorted(self.folder.rglob("*")):
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in self.ignored):
                continue
            name = TEMPORARY.sub(".XXXXXX.tmp", str(path.relative_to(self.folder)))
            self.observed[step, name] = self.content(path)

    def content(self, path):
        mode = path.lstat().st_mode
        head = b"mode %o\n" % (mode & 0o777)
        if stat.S_ISLNK(mode):
            return b"link to " + os.fsencode(os.readlink(path))
        if not stat.S_ISREG(mode):
            return head + b"type %o" % stat.S_IFMT(mode)
        content = path.read_bytes()
        for pattern, mask in self.masks:
            if fnmatch.fnmatch(path.name, pattern):
                content = mask(content)
        return head + content


def excerpt(content, at):
    return repr(content[max(0, at - 60):at + 60])


def difference(key, before, after):
    """Lines that show where two contents part."""
    step, name = key
    if before is None or after is None:
        return [f"{step}: {name!r} exists only {'after' if before is None else 'before'}"]
    at = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    line = before.count(b"\n", 0, at) + 1
    return [
        f"{step}: {name!r} differs at byte {at}, line {line} ({len(before)} and {len(after)} bytes, as masked)",
        f"  before: {excerpt(before, at)}",
        f"  after:  {excerpt(after, at)}",
    ]


def compare(settings, case):
    """Runs a case with both programs; returns what differs."""
    with tempfile.TemporaryDirectory(prefix="before-after-") as base:
        runs = []
        for side, program in (("before", settings.before), ("after", settings.after)):
            folder = Path(base) / side
            folder.mkdir()
            run = Run(settings, program, folder)
            case.action(run)
            runs.append(run)
        before, after = runs
        keys = list(dict.fromkeys([*before.observed, *after.observed]))
        found = [(key, before.observed.get(key), after.observed.get(key)) for key in keys]
        found = [entry for entry in found if entry[1] != entry[2]]
        lines = [f"the point `{at}` was not reached {side}" for run, side in ((before, "before"), (after, "after")) for at in run.missed]
        lines += [line for entry in found[:3] for line in difference(*entry)]
        if found:
            step = found[0][0][0]
            lines.append(f"  of {len(found)} differences; {step} is: {before.stderr.get(step, ('none',))[0]}")
            for run, side in ((before, "before"), (after, "after")):
                last = run.stderr.get(step, ("", b""))[1].decode(errors="replace").splitlines()[-3:]
                lines += [f"  stderr {side}: {line}" for line in last]
        if found and settings.keep:
            shutil.copytree(base, settings.keep / re.sub(r"[^\w.-]+", "_", case.name), symlinks=True, dirs_exist_ok=True)
        return lines


# Option sets


def option_set(name):
    """Registers a function that returns cases; its docstring describes the set."""
    def register(function):
        SETS[name] = function
        return function
    return register


def transcribe(run, recording, options, export="all"):
    run(run.copy(recording), *options, "--export", export, "--output-dir", "out")


def variant(recording, options):
    return Case(f"{Path(recording).name} {' '.join(options)}", lambda run: transcribe(run, recording, options))


def variants(name, about, recordings, *lines):
    """Registers a set: each line of options with each recording, into all formats."""
    def cases():
        split = [line.split() if isinstance(line, str) else line for line in lines]
        return [variant(recording, options) for options in split for recording in recordings]
    cases.__doc__ = about
    SETS[name] = cases


def audio_fixtures():
    return sorted(path.relative_to(FIXTURES) for path in FIXTURES.rglob("*") if path.suffix in AUDIO_SUFFIXES)


@option_set("fixtures")
def _():
    """every audio fixture with default options, all formats and a report"""
    def action(path):
        return lambda run: transcribe(run, path, ["--report", "run.report.jsonl"])
    return [Case(str(path), action(path)) for path in audio_fixtures()]


variants("beam", "beam search, patience, length penalty", [SHORT, SPANISH, LONG],
         "--beam-size 5", "--beam-size 3 --patience 2 --length-penalty 0.6")
variants("best-of", "sampling with several candidates and seeds", [SHORT, SPANISH],
         "--temperature 0.4 --best-of 3 --seed 7", "--temperature 1 --seed 1")
variants("fallback", "further attempts at higher temperatures", [SHORT, SPANISH],
         "--logprob-threshold 0 --temperature-increment-on-fallback 0.4 --seed 3", "--temperature-increment-on-fallback none")
variants("when-all-fail", "which attempt counts when all fail", [SHORT, SPANISH],
         "--logprob-threshold 0 --temperature-increment-on-fallback 0.5 --when-all-fail last",
         "--logprob-threshold 0 --temperature-increment-on-fallback 0.5 --when-all-fail best")
variants("thresholds", "quality thresholds, also none", [SPANISH],
         "--compression-ratio-threshold 1.2 --logprob-threshold -0.3 --no-speech-threshold 0.000001 --beam-size 2",
         "--compression-ratio-threshold none --logprob-threshold none --no-speech-threshold none",
         "--vad --no-speech-threshold 0 --logprob-threshold 0")
variants("prompt", "initial prompt, carried or not; prefix", [SHORT, LONG],
         ["--initial-prompt", "Monday, Friday and the door.", "--chunk-length", "30"],
         ["--initial-prompt", "Monday, Friday and the door.", "--carry-initial-prompt", "true", "--chunk-length", "30"],
         ["--prefix", "One two three"])
variants("hotwords", "hotwords, alone and with a prompt", [SHORT, SPANISH],
         ["--hotwords", "Friday Monday"], ["--hotwords", "rojo", "--initial-prompt", "Cuatro"])
variants("condition", "previous text as a prompt or not", [LONG],
         "--condition-on-previous-text false --chunk-length 0", "--condition-on-previous-text false",
         "--chunk-length 0 --prompt-reset-on-temperature 0.1 --compression-ratio-threshold 1.1 --seed 2")
variants("language", "fixed languages, by code and name", [SHORT, SPANISH], "--language de", "--language spanish", "-l en")
variants("detection", "language detection", [SPANISH, GERMAN],
         "--language-detection-segments 1 --language-detection-threshold 0.99999", "--language-detection-segments 5")
variants("multilingual", "language of each window", [SPANISH, GERMAN], "--multilingual", "--multilingual --chunk-length 20")
variants("translate", "translation", [SPANISH, GERMAN], "--task translate", "--task translate --language es --beam-size 2")
variants("suppress", "suppressed tokens and blanks", [SHORT, SPANISH],
         ["--suppress-tokens", ""], ["--suppress-tokens=-1,440,586"], ["--suppress-blank", "false"])
variants("repetition", "repetition penalty and banned n-grams", [SPANISH, LONG],
         "--repetition-penalty 1.3", "--no-repeat-ngram-size 2 --beam-size 2")
variants("max-tokens", "limits of tokens and of the first timestamp", [SHORT, SPANISH],
         "--max-new-tokens 12", "--max-initial-timestamp none", "--max-initial-timestamp 0.5")
variants("without-timestamps", "text without timestamps", [SPANISH, LONG],
         "--without-timestamps", "--without-timestamps --word-timestamps --beam-size 2")
variants("words", "word timestamps", [SHORT, SPANISH, GERMAN],
         "--word-timestamps", "--word-timestamps --chunk-length 0 --beam-size 2")
variants("punctuation", "punctuation that belongs to words", [SHORT],
         ["--word-timestamps", "--prepend-punctuations", "\"(", "--append-punctuations", ".,"])
variants("hallucination", "silence around hallucinations", [HOLE, SPANISH],
         "--word-timestamps --hallucination-silence-threshold 2", "--word-timestamps --hallucination-silence-threshold 0.5 --vad")
variants("vad", "silence left out, with its report", [HOLE, SPANISH, WORD],
         "--vad --vad-report vad.jsonl",
         "--vad --vad-threshold 0.7 --vad-min-speech-duration-ms 400 --vad-min-silence-duration-ms 300 --vad-speech-pad-ms 100"
         " --vad-report vad.jsonl")
variants("clips", "only parts of a recording", [LONG],
         "--clip-timestamps 3.3,17.45,20,61,61,75.5,90", "--clip-timestamps 0:05,0:09.5 --chunk-length 0", "--clip-timestamps 110 --vad")
variants("offset", "begin and length", [SHORT, LONG], "--offset 0:02 --duration 5", "--offset 3.5 --word-timestamps", "--offset 2:30")
variants("chunk-0", "recordings in one piece", [LONG, HOLE, SPANISH], "--chunk-length 0", "--chunk-length 0 --vad")
variants("chunk-30", "chunks of half a minute", [LONG, GERMAN, HOLE], "--chunk-length 30")
variants("seams", "short chunks, and cuts without a pause", [LONG, MUSIC],
         "--chunk-length 6 --temperature-increment-on-fallback none --max-new-tokens 30",
         "--chunk-length 6 --temperature-increment-on-fallback none --max-new-tokens 30 --batch-size 1")
variants("batch-size", "windows side by side", [LONG], "--batch-size 1 --chunk-length 10", "--batch-size 3 --chunk-length 10",
         "--batch-size 8 --chunk-length 10 --word-timestamps --beam-size 2", "--batch-size auto --chunk-length 10")
variants("release", "threads and release of memory", [GERMAN], "--threads 2 --release never", "--release 2 --chunk-length 20 --threads 3")
variants("dtype", "numbers to compute in, also those that the CPU does not have", [SHORT],
         "--dtype f32", "--dtype f16", "--dtype bf16", "--device cpu --dtype auto")
variants("json-style", "JSON of other programs", [SHORT, SPANISH],
         "--json-style openai", "--json-style whisper-cpp --word-timestamps", "--json-style whisperx --word-timestamps", "--json-style hf",
         "--json-style full --multilingual --word-timestamps")
variants("subtitles", "presets of subtitles", [SHORT, GERMAN],
         "--subtitles openai --word-timestamps", "--subtitles readable", "--subtitles readable --word-timestamps")
variants("lines", "limits of lines", [SPANISH, LONG],
         "--max-line-width 20 --max-line-count 1", "--word-timestamps --max-words-per-line 3",
         "--word-timestamps --subtitles openai --max-line-width 18 --max-line-count 2")
variants("cues", "limits of cues", [SPANISH, LONG],
         "--subtitles readable --min-cue-duration 2 --max-cue-duration 3.5 --min-cue-gap 0.2 --max-reading-speed 9")
variants("highlight", "words shown as they are spoken", [SHORT, SPANISH],
         "--word-timestamps --highlight-words", "--word-timestamps --vtt-words --subtitles readable",
         "--word-timestamps --highlight-words --subtitles openai --max-words-per-line 4")
variants("html-audio", "where a page has its audio from", [SHORT, WORD],
         "--html-audio link", "--html-audio embed", "--html-audio none --word-timestamps")
variants("tracks", "audio tracks and channels", ["audio/two-tracks.m4a", "audio/two-tracks.mkv", "audio/six-channels.wav"],
         "--audio-track 1", "--channel 0", "--channel 3")
variants("limits", "limits of quality, memory and size", [LONG],
         "--fail-under-coverage 101", "--fail-under-coverage 1", "--max-memory 60MB --batch-size 64", "--max-memory 5MB",
         "--max-file-size 60kB", "--min-free-memory 1000TB --guard-timeout 100ms", "--min-free-disk 1000TB --guard-timeout 100ms")


@option_set("stdout")
def _():
    """text on stdout: one input, several, from a pipe, with failures"""
    def several(run):
        run.write("empty.mp3", b"")
        names = [run.copy(name) for name in (SHORT, WORD, SPANISH, "audio/damaged/text.mp3")]
        run(*names, "empty.mp3")
        run(*names, "--jobs", "1", "--quiet")

    def piped(run):
        content = (FIXTURES / SPANISH).read_bytes()
        run("-", stdin=content)
        run("-", "--export", "all", "--output-dir", "out", "--chunk-length", "0", stdin=content)
        run("-", stdin=b"")
        run("-", stdin=b"only words\n" * 200)

    def long(run):
        run(run.copy(LONG), "--chunk-length", "15")
        run("long_en.flac", "--log-format", "json", "--progress", "json", "--stats", "--verbose")
    return [Case("several", several), Case("piped", piped), Case("long", long)]


@option_set("model")
def _():
    """the demo model from its folder; models that do not exist"""
    def folder(run):
        os.symlink(ROOT / "models/demo", run.folder / "checkpoint")
        run.ignore("checkpoint")
        transcribe(run, SHORT, ["--model", "checkpoint"])

    def missing(run):
        name = run.copy(SHORT)
        for model in ("tiny", "larg-v3", "no/such", "./nowhere"):
            run(name, "--model", model, "--offline")
    return [Case("folder", folder), Case("missing", missing)]


@option_set("config")
def _():
    """settings from a file and the environment; --print-config"""
    def action(run):
        run.write("settings.toml", 'language = "es"\nword-timestamps = true\nbeam-size = 2\nexport = "srt,json"\n')
        name = run.copy(SPANISH)
        run(name, "--config", "settings.toml", "--output-dir", "file")
        run(name, "--config", "settings.toml", "--output-dir", "both", env={"TRANSCRIBE_BEAM_SIZE": "1", "TRANSCRIBE_LANGUAGE": "en"})
        run("--config", "settings.toml", "--print-config", "--seed", "5", text=assignments)
        run("--print-config", env={"TRANSCRIBE_MODEL": None, "TRANSCRIBE_VAD": "true"}, text=assignments)
    return [Case("config", action)]


def tree(run):
    """A folder of recordings of a second or two, and of other things."""
    for name in ("in/a.wav", "in/voice", "in/.hidden.wav", "in/deep/er/b.wav", "in/old/c.wav", "in/[d].wav"):
        run.copy(WORD, name)
    run.write("in/notes.md", "# words")


@option_set("folders")
def _():
    """folders, patterns, templates, flat and nested outputs"""
    def lines(name, *commands):
        def action(run):
            tree(run)
            for command in commands:
                run(*command.split(), "--export", "txt,json,html")
        return Case(name, action)
    template = "in -r --output-dir out --output-template"
    return [
        lines("folder", "in", "in/deep"),
        lines("recursive", "in -r --output-dir out", "in -r --output-dir flat --flat --exclude old --include *.WAV"),
        lines("patterns", "in/a?wav in/**/*.wav --exclude b* --output-dir out", "in/[d].wav", "in/none*.wav"),
        lines("templates", f"{template} {{parent}}-{{name}}.{{ext}}", f"{template} {{dir}}/{{{{{{index}}}}}}.{{ext}}",
              f"{template} {{dir}}/{{stem}}.{{language}}.{{task}}.{{model}}.{{ext}} --language de",
              f"{template} {{stem}}.{{language}}.{{ext}}", f"{template} {{date}}/{{stem}}.{{ext}}", f"{template} {{stm}}"),
        lines("clash", "in -r --output-dir out --output-template same.{ext}", "in in/deep -r --flat"),
    ]


@option_set("lists")
def _():
    """lists of inputs, inputs that are named twice"""
    def action(run):
        tree(run)
        run.write("list", "# mine\r\nin/a.wav\r\n\r\nin/deep/er\r\n./in/voice\r\n")
        run("@list", "--export", "txt")
        run("@-", "--export", "srt", stdin=b"in/old/c.wav\0in/a.wav\0")
        run.write("bad", "in/a.wav\nnone.wav\n")
        run("@bad", "@nowhere", "--export", "txt")
        os.symlink("a.wav", run.folder / "in/link.wav")
        os.symlink("..", run.folder / "in/up")
        run("in/a.wav", "in", "-r", "./in/*.wav", "--export", "tsv")
    return [Case("lists", action)]


@option_set("manifest")
def _():
    """manifests: every key, two results of one recording, mistakes"""
    def action(run):
        for name in ("jobs/a.flac", "jobs/b.flac", "c.flac"):
            run.copy(SHORT, name)
        lines = [
            {"audio": "a.flac", "id": 7, "outputs": ["txt", "json"], "language": "german", "prompt": "Wort"},
            {"audio": "b.flac", "outputs": {"srt": "sub/title.srt"}, "clip": "0,4.5"},
            {"audio": "../c.flac", "output_dir": "there", "task": "translate", "id": "c"},
            {"audio": "../c.flac", "outputs": {"vtt": "c.es.vtt"}, "language": "es", "model": "demo"},
        ]
        text = "\n".join(map(json.dumps, lines))
        run.write("jobs/jobs.jsonl", text)
        run("--manifest", "jobs/jobs.jsonl", "--export", "vtt", "--report", "run.report.jsonl", "--jobs", "1")
        run("--manifest", "-", "--export", "lrc", "--output-dir", "piped", stdin=json.dumps({"audio": "c.flac"}).encode())
        run("--manifest", "jobs/jobs.jsonl", "--export", "vtt", "--dry-run=json", text=mask_plan)

    def wrong(run):
        run.copy(WORD, "a.wav")
        for line in ('{"audio": "a.wav", "langage": "de"}', "not json", '{"id": "x"}', "[]", '{"audio": "none.wav"}', "",
                     '{"audio": "a.wav", "clip": "5,2"}', '{"audio": "a.wav", "outputs": ["doc"]}', '{"audio": "a.wav", "output_dir": "x"}'):
            run.write("jobs.jsonl", line + "\n")
            run("--manifest", "jobs.jsonl")
    return [Case("jobs", action), Case("mistakes", wrong)]


@option_set("shards")
def _():
    """parts of a batch, also as schedulers name them"""
    slurm = {"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "11", "SLURM_ARRAY_TASK_MAX": "13", "SLURM_ARRAY_TASK_COUNT": "3"}
    indexed = {"JOB_COMPLETION_INDEX": "2", "TRANSCRIBE_SHARDS": "3"}

    def action(run):
        tree(run)
        run.copy(SHORT, "in/short.flac")
        for shard in ("1/3", "2/3", "3/3", "4/3"):
            run("in", "-r", "--shard", shard, "--export", "txt", "--output-dir", "out")
        for env in (slurm, indexed, {}):
            run("in", "-r", "--shard", "auto", "--export", "txt", "--dry-run=json", env=env, text=mask_plan)
    return [Case("shards", action)]


@option_set("dry-run")
def _():
    """plans, as JSON and as a table"""
    def action(run):
        tree(run)
        run("in/a.wav", "--export", "srt")
        run.copy(LONG)
        run.write("in/old/c.srt", "mine")
        for how, mask in (("--dry-run=json", mask_plan), ("--dry-run", figures)):
            run("in", "-r", "long_en.flac", "--export", "srt,json", how, "--beam-size", "2", text=mask)
            run("in", how, "none.wav", text=mask)
            run("long_en.flac", how, "--model", "small", text=mask)
    return [Case("plans", action)]


@option_set("jobs")
def _():
    """several inputs at a time"""
    def lines(count):
        def action(run):
            names = [run.copy(name) for name in (SHORT, WORD, SPANISH, GERMAN, "audio/opus.opus")]
            run(*names, "--jobs", count, "--chunk-length", "20", "--export", "all", "--output-dir", "out",
                "--report", "run.report.jsonl")
        return Case(f"--jobs {count}", action)
    return [lines("1"), lines("3"), lines("auto")]


@option_set("report")
def _():
    """reports and metrics; merged and shown"""
    def inputs(run):
        run.write("empty.mp3", b"")
        run.write("notes.mp3", "only words\n" * 100)
        return [run.copy(SHORT), "empty.mp3", run.copy(WORD), "notes.mp3"]

    def failing(run):
        run(*inputs(run), "--export", "srt,txt", "--report", "a.report.jsonl", "--metrics-file", "run.prom", "--jobs", "1",
            "--logprob-threshold", "0", "--temperature-increment-on-fallback", "0.5")
        run("short_en.flac", run.copy(SPANISH), "--export", "srt,txt", "--report", "b.report.jsonl", "--metrics-file", "run.prom",
            "--jobs", "1", "--vad", "--fail-under-coverage", "99.9")
        # By their times, which differ.
        run("report", "merge", "b.report.jsonl", "a.report.jsonl", "-o", "all.report.jsonl")
        run("report", "merge", "b.report.jsonl", "a.report.jsonl", text=mask_report)
        run("report", "show", "all.report.jsonl", text=lambda text: re.sub(rb"\S*(\dx|\d:\d\d|Z)\b\S*", b"*", figures(text)))
        run("report", "merge", "notes.mp3")
        run("report", "show", "nothing.jsonl")

    def long(run):
        run(run.copy(LONG), "--chunk-length", "20", "--batch-size", "2", "--export", "json", "--report", "run.report.jsonl",
            "--metrics-file", "run.prom", "--vad")

    def refused(run):
        name = run.copy(WORD)
        for report in ("no/such/run.jsonl", name, "."):
            run(name, "--export", "srt", "--report", report)

    def bug(run):
        run(run.copy(WORD), "--export", "srt", "--report", "run.report.jsonl", env={HOOK: "panic chunk 1"})
    return [Case("failing", failing), Case("long", long), Case("refused", refused), Case("bug", bug)]


# One window at a time, so that it is known what is finished at a point.
ORDERED = ["--export", "all", "--output-dir", "out", "--jobs", "1", "--batch-size", "1"]
RESUMED = [*ORDERED, "--chunk-length", "6"]


@option_set("resume")
def _():
    """killed or interrupted, then the same command: partial outputs, journals, final outputs"""
    def stopped(points, by, options=(), recording=LONG, chunks="6"):
        def action(run):
            line = [run.copy(recording), *ORDERED, "--chunk-length", chunks, *options, "--report", "run.report.jsonl"]
            for point in points:
                run.stop(*line, at=point, by=by)
            run(*line)
            run(*line)
        return action

    def by_chance(seconds):
        def action(run):
            names = [run.copy(LONG), run.copy(SPANISH)]
            run.ignore(".transcribe-done")
            for _ in range(3):
                run.kill_after(seconds, *names, "--export", "all", "--chunk-length", "6", "--output-dir", "out")
            run(*names, "--export", "all", "--chunk-length", "6", "--output-dir", "out")
        return action

    def one_piece(run):
        content = (FIXTURES / WORD).read_bytes()
        # The sound of two seconds again and again; its header is the usual one of 44 bytes.
        run.write("long.wav", b"RIFF" + b"\xff" * 4 + content[8:40] + (150 * 64_000).to_bytes(4, "little") + content[44:44 + 64_000] * 150)
        line = ["long.wav", *ORDERED, "--chunk-length", "0"]
        for _ in range(2):
            run.stop(*line, at="hang chunk 1", by=signal.SIGKILL)
        run(*line)

    def other_options(run):
        line = [run.copy(LONG), *RESUMED]
        run.stop(*line, at="hang chunk 5", by=signal.SIGKILL)
        run("long_en.flac", "--export", "srt", "--output-dir", "out", "--chunk-length", "6", "--threads", "2", "--batch-size", "3")
        run.stop(*line, "--overwrite", at="stop encode 4", by=signal.SIGINT)
        run(*line, "--overwrite", "--seed", "1")
        run(*line, "--seed", "1", "--no-resume")

    def damaged(run):
        line = [run.copy(LONG), *RESUMED]
        run.stop(*line, at="hang chunk 6", by=signal.SIGKILL)
        journal = run.folder / "out/.long_en.transcribe"
        content = journal.read_bytes()
        journal.write_bytes(content[:len(content) * 3 // 4])
        run(*line)
    return [
        Case("SIGKILL", stopped(["hang chunk 2", "hang chunk 3", "hang encode 2"], signal.SIGKILL)),
        # At other points it is chance whether a chunk is finished after the signal.
        Case("SIGTERM", stopped(["stop encode 7", "stop encode 1", "stop encode 3"], signal.SIGTERM)),
        Case("SIGINT", stopped(["stop encode 3", "stop encode 2"], signal.SIGINT, ["--word-timestamps"])),
        Case("words", stopped(["hang align 2", "hang step 40"], signal.SIGKILL, ["--word-timestamps", "--beam-size", "2"])),
        Case("fallback", stopped(["hang fallback 1"], signal.SIGKILL, ["--logprob-threshold", "1"], SPANISH)),
        Case("outputs", stopped(["hang write 3", "hang written 1"], signal.SIGKILL, recording=SPANISH)),
        Case("one piece", one_piece),
        Case("by chance 0.8 s", by_chance(0.8)),
        Case("by chance 1.5 s", by_chance(1.5)),
        Case("other options", other_options),
        Case("damaged journal", damaged),
    ]


@option_set("partial")
def _():
    """partial outputs in other shapes and places"""
    def action(options):
        def stop(run):
            run.stop(run.copy(LONG), "--chunk-length", "10", "--jobs", "1", "--batch-size", "1", "--export", "all", *options,
                     at="stop encode 5", by=signal.SIGTERM)
        return stop

    def on_stdout(run):
        run.stop(run.copy(LONG), "--chunk-length", "10", "--jobs", "1", "--batch-size", "1", at="stop encode 5", by=signal.SIGINT)
    return [
        Case("words", action(["--word-timestamps", "--highlight-words"])),
        Case("styles", action(["--json-style", "whisper-cpp", "--output-template", "x/{stem}.{language}.{ext}", "--language", "en"])),
        Case("vad", action(["--vad", "--vad-report", "vad.jsonl", "--beam-size", "2", "--metrics-file", "run.prom"])),
        Case("stdout", on_stdout),
    ]


@option_set("rerun")
def _():
    """a second run: skipped, made again, left alone, added"""
    def action(run):
        names = [run.copy(WORD, "a.wav"), run.copy(SHORT, "b.flac")]
        line = [*names, "--export", "txt,srt", "--jobs", "1", "--report", "run.report.jsonl"]
        run(*line)
        run(*line)
        run.write("a.srt", "mine")
        run(*line)
        run(*line, "--language", "de")
        run(*line, "--language", "de", "--word-timestamps", "--max-line-width", "20")
        run(*line, "--language", "de", "--word-timestamps", "--max-line-width", "30")
        content = (run.folder / "a.wav").read_bytes()
        run.write("a.wav", content + bytes(3200))
        run.write("c.txt", "who knows")
        run(*line, run.copy(WORD, "c.wav"), "--language", "de")
        run(*line, "c.wav", "--language", "de", "--overwrite")
        run(*names, "--export", "json,txt,srt", "--language", "de")
    return [Case("rerun", action)]


@option_set("upgrade")
def _():
    """a run of the old program, finished or killed, continued by either"""
    def killed(run):
        run.ignore(".transcribe-done")
        line = [run.copy(LONG), *RESUMED]
        run.stop(*line, at="hang chunk 6", by=signal.SIGKILL, program=run.settings.before)
        run(*line)

    def interrupted(run):
        run.ignore(".transcribe-done")
        line = [run.copy(LONG), *RESUMED]
        run.stop(*line, at="stop encode 7", by=signal.SIGTERM, program=run.settings.before)
        run(*line)

    def finished(run):
        run.ignore(".transcribe-done")
        line = [run.copy(SHORT), "--export", "all", "--output-dir", "out"]
        run(*line, program=run.settings.before)
        run(*line)
        run.write("out/short_en.srt", "mine")
        run(*line)
    return [Case("killed", killed), Case("interrupted", interrupted), Case("finished", finished)]


@option_set("no-room")
def _():
    """outputs and journals that cannot be written"""
    def limited(blocks):
        def action(run):
            shell = ["/bin/sh", "-c", f"trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"", "sh"]
            run(run.copy(LONG), *RESUMED, prefix=shell)
            run("long_en.flac", *RESUMED)
        return action

    def in_the_way(run):
        name = run.copy(WORD)
        run.write("out", "in the way")
        run(name, "--export", "srt", "--output-dir", "out")
        (run.folder / "s16-16k-mono.srt").mkdir()
        run(name, "--export", "srt,txt")
        run(name, "--export", "srt", "--output-dir", "new/folder")
    return [Case("file size 12 blocks", limited(12)), Case("file size 20 blocks", limited(20)), Case("in the way", in_the_way)]


@option_set("watch")
def _():
    """a watched folder, once"""
    def action(run):
        run.copy(SHORT, "in/talk.flac")
        run.copy(WORD, "in/deep/word.wav")
        run.write("in/empty.mp3", b"")
        run.copy(SHORT, "in/coming.flac.part")
        line = ["watch", "in", "--once", "--settle", "100ms", "--poll", "50ms", "--export", "srt,json", "--output-dir", "out",
                "--status-file", "watch.status.json"]
        run(*line)
        run(*line, "-r", "--done-dir", "done", "--failed-dir", "failed", "--exclude", "talk*")
        run(*line, "-r", "--done-dir", "done", "--failed-dir", "failed")
    return [Case("watch", action)]


def export_fixtures():
    return sorted(path for path in (FIXTURES / "export").iterdir()
                  if path.suffix in {".json", ".srt", ".vtt", ".tsv", ".txt"} and path.name != "shaping.json")


def shaping():
    """Results with words, by name."""
    content = json.loads((FIXTURES / "export/shaping.json").read_text())
    return {name: json.dumps(case["result"]) for name, case in content.items()}


@option_set("export")
def _():
    """every transcript fixture into every format, and checked"""
    def convert(run, name):
        run("export", name, "--export", "all", "--output-dir", "out")
        run("export", name)
        run("export", name, "--check")
        run("export", name, "--check", "--min-score", "99.5")
        run("export", name, "--export", "srt,vtt,ass", "--output-dir", "readable", "--subtitles", "readable", "--max-line-width", "24")

    def fixture(path):
        return lambda run: convert(run, run.copy(path.relative_to(FIXTURES)))

    def result(content):
        return lambda run: convert(run, run.write("talk.json", content))
    cases = [Case(path.name, fixture(path)) for path in export_fixtures()]
    return cases + [Case(f"shaping.json {name}", result(content)) for name, content in shaping().items()]


@option_set("export-shapes")
def _():
    """results with words: JSON styles and back, shapes of subtitles, stdin"""
    shapes = ["--subtitles openai", "--subtitles openai --highlight-words", "--max-words-per-line 2", "--highlight-words", "--vtt-words",
              "--subtitles openai --max-line-width 12 --max-line-count 1", "--max-line-width 12", "--min-cue-duration 3 --min-cue-gap 0.5"]

    def action(content):
        def convert(run):
            run.write("talk.json", content)
            for style in ("full", "openai", "whisper-cpp", "whisperx", "hf"):
                run("export", "talk.json", "--export", "json", "--json-style", style, "--output-dir", style)
                run("export", f"{style}/talk.json", "--export", "srt,txt,html,csv", "--output-dir", f"{style}/again")
            for number, shape in enumerate(shapes):
                run("export", "talk.json", "--export", "srt,vtt,ass,lrc", "--output-dir", f"shape-{number}", *shape.split())
            run("export", "-", "--export", "all", "--output-dir", "piped", stdin=content.encode())
            run("export", "-", stdin=content.encode())
        return convert

    def own(run):
        transcribe(run, GERMAN, ["--word-timestamps"], "json")
        run("export", "out/long_de.json", "--export", "all", "--output-dir", "again")
        run("export", "out/long_de.json", "--export", "srt", "--overwrite", "--output-template", "{stem}.{language}.{ext}")

    def refused(run):
        run.write("talk.json", shaping()["spoken"])
        run.write("talk.srt", "mine")
        for line in ("talk.json --export srt", "talk.json --export json", "none.json --export srt", "talk.json --output-dir x",
                     "talk.json --min-score 90", "talk.srt", "talk.json --export srt --overwrite"):
            run("export", *line.split())
        for content in ("", "[]", "{}", '{"segments": 3}', '{"text": "x"}', "\x00"):
            run.write("odd.json", content)
            run("export", "odd.json", "--export", "txt,json", "--output-dir", "odd", "--overwrite")
    return [*(Case(name, action(content)) for name, content in shaping().items()), Case("own", own), Case("refused", refused)]


def scored(run):
    """Two folders, of what was said and of transcripts, from the pairs of texts in fixtures/score."""
    pairs = [entry["texts"] for entry in json.loads((FIXTURES / "score/rates.json").read_text())]
    for number, (reference, hypothesis) in enumerate(pairs):
        if reference and hypothesis:
            run.write(f"said/{number:02}.txt", reference)
            run.write(f"found/{number:02}.txt", hypothesis)
    odd = [entry[0] for entry in json.loads((FIXTURES / "score/normalise.json").read_text())]
    run.write("odd/said.txt", "\n".join(odd))
    run.write("odd/found.txt", "\n".join(reversed(odd[::2])))


@option_set("score")
def _():
    """error rates as text, JSON and JUnit, with limits and normalisers"""
    def lines(name, paths, *commands):
        def action(run):
            scored(run)
            for command in commands:
                run("score", *paths.split(), *command.split())
        return Case(name, action)

    def timed(run):
        run.copy("export/plain.srt", "a.srt")
        run.copy("export/plain.json", "b.json")
        run.copy("export/plain.vtt", "c.vtt")
        run.copy("export/times.srt", "wrong.srt")
        run.write("words.json", shaping()["spoken"])
        for line in ("a.srt b.json --json", "a.srt c.vtt --json --max-timing-error 0.1", "words.json words.json --alignment",
                     "words.json c.vtt --max-wer 5% --max-cer 0.1 --junit junit.xml", "a.srt said", "none.srt a.srt", "a.srt wrong.srt"):
            run("score", *line.split())
    return [
        lines("folders", "said found", "", "--json", "--alignment", "--junit junit.xml --max-wer 50% --per-file", "--json --max-cer 0.01",
              "--normaliser basic --remove-diacritics --json", "--normaliser basic --split-letters", "--normaliser none --json",
              "--language en --json", "--language de"),
        lines("odd texts", "odd/said.txt odd/found.txt", "--language en --json", "--normaliser basic --alignment", "--normaliser none"),
        Case("times", timed),
    ]


@option_set("models")
def _():
    """what is known of models, completions of options"""
    def action(run):
        run("models", "list", "--json")
        run("models", "list", text=figures)
        run("models", "show", "demo", "--json")
        run("models", "show", "demo", text=figures)
        run("models", "show", "nowhere/none")
        run("models", "verify", text=nothing)
        run("models", "remove", "tiny", text=nothing)
        run("completions", "bash")
    return [Case("models", action)]


@option_set("mistakes")
def _():
    """wrong command lines: exit codes, and nothing is written"""
    wrong = [
        "", "talk.flac --exprot srt", "talk.flac --language germn", "tlak.flac", "modles list", "--quiet models list", "models lst",
        "talk.flac --device cuda", "talk.flac --device gpu", "talk.flac --beam-size 0", "talk.flac --seed x", "talk.flac --offset 1:2x",
        "talk.flac --export str", "talk.flac --model", "talk.flac --task translat", "talk.flac --quiet --verbose",
        "talk.flac --model tiny --model demo", "talk.flac --output-dir out", "talk.flac --flat", "folder", "talk.flac --temperature 2",
        "talk.flac --clip-timestamps 5,2", "talk.flac --hallucination-silence-threshold 2", "talk.flac --suppress-tokens x",
        "talk.flac --best-of 3 --beam-size 2 --patience 0", "talk.flac --batch-size 0", "talk.flac --jobs none", "talk.flac --chunk-length -1",
        "talk.flac --vad-threshold 2", "talk.flac --config none.toml", "talk.flac --config wrong.toml", "talk.flac --max-memory much",
        "talk.flac --export srt --output-template {nothing}", "- -", "talk.flac --channel 9", "talk.flac --audio-track 4",
        "talk.flac --dtype f64", "talk.flac --json-style other", "talk.flac --shard 3", "score talk.flac", "export", "report merge",
    ]

    def action(run):
        run.copy(WORD, "talk.flac")
        run.write("wrong.toml", "# mine\n\nlanguag = \"de\"\n")
        (run.folder / "folder").mkdir()
        for line in wrong:
            run(*line.split(), text=nothing if line == "" else None)
        run("talk.flac", env={"TRANSCRIBE_DEVICE": "gpu"})
        run("talk.flac", "--verbose", env={"TRANSCRIBE_QUIET": "1"})
    return [Case("mistakes", action)]


def chosen(patterns):
    names = [name for name in SETS if not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        sys.exit(f"no option set matches {', '.join(patterns)}; --list shows all")
    return names


def report(settings, names, workers):
    """Runs sets and prints a table; returns how many cases differ."""
    begun = time.monotonic()
    width = max(map(len, SETS))
    total = [0, 0, 0, 0]

    def row(name, counts, seconds):
        cases, equal, different, skipped = counts
        print(f"{name:{width}}  {cases:5}  {equal:5}  {different:9}  {skipped:7}  {seconds:7.1f}", flush=True)

    def timed(case):
        start = time.monotonic()
        try:
            return case, compare(settings, case), time.monotonic() - start
        except NeedsHooks:
            return case, None, 0
    print(f"{'option set':{width}}  cases  equal  different  skipped  seconds")
    with ThreadPoolExecutor(workers) as pool:
        submitted = [(name, [pool.submit(timed, case) for case in SETS[name]()]) for name in names]
        for name, futures in submitted:
            results = [future.result() for future in futures]
            failed = [(case, lines) for case, lines, _ in results if lines]
            skipped = sum(lines is None for _, lines, _ in results)
            counts = [len(results), len(results) - len(failed) - skipped, len(failed), skipped]
            row(name, counts, sum(seconds for _, _, seconds in results))
            for case, lines in failed:
                print("\n".join([f"  DIFFERENT: {name}: {case.name}", *(f"    {line}" for line in lines)]), flush=True)
            total = [sum(pair) for pair in zip(total, counts)]
    row("total", total, time.monotonic() - begun)
    return total[2]


def has_hooks(program):
    """Whether a program reacts to TRANSCRIBE_TEST_AT."""
    env = {HOOK: "panic open 1", "TRANSCRIBE_MODEL": "demo", "TRANSCRIBE_DEVICE": "cpu", "XDG_CONFIG_HOME": "/nonexistent", "PATH": os.defpath}
    ended = subprocess.run([program, FIXTURES / WORD], env=env, capture_output=True, stdin=subprocess.DEVNULL)
    return ended.returncode != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PATH", help="the program before the change")
    parser.add_argument("--after", metavar="PATH", help="the program after it")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="only these option sets; * and ? match; may be repeated")
    parser.add_argument("--list", action="store_true", help="list the option sets")
    parser.add_argument("--parallel", metavar="N", type=int, default=2, help="cases at a time [default: 2]")
    parser.add_argument("--strict", action="store_true", help="compare ledgers and journals to the byte")
    parser.add_argument("--no-hooks", action="store_true", help="skip cases that need the feature `testing`")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep the folders of cases that differ")
    args = parser.parse_args()
    names = chosen(args.only)
    if args.list:
        for name in names:
            print(f"{name:20} {len(SETS[name]()):3} cases: {SETS[name].__doc__}")
        return 0
    programs = [shutil.which(program or "") for program in (args.before, args.after)]
    if None in programs:
        parser.error("--before and --after must name programs that can be run")
    programs = [Path(program).resolve() for program in programs]
    for program in programs:
        if not args.no_hooks and not has_hooks(program):
            parser.error(f"{program} has no test hooks: build it with `--features testing`, or skip what needs them with --no-hooks")
    settings = Settings(*programs, args.strict, args.keep, not args.no_hooks)
    return 1 if report(settings, names, args.parallel) else 0


if __name__ == "__main__":
    sys.exit(main())
