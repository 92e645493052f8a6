"""Puts utterances of a pool together: training windows made anew each time, and long recordings with their truth.

What the model shall say about a window is built in targets.py.
"""

import dataclasses
import json
import pathlib

import numpy as np
import torch
from whisper.audio import mel_filters

import lexicon

RATE = 16000
FRAME = 320  # samples of one encoder frame, which is also one timestamp step (20 ms)
HOP = 160


class Pool:
    """The utterances synth.py wrote."""

    def __init__(self, folder, name):
        folder = pathlib.Path(folder)
        self.samples = np.memmap(folder / f"{name}.i16", dtype=np.int16, mode="r")
        with open(folder / f"{name}.jsonl", encoding="utf-8") as lines:
            self.records = [json.loads(line) for line in lines]
        self.by_language = {
            lang: [r for r in self.records if r["lang"] == lang] for lang in lexicon.LANGUAGES
        }
        names = {name for r in self.records for _, name in r["phonemes"] if name.strip("_: ")}
        self.phonemes = {name: i + 1 for i, name in enumerate(sorted(names))}

    def keep(self, wanted):
        """Leaves out the utterances that are not wanted."""
        self.by_language = {lang: [r for r in records if wanted(r)] for lang, records in self.by_language.items()}
        return self

    def draw(self, rng, lang):
        records = self.by_language[lang]
        return records[rng.integers(len(records))]

    def audio(self, record):
        """The utterance with its margins; the speech begins `record["margin"]` samples in."""
        cut = self.samples[record["offset"] : record["offset"] + record["length"]].astype(np.float32) * (1 / 32768)
        if "speed" not in record:
            return cut
        return np.interp(np.arange(0, len(cut) - 1, record["speed"]), np.arange(len(cut)), cut).astype(np.float32)


def hastened(record, speed):
    """The utterance played faster: a smaller speaker."""
    return {
        **record, "speed": speed, "margin": round(record["margin"] / speed), "duration": round(record["duration"] / speed),
        "word_starts": [round(s / speed) for s in record["word_starts"]],
        "phonemes": [(round(s / speed), name) for s, name in record["phonemes"]],
    }


class Noise:
    """White, pink and brown noise of unit level, cut at random from three long recordings."""

    def __init__(self, seed=5, length=1 << 21):
        rng = np.random.default_rng(seed)
        frequency = np.maximum(np.fft.rfftfreq(length, 1 / RATE), 40.0)
        self.kinds = []
        for power in (0.0, 0.5, 1.0):
            noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * frequency**-power, length)
            self.kinds.append((noise / noise.std()).astype(np.float32))

    def draw(self, rng, length):
        kind = self.kinds[rng.integers(3)]
        start = rng.integers(len(kind) - length)
        return kind[start : start + length]


@dataclasses.dataclass
class Placed:
    """An utterance in a window or recording; times in seconds from its beginning."""

    record: dict
    start: float
    cut: bool = False  # goes on after the end of the window

    @property
    def end(self):
        return self.start + self.record["duration"] / RATE

    def words(self):
        """(word, start, end) of each word; a word ends where the next one starts."""
        starts = [self.start + s / RATE for s in self.record["word_starts"]]
        return list(zip(self.record["words"], starts, [*starts[1:], self.end]))


@dataclasses.dataclass
class Window:
    lang: str
    seconds: int
    offset: int  # encoder position of the first frame: short windows train every position and every timestamp
    phrases: list  # of Placed, in order; only the last may be cut
    samples: np.ndarray
    content: float  # seconds after which there is only padding
    pad_in_mel: bool
    clamp: float  # how far above the window's loudest point the file's loudest point is (log10)
    least_max: float | None
    colour: np.ndarray | None  # log10 gain of each mel band: another microphone


def _mix(out, samples, at, gain):
    """Adds samples at a position which may hang over either end."""
    begin, end = max(0, at), min(len(out), at + len(samples))
    if begin < end:
        out[begin:end] += gain * samples[begin - at : end - at]


def _gap(rng):
    return rng.uniform(0.3, 4.0) if rng.random() < 0.95 else rng.uniform(4.0, 15.0)


def _first_start(rng, seconds):
    kind = rng.random()
    if kind < 0.25:
        start = rng.uniform(0.0, 0.12)
    elif seconds < 30:
        start = rng.uniform(0.0, 2.0)
    elif kind < 0.9:
        start = rng.uniform(0.0, 4.0)
    else:
        start = rng.uniform(4.0, 20.0)
    return min(start, seconds - 2.5)


def _place(rng, pool, lang, seconds, limit, start, may_cut, out, wide):
    """Phrase after phrase from `start` until one does not fit before `limit`."""
    placed, misses = [], 0
    while start < limit - 0.1:
        record = pool.draw(rng, lang)
        if wide and rng.random() < 0.4:
            record = hastened(record, rng.uniform(0.9, 1.45))
        one = Placed(record, start)
        if one.end > min(limit, seconds - 0.02):
            if not placed and not may_cut and misses < 8:
                misses += 1
                continue
            if not may_cut:
                break
            one.cut = True
        gain = 10 ** (rng.uniform(-4, 4) / 20)
        _mix(out, pool.audio(record), round(start * RATE) - record["margin"], gain)
        placed.append(one)
        if one.cut:
            break
        start = one.end + _gap(rng)
    return placed


