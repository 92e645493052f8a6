//! `transcribe models` with a local hub: downloading, listing, verifying and removing.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};
use serde_json::Value;
use tempfile::TempDir;

use crate::hub::server::{COMMIT, Plan, Server};
use crate::program::bare;

const REPOSITORY: &str = "openai/whisper-tiny";

/// A cache folder and the endpoint of the hub.
struct TestCache {
    home: TempDir,
    endpoint: String,
}

impl TestCache {
    fn new(endpoint: &str) -> Self {
        Self { home: tempfile::tempdir().unwrap(), endpoint: endpoint.into() }
    }

    fn bare(&self, line: &[&str]) -> std::process::Command {
        let mut program = bare();
        program.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", &self.endpoint).arg("models").args(line);
        program
    }

    fn models(&self, line: &[&str]) -> assert_cmd::assert::Assert {
        Command::from_std(self.bare(line)).assert()
    }

    fn json(&self, line: &[&str]) -> Value {
        let output = self.models(line).code(0).stderr(is_empty());
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("hub/models--openai--whisper-tiny")
    }

    fn snapshot(&self) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT)
    }

    fn blobs(&self) -> usize {
        crate::program::names(&self.repository().join("blobs")).len()
    }
}

/// Returns a cache with the demo, downloaded under another name.
fn downloaded() -> (TestCache, Server) {
    let server = Server::start(Plan::demo(REPOSITORY));
    let cache = TestCache::new(&server.endpoint());
    cache.models(&["pull", "tiny"]).code(0).stdout(starts_with("tiny: downloaded: openai/whisper-tiny@"));
    (cache, server)
}

fn weights() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/model.safetensors")).unwrap()
}

#[test]
fn pulls_lists_verifies_and_removes_a_model() {
    let (cache, server) = downloaded();
    let requests_before = server.requests().len();
    cache.models(&["pull", "tiny", "demo"]).code(0).stdout(
        starts_with("tiny: already cached: ").and(contains("demo: already cached: built into the program")),
    );
    let line = predicate::str::is_match(r"tiny +0123456 main +[\d.]+ MB +today +ready").unwrap();
    cache.models(&["list"]).code(0).stdout(line.and(contains("built in"))).stderr(contains("1 model, "));
    let listed = cache.json(&["list", "--json"]);
    let model = &listed["models"][0];
    assert_eq!((&model["name"], &model["repository"]), (&"tiny".into(), &REPOSITORY.into()));
    assert_eq!((&model["revision"], &model["ready"]), (&COMMIT.into(), &true.into()));
    let files = model["files"].as_array().unwrap();
    let of = |name: &str| files.iter().find(|file| file["name"] == name).unwrap();
    assert_eq!(of("model.safetensors")["bytes"], weights().len());
    assert_eq!(of("model.safetensors")["checksum_kind"], "SHA-256");
    assert_eq!(of("config.json")["checksum_kind"], "git");
    let sum: u64 = files.iter().map(|file| file["bytes"].as_u64().unwrap()).sum();
    assert_eq!(model["bytes"], sum);
    assert!(model["last_used"].as_str().unwrap().ends_with('Z'));

    let verified = cache.json(&["verify", "--json"]);
    assert_eq!((&verified["wrong"], verified["files"].as_array().unwrap().len()), (&0.into(), files.len()));
    assert!(verified["files"].as_array().unwrap().iter().all(|file| file["verdict"] == "right"));
    let freed = cache.models(&["remove", "tiny", "--yes"]).code(0).stdout("removed tiny\n");
    freed.stderr(contains("freed "));
    assert!(
        !cache.repository().exists()
            && !cache.home.path().join("hub/.locks/models--openai--whisper-tiny").exists()
    );
    cache
        .models(&["remove", "tiny", "--yes"])
        .code(3)
        .stderr(contains("error: model `tiny`: not in the cache\nhint: "));
    assert_eq!(server.requests().len(), requests_before, "only pull sends requests");
}

