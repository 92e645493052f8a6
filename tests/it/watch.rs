//! `transcribe watch`: recordings are transcribed once they are complete, whatever happens to the inbox.

#![cfg(unix)]

mod once;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Running, bare, demo, fixture, names, run};

const LONGEST: Duration = Duration::from_secs(60);

/// An inbox, its outputs and its status file.
struct WatchFolder(TempDir);

impl WatchFolder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.at("in")).unwrap();
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns a watch with a status file of this name.
    fn command(&self, status: &str) -> Command {
        let mut program = bare();
        program
            .env("TRANSCRIBE_MODEL", "demo")
            .env("TRANSCRIBE_SETTLE", "300ms")
            .env("TRANSCRIBE_POLL", "100ms");
        program.arg("watch").arg(self.at("in")).args(["--verbose", "--export", "srt", "--output-dir"]);
        program.arg(self.at("out")).arg("--status-file").arg(self.at(status));
        program
    }

    fn start(&self, options: &[&str]) -> Watch {
        let mut program = self.command("status.json");
        program.args(options);
        Watch { status: self.at("status.json"), running: Running::start(program) }
    }

    fn once(&self, options: &[&str]) -> Ended {
        let mut program = self.command("status.json");
        program.arg("--once").args(options);
        run(program)
    }

    /// Moves a complete recording into the inbox.
    fn add(&self, fixture_name: &str, name: &str) {
        let staged = self.at("staged");
        fs::copy(fixture(fixture_name), &staged).unwrap();
        let target = self.at("in").join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(staged, target).unwrap();
    }

    fn outputs(&self) -> Vec<String> {
        let out = self.at("out");
        if out.is_dir() { names(&out) } else { Vec::new() }
    }
}

struct Watch {
    status: PathBuf,
    running: Running,
}

impl Watch {
    /// Reads the status file, which is complete at any time.
    fn status(&self) -> Value {
        read_status(&self.status)
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait_until(&self.status, self.running.child.id(), what, holds)
    }

    fn wait_until_done(&self, count: u64) -> Value {
        self.wait_until(&format!("{count} done"), |status| status["queue"]["done"] == count)
    }

    /// Waits until the watch has listed the inbox so long after now, and at least once.
    fn wait_for_listing_after(&self, time: Duration) -> Value {
        let due = Timestamp::now() + time;
        let listed = |status: &Value| status["inbox"]["last_looked"].as_str()?.parse::<Timestamp>().ok();
        self.wait_until("a listing", |status| listed(status).is_some_and(|listed| listed > due))
    }

    /// Stops it by a signal.
    fn stop(self, name: &str, number: i32) -> Ended {
        self.running.signal(name);
        let status = self.status.clone();
        let ended = self.running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        let last = read_status(&status);
        assert_eq!(
            (&last["doing"], &last["exit_code"]),
            (&"stopped".into(), &(128 + number).into()),
            "{last:#}"
        );
        ended
    }
}

fn read_status(status: &Path) -> Value {
    let text = fs::read(status).unwrap();
    serde_json::from_slice(&text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
}

fn wait_until(path: &Path, pid: u32, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = if path.is_file() { read_status(path) } else { Value::Null };
        // The file of an earlier watch may still be there.
        if status["pid"] == pid && holds(&status) {
            return status;
        }
        assert!(start.elapsed() < LONGEST, "timed out waiting for {what}: {status:#}");
        sleep(Duration::from_millis(10));
    }
}

/// Returns the subtitles that a plain run makes of a recording.
fn subtitles(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut program = demo();
    program.arg(fixture(name)).args(["--export", "srt", "--output-dir"]).arg(folder.path());
    assert!(run(program).status.success());
    let made = names(folder.path()).pop().unwrap();
    fs::read(folder.path().join(made)).unwrap()
}

const SHORT: &str = "long/short_en.flac";

