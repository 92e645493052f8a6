//! Downloads from a hub: requests, the cache, and failures of the connection or the server.

pub mod server;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use predicates::prelude::*;
use tempfile::TempDir;
use transcribe::cancel::{CancelReason, CancelToken};
use transcribe::error::{Error, ModelProblem, Result};
use transcribe::models::checkpoint::{Checkpoint, CheckpointFiles};
use transcribe::models::hub::{DownloadLimits, DownloadProgress, Hub};
use transcribe::models::source;

use self::server::{COMMIT, Manner, Plan, Server};
use crate::program::download_notice;

const REPOSITORY: &str = "openai/whisper-tiny";

/// A cache folder and the hub that it is filled from.
struct TestHub {
    _cache: TempDir,
    hub: Hub,
}

impl TestHub {
    fn new(endpoint: &str) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("hub");
        Self {
            _cache: cache,
            hub: Hub {
                endpoint: endpoint.into(),
                cache: path,
                token: None,
                offline: false,
                others: None,
                limits: DownloadLimits::default(),
            },
        }
    }

    fn find(&self, model: &str) -> Result<Checkpoint> {
        source::find(model, None, &self.hub, &CancelToken::new(), &mut |_| {})
    }

    fn problem(&self, model: &str) -> ModelProblem {
        match self.find(model) {
            Err(Error::Model { why, .. }) => why,
            other => panic!("expected a problem of the model, got {other:?}"),
        }
    }

    fn repository(&self) -> PathBuf {
        self.hub.cache.join("models--openai--whisper-tiny")
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.repository().join("blobs")).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    /// Returns the files of unfinished downloads.
    fn unfinished(&self) -> Vec<PathBuf> {
        self.blobs().into_iter().filter(|blob| blob.extension().is_some_and(|e| e == "incomplete")).collect()
    }
}

fn demo(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(file)).unwrap()
}

fn assert_is_demo(checkpoint: &Checkpoint) {
    assert_eq!(checkpoint.identity, format!("{REPOSITORY}@{COMMIT}"));
    let CheckpointFiles::Folder { config, tokenizer, weights, .. } = &checkpoint.files else {
        panic!("not in a folder")
    };
    assert!(std::fs::read(config).unwrap() == demo("config.json"));
    assert!(checkpoint.generation_config().unwrap().unwrap() == demo("generation_config.json"));
    assert!(std::fs::read(tokenizer).unwrap() == demo("tokenizer.json"));
    assert_eq!(weights.len(), 1);
    assert!(std::fs::read(&weights[0]).unwrap() == demo("model.safetensors"));
}

#[test]
fn a_cached_model_needs_no_network() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let mut client = TestHub::new(&server.endpoint());
    let mut steps: Vec<(String, u64, u64)> = Vec::new();
    let mut record = |step: DownloadProgress<'_>| steps.push((step.file.to_owned(), step.done, step.total));
    let found = source::find("tiny", None, &client.hub, &CancelToken::new(), &mut record).unwrap();
    assert_is_demo(&found);

    let size = demo("model.safetensors").len() as u64;
    let weights: Vec<u64> =
        steps.iter().filter(|step| step.0 == "model.safetensors").map(|step| step.1).collect();
    assert!(weights.is_sorted() && weights.len() > 10);
    assert_eq!((weights.first(), weights.last()), (Some(&0), Some(&size)));
    let needed = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|r| r.path.starts_with("/store/") || needed.iter().any(|file| r.path.ends_with(file)))
    );
    // Other clients of the hub look for it there.
    let pointer = client.repository().join("snapshots").join(COMMIT).join("model.safetensors");
    assert!(pointer.is_file());
    assert_eq!(std::fs::read_to_string(client.repository().join("refs/main")).unwrap(), COMMIT);
    assert!(client.unfinished().is_empty());

    drop(server);
    assert_is_demo(&client.find("tiny").unwrap());
    assert_is_demo(&client.find(REPOSITORY).unwrap());
    client.hub.offline = true;
    assert_is_demo(&client.find("tiny").unwrap());
    assert!(matches!(client.problem("base"), ModelProblem::Offline));
}

#[test]
fn resumes_after_a_dropped_connection() {
    let server = Server::start(Plan { cuts: AtomicUsize::new(1), ..Plan::demo(REPOSITORY) });
    let client = TestHub::new(&server.endpoint());
    assert_is_demo(&client.find("tiny").unwrap());
    let ranges: Vec<_> = server.transfers().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={}-", demo("model.safetensors").len() / 2))]);
}

