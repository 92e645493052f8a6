//! Getting models from a hub: what is asked, what is kept, and what a bad line or a bad server does to it.

pub mod server;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;

use predicates::prelude::*;
use tempfile::TempDir;
use transcribe::cancel::{CancelReason, CancelToken};
use transcribe::error::{Error, ModelProblem, Result};
use transcribe::models::checkpoint::{Checkpoint, CheckpointFiles};
use transcribe::models::hub::DownloadProgress;
use transcribe::models::hub::Hub;
use transcribe::models::source;

use self::server::{COMMIT, Plan, Server};

const REPOSITORY: &str = "openai/whisper-tiny";

/// A cache of its own and whatever hub it is pointed at.
struct Person {
    _cache: TempDir,
    hub: Hub,
}

impl Person {
    fn new(endpoint: &str) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("hub");
        Self {
            _cache: cache,
            hub: Hub { endpoint: endpoint.into(), cache: path, token: None, offline: false },
        }
    }

    fn find(&self, model: &str) -> Result<Checkpoint> {
        source::find(model, None, &self.hub, &CancelToken::new(), &mut |_| {})
    }

    fn fault(&self, model: &str) -> ModelProblem {
        match self.find(model) {
            Err(Error::Model { why, .. }) => why,
            other => panic!("expected a fault of the model, got {other:?}"),
        }
    }

    fn repository(&self) -> PathBuf {
        self.hub.cache.join("models--openai--whisper-tiny")
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.repository().join("blobs")).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    /// What is there of an unfinished download.
    fn unfinished(&self) -> Vec<PathBuf> {
        self.blobs().into_iter().filter(|blob| blob.extension().is_some_and(|e| e == "incomplete")).collect()
    }
}

fn demo(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(file)).unwrap()
}

fn assert_is_demo(checkpoint: &Checkpoint) {
    assert_eq!(checkpoint.identity, format!("{REPOSITORY}@{COMMIT}"));
    assert!(checkpoint.config().unwrap() == demo("config.json"));
    assert!(checkpoint.generation_config().unwrap().unwrap() == demo("generation_config.json"));
    assert!(checkpoint.tokenizer().unwrap() == demo("tokenizer.json"));
    let CheckpointFiles::Folder { weights, .. } = &checkpoint.files else { panic!("not in a folder") };
    assert_eq!(weights.len(), 1);
    assert!(std::fs::read(&weights[0]).unwrap() == demo("model.safetensors"));
}

#[test]
fn what_was_downloaded_once_needs_no_network() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let mut person = Person::new(&server.endpoint());
    let mut steps: Vec<(String, u64, u64)> = Vec::new();
    let mut note = |step: DownloadProgress<'_>| steps.push((step.file.to_owned(), step.done, step.total));
    let found = source::find("tiny", None, &person.hub, &CancelToken::new(), &mut note).unwrap();
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
    // Where other clients of the hub look for it.
    let pointer = person.repository().join("snapshots").join(COMMIT).join("model.safetensors");
    assert!(pointer.is_file());
    assert_eq!(std::fs::read_to_string(person.repository().join("refs/main")).unwrap(), COMMIT);
    assert!(person.unfinished().is_empty());

    drop(server);
    assert_is_demo(&person.find("tiny").unwrap());
    assert_is_demo(&person.find(REPOSITORY).unwrap());
    person.hub.offline = true;
    assert_is_demo(&person.find("tiny").unwrap());
    assert!(matches!(person.fault("base"), ModelProblem::Offline));
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_broke() {
    let server = Server::start(Plan { cuts: AtomicUsize::new(1), ..Plan::demo(REPOSITORY) });
    let person = Person::new(&server.endpoint());
    assert_is_demo(&person.find("tiny").unwrap());
    let ranges: Vec<_> = server.transfers().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={}-", demo("model.safetensors").len() / 2))]);
}

