//! Models and memory in the real program: several models in one batch, how long they stay loaded, what happens without
//! enough memory, and the guard before each input.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{bare, fixture};

/// A folder with a manifest that uses two models in turn, and its outputs.
struct ManifestRun(TempDir);

impl ManifestRun {
    const FILES: [&'static str; 3] = ["audio/s16-16k-mono.wav", "long/short_en.flac", "long/short_es.flac"];

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A copy of the demo, which is another model to the program.
    fn second_model(&self) -> PathBuf {
        let folder = self.at("second");
        std::fs::create_dir_all(&folder).unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        for name in ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"] {
            std::fs::copy(demo.join(name), folder.join(name)).unwrap();
        }
        folder
    }

    /// Six jobs, each file with each model.
    fn manifest(&self) -> PathBuf {
        let second = self.second_model();
        let mut lines = String::new();
        for (nth, file) in Self::FILES.iter().enumerate() {
            for (model, name) in [(Path::new("demo"), "one"), (second.as_path(), "two")] {
                let outputs = json!({"srt": self.at(&format!("{name}-{nth}.srt"))});
                lines += &json!({"audio": fixture(file), "model": model, "outputs": outputs}).to_string();
                lines.push('\n');
            }
        }
        let path = self.at("jobs.jsonl");
        std::fs::write(&path, lines).unwrap();
        path
    }

    fn run(&self, line: &[&str]) -> Output {
        let manifest = self.manifest();
        let mut program = bare();
        program.arg("--manifest").arg(manifest).arg("--overwrite").args(line);
        program.arg("--report").arg(self.at("run.jsonl")).output().unwrap()
    }

    fn done(&self, line: &[&str]) -> Vec<Value> {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line:?}: {output:?}");
        self.report()
    }

    fn report(&self) -> Vec<Value> {
        let report = std::fs::read_to_string(self.at("run.jsonl")).unwrap();
        report.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn texts(&self) -> Vec<String> {
        let names = ["one", "two"].iter().flat_map(|name| (0..3).map(move |nth| format!("{name}-{nth}.srt")));
        names.map(|name| std::fs::read_to_string(self.at(&name)).unwrap()).collect()
    }
}

fn count(report: &[Value], event: &str) -> usize {
    report.iter().filter(|line| line["event"] == event).count()
}

/// Hits, misses, evictions.
fn cache(report: &[Value]) -> [u64; 3] {
    let cache = &report.last().unwrap()["cache"];
    ["hits", "misses", "evictions"].map(|name| cache[name].as_u64().unwrap())
}

#[test]
fn models_of_a_manifest_are_loaded_once_and_stay_warm() {
    let batch = ManifestRun::new();
    let report = batch.done(&[]);
    assert_eq!(cache(&report), [4, 2, 0]);
    assert_eq!((count(&report, "model_loaded"), count(&report, "model_unloaded")), (2, 2));
    // Both stay loaded until the end.
    let first_gone = report.iter().position(|line| line["event"] == "model_unloaded").unwrap();
    let last_done = report.iter().rposition(|line| line["event"] == "file_done").unwrap();
    assert!(last_done < first_gone);
    let texts = batch.texts();
    assert!(texts.iter().all(|text| text.contains("-->")));
    assert_eq!(texts[..3], texts[3..]);

    // The outputs do not depend on how models are kept.
    let report = batch.done(&["--max-models", "1"]);
    assert_eq!(cache(&report), [4, 2, 1]);
    assert_eq!(batch.texts(), texts);
    let report = batch.done(&["--eager-release", "--jobs", "1"]);
    let [hits, misses, evictions] = cache(&report);
    assert_eq!((hits, misses, evictions), (0, 6, 0));
    assert_eq!(count(&report, "model_unloaded"), 6);
    assert_eq!(batch.texts(), texts);
}

#[test]
fn max_models_1_keeps_one_model_loaded() {
    let batch = ManifestRun::new();
    let mut loaded = 0;
    for line in batch.done(&["--max-models", "1", "--jobs", "4"]) {
        match line["event"].as_str().unwrap() {
            "model_loaded" => loaded += 1,
            "model_unloaded" => loaded -= 1,
            _ => {}
        }
        // Unloading is reported a little late.
        assert!((0..=2).contains(&loaded), "{line}");
    }
    assert_eq!(loaded, 0);
}

