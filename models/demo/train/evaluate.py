"""Measures checkpoints on held-out voices and phrases: `python evaluate.py --data FOLDER CHECKPOINT...`.

Every checkpoint sees the same windows and files, made from pool B, decoded greedily by openai-whisper.
"""

import argparse
import dataclasses
import json
import pathlib

import jiwer
import numpy as np
import torch
import whisper
from whisper.tokenizer import get_tokenizer

import checkpoint
import compose
import lexicon
import targets

# A child's voice, with formants half as high again as any in training: measured by itself.
CHILD = "zac"
# mode: languages, prompt lengths, prompt with timestamps
MODES = {
    "plain": (lexicon.LANGUAGES, None, True),
    "prompt_long": (lexicon.LANGUAGES, (100, 223), True),
    "prompt_short": (lexicon.LANGUAGES, (3, 30), True),
    "prompt_text": (lexicon.LANGUAGES, (10, 100), False),
    "nots": (lexicon.LANGUAGES, None, True),
    "translate": (("de", "es"), None, True),
}


@dataclasses.dataclass
class Case:
    mode: str
    lang: str
    mel: torch.Tensor
    prompt: list  # tokens of the full vocabulary
    words: list
    stamps: list


def normal(text):
    return "".join(c for c in text.lower() if c.isalnum() or c == " ").split()


def cases(pool, noise, vocabulary, mode, count):
    """The windows of one mode; always the same ones."""
    languages, lengths, stamped = MODES[mode]
    rng = np.random.default_rng([77, list(MODES).index(mode)])
    made = []
    while len(made) < count:
        lang = languages[len(made) % len(languages)]
        window = compose.compose_window(rng, pool, noise, 30, lang, silent=False, augment=False)
        prompt = []
        if lengths:
            length = int(rng.integers(lengths[0], lengths[1] + 1))
            prompt = targets.prompt_tokens(rng, vocabulary, pool, lang, length, stamped)
        whole = [placed for placed in window.phrases if not placed.cut]
        if not whole:
            continue
        table = lexicon.ENGLISH[lang] if mode == "translate" else {}
        words = [table.get(word, word) for placed in whole for word in placed.record["words"]]
        stamps = [edge for placed in whole for edge in (placed.start, placed.end)]
        mel = compose.log_mel([window])[0]
        made.append(Case(mode, lang, mel, [vocabulary.used[t] for t in prompt], normal(" ".join(words)), stamps))
    return made


class Words:
    """Word errors, summed."""

    def __init__(self):
        self.words = self.substituted = self.deleted = self.inserted = 0

    def add(self, truth, heard):
        if not truth:
            self.inserted += len(heard)
            return
        result = jiwer.process_words(" ".join(truth), " ".join(heard))
        self.words += len(truth)
        self.substituted += result.substitutions
        self.deleted += result.deletions
        self.inserted += result.insertions

    @property
    def rate(self):
        return 100 * (self.substituted + self.deleted + self.inserted) / max(1, self.words)

    def __str__(self):
        return f"{self.rate:.1f} ({self.substituted}/{self.deleted}/{self.inserted} of {self.words})"


def decoded(model, made):
    """(case, result) of every case; those without a prompt go together by language."""
    groups = {}
    for number, case in enumerate(made):
        groups.setdefault((case.lang, number if case.prompt else -1), []).append(case)
    for (lang, _), group in groups.items():
        options = whisper.DecodingOptions(
            task="translate" if group[0].mode == "translate" else "transcribe", language=lang, fp16=False,
            prompt=group[0].prompt or None, without_timestamps=group[0].mode == "nots", temperature=0.0,
        )
        yield from zip(group, whisper.decode(model, torch.stack([case.mel for case in group]), options))


def language_rate(model, made):
    """Percent of the windows whose language is recognised among all 99."""
    _, guesses = whisper.detect_language(model, torch.stack([case.mel for case in made]))
    right = [max(guess, key=guess.get) == case.lang for guess, case in zip(guesses, made)]
    return round(100 * float(np.mean(right)), 1)


