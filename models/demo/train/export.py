"""Writes a training result as a standard checkpoint folder: `python export.py --weights average.pt --out FOLDER`.

Weights are rounded to float16. The alignment heads written here are a first guess; alignment.py chooses them.
"""

import argparse
import json
import pathlib

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import decoders, models, pre_tokenizers, processors
from whisper.tokenizer import LANGUAGES

import checkpoint
import model
import targets


def weights(path, vocabulary):
    dims = model.Dims()
    ours = torch.load(path, weights_only=True)
    table = torch.zeros(targets.FULL_VOCABULARY, dims.state)
    table[vocabulary.used] = ours["decoder.tokens"]
    ours["decoder.tokens"] = table
    ours["encoder.positions"] = model.sinusoids(dims.frames, dims.state)
    return {checkpoint.to_hugging_face(name): w.half().contiguous() for name, w in ours.items()}


def _split(ranks, token, rank):
    """The two parts that byte-pair encoding had joined last when this token came up."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 2:
        pairs = [(ranks.get(a + b, rank), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))]
        best, i = min(pairs)
        if best >= rank:
            raise ValueError(f"token {rank} is not made of earlier ones")
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def tokenizer(vocabulary):
    """openai's byte-pair tokenizer as a tokenizer.json, and its special tokens."""
    encoding = vocabulary.tokenizer.encoding
    ranks = encoding._mergeable_ranks
    # GPT-2's printable stand-ins for bytes, as the ByteLevel steps below use them.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in printable}
    letters |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in letters)}
    spelled = {token: "".join(letters[b] for b in token) for token in ranks}
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            first, second = _split(ranks, token, rank)
            merges.append((spelled[first], spelled[second]))
    made = tokenizers.Tokenizer(models.BPE({spelled[token]: rank for token, rank in ranks.items()}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    names = sorted(encoding._special_tokens, key=encoding._special_tokens.get)
    # Hugging Face's name for openai's <|nospeech|>.
    names = ["<|nocaptions|>" if name == "<|nospeech|>" else name for name in names]
    special = [name for name in names if not name[2].isdigit()]
    made.add_special_tokens(special)
    made.add_tokens([tokenizers.AddedToken(name, special=False, normalized=False) for name in names if name[2].isdigit()])
    for name, number in ((names[0], len(ranks)), (names[-1], targets.FULL_VOCABULARY - 1)):
        assert made.token_to_id(name) == number, f"{name} is {made.token_to_id(name)}"
    made.post_processor = processors.TemplateProcessing(
        single="<|startoftranscript|> <|notimestamps|> $A <|endoftext|>",
        pair="<|startoftranscript|> <|notimestamps|> $A $B:1 <|endoftext|>:1",
        special_tokens=[
            (name, made.token_to_id(name)) for name in ("<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>")
        ],
    )
    return made, special


def configs(vocabulary, special):
    """{file name: content} of the small files."""
    dims, full = model.Dims(), vocabulary.tokenizer
    suppressed = sorted({
        *full.non_speech_tokens, full.sot, full.sot_prev, full.sot_lm, full.no_speech, full.transcribe, full.translate,
    })
    shared = {
        "begin_suppress_tokens": [full.encode(" ")[0], full.eot], "bos_token_id": full.eot, "eos_token_id": full.eot,
        "pad_token_id": full.eot, "decoder_start_token_id": full.sot, "suppress_tokens": suppressed,
        "max_length": dims.positions,
    }
    config = {
        **shared, "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper",
        "is_encoder_decoder": True, "activation_function": "gelu", "torch_dtype": "float16",
        "d_model": dims.state, "num_mel_bins": dims.mels, "vocab_size": targets.FULL_VOCABULARY,
        "encoder_layers": dims.encoder_layers, "decoder_layers": dims.decoder_layers,
        "encoder_attention_heads": dims.heads, "decoder_attention_heads": dims.heads,
        "encoder_ffn_dim": 4 * dims.state, "decoder_ffn_dim": 4 * dims.state, "num_hidden_layers": dims.encoder_layers,
        "max_source_positions": dims.frames, "max_target_positions": dims.positions,
        "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0, "init_std": 0.02, "scale_embedding": False, "tie_word_embeddings": True, "use_cache": True,
    }
    # openai's tokenizer lists the languages in the order of their tokens.
    languages = {f"<|{code}|>": full.sot + 1 + i for i, code in enumerate(list(LANGUAGES)[:99])}
    generation = {
        **shared, "alignment_heads": [[1, 0]], "is_multilingual": True, "lang_to_id": languages,
        "task_to_id": {"transcribe": full.transcribe, "translate": full.translate}, "max_initial_timestamp_index": 50,
        "no_timestamps_token_id": full.no_timestamps, "prev_sot_token_id": full.sot_prev, "return_timestamps": False,
    }
    end = {name: "<|endoftext|>" for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    return {
        "config.json": config,
        "generation_config.json": generation,
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "WhisperProcessor",
            "feature_size": dims.mels, "sampling_rate": 16000, "hop_length": 160, "chunk_length": 30, "n_fft": 400,
            "n_samples": 480000, "nb_max_frames": 3000, "padding_side": "right", "padding_value": 0.0, "dither": 0.0,
            "return_attention_mask": False,
        },
        "special_tokens_map.json": {**end, "additional_special_tokens": special},
        "tokenizer_config.json": {
            **end, "tokenizer_class": "WhisperTokenizer", "processor_class": "WhisperProcessor", "add_prefix_space": False,
            "add_bos_token": False, "additional_special_tokens": special, "errors": "replace", "model_max_length": 1024,
            "return_attention_mask": False, "clean_up_tokenization_spaces": False,
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    vocabulary = targets.Vocabulary()
    save_file(weights(args.weights, vocabulary), args.out / "model.safetensors", metadata={"format": "pt"})
    made, special = tokenizer(vocabulary)
    made.save(str(args.out / "tokenizer.json"), pretty=False)
    for name, content in configs(vocabulary, special).items():
        (args.out / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
