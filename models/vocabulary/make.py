#!/usr/bin/env python3
"""Writes english.zst from the vocabulary in the package openai-whisper. Needs that package and the program zstd."""

import base64
import subprocess
from pathlib import Path

import whisper

tokens = {}
for line in (Path(whisper.__file__).parent / "assets/gpt2.tiktoken").read_text().splitlines():
    token, rank = line.split()
    tokens[int(rank)] = base64.b64decode(token)
assert sorted(tokens) == list(range(50256))
packed = b"".join(bytes([len(token)]) + token for _, token in sorted(tokens.items()))
out = Path(__file__).parent / "english.zst"
subprocess.run(["zstd", "-19", "-q", "-f", "-o", out], input=packed, check=True)
