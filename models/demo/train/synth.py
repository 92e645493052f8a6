"""Speech from espeak-ng with the time of every word: makes the pools of utterances in a data folder.

A pool `NAME` is two files: `NAME.i16` (16 kHz samples, all utterances one after the other) and `NAME.jsonl` (one
utterance per line). compose.py reads them. The result depends on the arguments alone, not on the number of processes.
"""

import argparse
import ctypes
import json
import multiprocessing
import pathlib

import numpy as np

import lexicon

RATE = 16000
MARGIN = 160  # samples kept on both sides of the speech
SHARDS = 16
BASES = {
    "en": ["en-us", "en-us", "en-gb-x-rp", "en-us-nyc", "en-029"],
    "de": ["de"],
    "es": ["es", "es-419"],
}
TEST_VARIANTS = ["m7", "f4", "Andy", "Denis", "Diogo", "steph2", "iven2", "adam", "zac"]
# Every variant that sounds like a person, but for the test ones; "" is the plain voice.
TRAIN_VARIANTS = (
    ["", ""]
    + "m1 m2 m3 m4 m5 m6 m8 f1 f2 f3 f5 Alex Alicia Andrea Annie Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Michael Mike "
    "Nguyen announcer anika antonio aunty belinda benjamin boris caleb david ed edward edward2 grandma grandpa gustave "
    "iven iven3 iven4 john kaukovalta klatt klatt2 klatt4 linda marcelo max michel miguel norbert pablo paul "
    "pedro quincy rob robert sandro shelby steph steph3 travis victor".split()
)

_WORD, _PHONEME, _LIST_END = 1, 7, 0


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The C library: text in, 22050 Hz samples and timed events out."""

    def __init__(self):
        self.lib = ctypes.CDLL("libespeak-ng.so.1")
        # 1: samples to the callback, no playback; 1: phoneme events.
        self.rate = self.lib.espeak_Initialize(1, 0, None, 1)
        if self.rate != 22050:
            raise RuntimeError(f"espeak-ng started with rate {self.rate}")
        self.audio, self.events = [], []
        self._callback = _Callback(self._collect)  # kept: the library holds only its address
        self.lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, events):
        if count > 0 and samples:
            self.audio.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        i = 0
        while events[i].type != _LIST_END:
            event = events[i]
            if event.type == _WORD:
                self.events.append((_WORD, event.sample, ""))
            elif event.type == _PHONEME:
                self.events.append((_PHONEME, event.sample, event.id.string.decode("utf-8", "ignore")))
            i += 1
        return 0

    def speak(self, text, voice, rate, pitch, pitch_range):
        """(samples, events), or None if there is no such voice."""
        if self.lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in ((1, rate), (2, 90), (3, pitch), (4, pitch_range)):
            self.lib.espeak_SetParameter(parameter, value, 0)
        self.audio, self.events = [], []
        data = text.encode()
        self.lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        if not self.audio:
            return None
        return np.concatenate(self.audio), self.events


def resample(samples, numerator):
    """22050 Hz to 22050 * numerator / 441 Hz by cutting the spectrum; 320 gives 16 kHz."""
    blocks = -(-(len(samples) + 2000) // 441)
    blocks += -blocks % 8
    spectrum = np.fft.rfft(samples.astype(np.float64), blocks * 441)
    out_len = blocks * numerator
    keep = out_len // 2 + 1
    spectrum = spectrum[:keep]
    taper = max(1, int(0.03 * keep))
    spectrum[-taper:] *= np.linspace(1.0, 0.0, taper)
    return np.fft.irfft(spectrum, out_len) * (numerator / 441)


def bounds(samples):
    """First and last sample of speech: the 5 ms blocks above 2 % of the loudest."""
    blocks = samples[: len(samples) // 80 * 80].reshape(-1, 80)
    rms = np.sqrt((blocks**2).mean(1))
    loud = np.flatnonzero(rms > 0.02 * rms.max())
    return int(loud[0]) * 80, (int(loud[-1]) + 1) * 80


def utterance(espeak, rng, words, lang, variants, stretch):
    """One spoken phrase as (record, int16 samples), or None where espeak-ng's word events do not fit the words."""
    base = BASES[lang][rng.integers(len(BASES[lang]))]
    variant = variants[rng.integers(len(variants))]
    voice = f"{base}+{variant}" if variant else base
    rate, pitch, pitch_range = int(rng.integers(125, 191)), int(rng.integers(25, 76)), int(rng.integers(30, 71))
    # Playing a voice faster or slower moves its formants: more speakers than espeak-ng has variants.
    numerator = int(rng.integers(288, 359)) if stretch and rng.random() < 0.5 else 320
    made = espeak.speak(" ".join(words) + ".", voice, rate, pitch, pitch_range)
    if made is None:
        return None
    raw, events = made
    starts = [sample for kind, sample, _ in events if kind == _WORD]
    if len(starts) != len(words) or np.abs(raw).max() < 100:
        return None
    samples = resample(raw, numerator)
    left, right = bounds(samples)
    duration = right - left
    if duration > 6 * RATE or duration < 0.15 * RATE:
        return None
    scale = numerator / 441
    words_at = [0] + [int(round(s * scale)) - left for s in starts[1:]]
    if any(b <= a for a, b in zip(words_at, [*words_at[1:], duration])):
        return None
    phonemes = [(int(round(s * scale)) - left, name) for kind, s, name in events if kind == _PHONEME]
    begin, end = max(0, left - MARGIN), min(len(samples), right + MARGIN)
    cut = samples[begin:end]
    record = {
        "lang": lang, "words": words, "voice": voice, "margin": left - begin, "duration": duration,
        "word_starts": words_at, "phonemes": phonemes,
    }
    return record, np.round(cut / np.abs(cut).max() * 32767).astype(np.int16)


