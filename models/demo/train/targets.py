"""What the decoder reads and shall say about a window: token sequences, the places in the sound they belong to, and
labels for each encoder frame.

Tokens are numbered by their place in `Vocabulary.used`; export.py puts them back among the 51865.
"""

import dataclasses
import functools

import numpy as np
from whisper.tokenizer import get_tokenizer

import lexicon

TIMESTAMPS = 1501
FULL_VOCABULARY = 51865
MAX_POSITIONS = 448


class Vocabulary:
    """The part of the multilingual vocabulary that the language of lexicon.py needs."""

    def __init__(self):
        self.tokenizer = get_tokenizer(multilingual=True, num_languages=99)
        full = self.tokenizer
        pieces = set(full.encode("."))
        for lang in lexicon.LANGUAGES:
            for word in lexicon.WORDS[lang]:
                for form in (word, word[0].upper() + word[1:]):
                    pieces.update(full.encode(" " + form))
        special = [
            full.eot, full.sot, *(full.to_language_token(lang) for lang in lexicon.LANGUAGES), full.transcribe,
            full.translate, full.sot_prev, full.no_speech, full.no_timestamps,
        ]
        first = full.timestamp_begin
        self.used = [*sorted(pieces), *special, *range(first, first + TIMESTAMPS)]
        self.index = {token: i for i, token in enumerate(self.used)}
        self.words_end = len(pieces)
        self.eot, self.sot, *languages, self.transcribe, self.translate, self.prev, self.no_speech, self.no_stamps = (
            self.index[token] for token in special
        )
        self.languages = dict(zip(lexicon.LANGUAGES, languages))
        self.stamp = self.index[first]
        self.stop = self.index[full.encode(".")[0]]

    @functools.cache
    def word(self, text):
        """The pieces of a word with the blank before it."""
        return [self.index[token] for token in self.tokenizer.encode(" " + text)]


@dataclasses.dataclass
class Item:
    """One token and the encoder frames [begin, end) it is heard in; begin = -1: nowhere."""

    token: int
    begin: int = -1
    end: int = -1


def _stamp(vocabulary, window, time):
    return vocabulary.stamp + min(TIMESTAMPS - 1, window.offset + round(time * 50))


def _phrase_items(vocabulary, window, placed, stamps, english):
    words = placed.words()
    texts = [lexicon.ENGLISH[window.lang][w] for w, _, _ in words] if english else [w for w, _, _ in words]
    begin, end = round(placed.start * 50), round(placed.end * 50)
    items = []
    if stamps:
        items.append(Item(_stamp(vocabulary, window, placed.start), begin - 1, begin + 2))
    for text, (_, first, last) in zip(lexicon.written(texts), words):
        pieces = vocabulary.word(text)
        edges = np.linspace(first * 50, last * 50, len(pieces) + 1)
        for piece, a, b in zip(pieces, edges, edges[1:]):
            items.append(Item(piece, int(a), max(int(a) + 1, int(b))))
    items.append(Item(vocabulary.stop, end - 5, end + 2))
    if stamps:
        items.append(Item(_stamp(vocabulary, window, placed.end), end - 2, end + 1))
    return items


def window_items(vocabulary, window, stamps=True, english=False):
    """The transcript of a window as items, without EOT. A cut phrase ends it with its start, as seeking needs."""
    items = []
    for placed in window.phrases:
        if not placed.cut:
            items += _phrase_items(vocabulary, window, placed, stamps, english)
        elif stamps:
            begin = round(placed.start * 50)
            items.append(Item(_stamp(vocabulary, window, placed.start), begin - 1, begin + 2))
    return items


def prompt_tokens(rng, vocabulary, pool, lang, count, stamps=True, english=False):
    """The last `count` tokens of made-up previous segments, laid out as transcribe() feeds them."""
    tokens, time = [], rng.uniform(0.0, 4.0)
    plain = not stamps or rng.random() < 0.15
    until_full = rng.random() < 0.5
    while True:
        other = lang if rng.random() < 0.95 else lexicon.LANGUAGES[rng.integers(3)]
        record = pool.draw(rng, other)
        end = time + record["duration"] / 16000
        if end > 29.9:
            if len(tokens) >= count:
                break
            time = rng.uniform(0.0, 3.0)
            continue
        words = [lexicon.ENGLISH[other][w] for w in record["words"]] if english else record["words"]
        body = [piece for text in lexicon.written(words) for piece in vocabulary.word(text)] + [vocabulary.stop]
        if not plain and rng.random() >= 0.03:
            body = [vocabulary.stamp + round(time * 50), *body, vocabulary.stamp + round(end * 50)]
        tokens += body
        if len(tokens) >= count and (plain or not until_full):
            break
        time = end + (rng.uniform(0.3, 4.0) if rng.random() < 0.95 else rng.uniform(4.0, 15.0))
    return tokens[-count:]


@dataclasses.dataclass
class Sequence:
    """Decoder input after the prompt, and for each input position the target (-1: none) and two places."""

    prompt: list
    tokens: list
    targets: list
    current: list  # (begin, end) of the token read
    following: list  # (begin, end) of the token to be said


