//! Options of other programs that this one does not have, and what does the same here.

/// Options of whisper.cpp and of faster-whisper's standalone program, all spellings of each.
const FOREIGN: &[(&[&str], &str, &str)] = &[
    (&["-osrt", "--output-srt"], CPP, "`--export srt`"),
    (&["-ovtt", "--output-vtt"], CPP, "`--export vtt`"),
    (&["-otxt", "--output-txt"], CPP, "`--export txt`"),
    (&["-olrc", "--output-lrc"], CPP, "`--export lrc`"),
    (&["-ocsv", "--output-csv"], CPP, "`--export csv`"),
    (&["-oj", "--output-json"], CPP, "`--export json --json-style whisper-cpp`"),
    (&["-ojf", "--output-json-full"], CPP, "`--export json --json-style whisper-cpp --word-timestamps`"),
    (&["-of", "--output-file"], CPP, "`--output-dir FOLDER`, or `--output-template NAME`"),
    (&["--file"], CPP, "an input without an option: `transcribe talk.wav`"),
    (&["-t"], CPP, "`--threads`"),
    (&["-p", "--processors"], CPP, "`--batch-size`, which loses no words at cuts"),
    (&["-tr", "--translate"], CPP, "`--task translate`"),
    (&["-dl", "--detect-language"], CPP, "no option: the language is detected unless `--language` is given"),
    (&["-ot", "--offset-t"], CPP, "`--offset`, in seconds"),
    (&["-d"], CPP, "`--duration`, in seconds"),
    (&["-bs"], CPP, "`--beam-size`"),
    (&["-bo"], CPP, "`--best-of`"),
    (&["-ml", "--max-len"], CPP, "`--word-timestamps --max-line-width`"),
    (&["-sow", "--split-on-word"], CPP, "no option: lines break between words"),
    (&["-nt"], CPP, "no option: text is printed without times unless `--timestamps` is given"),
    (&["-nf", "--no-fallback"], CPP, "`--temperature-increment-on-fallback none`"),
    (&["-tp"], CPP, "`--temperature`"),
    (&["-tpi", "--temperature-inc"], CPP, "`--temperature-increment-on-fallback`"),
    (&["-et", "--entropy-thold"], CPP, "`--compression-ratio-threshold`, another measure of the same"),
    (&["--logprob-thold"], CPP, "`--logprob-threshold`"),
    (&["-nth", "--no-speech-thold"], CPP, "`--no-speech-threshold`"),
    (&["-mc", "--max-context"], CPP, "`--condition-on-previous-text false` for a context of 0"),
    (&["--prompt"], CPP, "`--initial-prompt`"),
    (&["--carry-prompt"], CPP, "`--carry-initial-prompt true`"),
    (&["-pp", "--print-progress", "--print_progress"], CPP, "`--progress plain`"),
    (&["-np", "--no-prints"], CPP, "`--quiet`"),
    (&["-ng", "--no-gpu"], CPP, "`--device cpu`"),
    (&["-dev"], CPP, "`--device cuda:N`"),
    (&["-fa", "--flash-attn"], CPP, "no option: attention is always fused"),
    (&["-di", "--diarize", "-tdrz", "--tinydiarize"], CPP, "no option: speakers are not labelled"),
    (&["-vm", "--vad-model"], CPP, "`--vad`, which needs no model"),
    (&["--standard", "--standard_asia"], XXL, "`--subtitles readable`, the default"),
    (&["--sentence"], XXL, "`--subtitles readable`"),
    (&["--one_word"], XXL, "`--word-timestamps --subtitles openai --max-words-per-line 1`"),
    (&["-br", "--batch_recursive"], XXL, "`--recursive`"),
    (&["--batched"], XXL, "no option: windows are always decoded in batches"),
    (&["--skip"], XXL, "no option: inputs whose outputs are up to date are skipped"),
    (&["--check_files"], XXL, "`--dry-run`"),
    (&["--postfix"], XXL, "`--language-in-name`"),
    (&["--vad_method", "--vad_alt_method"], XXL, "`--vad`, which has one detector"),
    (&["--vad_dump"], XXL, "`--vad-report FILE`"),
    (&["--beep_off"], XXL, "no option: it never beeps"),
    (
        &["--ff_mdx_kim2", "--ff_loudnorm", "--ff_speechnorm", "--ff_rnndn_sh"],
        XXL,
        "a filter of `ffmpeg` before",
    ),
];

const CPP: &str = "whisper.cpp";
const XXL: &str = "faster-whisper-xxl";

/// Returns the program that has an option of this name, and what does the same here.
pub fn equivalent(word: &str) -> Option<(&'static str, &'static str)> {
    let name = word.split('=').next().unwrap_or(word);
    let found = FOREIGN.iter().find(|(names, ..)| names.contains(&name));
    found.map(|(_, program, here)| (*program, *here))
}
