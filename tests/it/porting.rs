//! Command lines of other programs: openai-whisper's are taken as they are, others are refused with what does the same.

use std::fs;
use std::path::Path;

use crate::inputs::Tree;
use crate::program::{fixture, names};

fn speech() -> Tree {
    let tree = Tree::new(&[]);
    fs::copy(fixture("long/short_en.flac"), tree.at("talk.flac")).unwrap();
    tree
}

/// Returns the messages of a run that must end well.
fn said(tree: &Tree, line: &str) -> String {
    let output = tree.run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn takes_every_option_of_openai() {
    let tree = speech();
    let line = "talk.flac --model demo --device cpu --output_dir out -f srt --verbose False --task transcribe \
        --language English --temperature 0 --best_of 5 --beam_size 5 --patience 1.0 --length_penalty None \
        --suppress_tokens -1 --carry_initial_prompt False --condition_on_previous_text True --fp16 False \
        --temperature_increment_on_fallback 0.2 --compression_ratio_threshold 2.4 --logprob_threshold -1.0 \
        --no_speech_threshold 0.6 --word_timestamps True --prepend_punctuations ( --append_punctuations ) \
        --highlight_words True --max_line_width None --max_line_count None --max_words_per_line None --threads 0 \
        --clip_timestamps 0 --hallucination_silence_threshold None --initial_prompt Hello";
    let notes = said(&tree, line);
    assert_eq!(names(&tree.at("out")), ["talk.srt"]);
    assert!(fs::read_to_string(tree.at("out/talk.srt")).unwrap().contains("<u>"));
    assert!(
        notes.contains("`--fp16 False`: `--dtype` chooses")
            && notes.contains("`--verbose False` has no effect")
    );
    // What it writes by default, and a folder for its models.
    let notes = said(&tree, "talk.flac --output_dir all --model_dir models --fp16 True");
    assert_eq!(
        names(&tree.at("all")),
        ["json", "srt", "tsv", "txt", "vtt"].map(|format| format!("talk.{format}"))
    );
    assert!(
        notes.contains("`--output_dir` without `--output_format`: writing txt,vtt,srt,tsv,json"),
        "{notes}"
    );
    assert!(notes.contains("it has no `large-v3-turbo.pt`"), "{notes}");
    fs::create_dir(tree.at("models")).unwrap();
    fs::write(tree.at("models/tiny.pt"), "no model").unwrap();
    let output = tree.run(&["talk.flac", "--model", "tiny", "--model_dir", "models"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("model `models/tiny.pt`"));
}

#[test]
fn names_what_does_the_same_as_an_option_of_another_program() {
    let tree = speech();
    for (line, expected) in [
        ("-osrt", "`-osrt`: an option of whisper.cpp\nhint: here: `--export srt`"),
        ("--output-vtt", "`--output-vtt`: an option of whisper.cpp\nhint: here: `--export vtt`"),
        ("-of out", "hint: here: `--output-dir FOLDER`, or `--output-template NAME`"),
        ("-t 4", "`-t`: an option of whisper.cpp\nhint: here: `--threads`"),
        ("-ng", "hint: here: `--device cpu`"),
        ("-nt", "`--timestamps`"),
        ("--sentence", "`--sentence`: an option of faster-whisper-xxl\nhint: here: `--subtitles readable`"),
        ("--vad_method=silero_v4", "hint: here: `--vad`, which has one detector"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let refused = tree.refused(&[&["talk.flac"], &words[..]].concat());
        assert!(refused.contains(expected), "{line}: {refused}");
    }
    // whisper.cpp's input, and a file whose name looks like an option.
    assert!(said(&tree, "-f talk.flac -e txt").contains("`-f talk.flac`: taken as an input"));
    assert!(tree.at("talk.txt").is_file());
    fs::copy(tree.at("talk.flac"), tree.at("-osrt")).unwrap();
    said(&tree, "-e vtt -- -osrt");
    assert!(Path::new(&tree.at("-osrt.vtt")).is_file());
}

#[test]
fn every_equivalent_names_options_that_exist() {
    let help = Tree::new(&[]).run(&["--help"]).stdout;
    let help = String::from_utf8(help).unwrap();
    let source = include_str!("../../src/cli/foreign_options.rs");
    for line in source.lines().filter(|line| line.contains(", CPP, ") || line.contains(", XXL, ")) {
        let here = line.rsplit_once(", \"").unwrap().1;
        let options = here.split(['`', ' ', ',']).filter(|word| word.starts_with("--"));
        for option in options {
            assert!(help.contains(option), "{option}: {line}");
        }
    }
}
