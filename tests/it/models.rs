//! `transcribe models`, against a hub on this machine: what is fetched, told, proved and removed.

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

/// A cache of its own, and the hub.
struct Person {
    home: TempDir,
    endpoint: String,
}

impl Person {
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
        let told = self.models(line).code(0).stderr(is_empty());
        serde_json::from_slice(&told.get_output().stdout).unwrap()
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

/// One who has fetched the demo under another's name.
fn owner() -> (Person, Server) {
    let server = Server::start(Plan::demo(REPOSITORY));
    let person = Person::new(&server.endpoint());
    person.models(&["pull", "tiny"]).code(0).stdout(starts_with("tiny: downloaded: openai/whisper-tiny@"));
    (person, server)
}

fn weights() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/model.safetensors")).unwrap()
}

#[test]
fn a_model_comes_is_told_of_and_goes() {
    let (person, server) = owner();
    let asked = server.requests().len();
    person.models(&["pull", "tiny", "demo"]).code(0).stdout(
        starts_with("tiny: already cached: ").and(contains("demo: already cached: built into the program")),
    );
    let line = predicate::str::is_match(r"tiny +0123456 main +\d+ MB +today +ready").unwrap();
    person.models(&["list"]).code(0).stdout(line.and(contains("built in"))).stderr(contains("1 model, "));
    let listed = person.json(&["list", "--json"]);
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

    let proved = person.json(&["verify", "--json"]);
    assert_eq!((&proved["wrong"], proved["files"].as_array().unwrap().len()), (&0.into(), files.len()));
    assert!(proved["files"].as_array().unwrap().iter().all(|file| file["verdict"] == "right"));
    let freed = person.models(&["remove", "tiny", "--yes"]).code(0).stdout("removed tiny\n");
    freed.stderr(contains("freed "));
    assert!(
        !person.repository().exists()
            && !person.home.path().join("hub/.locks/models--openai--whisper-tiny").exists()
    );
    person
        .models(&["remove", "tiny", "--yes"])
        .code(3)
        .stderr(contains("error: model `tiny`: not in the cache\nhint: "));
    assert_eq!(server.requests().len(), asked, "nothing but pull asks the hub");
}

#[test]
fn what_a_model_is_can_be_known_without_loading_it() {
    let (person, server) = owner();
    drop(server);
    let shown = person.json(&["show", "tiny", "--json"]);
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
    assert!(needed.abs_diff(4 * count as u64) < needed / 50, "{needed} {count}");
    let text = contains("3 layers, 2 heads").and(contains("word times")).and(contains("in f16"));
    person.models(&["show", "demo"]).code(0).stdout(text.and(contains("built in")));
    person.models(&["show", "base"]).code(3).stderr(contains("hint: `transcribe models list`"));
    person.models(&["show", "bsae"]).code(3).stderr(contains("did you mean `base`"));
}

#[test]
fn a_flipped_bit_is_found_and_the_model_fetched_anew() {
    let (person, _server) = owner();
    let blob = person.snapshot().join("model.safetensors").canonicalize().unwrap();
    let mut bytes = weights();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    // As long as it should be: nothing else would notice.
    person.models(&["pull", "tiny"]).code(0).stdout(contains("already cached"));
    let wrong = "model.safetensors: DAMAGED: its SHA-256 checksum is ";
    let told =
        person.models(&["verify", "tiny"]).code(3).stdout(contains(wrong).and(contains("config.json: ok")));
    told.stderr(
        contains("error: model `tiny`: `model.safetensors` is damaged").and(contains("models remove")),
    );
    std::fs::write(&blob, &bytes[..100]).unwrap();
    let output = person.models(&["verify", "--json"]).code(3).get_output().stdout.clone();
    let told: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(told["wrong"], 1);
    std::fs::remove_file(&blob).unwrap();
    person.models(&["verify"]).code(3).stdout(contains("its content is missing"));
    person.models(&["list"]).code(0).stdout(contains("incomplete"));

    person.models(&["remove", "tiny", "--yes"]).code(0);
    person.models(&["pull", "tiny"]).code(0).stdout(contains("downloaded"));
    person.models(&["verify"]).code(0).stdout(contains("model.safetensors: ok (SHA-256 checksum)"));
}

/// A second commit, which shares all but the weights with the first.
#[cfg(unix)]
fn second_revision(person: &Person) -> &'static str {
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";
    let other = person.repository().join("snapshots").join(OTHER);
    std::fs::create_dir(&other).unwrap();
    for name in crate::program::names(&person.snapshot()) {
        let target = std::fs::read_link(person.snapshot().join(&name)).unwrap();
        let target = if name == "model.safetensors" {
            PathBuf::from("../../blobs").join("a".repeat(64))
        } else {
            target
        };
        std::os::unix::fs::symlink(target, other.join(name)).unwrap();
    }
    std::fs::write(person.repository().join("blobs").join("a".repeat(64)), weights()).unwrap();
    std::fs::write(person.repository().join("refs/old"), OTHER).unwrap();
    OTHER
}