#[test]
fn resumes_the_download_of_a_failed_run() {
    let mut client = TestHub::new("");
    {
        let server = Server::start(Plan { cuts: AtomicUsize::new(usize::MAX), ..Plan::demo(REPOSITORY) });
        client.hub.endpoint = server.endpoint();
        // Each transfer sends half of the rest, so that later steps are too small to reset the number of attempts.
        assert!(matches!(client.problem("tiny"), ModelProblem::Download(_)));
    }
    let left = client.unfinished();
    let length = left[0].metadata().unwrap().len();
    assert!(left.len() == 1 && length > 0, "{left:?}");
    assert!(!client.repository().join("refs/main").exists());

    let server = Server::start(Plan::demo(REPOSITORY));
    client.hub.endpoint = server.endpoint();
    assert_is_demo(&client.find("tiny").unwrap());
    let ranges: Vec<_> = server.transfers().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [Some(format!("bytes={length}-"))]);
    assert!(client.unfinished().is_empty());
}

#[test]
fn restarts_if_the_server_ignores_ranges() {
    let server =
        Server::start(Plan { cuts: AtomicUsize::new(1), ignores_ranges: true, ..Plan::demo(REPOSITORY) });
    let client = TestHub::new(&server.endpoint());
    assert_is_demo(&client.find("tiny").unwrap());
    assert_eq!(server.transfers().len(), 2);
}