#[test]
fn the_next_run_goes_on_with_what_a_failed_one_left() {
    let mut person = Person::new("");
    {
        let server = Server::start(Plan { cuts: AtomicUsize::new(usize::MAX), ..Plan::demo(REPOSITORY) });
        person.hub.endpoint = server.endpoint();
        // Half of the rest each time: small steps after the first one use up the attempts.
        assert!(matches!(person.fault("tiny"), ModelProblem::Download(_)));
    }
    let left = person.unfinished();
    let length = left[0].metadata().unwrap().len();
    assert!(left.len() == 1 && length > 0, "{left:?}");
    assert!(!person.repository().join("refs/main").exists());

    let server = Server::start(Plan::demo(REPOSITORY));
    person.hub.endpoint = server.endpoint();
    assert_is_demo(&person.find("tiny").unwrap());
    let ranges: Vec<_> = server.transfers().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [Some(format!("bytes={length}-"))]);
    assert!(person.unfinished().is_empty());
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let server =
        Server::start(Plan { cuts: AtomicUsize::new(1), ignores_ranges: true, ..Plan::demo(REPOSITORY) });
    let person = Person::new(&server.endpoint());
    assert_is_demo(&person.find("tiny").unwrap());
    assert_eq!(server.transfers().len(), 2);
}