#[test]
#[cfg(unix)]
fn of_two_revisions_one_goes_and_the_other_stays_whole() {
    let (person, _server) = owner();
    let other = second_revision(&person);
    let before = person.blobs();
    person.models(&["list"]).code(0).stdout(contains("fedcba9 old").and(contains("0123456 main")));
    // What both share is on the disk once.
    let size = |line: &[&str]| person.json(line)["models"].as_array().unwrap().len();
    assert_eq!(size(&["list", "--json"]), 2);
    let no_such = person.models(&["remove", "tiny", "--revision", "new", "--yes"]).code(3);
    no_such.stderr(contains("the cache has no revision `new`, only 0123456, fedcba9"));
    person.models(&["remove", "tiny", "--revision", "old", "--yes"]).code(0).stdout("removed tiny\n");
    assert_eq!(person.blobs(), before - 1);
    assert!(!person.repository().join("refs/old").exists());
    assert!(!person.repository().join("snapshots").join(other).exists());
    person.models(&["verify"]).code(0).stdout(contains("model.safetensors: ok"));
    person.models(&["remove", "tiny", "--revision", "0123456", "--yes"]).code(0);
    assert!(!person.repository().exists());
}

#[test]
fn nothing_is_deleted_unasked() {
    let (person, _server) = owner();
    let told = "cannot ask for confirmation without a terminal\nhint: `--yes` deletes tiny (0123456, ";
    person.models(&["remove", "tiny"]).code(2).stdout(is_empty()).stderr(contains(told));
    person.models(&["remove", "demo", "--yes"]).code(2).stderr(contains("is built into the program"));
    // One of several that is not there: nothing is begun.
    person.models(&["remove", "tiny", "base", "--yes"]).code(3).stdout(is_empty());
    // Another process is downloading: it holds the lock.
    let locks = person.home.path().join("hub/.locks/models--openai--whisper-tiny");
    let lock = std::fs::File::open(locks.join(&crate::program::names(&locks)[0])).unwrap();
    lock.lock().unwrap();
    person.models(&["remove", "tiny", "--yes"]).code(3).stderr(contains("locked by another process"));
    drop(lock);
    person.models(&["verify"]).code(0);
}

#[test]
#[cfg(unix)]
fn a_stopped_download_goes_on() {
    use std::os::unix::process::ExitStatusExt;
    use std::sync::mpsc::channel;

    let (stalls, stalled) = channel();
    let server = Server::start(Plan { stalls: Some(stalls), ..Plan::demo(REPOSITORY) });
    let person = Person::new(&server.endpoint());
    let running = crate::program::Running::start(person.bare(&["pull", "tiny"]));
    stalled.recv().unwrap();
    running.signal("INT");
    let ended = running.end();
    assert_eq!((ended.status.signal(), ended.stderr.as_str()), (Some(2), ""));
    person.models(&["list"]).code(0).stdout(contains("incomplete"));
    person.models(&["pull", "tiny"]).code(0).stdout(contains("downloaded"));
    assert!(server.transfers().last().unwrap().range.is_some());
    person.models(&["verify"]).code(0);
}

#[test]
fn one_that_cannot_be_had_does_not_keep_the_others_from_being_fetched() {
    let server = Server::start(Plan { cuts: AtomicUsize::new(1), ..Plan::demo(REPOSITORY) });
    let person = Person::new(&server.endpoint());
    let ended = person.models(&["pull", "tinny", "tiny"]).code(3).stdout(starts_with("tiny: downloaded"));
    ended.stderr(contains("error: model `tinny`: not found: did you mean `tiny`"));
    person.models(&["verify", "tiny"]).code(0);
    let offline = Command::from_std(person.bare(&["pull", "base"])).env("HF_HUB_OFFLINE", "1").assert();
    offline.code(3).stderr(contains("not in the cache"));
}

#[test]
fn what_other_programs_keep_in_the_cache_is_left_alone() {
    let (person, _server) = owner();
    let other = person.home.path().join("hub/models--someone--bert/snapshots").join(COMMIT);
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    person.models(&["list"]).code(0).stdout(contains("bert").not());
    person.models(&["list", "--all"]).code(0).stdout(contains("someone/bert").and(contains("other program")));
    person.models(&["verify"]).code(0).stdout(contains("bert").not());
    // A plain file has no name that tells its checksum.
    person.models(&["verify", "someone/bert"]).code(0).stdout(contains("unknown: the cache has no checksum"));
}