#[test]
fn shows_a_model_without_loading_it() {
    let (cache, server) = downloaded();
    drop(server);
    let shown = cache.json(&["show", "tiny", "--json"]);
    assert_eq!(shown["identity"], format!("{REPOSITORY}@{COMMIT}"));
    assert_eq!((&shown["encoder"]["layers"], &shown["decoder"]["layers"]), (&3.into(), &2.into()));
    assert_eq!(
        (&shown["width"], &shown["mels"], &shown["vocabulary"]),
        (&128.into(), &80.into(), &51865.into())
    );
    assert_eq!((&shown["multilingual"], shown["languages"].as_array().unwrap().len()), (&true.into(), 99));
    let tensors = safetensors::SafeTensors::deserialize(&weights()).unwrap().len();
    let count: usize = safetensors::SafeTensors::deserialize(&weights())
        .unwrap()
        .tensors()
        .iter()
        .map(|(_, tensor)| tensor.shape().iter().product::<usize>())
        .sum();
    assert!(tensors > 10);
    assert_eq!((&shown["parameters"], &shown["types"]["f16"]), (&count.into(), &count.into()));
    let needed = shown["memory"]["weights"].as_u64().unwrap();
    // In the 16 bits of the file.
    assert!(needed.abs_diff(2 * count as u64) < needed / 50, "{needed} {count}");
    let text = contains("3 layers, 2 heads").and(contains("word times")).and(contains("in f16"));
    cache.models(&["show", "demo"]).code(0).stdout(text.and(contains("built in")));
    cache.models(&["show", "base"]).code(3).stderr(contains("hint: `transcribe models list`"));
    cache.models(&["show", "bsae"]).code(3).stderr(contains("did you mean `base`"));
}

#[test]
fn verify_finds_a_flipped_bit_and_pull_repairs_it() {
    let (cache, _server) = downloaded();
    let blob = cache.snapshot().join("model.safetensors").canonicalize().unwrap();
    let mut bytes = weights();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    // The length is right, so only the checksum differs.
    cache.models(&["pull", "tiny"]).code(0).stdout(contains("already cached"));
    let wrong = "model.safetensors: DAMAGED: its SHA-256 checksum is ";
    let assert =
        cache.models(&["verify", "tiny"]).code(3).stdout(contains(wrong).and(contains("config.json: ok")));
    assert.stderr(
        contains("error: model `tiny`: `model.safetensors` is damaged").and(contains("models remove")),
    );
    std::fs::write(&blob, &bytes[..100]).unwrap();
    let output = cache.models(&["verify", "--json"]).code(3).get_output().stdout.clone();
    let verified: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(verified["wrong"], 1);
    std::fs::remove_file(&blob).unwrap();
    cache.models(&["verify"]).code(3).stdout(contains("its content is missing"));
    cache.models(&["list"]).code(0).stdout(contains("incomplete"));

    cache.models(&["remove", "tiny", "--yes"]).code(0);
    cache.models(&["pull", "tiny"]).code(0).stdout(contains("downloaded"));
    cache.models(&["verify"]).code(0).stdout(contains("model.safetensors: ok (SHA-256 checksum)"));
}

/// Adds a second commit that shares all files but the weights with the first.
#[cfg(unix)]
fn second_revision(cache: &TestCache) -> &'static str {
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";
    let other = cache.repository().join("snapshots").join(OTHER);
    std::fs::create_dir(&other).unwrap();
    for name in crate::program::names(&cache.snapshot()) {
        let target = std::fs::read_link(cache.snapshot().join(&name)).unwrap();
        let target = if name == "model.safetensors" {
            PathBuf::from("../../blobs").join("a".repeat(64))
        } else {
            target
        };
        std::os::unix::fs::symlink(target, other.join(name)).unwrap();
    }
    std::fs::write(cache.repository().join("blobs").join("a".repeat(64)), weights()).unwrap();
    std::fs::write(cache.repository().join("refs/old"), OTHER).unwrap();
    OTHER
}

#[test]
#[cfg(unix)]
fn removes_one_of_two_revisions() {
    let (cache, _server) = downloaded();
    let other = second_revision(&cache);
    let before = cache.blobs();
    cache.models(&["list"]).code(0).stdout(contains("fedcba9 old").and(contains("0123456 main")));
    let size = |line: &[&str]| cache.json(line)["models"].as_array().unwrap().len();
    assert_eq!(size(&["list", "--json"]), 2);
    let no_such = cache.models(&["remove", "tiny", "--revision", "new", "--yes"]).code(3);
    no_such.stderr(contains("the cache has no revision `new`, only 0123456, fedcba9"));
    cache.models(&["remove", "tiny", "--revision", "old", "--yes"]).code(0).stdout("removed tiny\n");
    assert_eq!(cache.blobs(), before - 1);
    assert!(!cache.repository().join("refs/old").exists());
    assert!(!cache.repository().join("snapshots").join(other).exists());
    cache.models(&["verify"]).code(0).stdout(contains("model.safetensors: ok"));
    cache.models(&["remove", "tiny", "--revision", "0123456", "--yes"]).code(0);
    assert!(!cache.repository().exists());
}

