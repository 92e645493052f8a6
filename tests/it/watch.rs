//! A watched inbox: what comes in is done when it is complete, whatever happens around it.

#![cfg(unix)]

mod once;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Running, bare, demo, fixture, names, run};

const LONGEST: Duration = Duration::from_secs(60);

/// An inbox, and what lies beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.at("in")).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A watch that keeps an account of this name.
    fn command(&self, account: &str) -> Command {
        let mut program = bare();
        program
            .env("TRANSCRIBE_MODEL", "demo")
            .env("TRANSCRIBE_SETTLE", "300ms")
            .env("TRANSCRIBE_POLL", "100ms");
        program.arg("watch").arg(self.at("in")).args(["--verbose", "--export", "srt", "--output-dir"]);
        program.arg(self.at("out")).arg("--status-file").arg(self.at(account));
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

    /// A recording that comes into the inbox at once.
    fn give(&self, fixture_name: &str, name: &str) {
        let beside = self.at("coming");
        fs::copy(fixture(fixture_name), &beside).unwrap();
        let place = self.at("in").join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(beside, place).unwrap();
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
    /// Whole at any time, once it is there.
    fn status(&self) -> Value {
        read(&self.status)
    }

    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(&self.status, self.running.child.id(), what, holds)
    }

    fn done(&self, count: u64) -> Value {
        self.until(&format!("{count} done"), |status| status["queue"]["done"] == count)
    }

    /// Ends it by a signal, which takes no time.
    fn stop(self, name: &str, number: i32) -> Ended {
        self.running.signal(name);
        let asked = Instant::now();
        let status = self.status.clone();
        let ended = self.running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        let last = read(&status);
        assert_eq!(
            (&last["doing"], &last["exit_code"]),
            (&"stopped".into(), &(128 + number).into()),
            "{last:#}"
        );
        ended
    }
}

fn read(status: &Path) -> Value {
    let text = fs::read(status).unwrap();
    serde_json::from_slice(&text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
}

fn until(path: &Path, pid: u32, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = if path.is_file() { read(path) } else { Value::Null };
        // One of a watch before this may still lie there.
        if status["pid"] == pid && holds(&status) {
            return status;
        }
        assert!(start.elapsed() < LONGEST, "{what} does not come: {status:#}");
        sleep(Duration::from_millis(10));
    }
}

