"""Chooses the alignment heads on pool A and writes them: `python alignment.py --data FOLDER CHECKPOINT`.

They are the heads with which openai-whisper's word timestamps come nearest to the true word starts.
"""

import argparse
import difflib
import json
import pathlib

import numpy as np
import torch
import whisper

import checkpoint
import compose
import evaluate
import lexicon

CANDIDATES = [
    [[1, 0]], [[0, 0]], [[0, 1]], [[1, 1]], [[0, 0], [1, 0]], [[0, 1], [1, 0]], [[1, 0], [1, 1]], [[0, 0], [0, 1], [1, 0]],
]


def word_errors(model, recordings):
    """Signed errors of the starts and ends of words that were heard right, and the share of such words."""
    starts, ends, count = [], [], 0
    for lang, (samples, truth) in recordings.items():
        result = whisper.transcribe(
            model, samples, language=lang, temperature=0.0, condition_on_previous_text=False, word_timestamps=True,
            fp16=False, verbose=None,
        )
        heard = [word for segment in result["segments"] for word in segment["words"]]
        true = [word for phrase in truth for word in phrase["words"]]
        keys = [[evaluate.normal(word["word"]) for word in words] for words in (true, heard)]
        matcher = difflib.SequenceMatcher(None, *[[k[0] if k else "" for k in ks] for ks in keys], autojunk=False)
        for a, b, size in matcher.get_matching_blocks():
            starts += [heard[b + i]["start"] - true[a + i]["start"] for i in range(size)]
            ends += [heard[b + i]["end"] - true[a + i]["end"] for i in range(size)]
        count += len(true)
    return np.array(starts), np.array(ends), len(starts) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder that synth.py filled")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("checkpoint", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pool, noise = compose.Pool(args.data, "test_a"), compose.Noise()
    recordings = {
        lang: compose.compose_long(pool, lang, args.seconds, [80, i], 30, noise=noise)
        for i, lang in enumerate(lexicon.LANGUAGES)
    }
    rows = []
    for heads in CANDIDATES:
        starts, ends, found = word_errors(checkpoint.load(args.checkpoint, heads), recordings)
        middle = float(np.median(np.abs(starts)))
        rows.append((middle, heads))
        print(
            f"{heads}: start median {middle:.3f} s, p90 {np.quantile(np.abs(starts), 0.9):.3f} s, bias "
            f"{np.median(starts):+.3f} s; end median {np.median(np.abs(ends)):.3f} s; {found:.0%} of the words found",
            flush=True,
        )
    path = args.checkpoint / "generation_config.json"
    config = json.loads(path.read_text())
    config["alignment_heads"] = min(rows)[1]
    path.write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
