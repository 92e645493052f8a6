//! Usage errors: the complete message and the exit code of each.

use std::path::Path;

use tempfile::TempDir;

use crate::program::{bare, fixture};

/// Makes a folder with a recording, a folder and a file.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("long/short_en.flac"), folder.path().join("talk.flac")).unwrap();
    std::fs::create_dir(folder.path().join("talks")).unwrap();
    std::fs::write(folder.path().join("notes"), "words").unwrap();
    folder
}

/// Runs the program in such a folder; it must print nothing to stdout and write no files.
#[track_caller]
fn rejects(line: &str, code: i32, expected: &str) {
    rejects_in(&folder(), &[], line, code, expected);
}

#[track_caller]
fn rejects_in(folder: &TempDir, environment: &[(&str, &str)], line: &str, code: i32, expected: &str) {
    let before = names(folder.path());
    let mut program = bare();
    program.current_dir(folder.path()).args(line.split_whitespace()).envs(environment.iter().copied());
    let output = program.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stderr = stderr.replace(&folder.path().display().to_string(), "FOLDER");
    assert_eq!(stderr.trim_end(), expected, "{line}");
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert!(output.stdout.is_empty(), "{line}");
    assert_eq!(names(folder.path()), before, "{line}");
}

fn names(folder: &Path) -> Vec<String> {
    crate::program::names(folder)
}

#[test]
fn unknown_options() {
    rejects(
        "talk.flac --exprot srt",
        2,
        "error: `--exprot`: unknown option\n\
         hint: did you mean `--export`?",
    );
    rejects(
        "talk.flac --frobnicate",
        2,
        "error: `--frobnicate`: unknown option\n\
         hint: `transcribe --help` lists all options",
    );
}

#[test]
fn unknown_models() {
    rejects(
        "talk.flac --model larg-v3",
        3,
        "error: model `larg-v3`: not found: did you mean `large-v3` or `large-v1` or `large-v2`?\n\
         hint: use a size (`tiny` … `large-v3-turbo`), a hub repository (`owner/name`), or a folder with config.json and \
         model.safetensors",
    );
}

#[test]
fn unknown_languages() {
    rejects(
        "talk.flac --model demo --language germn",
        2,
        "error: language `germn`: not a language that Whisper knows\n\
         hint: did you mean `de` (german)?",
    );
}

#[test]
fn missing_files() {
    rejects(
        "tlak.flac --model demo",
        2,
        "error: `tlak.flac`: there is no such file\n\
         hint: check the path; quote it if it contains spaces",
    );
}

#[test]
fn mistyped_or_misplaced_commands() {
    rejects(
        "modles list",
        2,
        "error: `modles`: not a command or an existing file\n\
         hint: did you mean `transcribe models`?",
    );
    rejects(
        "--quiet models list",
        2,
        "error: `models`: not a command or an existing file\n\
         hint: commands come before options: `transcribe models`",
    );
    rejects(
        "models lst",
        2,
        "error: `lst`: unknown command\n\
         hint: did you mean `transcribe models list`?",
    );
}

#[test]
fn unavailable_or_unknown_devices() {
    if !cfg!(any(feature = "cuda", feature = "metal")) {
        rejects(
            "talk.flac --model demo --device cuda",
            4,
            "error: device `cuda:0`: this program was compiled for cpu only\n\
             hint: `--device cpu` works everywhere; `transcribe doctor` lists the available devices",
        );
    }
    rejects(
        "talk.flac --model demo --device gpu",
        2,
        "error: `--device gpu`: must be one of auto, cpu, cuda, cuda:N, cuda:all, metal, or several of a kind as in cuda:0,cuda:2\n\
         hint: `device`: Device to compute on: auto, cpu, cuda, cuda:N or metal; cuda:all or cuda:0,cuda:1 share the work",
    );
}

#[test]
fn invalid_numbers() {
    rejects("talk.flac --model demo --beam-size 0", 2, "error: beam size 0: must lie between 1 and 64");
    rejects(
        "talk.flac --model demo --seed x",
        2,
        "error: `--seed x`: must be a non-negative integer\n\
         hint: `seed`: Seed of the random numbers at temperatures above 0",
    );
    rejects(
        "talk.flac --model demo --offset 1:2x",
        2,
        "error: time `1:2x`: not a valid time\n\
         hint: give seconds (90.5), minutes (1:30) or hours (0:01:30.5)",
    );
}

