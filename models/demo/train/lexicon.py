"""The demo model's language: words in three languages, phrases drawn from them, and the split into train and test.

Sound is made in synth.py; tokens are made in targets.py.
"""

import hashlib

LANGUAGES = ("en", "de", "es")

_NUMBERS = [
    ("zero", "null", "cero"), ("one", "eins", "uno"), ("two", "zwei", "dos"), ("three", "drei", "tres"),
    ("four", "vier", "cuatro"), ("five", "fünf", "cinco"), ("six", "sechs", "seis"), ("seven", "sieben", "siete"),
    ("eight", "acht", "ocho"), ("nine", "neun", "nueve"), ("ten", "zehn", "diez"),
]
_COLOURS = [
    ("red", "rot", "rojo"), ("blue", "blau", "azul"), ("green", "grün", "verde"),
    ("yellow", "gelb", "amarillo"), ("black", "schwarz", "negro"), ("white", "weiß", "blanco"),
]
_DAYS = [
    ("Monday", "Montag", "lunes"), ("Wednesday", "Mittwoch", "miércoles"),
    ("Friday", "Freitag", "viernes"), ("Sunday", "Sonntag", "domingo"),
]
_VERBS = [
    ("open", "öffne", "abre"), ("close", "schließe", "cierra"), ("start", "starte", "inicia"),
    ("stop", "stoppe", "para"), ("find", "finde", "busca"),
]
_TURN = ("turn", "drehe", "gira")
_NOUNS = [
    ("door", "Tür", "puerta"), ("light", "Licht", "luz"), ("music", "Musik", "música"), ("window", "Fenster", "ventana"),
]
_NEUTER = {"Licht", "Fenster"}
_SIDES = [("left", "links", "izquierda"), ("right", "rechts", "derecha")]
_IS, _AND = ("is", "ist", "es"), ("and", "und", "y")
_ADVERBS = [("now", "jetzt", "ahora"), ("here", "hier", "aquí")]
_ARTICLES = [("the", "die", "la"), ("the", "das", "la")]

_ENTRIES = [*_NUMBERS, *_COLOURS, *_DAYS, *_VERBS, _TURN, *_NOUNS, *_SIDES, _IS, _AND, *_ADVERBS, *_ARTICLES]

# Every word of each language once, in a fixed order.
WORDS = {lang: list(dict.fromkeys(entry[i] for entry in _ENTRIES)) for i, lang in enumerate(LANGUAGES)}
# The English word for each word.
ENGLISH = {lang: {entry[i]: entry[0] for entry in _ENTRIES} for i, lang in enumerate(LANGUAGES)}


def draw_phrase(rng, lang):
    """One random phrase as a list of words."""
    column = LANGUAGES.index(lang)

    def pick(entries):
        return entries[rng.integers(len(entries))][column]

    def the(noun):
        neuter = lang == "de" and noun in _NEUTER
        return [_ARTICLES[1 if neuter else 0][column], noun]

    def perhaps_adverb():
        return [pick(_ADVERBS)] if rng.random() < 0.4 else []

    kind = rng.random()
    if kind < 0.25:
        return [pick(_NUMBERS) for _ in range(rng.integers(2, 7))]
    if kind < 0.33:
        return [pick(_COLOURS), _AND[column], pick(_COLOURS)]
    if kind < 0.40:
        return [pick(_DAYS), _AND[column], pick(_DAYS)]
    if kind < 0.48:
        return [pick(_VERBS), *the(pick(_NOUNS)), *perhaps_adverb()]
    if kind < 0.53:
        return [_TURN[column], pick(_SIDES), *perhaps_adverb()]
    if kind < 0.60:
        return [*the(pick(_NOUNS)), _IS[column], pick(_COLOURS)]
    if kind < 0.65:
        return [pick(_NUMBERS), pick(_COLOURS), _AND[column], pick(_NUMBERS), pick(_COLOURS)]
    # Free word strings keep the decoder from learning a language model that overrides the sound.
    words = WORDS[lang]
    return [words[rng.integers(len(words))] for _ in range(rng.integers(2, 7))]


def is_test(words):
    """Whether a phrase is held out; decided by the phrase alone, so no run can mix the two."""
    digest = hashlib.md5(" ".join(words).lower().encode()).hexdigest()
    return int(digest, 16) % 12 == 0


def written(words):
    """The words as they are written: the first letter of the first one capitalised."""
    return [words[0][0].upper() + words[0][1:], *words[1:]]


def sentence(words):
    """The transcript of a phrase, without the blank before it."""
    return " ".join(written(words)) + "."