#[test]
fn a_damaged_model_fails_only_its_own_inputs() {
    let batch = ManifestRun::new();
    batch.manifest();
    // All files exist; the mismatch shows when the model is loaded.
    let config = std::fs::read_to_string(batch.at("second/config.json")).unwrap();
    std::fs::write(
        batch.at("second/config.json"),
        config.replace("\"encoder_layers\": 3", "\"encoder_layers\": 4"),
    )
    .unwrap();
    let mut program = bare();
    program.arg("--manifest").arg(batch.at("jobs.jsonl")).arg("--report").arg(batch.at("run.jsonl"));
    let output = program.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = batch.report();
    assert_eq!((count(&report, "file_done"), count(&report, "file_failed")), (3, 3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("model.encoder.layers.3"), "{said}");
}

#[test]
fn too_little_memory_reduces_the_batch_then_exits_with_5() {
    let folder = tempfile::tempdir().unwrap();
    let audio = fixture("long/long_en.flac");
    let run = |memory: &str, windows: &str| {
        let mut program = bare();
        program.arg(&audio).args([
            "--model",
            "demo",
            "--export",
            "srt",
            "--overwrite",
            "--batch-size",
            windows,
        ]);
        program.args(["--max-memory", memory]).arg("--output-dir").arg(folder.path()).output().unwrap()
    };
    let whole = run("10GB", "8");
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let text = std::fs::read(folder.path().join("long_en.srt")).unwrap();

    let less = run("60MB", "64");
    let said = String::from_utf8(less.stderr).unwrap();
    assert_eq!(less.status.code(), Some(0), "{said}");
    assert!(said.contains("memory is short: decoding 32 windows at a time from now on"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("long_en.srt")).unwrap(), text);

    let none = run("5MB", "8");
    let said = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(5), "{said}");
    assert!(said.contains("it needs") && said.contains("of 5 MB available"), "{said}");
    assert!(said.contains("hint: use a smaller `--model`"), "{said}");
}

#[test]
fn the_guard_fails_each_input_that_lacks_resources() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &[&str]| {
        let mut program = bare();
        program.args(["--model", "demo", "--guard-timeout", "300ms"]).args(line);
        program.arg(fixture("long/short_en.flac")).arg(fixture("audio/s16-16k-mono.wav"));
        let output = program.current_dir(folder.path()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text, said) = run(&["--min-free-memory", "1000TB"]);
    assert_eq!((code, text.as_str()), (Some(5), ""), "{said}");
    let errors = said.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.filter(|line| line.contains("not started: only")).count(), 2, "{said}");
    assert!(said.contains("waiting: only") && said.contains("--min-free-memory"), "{said}");

    let (code, _, said) = run(&["--min-free-disk", "1000TB", "--export", "srt", "--output-dir", "out"]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("of disk at `out`") && said.contains("--min-free-disk"), "{said}");

    // The short input is done.
    let (code, text, said) = run(&["--max-file-size", "60kB"]);
    assert_eq!(code, Some(1), "{said}");
    let errors = said.lines().filter(|line| line.starts_with("error: "));
    assert!(
        !text.is_empty() && errors.filter(|line| line.contains("more than the limit of")).count() == 1,
        "{said}"
    );
    assert!(said.contains("hint: raise `--max-file-size`"), "{said}");
}

#[test]
fn an_engine_that_panics_fails_its_input_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = bare();
    program.env("TRANSCRIBE_TEST_AT", "panic admit 1");
    program.args(["--model", "demo", "--jobs", "1", "--export", "srt", "--output-dir"]).arg(folder.path());
    let output = program.args(["long/short_en.flac", "long/short_es.flac"].map(fixture)).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("its thread has ended"), "{said}");
    assert!(!folder.path().join("short_en.srt").exists() && folder.path().join("short_es.srt").is_file());
}