#[test]
fn unknown_formats() {
    let formats = formats();
    rejects(
        "talk.flac --model demo --export str",
        2,
        &format!("error: `--export`: unknown format `str`\nhint: did you mean `srt`? use {formats}"),
    );
    rejects(
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
fn missing_or_invalid_values() {
    rejects(
        "talk.flac --model",
        2,
        "error: `--model`: requires a value\n\
         hint: `model`: Size (tiny, base, small, medium, large-v3, large-v3-turbo, tiny.en …, distil-large-v3 …), \
         hub repository (owner/name), file or folder of a model (safetensors, PyTorch, CTranslate2, ggml, GGUF), or demo, \
         which is built in and knows only a few words, for trying out. auto uses large-v3-turbo on a GPU and base on a CPU",
    );
    rejects(
        "talk.flac --task translat",
        2,
        "error: `--task translat`: must be one of transcribe, translate\n\
         hint: did you mean `translate`?",
    );
}

#[test]
fn conflicting_options() {
    rejects("talk.flac --quiet --verbose", 2, "error: `--quiet`: cannot be used with `--verbose`");
    rejects(
        "talk.flac --model tiny --model demo",
        2,
        "error: `--model`: cannot be used more than once\nhint: remove one of them",
    );
    rejects(
        "talk.flac --model demo --output-dir out",
        2,
        "error: `--output-dir`: has no effect without `--export`\n\
         hint: choose the formats to write, for example `--export srt,txt`",
    );
}

#[test]
fn uncached_models_without_network() {
    rejects(
        "talk.flac --model tiny --offline",
        3,
        "error: model `tiny`: not in the cache, and `--offline` forbids downloading it\n\
         hint: run once without `--offline`, or pass a file or folder with the model",
    );
}

#[test]
fn a_proxy_is_named_where_a_download_fails() {
    for (proxy, hint) in
        [(None, "check the connection, `HF_"), (Some("http://127.0.0.1:9"), "the proxy in `HTTP_PROXY`")]
    {
        let folder = folder();
        let mut program = bare();
        program
            .current_dir(folder.path())
            .args(["talk.flac", "--model", "tiny"])
            .env("HF_HOME", folder.path());
        program.envs(proxy.map(|proxy| ("HTTP_PROXY", proxy)));
        let output = program.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains("download failed") && stderr.contains(hint), "{stderr}");
    }
}

#[test]
fn errors_in_the_environment_and_the_configuration_file() {
    let folder = folder();
    rejects_in(
        &folder,
        &[("TRANSCRIBE_DEVICE", "gpu")],
        "talk.flac",
        2,
        "error: `TRANSCRIBE_DEVICE=gpu`: must be one of auto, cpu, cuda, cuda:N, cuda:all, metal, or several of a kind as in cuda:0,cuda:2\n\
         hint: `device`: Device to compute on: auto, cpu, cuda, cuda:N or metal; cuda:all or cuda:0,cuda:1 share the work",
    );
    rejects_in(
        &folder,
        &[("TRANSCRIBE_QUIET", "1")],
        "talk.flac --verbose",
        2,
        "error: `--verbose`: cannot be used with `--quiet`\n\
         hint: the environment variable `TRANSCRIBE_QUIET` sets `--quiet`",
    );
    std::fs::write(folder.path().join("transcribe.toml"), "# mine\n\nlanguag = \"de\"\n").unwrap();
    rejects_in(
        &folder,
        &[],
        "talk.flac --config transcribe.toml",
        2,
        "error: `transcribe.toml`, line 3: `languag`: unknown option\n\
         hint: did you mean `language`?",
    );
}

/// Copies the demo model with one of its weights replaced by something that is no number.
fn damaged_model(folder: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    for entry in std::fs::read_dir(&demo).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let file = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let tensor = &json["model.encoder.layer_norm.weight"];
    let first = header + tensor["data_offsets"][0].as_u64().unwrap() as usize;
    let nan: &[u8] = match tensor["dtype"].as_str().unwrap() {
        "F32" => &[0, 0, 0xc0, 0x7f],
        "F16" => &[0, 0x7e],
        other => panic!("{other}"),
    };
    bytes[first..first + nan.len()].copy_from_slice(nan);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn weights_that_are_no_numbers_are_the_models_fault() {
    let folder = folder();
    let model = tempfile::tempdir().unwrap();
    damaged_model(model.path());
    for (language, during) in [("en", "decoding"), ("auto", "language detection")] {
        let mut program = bare();
        program.current_dir(folder.path()).args(["talk.flac", "--language", language, "--model"]);
        let output = program.arg(model.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains(&format!("{during}: the model's output is not a number")), "{stderr}");
        assert!(stderr.contains("weights are damaged") && !stderr.contains("bug"), "{stderr}");
    }
}

#[test]
fn headers_of_aac_without_content_are_no_silence() {
    let folder = folder();
    // Frames of seven bytes, all of them header.
    let header = [0xff, 0xf1, 0x50, 0x80, 0x00, 0xff, 0xfc];
    std::fs::write(folder.path().join("talk.aac"), header.repeat(100_000)).unwrap();
    let mut program = bare();
    program.current_dir(folder.path()).args(["talk.aac", "--model", "demo", "--decoder", "builtin"]);
    let output = program.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no audio can be decoded: a frame of AAC without content"), "{stderr}");
}
