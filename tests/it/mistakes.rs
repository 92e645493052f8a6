//! Mistakes that newcomers make: every word that the program says about them, and how it ends.

use std::path::Path;

use tempfile::TempDir;

use crate::program::{bare, fixture};

/// A folder with a recording, a folder and a file in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("long/short_en.flac"), folder.path().join("talk.flac")).unwrap();
    std::fs::create_dir(folder.path().join("talks")).unwrap();
    std::fs::write(folder.path().join("notes"), "words").unwrap();
    folder
}

/// Runs the program in such a folder; nothing may be printed, and nothing may be written.
#[track_caller]
fn says(line: &str, code: i32, expected: &str) {
    says_in(&folder(), &[], line, code, expected);
}

#[track_caller]
fn says_in(folder: &TempDir, environment: &[(&str, &str)], line: &str, code: i32, expected: &str) {
    let before = names(folder.path());
    let mut program = bare();
    program.current_dir(folder.path()).args(line.split_whitespace()).envs(environment.iter().copied());
    let output = program.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.replace(&folder.path().display().to_string(), "FOLDER");
    assert_eq!(said.trim_end(), expected, "{line}");
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert!(output.stdout.is_empty(), "{line}");
    assert_eq!(names(folder.path()), before, "{line}");
}

fn names(folder: &Path) -> Vec<String> {
    crate::program::names(folder)
}

#[test]
fn a_misspelt_option() {
    says(
        "talk.flac --exprot srt",
        2,
        "error: `--exprot`: there is no such option\n\
         hint: did you mean `--export`?",
    );
    says(
        "talk.flac --frobnicate",
        2,
        "error: `--frobnicate`: there is no such option\n\
         hint: `transcribe --help` lists all there are",
    );
}

#[test]
fn a_misspelt_model() {
    says(
        "talk.flac --model larg-v3",
        3,
        "error: model `larg-v3`: not found: did you mean `large-v3` or `large-v1` or `large-v2`?\n\
         hint: use a size (`tiny` … `large-v3-turbo`), a hub repository (`owner/name`), a folder with config.json and \
         model.safetensors, or `--model demo`, which is built in",
    );
}

#[test]
fn a_language_that_is_none() {
    says(
        "talk.flac --model demo --language germn",
        2,
        "error: language `germn`: not a language that Whisper knows\n\
         hint: did you mean `de` (german)?",
    );
}

#[test]
fn a_file_that_is_not_there() {
    says(
        "tlak.flac --model demo",
        2,
        "error: `tlak.flac`: there is no such file\n\
         hint: check the path; quote it if it contains spaces",
    );
}

#[test]
fn a_command_that_is_misspelt_or_comes_too_late() {
    says(
        "modles list",
        2,
        "error: `modles`: there is no such command, and no such file\n\
         hint: did you mean `transcribe models`?",
    );
    says(
        "--quiet models list",
        2,
        "error: `models`: there is no such command, and no such file\n\
         hint: a command comes before all options: `transcribe models`",
    );
    says(
        "models lst",
        2,
        "error: `lst`: there is no such command\n\
         hint: did you mean `transcribe models list`?",
    );
}

#[test]
fn a_device_that_is_not_here_or_is_none() {
    if !cfg!(any(feature = "cuda", feature = "metal")) {
        says(
            "talk.flac --model demo --device cuda",
            4,
            "error: device `cuda:0`: this program was compiled for cpu only\n\
             hint: `--device cpu` works everywhere; `transcribe doctor` lists the available devices",
        );
    }
    says(
        "talk.flac --model demo --device gpu",
        2,
        "error: `--device gpu`: must be one of auto, cpu, cuda, cuda:N, cuda:all, metal, or several of a kind as in cuda:0,cuda:2\n\
         hint: `device`: Where to compute: auto, cpu, cuda, cuda:N or metal; cuda:all or cuda:0,cuda:1 share the work",
    );
}

