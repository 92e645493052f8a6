//! A request to stop is heard at every moment: the program ends by the signal, and leaves only what is whole or says
//! that it is not.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc::channel;

use crate::hub::server::{Plan, Server};
use crate::program::{Running, bare, demo, fixture, names, run};
use crate::resume::{Place, check_done, check_files, undisturbed};

const SIGNALS: [(&str, i32); 2] = [("INT", 2), ("TERM", 15)];

/// Stops the work on two recordings at a moment, and goes on afterwards.
fn stopped_at(moment: &str, options: &[&str], name: &str, number: i32) -> String {
    let place = Place::new();
    let mut program = place.command();
    program.args(options);
    let mut running = Running::start_until(program, &format!("stop {moment}"));
    assert!(running.hear("test hook: "), "{moment} does not come");
    running.signal(name);
    let ended = running.end();
    assert_eq!(ended.status.signal(), Some(number), "{moment}: {ended:?}");
    assert!(!ended.said.contains("error") && !ended.said.contains("bug"), "{moment}: {}", ended.said);
    if options.is_empty() {
        check_files(&place);
        check_done(&place, &run(place.command()));
    }
    ended.said
}

#[test]
fn every_moment_of_the_work_can_be_the_last() {
    let moments = [
        "load 1",
        "open 1",
        "open 2",
        "read 40",
        "encode 1",
        "encode 5",
        "step 3",
        "step 40",
        "chunk 2",
        "chunk 7",
        "write 2",
        "written 1",
    ];
    for (nth, moment) in moments.into_iter().enumerate() {
        let (name, number) = SIGNALS[nth % 2];
        stopped_at(moment, &[], name, number);
    }
}

#[test]
fn timing_words_can_be_the_last() {
    for (name, number) in SIGNALS {
        stopped_at("align 2", &["--word-timestamps"], name, number);
    }
}

#[test]
fn an_attempt_at_a_higher_temperature_can_be_the_last() {
    for (name, number) in SIGNALS {
        // Nothing is as likely as that, so that every window is tried again.
        stopped_at("fallback 1", &["--logprob-threshold", "1"], name, number);
    }
}

#[test]
fn what_is_finished_is_written_and_how_to_go_on_is_said() {
    for (name, number) in SIGNALS {
        let place = Place::new();
        let mut program = place.command();
        program.args(["--batch-size", "1"]);
        let mut running = Running::start_until(program, "stop encode 7");
        assert!(running.hear("test hook: "));
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number));
        assert!(ended.said.ends_with("stopped; the same command goes on from here\n"), "{}", ended.said);
        let partial: Vec<String> =
            names(&place.out()).into_iter().filter(|name| name.starts_with("long_en.partial.")).collect();
        assert_eq!(partial.len(), 9, "{:?}", names(&place.out()));
        check_files(&place);
        check_done(&place, &run(place.command()));
    }
}

#[test]
fn audio_that_never_comes_is_not_waited_for() {
    for (name, number) in SIGNALS {
        let mut program = demo();
        program.arg("-").stdin(Stdio::piped());
        let mut running = Running::start(program);
        let mut stdin = running.child.stdin.take().unwrap();
        // More than a pipe holds: some of it was read when all of it is written.
        stdin.write_all(&vec![0; 1 << 20]).unwrap();
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        assert!(!ended.said.contains("error"), "{}", ended.said);
        drop(stdin);
    }
}

#[test]
fn a_pipe_that_nobody_writes_into_is_not_waited_for() {
    let place = Place::new();
    let pipe = place.at("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (has_writer, (name, number)) in [(true, SIGNALS[0]), (false, SIGNALS[1])] {
        let mut program = demo();
        program.args([&place.at("short_es.flac"), &pipe]).args([
            "--jobs",
            "1",
            "--export",
            "srt",
            "--overwrite",
        ]);
        program.args(["--output-dir"]).arg(place.out());
        let mut running = Running::start(program);
        // Waits until the program has opened it.
        let writer = has_writer.then(|| File::options().write(true).open(&pipe).unwrap());
        assert!(running.hear("(2 of 2)"));
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        drop(writer);
        assert_eq!(names(&place.out()), ["short_es.srt"]);
    }
}

#[test]
fn a_hub_that_does_not_answer_is_not_waited_for() {
    for (name, number) in SIGNALS {
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let cache = tempfile::tempdir().unwrap();
        let mut program = bare();
        program.arg(fixture("long/short_en.flac")).args(["--model", "tiny"]);
        program
            .env("HF_HOME", cache.path())
            .env("HF_ENDPOINT", format!("http://{}", hub.local_addr().unwrap()));
        let running = Running::start(program);
        let connection = hub.accept().unwrap();
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        assert_eq!(ended.said, "");
        drop(connection);
    }
}

#[test]
fn a_download_that_stands_still_is_not_waited_for_and_goes_on_the_next_time() {
    let (stalled, stalls) = channel();
    let plan = Plan { stalls: Some(stalled), ..Plan::demo("openai/whisper-tiny") };
    let server = Server::start(plan);
    let cache = tempfile::tempdir().unwrap();
    let program = || {
        let mut program = bare();
        program.arg(fixture("long/short_en.flac")).args(["--model", "tiny"]);
        program.env("HF_HOME", cache.path()).env("HF_ENDPOINT", server.endpoint());
        program
    };
    let running = Running::start(program());
    stalls.recv().unwrap();
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.status.signal(), Some(2), "{ended:?}");
    assert_eq!(ended.said, "");
    // It stalls only once.
    assert_eq!(run(program()).status.code(), Some(0));
    assert!(server.transfers().last().unwrap().range.is_some());
}

#[test]
fn a_second_signal_does_not_wait_for_anything() {
    for (name, number) in SIGNALS {
        let place = Place::new();
        let mut running = Running::start_until(place.command(), "hang write 1");
        assert!(running.hear("test hook: "));
        // Signals sent in one go may arrive as one.
        while running.child.try_wait().unwrap().is_none() {
            running.signal(name);
            std::thread::yield_now();
        }
        assert_eq!(running.end().status.signal(), Some(number));
        check_files(&place);
    }
}

#[test]
fn a_panic_costs_one_input() {
    let place = Place::new();
    let mut program = place.command();
    program.args(["--jobs", "1"]);
    let ended = Running::start_until(program, "panic read 3").end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.said.contains("this is a bug"), "{}", ended.said);
    assert!(!place.out().join("long_en.srt").exists());
    assert_eq!(fs::read(place.out().join("short_es.srt")).unwrap(), undisturbed()["short_es.srt"]);
    check_done(&place, &run(place.command()));
}

#[test]
fn a_panic_of_the_engine_is_tried_again() {
    for moment in ["panic encode 4", "panic step 50"] {
        let place = Place::new();
        let ended = Running::start_until(place.command(), moment).end();
        assert!(ended.said.contains("this is a bug"), "{}", ended.said);
        check_done(&place, &ended);
    }
}

#[test]
fn an_engine_that_dies_is_not_waited_for() {
    let place = Place::new();
    let ended = Running::start_until(place.command(), "panic admit 9").end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    // Whether it is noticed when a chunk is handed over or later is a matter of luck.
    let noticed =
        ["its thread has ended", "the engine has ended"].iter().any(|text| ended.said.contains(text));
    assert!(noticed, "{}", ended.said);
    check_files(&place);
    check_done(&place, &run(place.command()));
}