def compose_window(rng, pool, noise, seconds, lang=None, silent=None, offset=None, augment=True, wide=False):
    """A random window. `augment=False` leaves out what only training needs (colouring, longer rests of a phrase before the first).
    `wide` makes some of the speakers much smaller, as children are.
    """
    lang = lang or lexicon.LANGUAGES[rng.integers(3)]
    out = np.zeros(seconds * RATE, np.float32)
    silent = rng.random() < 0.07 if silent is None else silent
    short = seconds == 30 and rng.random() < 0.35
    limit = rng.uniform(2.5, 29.0) if short else float(seconds)
    start, placed = min(_first_start(rng, seconds), max(0.0, limit - 2.5)), []
    if rng.random() < 0.3:
        # The window begins inside the end of a phrase which the window before has transcribed.
        deep = rng.random() >= 0.65 and augment
        tail = rng.uniform(0.08, 0.4) if deep else rng.uniform(0.0, 0.08)
        record = pool.draw(rng, lang)
        tail = min(tail, record["duration"] / RATE / 2)
        gain = 10 ** (rng.uniform(-4, 4) / 20)
        if not silent or tail < 0.08:
            _mix(out, pool.audio(record), round(tail * RATE) - record["duration"] - record["margin"], gain)
        if tail > 0.08:
            start = max(start, tail + rng.uniform(0.15, 0.5))
    if not silent:
        placed = _place(rng, pool, lang, seconds, limit, start, seconds == 30 and not short, out, wide)
    content = float(seconds)
    if short:
        last = placed[-1].end if placed else 0.0
        content = max(limit, last + 0.05) if rng.random() < 0.5 else last + rng.uniform(0.03, 0.6)
        content = min(max(content, 0.1), float(seconds))
    level = 0.5 * 10 ** (rng.uniform(-26, 0) / 20)
    out *= level
    if rng.random() < (0.75 if placed else 0.9):
        snr = rng.uniform(8, 50)
        out += noise.draw(rng, len(out)) * np.float32(0.16 * level * 10 ** (-snr / 20))
    out[round(content * RATE) :] = 0.0
    if offset is None:
        offset = 0 if seconds == 30 or rng.random() < 0.3 else int(rng.integers(1500 - 50 * seconds + 1))
    return Window(
        lang, seconds, offset, placed, out, content,
        pad_in_mel=short and rng.random() < 0.5,
        clamp=rng.uniform(0.0, 0.6) if rng.random() < 0.4 else 0.0,
        least_max=rng.uniform(-1, 2) if not placed and rng.random() < 0.5 else None,
        colour=_colour(rng) if augment and placed and rng.random() < 0.5 else None,
    )


def _colour(rng):
    band = np.linspace(0.0, 1.0, 80)
    curve = rng.uniform(-0.5, 0.5) * (band - 0.5)
    for waves in (1, 2, 3):
        curve = curve + rng.uniform(-0.15, 0.15) * np.cos(np.pi * waves * band + rng.uniform(0, 6.28))
    return curve.astype(np.float32)


def log_mel(windows):
    """openai-whisper's log-mel of windows of one length, with each window's own padding and clamp: (n, 80, frames)."""
    samples = torch.from_numpy(np.stack([w.samples for w in windows]))
    stft = torch.stft(samples, 400, HOP, window=torch.hann_window(400), return_complex=True)
    power = stft[..., :-1].abs() ** 2
    logs = torch.clamp(mel_filters(samples.device, 80) @ power, min=1e-10).log10()
    for mel, window in zip(logs, windows):
        if window.colour is not None:
            mel += torch.from_numpy(window.colour)[:, None]
        loudest = float(mel.max()) + window.clamp
        if window.least_max is not None:
            loudest = max(loudest, window.least_max)
        mel.clamp_(min=loudest - 8.0).add_(4.0).div_(4.0)
        if window.pad_in_mel:
            mel[:, round(window.content * RATE / HOP) :] = 0.0
    return logs


def compose_long(pool, lang, seconds, seed, snr_db=None, holes=(), gap=(0.3, 2.5), noise=None, quiet_db=0.0):
    """A long recording of a pool's utterances: (float32 samples at 16 kHz, list of phrases with their truth).

    `holes` are (start, end) stretches in seconds without speech. With `snr_db` the whole recording has noise, the
    holes too. Each phrase is {start, end, text, voice, words: [{word, start, end}]}, times in seconds; texts and words
    are as a perfect transcript writes them. No utterance comes twice while others are left.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros(round(seconds * RATE), np.float32)
    truth, start, queue = [], rng.uniform(0.1, 0.8), []
    while True:
        if not queue:
            queue = list(rng.permutation(len(pool.by_language[lang])))
        record = pool.by_language[lang][queue.pop()]
        one = Placed(record, start)
        for begin, end in holes:
            if one.end + 0.1 > begin and one.start < end:
                one = Placed(record, end + rng.uniform(0.05, 0.5))
        if one.end + 0.2 > seconds:
            break
        gain = 10 ** (rng.uniform(-3, 3) / 20)
        _mix(out, pool.audio(record), round(one.start * RATE) - record["margin"], gain)
        truth.append(describe(one))
        start = one.end + rng.uniform(*gap)
    level = 0.5 * 10 ** (-quiet_db / 20)
    out *= level
    if snr_db is not None:
        noise = noise or Noise()
        bed = np.concatenate([noise.draw(rng, 30 * RATE) for _ in range(int(seconds // 30) + 1)])[: len(out)]
        out += bed * np.float32(0.16 * level * 10 ** (-snr_db / 20))
    return np.clip(out, -1.0, 1.0), truth


def describe(placed):
    """The truth of one phrase as plain data."""
    spelled = lexicon.written(placed.record["words"])
    spelled[-1] += "."
    return {
        "start": round(placed.start, 3), "end": round(placed.end, 3),
        "text": " ".join(spelled), "voice": placed.record["voice"],
        "words": [
            {"word": word, "start": round(start, 3), "end": round(end, 3)}
            for word, (_, start, end) in zip(spelled, placed.words())
        ],
    }