def _shard(job):
    split, seed, shard, wanted = job
    rng = np.random.default_rng([seed, shard])
    espeak = Espeak()
    test = split != "train"
    variants = TEST_VARIANTS if test else TRAIN_VARIANTS
    made = []
    while len(made) < wanted:
        lang = lexicon.LANGUAGES[len(made) % 3]
        words = lexicon.draw_phrase(rng, lang)
        if lexicon.is_test(words) != test:
            continue
        one = utterance(espeak, rng, words, lang, variants, stretch=not test)
        if one is not None:
            made.append(one)
    return made


def make_pool(folder, name, seed, count, processes):
    """Writes one pool; `name` is `train` or a name beginning with `test`."""
    per_shard = -(-count // SHARDS)
    split = "train" if name == "train" else "test"
    jobs = [(split, seed, shard, per_shard) for shard in range(SHARDS)]
    offset = 0
    with (
        multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as workers,
        open(folder / f"{name}.i16.partial", "wb") as audio,
        open(folder / f"{name}.jsonl.partial", "w", encoding="utf-8") as index,
    ):
        for shard in workers.imap(_shard, jobs):
            for record, samples in shard:
                audio.write(samples.tobytes())
                line = {**record, "offset": offset, "length": len(samples)}
                index.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
                offset += len(samples)
    for ending in ("i16", "jsonl"):
        (folder / f"{name}.{ending}.partial").rename(folder / f"{name}.{ending}")
    print(f"{name}: {per_shard * SHARDS} utterances, {offset / RATE / 60:.0f} min", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=int, default=28800, help="utterances of the training pool")
    parser.add_argument("--test", type=int, default=600, help="utterances of each of the two test pools")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    args.data.mkdir(parents=True, exist_ok=True)
    # Pool A chooses the alignment heads; every result and every reference recording comes from pool B.
    make_pool(args.data, "test_a", 11, args.test, args.processes)
    make_pool(args.data, "test_b", 12, args.test, args.processes)
    make_pool(args.data, "train", 10, args.train, args.processes)


if __name__ == "__main__":
    main()