/// What one call of the program makes of a recording.
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
fn a_file_is_taken_when_it_is_complete() {
    let place = Place::new();
    let watch = place.start(&["--settle", "1s"]);
    watch.until("a look", |status| status["doing"] == "waiting" && status["inbox"]["reachable"] == true);
    // Written slowly, by somebody who closes it each time.
    let content = fs::read(fixture(SHORT)).unwrap();
    for piece in content.chunks(content.len() / 6 + 1) {
        let mut file = File::options().create(true).append(true).open(place.at("in/slow.flac")).unwrap();
        file.write_all(piece).unwrap();
        drop(file);
        sleep(Duration::from_millis(350));
        assert_eq!(watch.status()["queue"]["done"], 0);
    }
    assert!(place.outputs().is_empty());
    // Called otherwise, or with a mark beside it, until it is whole.
    fs::write(place.at("in/named.flac.part"), &content).unwrap();
    fs::write(place.at("in/marked.flac"), &content).unwrap();
    fs::write(place.at("in/marked.flac.lock"), "").unwrap();
    let status = watch.done(1);
    assert_eq!(status["queue"]["settling"], 3, "{status:#}");
    assert_eq!(fs::read(place.at("out/slow.srt")).unwrap(), subtitles(SHORT));
    fs::rename(place.at("in/named.flac.part"), place.at("in/named.flac")).unwrap();
    fs::remove_file(place.at("in/marked.flac.lock")).unwrap();
    watch.done(3);
    // No recording at all is left alone without a word.
    fs::write(place.at("in/notes.txt"), "words").unwrap();
    place.give(SHORT, "moved in.flac");
    let status = watch.done(4);
    assert_eq!((&status["queue"]["failed"], &status["health"]), (&0.into(), &"ok".into()));
    assert_eq!(place.outputs(), ["marked.srt", "moved in.srt", "named.srt", "slow.srt"]);
    watch.stop("TERM", 15);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_somebody_has_open_for_writing_is_not_complete() {
    let place = Place::new();
    let watch = place.start(&[]);
    let mut writer = File::create(place.at("in/open.flac")).unwrap();
    writer.write_all(&fs::read(fixture(SHORT)).unwrap()).unwrap();
    watch.until("the file", |status| status["queue"]["settling"] == 1);
    sleep(Duration::from_millis(1_500));
    let status = watch.status();
    assert_eq!(
        (&status["queue"]["settling"], &status["queue"]["done"]),
        (&1.into(), &0.into()),
        "{status:#}"
    );
    drop(writer);
    watch.done(1);
    watch.stop("INT", 2);
}

#[test]
fn a_broken_file_costs_only_itself_until_it_changes() {
    let place = Place::new();
    let watch = place.start(&[]);
    place.give("audio/damaged/garbage.flac", "bad.flac");
    let status = watch.until("a failure", |status| status["queue"]["failed"] == 1);
    let error = &status["queue"]["last_errors"][0];
    assert!(error["input"].as_str().unwrap().ends_with("in/bad.flac"), "{error}");
    assert_eq!((&error["kind"], &error["will_retry"]), (&"not_audio".into(), &false.into()));
    place.give(SHORT, "good.flac");
    watch.done(1);
    sleep(Duration::from_millis(800));
    let status = watch.status();
    assert_eq!((&status["queue"]["failed"], &status["queue"]["failed_now"]), (&1.into(), &1.into()));
    place.give(SHORT, "bad.flac");
    let status = watch.done(2);
    assert_eq!((&status["queue"]["failed"], &status["queue"]["failed_now"]), (&1.into(), &0.into()));
    let ended = watch.stop("TERM", 15);
    assert_eq!(ended.stderr.matches("not an audio or video file").count(), 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("3 inputs: 2 done, 1 failed"), "{}", ended.stderr);
}

#[test]
fn a_failure_is_tried_again_if_asked_for() {
    let place = Place::new();
    let watch = place.start(&["--retry", "200ms"]);
    place.give("audio/damaged/garbage.flac", "bad.flac");
    let status = watch.until("more failures", |status| status["queue"]["failed"].as_u64() >= Some(3));
    assert_eq!(status["queue"]["last_errors"][0]["will_retry"], true);
    watch.stop("TERM", 15);
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_model_goes_and_comes_back() {
    let place = Place::new();
    let watch = place.start(&["--idle-timeout", "1s"]);
    let pid = watch.running.child.id();
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    place.give(SHORT, "one.flac");
    let loaded = watch.until("an idle model", |status| {
        status["model"]["state"] == "ready"
            && status["queue"]["done"] == 1
            && !status["model"]["idle_since"].is_null()
    });
    let threads_loaded = threads();
    assert_eq!((&loaded["model"]["loads"], &loaded["model"]["leases"]), (&1.into(), &0.into()));
    let gone = watch.until("an unloaded model", |status| status["model"]["state"] == "unloaded");
    let gone = watch.until("less memory", |status| {
        status["memory"]["host"]["now"].as_u64() < loaded["memory"]["host"]["now"].as_u64()
            && status["heartbeat"] != gone["heartbeat"]
    });
    assert!(gone["model"]["idle_since"].is_null() && gone["memory"]["host"]["peak"].is_u64());
    assert!(threads() < threads_loaded, "{} {threads_loaded}", threads());
    place.give(SHORT, "two.flac");
    assert_eq!(watch.done(2)["model"]["loads"], 2);
    watch.stop("TERM", 15);
    assert_eq!(fs::read(place.at("out/one.srt")).unwrap(), fs::read(place.at("out/two.srt")).unwrap());
}

#[test]
fn a_stop_in_the_middle_keeps_what_is_finished() {
    let place = Place::new();
    place.give("long/long_en.flac", "long.flac");
    let options = ["--chunk-length", "6", "--batch-size", "1"];
    let mut program = place.command("status.json");
    program.args(options);
    let mut running = Running::start_until(program, "stop encode 7");
    assert!(running.wait_for("test hook: "));
    let watch = Watch { status: place.at("status.json"), running };
    let status = watch.status();
    assert_eq!((&status["doing"], &status["model"]["leases"]), (&"working".into(), &1.into()), "{status:#}");
    assert!(status["queue"]["in_flight"][0]["audio_seconds_done"].as_f64() > Some(5.0), "{status:#}");
    let ended = watch.stop("TERM", 15);
    assert!(ended.stderr.ends_with("stopped; run the same command again to resume\n"), "{}", ended.stderr);
    assert_eq!(place.outputs(), [".long.transcribe", "long.partial.srt"]);
    let ended = place.once(&options);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("resuming where an earlier run stopped"), "{}", ended.stderr);
    assert_eq!(place.outputs(), ["long.srt"]);
}

#[test]
fn an_inbox_that_goes_is_waited_for() {
    let place = Place::new();
    place.give(SHORT, "one.flac");
    let watch = place.start(&[]);
    watch.done(1);
    fs::rename(place.at("in"), place.at("away")).unwrap();
    let status = watch.until("the loss", |status| status["health"] == "degraded");
    assert_eq!(status["inbox"]["reachable"], false);
    assert!(status["reasons"][0].as_str().unwrap().contains("cannot be read"), "{status:#}");
    fs::rename(place.at("away"), place.at("in")).unwrap();
    watch.until("the return", |status| status["health"] == "ok" && status["inbox"]["reachable"] == true);
    // Nor is an output that cannot be written the input's fault.
    fs::rename(place.at("out"), place.at("out before")).unwrap();
    fs::write(place.at("out"), "").unwrap();
    place.give(SHORT, "two.flac");
    let status = watch.until("the trouble", |status| status["queue"]["troubled"] == 1);
    assert_eq!(status["health"], "degraded", "{status:#}");
    fs::remove_file(place.at("out")).unwrap();
    let status = watch.done(2);
    assert_eq!(status["health"], "ok", "{status:#}");
    assert_eq!((&status["queue"]["skipped"], &status["queue"]["failed"]), (&0.into(), &0.into()));
    watch.stop("TERM", 15);
}

#[test]
fn the_account_is_whole_whenever_it_is_read() {
    let place = Place::new();
    let watch = place.start(&["--poll", "10ms", "--settle", "50ms"]);
    let first = watch.until("a look", |status| status["doing"] == "waiting");
    let start = Instant::now();
    let mut beats = std::collections::BTreeSet::new();
    for number in (0..).take_while(|_| start.elapsed() < Duration::from_secs(3)) {
        if number % 500 == 0 && number < 2_000 {
            place.give(SHORT, &format!("{number}.flac"));
        }
        let status = watch.status();
        assert_eq!((&status["pid"], &status["program"]), (&first["pid"], &"transcribe".into()));
        beats.insert(status["heartbeat"].as_str().unwrap().to_owned());
    }
    assert!(beats.len() > 20, "{}", beats.len());
    watch.stop("TERM", 15);
    assert_eq!(names(place.0.path()), ["in", "out", "status.json"]);
}

#[test]
fn two_watches_share_an_inbox() {
    let place = Place::new();
    let accounts = ["one.json", "two.json"];
    let watches =
        accounts.map(|name| Watch { status: place.at(name), running: Running::start(place.command(name)) });
    for watch in &watches {
        watch.until("a look", |status| status["doing"] == "waiting");
    }
    const FILES: u64 = 6;
    for number in 0..FILES {
        place.give(SHORT, &format!("{number}.flac"));
    }
    let is_over = |status: &Value| {
        let queue = &status["queue"];
        let open = ["settling", "waiting", "troubled", "elsewhere", "failed_now"];
        queue["done"].as_u64().unwrap() + queue["skipped"].as_u64().unwrap() >= FILES
            && queue["in_flight"].as_array().unwrap().is_empty()
            && open.iter().all(|state| queue[state] == 0)
    };
    let ends = watches.each_ref().map(|watch| watch.until("the end", is_over));
    let sum = |field: &str| ends.iter().map(|status| status["queue"][field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("done"), sum("failed")), (FILES, 0), "{ends:#?}");
    assert!(ends.iter().all(|status| status["health"] == "ok"));
    for watch in watches {
        let ended = watch.stop("TERM", 15);
        assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
    }
    assert_eq!(place.outputs().len() as u64, FILES);
}