#[test]
fn a_wrong_checksum_is_said_and_nothing_of_it_is_kept() {
    for file in ["model.safetensors", "tokenizer.json"] {
        let server = Server::start(Plan::demo(REPOSITORY).corrupt(file));
        let mut person = Person::new(&server.endpoint());
        match person.fault("tiny") {
            ModelProblem::Damaged { file: named, why } => {
                assert_eq!(named, file);
                assert!(why.contains("checksum"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        assert!(person.unfinished().is_empty());
        assert!(!person.repository().join("snapshots").join(COMMIT).join(file).exists());
        person.hub.offline = true;
        assert!(matches!(person.fault("tiny"), ModelProblem::Offline));
    }
}

#[test]
fn a_wrong_beginning_is_fetched_again() {
    let server = Server::start(Plan { cuts: AtomicUsize::new(usize::MAX), ..Plan::demo(REPOSITORY) });
    let mut person = Person::new(&server.endpoint());
    assert!(matches!(person.fault("tiny"), ModelProblem::Download(_)));
    let left = person.unfinished().remove(0);
    std::fs::write(&left, vec![7; 1000]).unwrap();
    drop(server);

    let server = Server::start(Plan::demo(REPOSITORY));
    person.hub.endpoint = server.endpoint();
    assert_is_demo(&person.find("tiny").unwrap());
    assert_eq!(server.transfers().len(), 2);
}

#[test]
fn a_cut_file_in_the_cache_is_noticed() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let person = Person::new(&server.endpoint());
    person.find("tiny").unwrap();
    let pointer = person.repository().join("snapshots").join(COMMIT).join("model.safetensors");
    let blob = pointer.canonicalize().unwrap();
    let bytes = demo("model.safetensors");
    std::fs::write(&blob, &bytes[..bytes.len() - 1]).unwrap();
    let fault = person.fault("tiny");
    assert!(
        matches!(&fault, ModelProblem::Damaged { why, .. } if why.contains("bytes instead of")),
        "{fault:?}"
    );
    // As the hint says.
    std::fs::remove_file(&pointer).unwrap();
    assert_is_demo(&person.find("tiny").unwrap());
}

#[test]
fn what_the_hub_refuses_is_said_with_a_way_out() {
    let server = Server::start(Plan { token: Some("secret".into()), ..Plan::demo(REPOSITORY) });
    let mut person = Person::new(&server.endpoint());
    let error = person.find("tiny").unwrap_err();
    assert!(matches!(&error, Error::Model { why: ModelProblem::NoAccess { gated: false }, .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("HF_TOKEN"));

    person.hub.token = Some("secret".into());
    assert_is_demo(&person.find("tiny").unwrap());
    // The token is for the hub and not for the store that the hub points to.
    assert!(server.transfers().iter().all(|request| request.authorization.is_none()));
    assert!(matches!(person.fault("someone/nothing"), ModelProblem::NotFound(Some(_))));
    let fault = source::find("tiny", Some("v9"), &person.hub, &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert!(fault.to_string().contains("no such revision"), "{fault}");
}

#[test]
fn a_commit_can_be_asked_for() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let person = Person::new(&server.endpoint());
    let find = || source::find("tiny", Some(COMMIT), &person.hub, &CancelToken::new(), &mut |_| {});
    assert_is_demo(&find().unwrap());
    assert!(!person.repository().join("refs").exists());
    drop(server);
    assert_is_demo(&find().unwrap());
}

#[test]
fn weights_may_come_in_shards() {
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
    let person = Person::new(&server.endpoint());
    for again in [false, true] {
        let found = person.find("tiny").unwrap();
        assert!(found.generation_config().unwrap().is_none());
        let CheckpointFiles::Folder { weights, .. } = &found.files else { panic!("not in a folder") };
        let names: Vec<_> = weights.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
        assert_eq!(std::fs::read(&weights[1]).unwrap(), shard("b", 2.0));
        // That there is no generation_config.json is remembered, too.
        assert_eq!(server.transfers().len(), 2, "again: {again}");
    }
}

#[test]
fn another_kind_of_model_is_refused_before_its_weights() {
    let plan = Plan::demo("someone/bert").small("config.json", br#"{"model_type": "bert"}"#.to_vec());
    let server = Server::start(plan);
    let person = Person::new(&server.endpoint());
    let fault = person.fault("someone/bert");
    assert!(matches!(&fault, ModelProblem::NotWhisper { why } if why.contains("bert")), "{fault:?}");
    assert!(server.transfers().is_empty());
}

#[test]
fn a_download_can_be_cancelled_and_taken_up() {
    let server = Server::start(Plan::demo(REPOSITORY));
    let person = Person::new(&server.endpoint());
    let cancel = CancelToken::new();
    let mut stop = |step: DownloadProgress<'_>| {
        if step.file == "model.safetensors" && step.done > 0 {
            cancel.cancel(CancelReason::Interrupt);
        }
    };
    let error = source::find("tiny", None, &person.hub, &cancel, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled(CancelReason::Interrupt)));
    assert_eq!(person.unfinished().len(), 1);
    assert_is_demo(&person.find("tiny").unwrap());
    assert!(server.transfers()[1].range.is_some());
}

#[test]
fn no_network_ends_with_3_and_names_the_demo() {
    let cache = tempfile::tempdir().unwrap();
    let program = || {
        let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("transcribe"));
        program.env_clear().env("HF_HOME", cache.path()).env("HF_ENDPOINT", "http://127.0.0.1:1");
        // The input is looked at first.
        program.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).args(["--model", "tiny"]);
        program
    };
    let online = predicate::str::contains("error: model `tiny`: download failed")
        .and(predicate::str::contains("127.0.0.1:1"))
        .and(predicate::str::contains("--model demo"));
    program().assert().code(3).stdout("").stderr(online);
    let offline = || predicate::str::contains("--offline").and(predicate::str::contains("--model demo"));
    program().arg("--offline").assert().code(3).stdout("").stderr(offline());
    program().env("HF_HUB_OFFLINE", "1").assert().code(3).stdout("").stderr(offline());
}

#[test]
fn the_environment_says_where_the_hub_and_the_cache_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Plan { token: Some("secret".into()), ..Plan::demo(REPOSITORY) });
    std::fs::write(folder.path().join("token"), "secret\n").unwrap();
    let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/short_en.flac");
    let say = |model: &str, variable: &str, cache: &Path| {
        let mut program = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("transcribe"));
        program
            .env_clear()
            .env("HF_HOME", folder.path())
            .env(variable, cache)
            .env("TRANSCRIBE_DEVICE", "cpu");
        program.env("HF_ENDPOINT", server.endpoint()).arg(&speech).args(["--model", model]);
        program.assert().code(0).stderr("").get_output().stdout.clone()
    };
    let demo = say("demo", "HF_HUB_CACHE", folder.path());
    assert!(!demo.is_empty() && server.requests().is_empty());
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"] {
        let cache = folder.path().join(variable);
        if variable == "HF_HOME" {
            std::fs::create_dir(&cache).unwrap();
            std::fs::write(cache.join("token"), "secret").unwrap();
        }
        assert_eq!(say("tiny", variable, &cache), demo, "{variable}");
        let hub = if variable == "HF_HOME" { cache.join("hub") } else { cache };
        let snapshot = hub.join("models--openai--whisper-tiny/snapshots").join(COMMIT);
        assert!(snapshot.join("model.safetensors").is_file(), "{variable}");
    }
}