#[test]
fn numbers_that_are_none_or_mean_nothing() {
    says("talk.flac --model demo --beam-size 0", 2, "error: beam size 0: must lie between 1 and 64");
    says(
        "talk.flac --model demo --seed x",
        2,
        "error: `--seed x`: must be a whole number, 0 or more\n\
         hint: `seed`: Chooses the random numbers at temperatures above 0",
    );
    says(
        "talk.flac --model demo --offset 1:2x",
        2,
        "error: time `1:2x`: not a valid time\n\
         hint: give seconds (90.5), minutes (1:30) or hours (0:01:30.5)",
    );
}

#[test]
fn a_format_that_is_none() {
    let formats = formats();
    says(
        "talk.flac --model demo --export str",
        2,
        &format!("error: `--export`: unknown format `str`\nhint: did you mean `srt`? use {formats}"),
    );
    says(
        "talk.flac --model demo --export docx",
        2,
        &format!("error: `--export`: unknown format `docx`\nhint: use {formats}"),
    );
}

fn formats() -> String {
    let names = transcribe::export::Format::ALL.map(|format| format.name().to_owned());
    format!("{} or all, separated by commas", names.join(", "))
}

#[test]
fn a_value_that_is_forgotten_or_wrong() {
    says(
        "talk.flac --model",
        2,
        "error: `--model`: needs a value\n\
         hint: `model`: Which model: a size (tiny, base, small, medium, large-v3, large-v3-turbo, tiny.en …, \
         distil-large-v3 …), a hub repository (owner/name), a folder with a checkpoint, or demo, which is built in. \
         auto takes large-v3-turbo on a GPU and base on a CPU",
    );
    says(
        "talk.flac --task translat",
        2,
        "error: `--task translat`: must be one of transcribe, translate\n\
         hint: did you mean `translate`?",
    );
}

#[test]
fn options_that_contradict_each_other() {
    says("talk.flac --quiet --verbose", 2, "error: `--quiet`: cannot be used with `--verbose`");
    says(
        "talk.flac --model tiny --model demo",
        2,
        "error: `--model`: is said twice\nhint: leave one of them out",
    );
    says(
        "talk.flac --model demo --output-dir out",
        2,
        "error: `--output-dir`: without `--export` no file is written\n\
         hint: say which formats, for example `--export srt,txt`",
    );
}

#[test]
fn no_model_and_no_network_to_get_it() {
    says(
        "talk.flac --model tiny --offline",
        3,
        "error: model `tiny`: not in the cache, and `--offline` forbids downloading it\n\
         hint: run once without `--offline`, pass a folder with the checkpoint, or try `--model demo`, which is built in",
    );
}

#[test]
fn a_mistake_that_is_not_on_the_command_line() {
    let folder = folder();
    says_in(
        &folder,
        &[("TRANSCRIBE_DEVICE", "gpu")],
        "talk.flac",
        2,
        "error: `TRANSCRIBE_DEVICE=gpu`: must be one of auto, cpu, cuda, cuda:N, cuda:all, metal, or several of a kind as in cuda:0,cuda:2\n\
         hint: `device`: Where to compute: auto, cpu, cuda, cuda:N or metal; cuda:all or cuda:0,cuda:1 share the work",
    );
    says_in(
        &folder,
        &[("TRANSCRIBE_QUIET", "1")],
        "talk.flac --verbose",
        2,
        "error: `--verbose`: cannot be used with `--quiet`\n\
         hint: `TRANSCRIBE_QUIET` in the environment says `--quiet`",
    );
    std::fs::write(folder.path().join("transcribe.toml"), "# mine\n\nlanguag = \"de\"\n").unwrap();
    says_in(
        &folder,
        &[],
        "talk.flac --config transcribe.toml",
        2,
        "error: `transcribe.toml`, line 3: `languag`: there is no such option\n\
         hint: did you mean `language`?",
    );
}