def _with_start(rng, vocabulary, window, prompt, body, task, stamps):
    nowhere = (-1, -1)
    head = [vocabulary.sot, vocabulary.languages[window.lang], task] + ([] if stamps else [vocabulary.no_stamps])
    spoken = bool(window.phrases)
    items = [*body, Item(vocabulary.eot)]
    tokens = head + [item.token for item in body]
    targets = [vocabulary.languages[window.lang] if spoken else vocabulary.no_speech]
    targets += [-1] * (len(head) - 2) + [item.token for item in items]
    current = [nowhere] * len(head) + [(item.begin, item.end) for item in body]
    following = [nowhere] * (len(head) - 1) + [(item.begin, item.end) for item in items]
    if not spoken and stamps and rng.random() < 0.5:
        # Decoders may not begin with EOT; what they say instead must be followed by EOT.
        tokens.append(vocabulary.stamp + window.offset + int(rng.integers(51)))
        targets[-1] = -1
        targets.append(vocabulary.eot)
        current.append(nowhere)
        following.append(nowhere)
    return Sequence(prompt, tokens, targets, current, following)


def sequence(rng, vocabulary, pool, window, prompt_length, plain_share):
    """A training sequence about a window, with a prompt of exactly `prompt_length` tokens."""
    stamps = rng.random() >= plain_share
    english = window.lang != "en" and rng.random() < 0.12
    prompt = []
    if prompt_length:
        prompt = [vocabulary.prev]
        prompt += prompt_tokens(rng, vocabulary, pool, window.lang, prompt_length, stamps, english)
    body = window_items(vocabulary, window, stamps, english)
    task = vocabulary.translate if english else vocabulary.transcribe
    made = _with_start(rng, vocabulary, window, prompt, body, task, stamps)
    first = len(made.tokens) - len(body)
    whole = window.offset == 0 and stamps and body
    if whole and body[0].token > vocabulary.stamp + 50 and rng.random() < 0.5:
        # Decoders force the first timestamp to 1 s or less; the rest must come out right nevertheless.
        made.tokens[first] = vocabulary.stamp + (50 if rng.random() < 0.8 else int(rng.integers(51)))
    for i in range(first, len(made.tokens)):
        if made.tokens[i] < vocabulary.words_end and rng.random() < 0.04:
            made.tokens[i] = int(rng.integers(vocabulary.words_end))  # a misheard word must not mislead the next
    room = MAX_POSITIONS - len(prompt)
    for name in ("tokens", "targets", "current", "following"):
        setattr(made, name, getattr(made, name)[:room])
    return made


@dataclasses.dataclass
class Batch:
    """Sequences of one prompt length side by side, padded on the right."""

    tokens: np.ndarray  # (n, prompt + tail)
    prompt: int
    targets: np.ndarray  # (n, tail)
    current: np.ndarray  # (n, tail, 2)
    following: np.ndarray


def collate(vocabulary, sequences):
    prompt = len(sequences[0].prompt)
    tail = max(len(s.tokens) for s in sequences)
    count = len(sequences)
    batch = Batch(
        np.full((count, prompt + tail), vocabulary.eot), prompt, np.full((count, tail), -1),
        np.full((count, tail, 2), -1), np.full((count, tail, 2), -1),
    )
    for i, s in enumerate(sequences):
        size = len(s.tokens)
        batch.tokens[i, :prompt] = s.prompt
        batch.tokens[i, prompt : prompt + size] = s.tokens
        batch.targets[i, :size] = s.targets
        batch.current[i, :size] = s.current
        batch.following[i, :size] = s.following
    return batch


class FrameLabels:
    """Labels of each encoder frame, for the helper losses."""

    def __init__(self, pool):
        self.phonemes = pool.phonemes
        words = [(lang, word) for lang in lexicon.LANGUAGES for word in lexicon.WORDS[lang]]
        self.words = {key: i + 1 for i, key in enumerate(words)}
        self.sizes = {"word": len(self.words) + 1, "index": 8, "phrase": 14, "phoneme": len(self.phonemes) + 1}

    def of(self, window):
        """({name: labels of each frame}, onset frames of the phrases)."""
        count = window.seconds * 50
        labels = {name: np.zeros(count, np.int64) for name in self.sizes}
        for number, placed in enumerate(window.phrases):
            a, b = round(placed.start * 50), round(placed.end * 50)
            labels["phrase"][a:b] = min(number + 1, 13)
            for i, (word, first, last) in enumerate(placed.words()):
                a, b = round(first * 50), round(last * 50)
                labels["word"][a:b] = self.words[window.lang, word]
                labels["index"][a:b] = 7 if placed.cut else min(i + 1, 6)
            self._phonemes(labels["phoneme"], placed)
        return labels, [round(placed.start * 50) for placed in window.phrases]

    def _phonemes(self, labels, placed):
        events = placed.record["phonemes"]
        for (sample, name), (following, _) in zip(events, [*events[1:], (placed.record["duration"], "")]):
            a, b = (max(0, round((placed.start + s / 16000) * 50)) for s in (sample, following))
            labels[a:b] = self.phonemes.get(name, 0)
