"""Parity with the CPU: texts and times of the demo model, and the network's outputs in the published shapes."""

import json

# Tolerated difference of times in seconds: one timestamp step.
TIMES = 0.02
# Tolerated differences of the network's outputs, worst and mean, in units of their root mean square. Twice the differences
# of PyTorch's own f16 and bf16 on a CPU, with the demo and with all layers of large-v3-turbo.
TOLERANCES = {"f32": (2e-3, 1e-4), "f16": (0.06, 0.003), "bf16": (0.7, 0.025)}
DIFFERENCES = 12
RECORDINGS = ["short_en", "short_es", "long_en"]


def written(check, name, device, dtype, options):
    """Returns the transcripts of all recordings by name."""
    folder = check.scratch / name
    recordings = RECORDINGS[:1] if check.quick else RECORDINGS
    files = [check.fixture(f"long/{recording}.flac") for recording in recordings]
    line = [*files, "--model", "demo", "--export", "json", "--output-dir", folder, "--overwrite", "--no-resume", "--quiet"]
    check.transcribe(*line, *options, device=device, dtype=dtype, at_most=60, must=True)
    return folder, {recording: json.loads((folder / f"{recording}.json").read_text()) for recording in recordings}


def spans(transcript):
    """Yields segments and their words, if any, as name, text, start and end."""
    for nth, segment in enumerate(transcript["segments"]):
        yield f"segment {nth}", segment["text"], segment["start"], segment["end"]
        for index, word in enumerate(segment.get("words", [])):
            yield f"segment {nth}, word {index}", word["word"], word["start"], word["end"]


def differences(reference, other):
    """What is not alike, in words; and the largest difference of a time."""
    ours, theirs, found, worst = list(spans(other)), list(spans(reference)), [], 0.0
    for (name, text, start, end), (_, their_text, their_start, their_end) in zip(ours, theirs):
        if text != their_text:
            found.append(f"{name}: `{text}` for `{their_text}`")
            continue
        off = max(abs(start - their_start), abs(end - their_end))
        worst = max(worst, off)
        if off > TIMES + 1e-6:
            found.append(f"{name} `{text}`: {start:.2f} to {end:.2f} s for {their_start:.2f} to {their_end:.2f}")
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} segments and words for {len(theirs)}")
    return found, worst


def words(check, reference, folder, recording):
    """Returns the word error rate relative to the CPU's text."""
    pair = [reference / f"{recording}.json", folder / f"{recording}.json"]
    done = check.call([check.program("transcribe"), "score", *pair, "--json"], 20, must=True)
    return done.json()["total"]["wer"]


def demo(check, result):
    rows = []
    for what, options in {"segments": [], "words": ["--word-timestamps"]}.items():
        reference, truth = written(check, f"{what}-cpu", "cpu", "f32", options)
        # On the CPU, compares with decoding windows one by one.
        runs = [(dtype, options) for dtype in check.dtypes()] if check.is_gpu else [(None, [*options, "--batch-size", "1"])]
        for dtype, own in runs:
            name = dtype or "default"
            folder, found = written(check, f"{what}-{name}", check.device, dtype, own)
            for recording, transcript in found.items():
                wrong, worst = differences(truth[recording], transcript)
                rate = words(check, reference, folder, recording)
                rows.append([what, name, recording, len(transcript["segments"]), f"{rate:.2%}", f"{worst:.3f}", len(wrong)])
                result.figures.setdefault(what, {}).setdefault(name, {})[recording] = {
                    "wer": rate, "worst_time": worst, "differences": wrong}  # fmt: skip
                if wrong:
                    result.say(f"{what}, {name}, {recording}: {len(wrong)} differences:", "", *(f"- {one}" for one in wrong[:DIFFERENCES]))
            sums = result.figures[what][name].values()
            result.require(not any(one["differences"] for one in sums),
                           f"{what} in {name}: text equal to the CPU's, times within {TIMES} s")  # fmt: skip
    head = ["what", "numbers", "recording", "segments", "word error rate against the CPU", "worst time, s", "differences"]
    result.table(head, rows)


def network(check, result):
    """Compares the demo's weights, then random ones: all of tiny, a few layers of the widest, and all of its layers."""
    few = ["--encoder-layers", "2", "--decoder-layers", "2", "--windows", "2", "--steps", "8"]
    sizes = [("demo", []), ("tiny", []), ("large-v3-turbo", few), ("large-v3-turbo", ["--windows", "1", "--steps", "4"])]
    if check.quick:
        sizes = [("demo", ["--windows", "1"]), ("tiny", ["--encoder-layers", "1", "--decoder-layers", "1", "--windows", "1", "--steps", "2"])]
    dtypes = list(TOLERANCES) if check.is_gpu else ["f32"]
    rows = []
    try:
        for size, options in sizes:
            found = check.gpu("parity", size, *options, "--dtypes", ",".join(dtypes), must=True).json()
            result.figures.setdefault("shapes", []).append(found)
            shape = f"{size}, {found['encoder_layers']} + {found['decoder_layers']} layers"
            rows += [compared(result, shape, dtype, found["dtypes"][dtype]) for dtype in dtypes]
    finally:
        head = ["shape", "numbers", "encoder: worst", "mean", "logits: worst", "mean", "allowed: worst", "mean", "same choice",
                "worst choice", "alike until", "of tokens"]  # fmt: skip
        result.say("Differences are in units of the outputs' root mean square; `worst choice` is the score difference to the CPU's token. At the "
                   "end, each sequence samples on its own; with random weights, the smallest difference leads to other tokens.")  # fmt: skip
        result.table(head, rows)


def compared(result, shape, dtype, found):
    worst, mean = TOLERANCES[dtype]
    if "error" in found:
        result.require(False, f"{shape}, {dtype}: {found['error']}")
        return [shape, dtype, found["error"], *[""] * 9]
    encoder, logits, choice, alike = (found[what] for what in ("encoder", "logits", "choice", "written"))
    if dtype == "f32":
        result.require(alike["same"] == alike["tokens"], f"{shape}, {dtype}: the sampled tokens are the same")
    is_near = all(one["whole"] and one["worst"] <= worst and one["mean"] <= mean for one in (encoder, logits))
    result.require(is_near and choice["regret"] <= worst, f"{shape}, {dtype}: within {worst:g} at worst and {mean:g} on average")
    figure = lambda value: "not a number" if value is None else f"{value:.2g}"
    return [shape, dtype, *(figure(one[what]) for one in (encoder, logits) for what in ("worst", "mean")),
            f"{worst:g}", f"{mean:g}", f"{choice['same']} of {choice['rows']}", figure(choice["regret"]), alike["same"], alike["tokens"]]  # fmt: skip