def decode_windows(model, made):
    """Summary of one mode."""
    first = get_tokenizer(True, num_languages=99).timestamp_begin
    total, by_language = Words(), {}
    exact = same_count = 0
    errors, speech_flags = [], []
    for case, result in decoded(model, made):
        heard = normal(result.text)
        for sums in (total, by_language.setdefault(case.lang, Words())):
            sums.add(case.words, heard)
        exact += heard == case.words
        speech_flags.append(result.no_speech_prob)
        stamps = [(t - first) * 0.02 for t in result.tokens if t >= first]
        stamps = stamps[: len(stamps) // 2 * 2]  # without the start of a cut phrase
        if len(stamps) == len(case.stamps):
            same_count += 1
            # The first one may be forced to 1 s or less.
            errors += [abs(a - b) for a, b in zip(stamps[1:], case.stamps[1:])]
    row = {
        "windows": len(made), "wer": str(total),
        **{lang: round(sums.rate, 1) for lang, sums in sorted(by_language.items())},
        "exact_percent": round(100 * exact / len(made)), "no_speech_highest": f"{max(speech_flags):.1e}",
    }
    if made[0].mode != "nots":
        row["same_stamps_percent"] = round(100 * same_count / len(made))
        row["stamp_error_median_p90"] = [round(float(np.quantile(errors, q)), 3) for q in (0.5, 0.9)] if errors else None
    if made[0].mode == "plain":
        row["language_right_percent"] = language_rate(model, made)
    return row


def silence(model, pool, noise, count):
    """The lowest no-speech probability over windows without speech."""
    rng = np.random.default_rng(78)
    windows = [compose.compose_window(rng, pool, noise, 30, silent=True, augment=False) for _ in range(count)]
    results = whisper.decode(model, compose.log_mel(windows), whisper.DecodingOptions(language="en", fp16=False))
    return {"windows": count, "no_speech_lowest": round(min(result.no_speech_prob for result in results), 5)}


def files(pool, noise, count, seconds=150):
    """Long recordings: {language: [(samples, truth)]}; some with a stretch of 20 s without speech."""
    made = {}
    for lang in lexicon.LANGUAGES:
        for i in range(count):
            snr, holes = (40, 25, 15)[i % 3], [(60.0, 80.0)] if i % 2 else ()
            seed = [79, lexicon.LANGUAGES.index(lang), i]
            made.setdefault(lang, []).append(compose.compose_long(pool, lang, seconds, seed, snr, holes, noise=noise))
    return made


def transcribe_files(model, recordings, conditioned):
    total, rows = Words(), {}
    for lang, of_language in recordings.items():
        sums = Words()
        for samples, truth in of_language:
            result = whisper.transcribe(
                model, samples, language=lang, temperature=0.0, condition_on_previous_text=conditioned, fp16=False,
                verbose=None,
            )
            for one in (sums, total):
                one.add(normal(" ".join(phrase["text"] for phrase in truth)), normal(result["text"]))
        rows[lang] = round(sums.rate, 1)
    return {"wer": str(total), **rows}


def measure(folder, sets, recordings, child, pool, noise):
    model = checkpoint.load(folder)
    rows = {mode: decode_windows(model, made) for mode, made in sets.items()}
    rows["silence"] = silence(model, pool, noise, 24)
    for name, conditioned in (("file", False), ("file_conditioned", True)):
        rows[name] = transcribe_files(model, recordings, conditioned)
    rows["child"] = transcribe_files(model, child, False)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder that synth.py filled")
    parser.add_argument("--windows", type=int, default=48, help="windows in each mode")
    parser.add_argument("--files", type=int, default=2, help="recordings of 150 s in each language")
    parser.add_argument("--pool", default="test_b")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("checkpoints", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pool, noise, vocabulary = compose.Pool(args.data, args.pool), compose.Noise(), targets.Vocabulary()
    small = compose.Pool(args.data, args.pool).keep(lambda record: record["voice"].endswith("+" + CHILD))
    pool.keep(lambda record: not record["voice"].endswith("+" + CHILD))
    sets = {mode: cases(pool, noise, vocabulary, mode, args.windows) for mode in MODES}
    recordings, child = files(pool, noise, args.files), files(small, noise, 1, 60)
    for folder in args.checkpoints:
        print(f"## {folder.name}", flush=True)
        for mode, row in measure(folder, sets, recordings, child, pool, noise).items():
            print(mode, json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