#[test]
fn reports_a_wrong_checksum_and_deletes_the_file() {
    for file in ["model.safetensors", "tokenizer.json"] {
        let server = Server::start(Plan::demo(REPOSITORY).corrupt(file));
        let mut client = TestHub::new(&server.endpoint());
        match client.problem("tiny") {
            ModelProblem::Damaged { file: named, why } => {
                assert_eq!(named, file);
                assert!(why.contains("checksum"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        assert!(client.unfinished().is_empty());
        assert!(!client.repository().join("snapshots").join(COMMIT).join(file).exists());
        client.hub.offline = true;
        assert!(matches!(client.problem("tiny"), ModelProblem::Offline));
    }
}

#[test]
fn restarts_after_a_wrong_partial_file() {
    let server = Server::start(Plan { cuts: AtomicUsize::new(usize::MAX), ..Plan::demo(REPOSITORY) });
    let mut client = TestHub::new(&server.endpoint());
    assert!(matches!(client.problem("tiny"), ModelProblem::Download(_)));
    let left = client.unfinished().remove(0);
    std::fs::write(&left, vec![7; 1000]).unwrap();
    drop(server);

    let server = Server::start(Plan::demo(REPOSITORY));
    client.hub.endpoint = server.endpoint();
    assert_is_demo(&client.find("tiny").unwrap());
    assert_eq!(server.transfers().len(), 2);
}

#[test]
fn detects_a_truncated_cached_file() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let client = TestHub::new(&server.endpoint());
    client.find("tiny").unwrap();
    let pointer = client.repository().join("snapshots").join(COMMIT).join("model.safetensors");
    let blob = pointer.canonicalize().unwrap();
    let bytes = demo("model.safetensors");
    std::fs::write(&blob, &bytes[..bytes.len() - 1]).unwrap();
    let problem = client.problem("tiny");
    assert!(
        matches!(&problem, ModelProblem::Damaged { why, .. } if why.contains("bytes instead of")),
        "{problem:?}"
    );
    // Follows the hint.
    std::fs::remove_file(&pointer).unwrap();
    assert_is_demo(&client.find("tiny").unwrap());
}

#[test]
fn reports_refused_requests_with_a_hint() {
    let server = Server::start(Plan { token: Some("secret".into()), ..Plan::demo(REPOSITORY) });
    let mut client = TestHub::new(&server.endpoint());
    let error = client.find("tiny").unwrap_err();
    assert!(matches!(&error, Error::Model { why: ModelProblem::NoAccess { gated: false }, .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("HF_TOKEN"));

    client.hub.token = Some("secret".into());
    assert_is_demo(&client.find("tiny").unwrap());
    // The token is sent to the hub, not to the store that it redirects to.
    assert!(server.transfers().iter().all(|request| request.authorization.is_none()));
    assert!(matches!(client.problem("someone/nothing"), ModelProblem::NotFound(Some(_))));
    let problem =
        source::find("tiny", Some("v9"), &client.hub, &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert!(problem.to_string().contains("no such revision"), "{problem}");
}

#[test]
fn downloads_a_commit() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let client = TestHub::new(&server.endpoint());
    let find = || source::find("tiny", Some(COMMIT), &client.hub, &CancelToken::new(), &mut |_| {});
    assert_is_demo(&find().unwrap());
    assert!(!client.repository().join("refs").exists());
    drop(server);
    assert_is_demo(&find().unwrap());
}

#[test]
fn downloads_sharded_weights() {
    let shard = |name: &str, value: f32| {
        let bytes: Vec<u8> = [value; 4].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![4], &bytes).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    };
    let index = br#"{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors"}}"#;
    let plan = Plan::new(REPOSITORY)
        .small("config.json", demo("config.json"))
        .small("tokenizer.json", demo("tokenizer.json"))
        .small("model.safetensors.index.json", index.to_vec())
        .large("model-00001-of-00002.safetensors", shard("a", 1.0))
        .large("model-00002-of-00002.safetensors", shard("b", 2.0));
    let server = Server::start(plan);
    let client = TestHub::new(&server.endpoint());
    for again in [false, true] {
        let found = client.find("tiny").unwrap();
        assert!(found.generation_config().unwrap().is_none());
        let CheckpointFiles::Folder { weights, .. } = &found.files else { panic!("not in a folder") };
        let names: Vec<_> = weights.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
        assert_eq!(std::fs::read(&weights[1]).unwrap(), shard("b", 2.0));
        // The absence of generation_config.json is cached, too.
        assert_eq!(server.transfers().len(), 2, "again: {again}");
    }
}

#[test]
fn rejects_another_kind_of_model_before_its_weights() {
    let plan = Plan::demo("someone/bert").small("config.json", br#"{"model_type": "bert"}"#.to_vec());
    let server = Server::start(plan);
    let client = TestHub::new(&server.endpoint());
    let problem = client.problem("someone/bert");
    assert!(matches!(&problem, ModelProblem::NotWhisper { why } if why.contains("bert")), "{problem:?}");
    assert!(server.transfers().is_empty());
}

#[test]
fn cancels_and_resumes_a_download() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let client = TestHub::new(&server.endpoint());
    let cancel = CancelToken::new();
    let mut stop = |step: DownloadProgress<'_>| {
        if step.file == "model.safetensors" && step.done > 0 {
            cancel.cancel(CancelReason::Interrupt);
        }
    };
    let error = source::find("tiny", None, &client.hub, &cancel, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled(CancelReason::Interrupt)));
    assert_eq!(client.unfinished().len(), 1);
    assert_is_demo(&client.find("tiny").unwrap());
    assert!(server.transfers()[1].range.is_some());
}

/// Returns what goes wrong with a server of this manner and limits that it cannot keep.
fn problem_with(manner: Manner) -> (ModelProblem, Vec<String>) {
    let server = Server::start(Plan { manner, ..Plan::demo(REPOSITORY) });
    let mut client = TestHub::new(&server.endpoint());
    let limit = |slow| if manner == slow { Duration::from_millis(50) } else { Duration::from_secs(600) };
    client.hub.limits = DownloadLimits {
        period: limit(Manner::SlowContent),
        bytes: 1 << 30,
        response: limit(Manner::SlowHeaders),
        pause: Duration::from_millis(1),
        small_file: 1 << 20,
    };
    let problem = client.problem("tiny");
    let methods = server.requests().into_iter().map(|request| request.method).collect();
    assert!(client.repository().join("refs/main").symlink_metadata().is_err());
    (problem, methods)
}

/// With other limits these downloads would succeed, after seconds.
#[test]
fn a_server_that_sends_a_byte_now_and_then_is_given_up() {
    let (problem, methods) = problem_with(Manner::SlowContent);
    let ModelProblem::Download(cause) = &problem else { panic!("{problem:?}") };
    assert!(cause.to_string().contains("config.json: the server is too slow: "), "{cause}");
    assert_eq!(methods, ["HEAD", "GET", "GET", "GET", "GET"]);
    let (problem, methods) = problem_with(Manner::SlowHeaders);
    let ModelProblem::Download(cause) = &problem else { panic!("{problem:?}") };
    assert!(cause.to_string().contains("timeout"), "{cause}");
    assert_eq!(methods, ["HEAD"; 4]);
}

#[test]
fn a_small_file_that_never_ends_is_not_read() {
    let (problem, methods) = problem_with(Manner::Huge);
    assert!(
        matches!(&problem, ModelProblem::TooLarge { file, limit: 1_048_576 } if file == "config.json"),
        "{problem:?}"
    );
    assert_eq!(methods, ["HEAD"]);
    // More than it has announced.
    let (problem, methods) = problem_with(Manner::Endless);
    assert!(
        matches!(&problem, ModelProblem::Damaged { why, .. } if why.ends_with("; the download was deleted")),
        "{problem:?}"
    );
    assert_eq!(methods, ["HEAD", "GET"]);
}

#[test]
fn a_huge_small_file_exits_with_3_and_says_what_to_check() {
    let server = Server::start(Plan { manner: Manner::Huge, ..Plan::demo(REPOSITORY) });
    let cache = tempfile::tempdir().unwrap();
    let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("transcribe"));
    program.env_clear().env("HF_HOME", cache.path()).env("HF_ENDPOINT", server.endpoint());
    program.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/short_en.flac"));
    let told = predicate::str::contains(
        "error: model `tiny`: `config.json` has more than 67108864 bytes, the limit for such a file\n\
         hint: no published model has such a file: check the name of the model and `HF_ENDPOINT`\n",
    );
    program.args(["--model", "tiny"]).assert().code(3).stdout("").stderr(told);
}

#[test]
fn without_a_network_exits_with_3_and_names_no_substitute() {
    let cache = tempfile::tempdir().unwrap();
    let program = || {
        let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("transcribe"));
        program.env_clear().env("HF_HOME", cache.path()).env("HF_ENDPOINT", "http://127.0.0.1:1");
        // The input is checked first.
        program.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).args(["--model", "tiny"]);
        program
    };
    let online = predicate::str::contains("error: model `tiny`: download failed")
        .and(predicate::str::contains("127.0.0.1:1"))
        .and(predicate::str::contains("demo").not());
    program().assert().code(3).stdout("").stderr(online);
    let offline = || predicate::str::contains("--offline").and(predicate::str::contains("demo").not());
    program().arg("--offline").assert().code(3).stdout("").stderr(offline());
    program().env("HF_HUB_OFFLINE", "1").assert().code(3).stdout("").stderr(offline());
}