#[test]
fn a_file_is_transcribed_once_it_is_complete() {
    let folder = WatchFolder::new();
    let watch = folder.start(&["--settle", "1s"]);
    watch.wait_until("a listing", |status| {
        status["doing"] == "waiting" && status["inbox"]["reachable"] == true
    });
    // Written slowly by a program that closes the file each time; in all, longer than a file takes to settle.
    let content = fs::read(fixture(SHORT)).unwrap();
    for piece in content.chunks(content.len() / 12 + 1) {
        let mut file = File::options().create(true).append(true).open(folder.at("in/slow.flac")).unwrap();
        file.write_all(piece).unwrap();
        drop(file);
        let status = watch.wait_for_listing_after(Duration::ZERO);
        assert_eq!(status["queue"]["done"], 0);
    }
    assert!(folder.outputs().is_empty());
    // Incomplete by its own name, or by that of a file beside it.
    fs::write(folder.at("in/named.flac.part"), &content).unwrap();
    fs::write(folder.at("in/marked.flac"), &content).unwrap();
    fs::write(folder.at("in/marked.flac.lock"), "").unwrap();
    let status = watch.wait_until_done(1);
    assert_eq!(status["queue"]["settling"], 3, "{status:#}");
    assert_eq!(fs::read(folder.at("out/slow.srt")).unwrap(), subtitles(SHORT));
    fs::rename(folder.at("in/named.flac.part"), folder.at("in/named.flac")).unwrap();
    fs::remove_file(folder.at("in/marked.flac.lock")).unwrap();
    watch.wait_until_done(3);
    // Other files are ignored silently.
    fs::write(folder.at("in/notes.txt"), "words").unwrap();
    folder.add(SHORT, "moved in.flac");
    let status = watch.wait_until_done(4);
    assert_eq!((&status["queue"]["failed"], &status["health"]), (&0.into(), &"ok".into()));
    assert_eq!(folder.outputs(), ["marked.srt", "moved in.srt", "named.srt", "slow.srt"]);
    watch.stop("TERM", 15);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_open_for_writing_is_not_complete() {
    let folder = WatchFolder::new();
    let watch = folder.start(&[]);
    let mut writer = File::create(folder.at("in/open.flac")).unwrap();
    writer.write_all(&fs::read(fixture(SHORT)).unwrap()).unwrap();
    watch.wait_until("the file", |status| status["queue"]["settling"] == 1);
    let status = watch.wait_for_listing_after(Duration::from_millis(1_500));
    assert_eq!(
        (&status["queue"]["settling"], &status["queue"]["done"]),
        (&1.into(), &0.into()),
        "{status:#}"
    );
    drop(writer);
    watch.wait_until_done(1);
    watch.stop("INT", 2);
}

#[test]
fn a_damaged_file_fails_alone_until_it_changes() {
    let folder = WatchFolder::new();
    let watch = folder.start(&[]);
    folder.add("audio/damaged/garbage.flac", "bad.flac");
    let status = watch.wait_until("a failure", |status| status["queue"]["failed"] == 1);
    let error = &status["queue"]["last_errors"][0];
    assert!(error["input"].as_str().unwrap().ends_with("in/bad.flac"), "{error}");
    assert_eq!((&error["kind"], &error["will_retry"]), (&"not_audio".into(), &false.into()));
    folder.add(SHORT, "good.flac");
    watch.wait_until_done(1);
    let status = watch.wait_for_listing_after(Duration::from_millis(800));
    assert_eq!((&status["queue"]["failed"], &status["queue"]["failed_now"]), (&1.into(), &1.into()));
    folder.add(SHORT, "bad.flac");
    let status = watch.wait_until_done(2);
    assert_eq!((&status["queue"]["failed"], &status["queue"]["failed_now"]), (&1.into(), &0.into()));
    let ended = watch.stop("TERM", 15);
    assert_eq!(ended.stderr.matches("not an audio or video file").count(), 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("3 inputs: 2 done, 1 failed"), "{}", ended.stderr);
}

#[test]
fn a_failed_input_is_retried_if_requested() {
    let folder = WatchFolder::new();
    let watch = folder.start(&["--retry", "200ms"]);
    folder.add("audio/damaged/garbage.flac", "bad.flac");
    let status = watch.wait_until("more failures", |status| status["queue"]["failed"].as_u64() >= Some(3));
    assert_eq!(status["queue"]["last_errors"][0]["will_retry"], true);
    watch.stop("TERM", 15);
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_model_is_unloaded_and_loaded_again() {
    let folder = WatchFolder::new();
    let watch = folder.start(&["--idle-timeout", "1s"]);
    let pid = watch.running.child.id();
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    folder.add(SHORT, "one.flac");
    let loaded = watch.wait_until("an idle model", |status| {
        status["model"]["state"] == "ready"
            && status["queue"]["done"] == 1
            && !status["model"]["idle_since"].is_null()
    });
    let threads_loaded = threads();
    assert_eq!((&loaded["model"]["loads"], &loaded["model"]["leases"]), (&1.into(), &0.into()));
    let gone = watch.wait_until("an unloaded model", |status| status["model"]["state"] == "unloaded");
    let gone = watch.wait_until("less memory", |status| {
        status["memory"]["host"]["now"].as_u64() < loaded["memory"]["host"]["now"].as_u64()
            && status["heartbeat"] != gone["heartbeat"]
    });
    assert!(gone["model"]["idle_since"].is_null() && gone["memory"]["host"]["peak"].is_u64());
    assert!(threads() < threads_loaded, "{} {threads_loaded}", threads());
    folder.add(SHORT, "two.flac");
    assert_eq!(watch.wait_until_done(2)["model"]["loads"], 2);
    watch.stop("TERM", 15);
    assert_eq!(fs::read(folder.at("out/one.srt")).unwrap(), fs::read(folder.at("out/two.srt")).unwrap());
}

#[test]
fn a_stopped_watch_keeps_finished_chunks() {
    let folder = WatchFolder::new();
    folder.add("long/long_en.flac", "long.flac");
    let options = ["--chunk-length", "6", "--batch-size", "1"];
    let mut program = folder.command("status.json");
    program.args(options);
    let mut running = Running::start_until(program, "stop encode 7");
    assert!(running.wait_for("test hook: "));
    let watch = Watch { status: folder.at("status.json"), running };
    let status = watch.status();
    assert_eq!((&status["doing"], &status["model"]["leases"]), (&"working".into(), &1.into()), "{status:#}");
    assert!(status["queue"]["in_flight"][0]["audio_seconds_done"].as_f64() > Some(5.0), "{status:#}");
    let ended = watch.stop("TERM", 15);
    assert!(ended.stderr.ends_with("stopped; run the same command again to resume\n"), "{}", ended.stderr);
    assert_eq!(folder.outputs(), [".long.transcribe", "long.partial.srt"]);
    let ended = folder.once(&options);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("resuming where an earlier run stopped"), "{}", ended.stderr);
    assert_eq!(folder.outputs(), ["long.srt"]);
}

#[test]
fn a_missing_inbox_is_waited_for() {
    let folder = WatchFolder::new();
    folder.add(SHORT, "one.flac");
    let watch = folder.start(&[]);
    watch.wait_until_done(1);
    fs::rename(folder.at("in"), folder.at("away")).unwrap();
    let status = watch.wait_until("the loss", |status| status["health"] == "degraded");
    assert_eq!(status["inbox"]["reachable"], false);
    assert!(status["reasons"][0].as_str().unwrap().contains("cannot read"), "{status:#}");
    fs::rename(folder.at("away"), folder.at("in")).unwrap();
    watch.wait_until("the return", |status| status["health"] == "ok" && status["inbox"]["reachable"] == true);
    // An output that cannot be written does not fail the input for good.
    fs::rename(folder.at("out"), folder.at("out before")).unwrap();
    fs::write(folder.at("out"), "").unwrap();
    folder.add(SHORT, "two.flac");
    let status = watch.wait_until("the trouble", |status| status["queue"]["troubled"] == 1);
    assert_eq!(status["health"], "degraded", "{status:#}");
    fs::remove_file(folder.at("out")).unwrap();
    let status = watch.wait_until_done(2);
    assert_eq!(status["health"], "ok", "{status:#}");
    assert_eq!((&status["queue"]["skipped"], &status["queue"]["failed"]), (&0.into(), &0.into()));
    watch.stop("TERM", 15);
}

#[test]
fn the_status_file_is_always_complete() {
    let folder = WatchFolder::new();
    let watch = folder.start(&["--poll", "10ms", "--settle", "50ms"]);
    let first = watch.wait_until("a listing", |status| status["doing"] == "waiting");
    let mut beats = std::collections::BTreeSet::new();
    let mut number = 0;
    // However long that takes: some heartbeats, while four recordings are added.
    while number < 2_000 || beats.len() <= 20 {
        if number % 500 == 0 && number < 2_000 {
            folder.add(SHORT, &format!("{number}.flac"));
        }
        let status = watch.status();
        assert_eq!((&status["pid"], &status["program"]), (&first["pid"], &"transcribe".into()));
        beats.insert(status["heartbeat"].as_str().unwrap().to_owned());
        number += 1;
    }
    watch.stop("TERM", 15);
    assert_eq!(names(folder.0.path()), ["in", "out", "status.json"]);
}

#[test]
fn two_watches_share_an_inbox() {
    let folder = WatchFolder::new();
    let status_files = ["one.json", "two.json"];
    let watches = status_files
        .map(|name| Watch { status: folder.at(name), running: Running::start(folder.command(name)) });
    for watch in &watches {
        watch.wait_until("a listing", |status| status["doing"] == "waiting");
    }
    const FILES: u64 = 6;
    for number in 0..FILES {
        folder.add(SHORT, &format!("{number}.flac"));
    }
    let has_ended = |status: &Value| {
        let queue = &status["queue"];
        let open = ["settling", "waiting", "troubled", "elsewhere", "failed_now"];
        queue["done"].as_u64().unwrap() + queue["skipped"].as_u64().unwrap() >= FILES
            && queue["in_flight"].as_array().unwrap().is_empty()
            && open.iter().all(|state| queue[state] == 0)
    };
    let ends = watches.each_ref().map(|watch| watch.wait_until("all inputs to end", has_ended));
    let sum = |field: &str| ends.iter().map(|status| status["queue"][field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("done"), sum("failed")), (FILES, 0), "{ends:#?}");
    assert!(ends.iter().all(|status| status["health"] == "ok"));
    for watch in watches {
        let ended = watch.stop("TERM", 15);
        assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
    }
    assert_eq!(folder.outputs().len() as u64, FILES);
}