#[test]
fn remove_asks_for_confirmation() {
    let (cache, _server) = downloaded();
    let message = "cannot ask for confirmation without a terminal\nhint: `--yes` deletes tiny (0123456, ";
    cache.models(&["remove", "tiny"]).code(2).stdout(is_empty()).stderr(contains(message));
    cache.models(&["remove", "demo", "--yes"]).code(2).stderr(contains("is built into the program"));
    // If one of several models is missing, nothing is deleted.
    cache.models(&["remove", "tiny", "base", "--yes"]).code(3).stdout(is_empty());
    // Another process that downloads holds the lock.
    let locks = cache.home.path().join("hub/.locks/models--openai--whisper-tiny");
    let lock = std::fs::File::open(locks.join(&crate::program::names(&locks)[0])).unwrap();
    lock.lock().unwrap();
    cache.models(&["remove", "tiny", "--yes"]).code(3).stderr(contains("locked by another process"));
    drop(lock);
    cache.models(&["verify"]).code(0);
}

#[test]
#[cfg(unix)]
fn resumes_an_interrupted_download() {
    use std::os::unix::process::ExitStatusExt;
    use std::sync::mpsc::channel;

    let (stalls, stalled) = channel();
    let server = Server::start(Plan { stalls: Some(stalls), ..Plan::demo(REPOSITORY) });
    let cache = TestCache::new(&server.endpoint());
    let running = crate::program::Running::start(cache.bare(&["pull", "tiny"]));
    stalled.recv().unwrap();
    running.signal("INT");
    let ended = running.end();
    assert_eq!((ended.status.signal(), ended.stderr.as_str()), (Some(2), ""));
    cache.models(&["list"]).code(0).stdout(contains("incomplete"));
    cache.models(&["pull", "tiny"]).code(0).stdout(contains("downloaded"));
    assert!(server.transfers().last().unwrap().range.is_some());
    cache.models(&["verify"]).code(0);
}

#[test]
fn lists_what_can_be_downloaded() {
    let (cache, _server) = downloaded();
    let listed = cache.models(&["list", "--available"]).code(0);
    let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    let row = |name: &str| {
        let line = listed.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("tiny"), "tiny about 151.0 MB 37 M openai/whisper-tiny in the cache");
    assert!(row("turbo").starts_with("turbo about 1.6 GB 80"), "{}", row("turbo"));
    assert!(!listed.contains(" - - "), "{listed}");
    let models = cache.json(&["list", "--available", "--json"]);
    assert_eq!(
        (&models["models"][0]["name"], &models["models"][0]["cached"]),
        (&"tiny".into(), &true.into())
    );
    cache.models(&["list", "--names"]).code(0).stdout("tiny\n");
}

#[test]
fn pull_continues_after_a_failed_model() {
    let server = Server::start(Plan { cuts: AtomicUsize::new(1), ..Plan::demo(REPOSITORY) });
    let cache = TestCache::new(&server.endpoint());
    let ended = cache.models(&["pull", "tinny", "tiny"]).code(3).stdout(starts_with("tiny: downloaded"));
    ended.stderr(contains("error: model `tinny`: not found: did you mean `tiny`"));
    cache.models(&["verify", "tiny"]).code(0);
    let offline = Command::from_std(cache.bare(&["pull", "base"])).env("HF_HUB_OFFLINE", "1").assert();
    offline.code(3).stderr(contains("not in the cache"));
}

#[test]
fn ignores_models_of_other_programs() {
    let (cache, _server) = downloaded();
    let other = cache.home.path().join("hub/models--someone--bert/snapshots").join(COMMIT);
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    cache.models(&["list"]).code(0).stdout(contains("bert").not());
    cache.models(&["list", "--all"]).code(0).stdout(contains("someone/bert").and(contains("other program")));
    cache.models(&["verify"]).code(0).stdout(contains("bert").not());
    // The name of a plain file is not a checksum.
    let verified = cache.models(&["verify", "someone/bert"]).code(3);
    let reason = "model `someone/bert`: cannot be verified: there is no checksum for `config.json`\nhint: ";
    verified.stdout(contains("unknown: the cache has no checksum")).stderr(contains(reason));
}
