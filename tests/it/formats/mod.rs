//! Models in the formats of other programs: the same text, damaged files, and where they are found.

pub mod write;

use std::path::{Path, PathBuf};
use std::process::Command;

use allocation_counter::measure;
use assert_cmd::assert::{Assert, OutputAssertExt};
use candle_core::DType;
use candle_core::quantized::GgmlDType;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use tempfile::TempDir;
use transcribe::cancel::CancelToken;
use transcribe::error::Error;
use transcribe::models::checkpoint::CheckpointFiles;
use transcribe::models::hub::Hub;
use transcribe::models::source;

use self::write::{Naming, Network, Numbers, ct2, ggml, gguf, pytorch};
use crate::hub::server::{COMMIT, Plan, Server};
use crate::program::{bare, fixture};

fn transcribe(model: &Path) -> Command {
    let mut program = bare();
    program.arg(fixture("long/short_en.flac")).arg("--model").arg(model).arg("--offline");
    program
}

fn text(model: &Path) -> String {
    let done = transcribe(model).assert().code(0);
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

fn demo_folder() -> PathBuf {
    fixture("../models/demo")
}

/// Writes the demo in a folder, without the vocabulary if the format has it; returns the path to pass.
fn in_folder(folder: &TempDir, file: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(file);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_format_gives_the_text_of_the_same_weights() {
    let (demo, expected) = (Network::demo(), text(&demo_folder()));
    assert!(expected.len() > 20);
    let files = [
        ("openai", pytorch(&demo, Naming::OpenAi)),
        ("pytorch", pytorch(&demo, Naming::HuggingFace)),
        ("ggml f32", ggml(&demo, Numbers::F32)),
        ("ggml f16", ggml(&demo, Numbers::F16)),
        ("ct2 f32", ct2(&demo, Numbers::F32)),
        ("ct2 f16", ct2(&demo, Numbers::F16)),
        ("gguf openai", gguf(&demo, Naming::OpenAi, Numbers::F16, true)),
        ("gguf Hugging Face", gguf(&demo, Naming::HuggingFace, Numbers::F32, false)),
        ("gguf short", gguf(&demo, Naming::Short, Numbers::F16, true)),
        // Near enough to the weights for these words.
        ("ggml q8_0", ggml(&demo, Numbers::Blocks(GgmlDType::Q8_0))),
        ("ct2 int8", ct2(&demo, Numbers::Int8)),
        ("gguf q8_0", gguf(&demo, Naming::Short, Numbers::Blocks(GgmlDType::Q8_0), true)),
    ];
    for (name, bytes) in files {
        let folder = tempfile::tempdir().unwrap();
        // The name of the file says nothing.
        let path = in_folder(&folder, "weights", &bytes);
        assert_eq!(text(&path), expected, "{name}");
        assert_eq!(text(folder.path()), expected, "{name}, by its folder");
    }
}

#[test]
fn reads_every_kind_of_block() {
    let demo = Network::demo();
    for kind in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q5_1] {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(&folder, "ggml-demo.bin", &ggml(&demo, Numbers::Blocks(kind)));
        assert!(text(&path).len() > 20, "{kind:?}");
    }
}

#[test]
fn takes_configuration_and_vocabulary_from_beside_the_weights() {
    let (demo, expected) = (Network::demo(), text(&demo_folder()));
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "generation_config.json"] {
        std::fs::copy(demo_folder().join(file), folder.path().join(file)).unwrap();
    }
    let whole = pytorch(&demo, Naming::HuggingFace);
    std::fs::write(folder.path().join("training_args.bin"), &whole[..1000]).unwrap();
    let path = in_folder(&folder, "pytorch_model.bin", &whole);
    assert_eq!(text(folder.path()), expected);

    // In two shards.
    std::fs::remove_file(path).unwrap();
    let mut index = serde_json::Map::new();
    for (shard, odd) in ["a.bin", "b.bin"].iter().zip([0, 1]) {
        let part: Vec<_> =
            demo.tensors.iter().enumerate().filter(|(i, _)| i % 2 == odd).map(|(_, t)| t.clone()).collect();
        part.iter().for_each(|(name, ..)| drop(index.insert(format!("model.{name}"), (*shard).into())));
        let part = Network { heads: 2, tensors: part, tokens: Vec::new() };
        std::fs::write(folder.path().join(shard), pytorch(&part, Naming::HuggingFace)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": index });
    std::fs::write(folder.path().join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    assert_eq!(text(folder.path()), expected);

    // CTranslate2's own list of tokens.
    let folder = tempfile::tempdir().unwrap();
    let mut tokens: Vec<String> = demo.tokens.iter().map(|token| write::spelled(token)).collect();
    tokens.push("<|endoftext|>".into());
    std::fs::write(folder.path().join("vocabulary.txt"), tokens.join("\n")).unwrap();
    in_folder(&folder, "model.bin", &ct2(&demo, Numbers::F16));
    assert_eq!(text(folder.path()), expected);
    std::fs::write(folder.path().join("vocabulary.json"), serde_json::to_string(&tokens).unwrap()).unwrap();
    std::fs::remove_file(folder.path().join("vocabulary.txt")).unwrap();
    assert_eq!(text(folder.path()), expected);
}

#[test]
fn shows_and_plans_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = in_folder(&folder, "ggml-demo.bin", &ggml(&Network::demo(), Numbers::Blocks(GgmlDType::Q8_0)));
    let shown = bare().args(["models", "show"]).arg(&path).assert().code(0);
    let types = contains("whisper.cpp ggml").and(contains("in q8_0")).and(contains("3 layers, 2 heads"));
    shown.stdout(types.and(contains("99: en zh")).and(contains("51865 tokens")));
    let planned = transcribe(&path).arg("--dry-run").assert().code(0);
    planned.stdout(contains("file@").and(contains("windows at a time"))).stderr(is_empty());
    let verified = bare().args(["models", "verify"]).arg(&path).assert().code(3);
    let reason = "cannot be verified: there is no checksum for `ggml-demo.bin`";
    verified.stdout(contains("ggml-demo.bin: complete")).stderr(contains(reason));
}

fn refused(model: &Path) -> Assert {
    transcribe(model).assert().code(3).stdout(is_empty()).stderr(contains("hint: "))
}

#[test]
fn refuses_damaged_and_foreign_files_with_the_reason() {
    let demo = Network::demo();
    let files = [
        ("demo.pt", pytorch(&demo, Naming::OpenAi)),
        ("ggml-demo.bin", ggml(&demo, Numbers::F16)),
        ("model.bin", ct2(&demo, Numbers::F16)),
        ("demo.gguf", gguf(&demo, Naming::OpenAi, Numbers::F16, true)),
    ];
    for (name, bytes) in files {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(&folder, name, &bytes[..bytes.len() / 2]);
        refused(&path).stderr(contains(name).and(contains("is damaged")));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = in_folder(&folder, "noise", b"neither one nor the other");
    refused(&path).stderr(contains("noise").and(contains("none of the formats")));
    refused(&in_folder(&folder, "empty", b"")).stderr(contains("none of the formats"));
    let other = ct2(&demo, Numbers::F16);
    let other = [&other[..6], b"LlamaSpecXX", &other[17..]].concat();
    refused(&in_folder(&folder, "llama", &other)).stderr(contains("none of the formats"));
    let mut llama = gguf(&Network::smallest(), Naming::OpenAi, Numbers::F32, false);
    let at = llama.windows(7).position(|window| window == b"whisper").unwrap();
    llama[at..at + 7].copy_from_slice(b"llama-3");
    refused(&in_folder(&folder, "llama.gguf", &llama)).stderr(contains("`llama-3`"));
    // A folder with several must not be guessed at.
    let folder = tempfile::tempdir().unwrap();
    for name in ["ggml-a.bin", "ggml-b.bin"] {
        in_folder(&folder, name, &ggml(&Network::smallest(), Numbers::F32));
    }
    refused(folder.path()).stderr(contains("`ggml-a.bin`, `ggml-b.bin`"));
}

/// Opens a file and reads all its tensors; both may fail, but neither may panic or take much more than the file.
fn open(path: &Path, length: usize) -> bool {
    let mut opened = false;
    let taken = measure(|| {
        match source::find(path.to_str().unwrap(), None, &offline(), &CancelToken::new(), &mut |_| {}) {
            Ok(found) => {
                let CheckpointFiles::Foreign(model) = &found.files else { panic!("not of another program") };
                opened = true;
                let weights = model.weights(DType::F32).unwrap();
                for (name, ..) in Network::smallest().tensors {
                    // The shapes are those of the file.
                    let _ = weights.get_unchecked(&name);
                }
            }
            Err(Error::Model { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    });
    assert!(taken.bytes_max < 40 * length as u64 + (1 << 20), "{} bytes for {length}", taken.bytes_max);
    opened
}

fn offline() -> Hub {
    Hub { offline: true, others: None, ..Hub::from_env(true) }
}

#[test]
fn no_damage_makes_it_panic_or_take_memory() {
    let smallest = Network::smallest();
    let files = [
        ("pt", pytorch(&smallest, Naming::OpenAi)),
        ("ggml", ggml(&smallest, Numbers::F16)),
        ("ct2", ct2(&smallest, Numbers::Int8)),
        ("gguf", gguf(&smallest, Naming::Short, Numbers::F16, true)),
    ];
    for (name, bytes) in files {
        let folder = tempfile::tempdir().unwrap();
        let path = in_folder(&folder, name, &bytes);
        assert!(open(&path, bytes.len()), "{name}");
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(!open(&path, bytes.len()), "{name} with {length} of {} bytes", bytes.len());
        }
        for at in 0..bytes.len() {
            for value in [0xFF, bytes[at] ^ 1] {
                let mut changed = bytes.clone();
                changed[at] = value;
                std::fs::write(&path, &changed).unwrap();
                open(&path, bytes.len());
            }
        }
    }
}

/// A home folder with the caches of other programs.
struct Home(TempDir);

impl Home {
    fn with(path: &str, bytes: &[u8]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.add(path, bytes);
        home
    }

    fn add(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn program(&self, model: &str) -> Command {
        let mut program = transcribe(Path::new(model));
        program.env("HOME", self.0.path()).env("HF_HOME", self.0.path().join("huggingface"));
        program
    }
}

#[test]
fn uses_what_other_programs_have_downloaded() {
    let (demo, expected) = (Network::demo(), text(&demo_folder()));
    let snapshot = format!("huggingface/hub/models--Systran--faster-whisper-tiny/snapshots/{COMMIT}");
    let caches = [
        (".cache/whisper/tiny.pt".to_owned(), "openai-whisper", pytorch(&demo, Naming::OpenAi)),
        (".cache/whisper.cpp/ggml-tiny.bin".into(), "whisper.cpp", ggml(&demo, Numbers::F16)),
        (".local/share/pywhispercpp/models/ggml-tiny.bin".into(), "whisper.cpp", ggml(&demo, Numbers::F16)),
        (format!("{snapshot}/model.bin"), "faster-whisper", ct2(&demo, Numbers::F16)),
    ];
    for (path, program, bytes) in caches {
        if cfg!(target_os = "macos") && path.starts_with(".local") {
            continue;
        }
        let home = Home::with(&path, &bytes);
        if program == "faster-whisper" {
            home.add("huggingface/hub/models--Systran--faster-whisper-tiny/refs/main", COMMIT.as_bytes());
            let config = br#"{"alignment_heads": [[1, 0], [1, 1]], "suppress_ids": [], "lang_ids": []}"#;
            home.add(&format!("{snapshot}/config.json"), config);
            home.add(
                &format!("{snapshot}/tokenizer.json"),
                &std::fs::read(demo_folder().join("tokenizer.json")).unwrap(),
            );
        }
        let said =
            contains(format!("downloaded by {program}")).and(contains(path.rsplit('/').next().unwrap()));
        home.program("tiny").assert().code(0).stdout(expected.clone()).stderr(said);
        home.program("tiny").arg("--dry-run").assert().code(0).stdout(contains(format!("of {program}")));
        home.program("base").assert().code(3).stderr(contains("--offline"));
        home.program("tiny").args(["--revision", "main"]).assert().code(3);
        let mut list = bare();
        list.env("HOME", home.0.path())
            .env("HF_HOME", home.0.path().join("huggingface"))
            .args(["models", "list"]);
        list.assert().code(0).stdout(contains("tiny"));
    }
    // A damaged one is named; nothing else could be used.
    let home = Home::with(".cache/whisper/tiny.pt", &pytorch(&demo, Naming::OpenAi)[..4000]);
    home.program("tiny").assert().code(3).stderr(contains("tiny.pt` is damaged"));
}

#[test]
fn downloads_repositories_of_ctranslate2_and_pytorch() {
    let (demo, expected) = (Network::demo(), text(&demo_folder()));
    let json = |file: &str| std::fs::read(demo_folder().join(file)).unwrap();
    let config = br#"{"alignment_heads": [[1, 0], [1, 1]], "suppress_ids": [], "lang_ids": []}"#;
    let plans = [
        Plan::new("Systran/faster-whisper-tiny")
            .small("config.json", config.to_vec())
            .small("tokenizer.json", json("tokenizer.json"))
            .small("vocabulary.txt", b"a\nb".to_vec())
            .large("model.bin", ct2(&demo, Numbers::F16)),
        Plan::new("someone/fine-tune")
            .small("config.json", json("config.json"))
            .small("tokenizer.json", json("tokenizer.json"))
            .large("pytorch_model.bin", pytorch(&demo, Naming::HuggingFace)),
    ];
    for plan in plans {
        let (repository, server) = (plan.repository.clone(), Server::start(plan));
        let home = tempfile::tempdir().unwrap();
        let program = |arguments: &[&str]| {
            let mut program = bare();
            program.env("HF_HOME", home.path()).env("HF_ENDPOINT", server.endpoint()).args(arguments);
            program.assert().code(0)
        };
        program(&["models", "pull", &repository]).stdout(contains(format!("{repository}@{COMMIT}")));
        program(&["models", "list"]).stdout(contains("ready"));
        program(&["models", "verify"]).stdout(contains("ok (SHA-256 checksum)"));
        let requests = server.requests().len();
        let input = fixture("long/short_en.flac");
        program(&[input.to_str().unwrap(), "--model", &repository]).stdout(expected.clone());
        assert_eq!(server.requests().len(), requests, "the cache is complete");
    }
}