/// Returns the folder of the hub's cache if a variable of the environment is set to the given folder.
fn hub_cache(variable: &str, folder: &Path) -> PathBuf {
    if variable == "HF_HOME" { folder.join("hub") } else { folder.to_owned() }
}

#[test]
fn reads_the_hub_and_the_cache_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Plan { token: Some("secret".into()), ..Plan::demo(REPOSITORY) });
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/short_en.flac");
    let transcribe = |model: &str, variable: &str, cache: &Path| {
        let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("transcribe"));
        program
            .env_clear()
            .env("HF_HOME", folder.path())
            .env(variable, cache)
            .env("TRANSCRIBE_DEVICE", "cpu");
        program.env("HF_ENDPOINT", server.endpoint()).arg(&speech).args(["--model", model]);
        let assert = program.assert().code(0);
        let output = assert.get_output();
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        match model {
            "demo" => assert_eq!(said, crate::program::DEMO_WARNING),
            _ => assert_eq!(said, download_notice(model, &server.endpoint(), &hub_cache(variable, cache))),
        }
        output.stdout.clone()
    };
    let demo = transcribe("demo", "HF_HUB_CACHE", folder.path());
    assert!(!demo.is_empty() && server.requests().is_empty());
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"] {
        let cache = folder.path().join(variable);
        if variable == "HF_HOME" {
            std::fs::create_dir(&cache).unwrap();
            std::fs::write(cache.join("token"), "secret").unwrap();
        }
        assert_eq!(transcribe("tiny", variable, &cache), demo, "{variable}");
        let snapshot =
            hub_cache(variable, &cache).join("models--openai--whisper-tiny/snapshots").join(COMMIT);
        assert!(snapshot.join("model.safetensors").is_file(), "{variable}");
    }
}
