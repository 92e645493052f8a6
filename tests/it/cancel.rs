//! Cancellation at every stage: the program ends by the signal, and leaves only complete files or files marked as partial.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc::channel;

use crate::hub::server::{Plan, Server};
use crate::program::{Running, bare, demo, download_notice, fixture, names, run};
use crate::resume::{ResumeFolder, check_done, check_files, uninterrupted};

const SIGNALS: [(&str, i32); 2] = [("INT", 2), ("TERM", 15)];

/// Stops the transcription of two recordings at a point, and resumes it afterwards.
fn stop_at(point: &str, options: &[&str], name: &str, number: i32) -> String {
    let place = ResumeFolder::new();
    let mut program = place.command();
    program.args(options);
    let mut running = Running::start_until(program, &format!("stop {point}"));
    assert!(running.wait_for("test hook: "), "{point} was not reached");
    running.signal(name);
    let ended = running.end();
    assert_eq!(ended.status.signal(), Some(number), "{point}: {ended:?}");
    assert!(!ended.stderr.contains("error") && !ended.stderr.contains("bug"), "{point}: {}", ended.stderr);
    if options.is_empty() {
        check_files(&place);
        check_done(&place, &run(place.command()));
    }
    ended.stderr
}

#[test]
fn stops_and_resumes_at_every_stage() {
    let points = [
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
    for (index, point) in points.into_iter().enumerate() {
        let (name, number) = SIGNALS[index % 2];
        stop_at(point, &[], name, number);
    }
}

#[test]
fn stops_while_aligning_words() {
    for (name, number) in SIGNALS {
        stop_at("align 2", &["--word-timestamps"], name, number);
    }
}

#[test]
fn stops_during_a_temperature_fallback() {
    for (name, number) in SIGNALS {
        // No window reaches this probability, so every one falls back.
        stop_at("fallback 1", &["--logprob-threshold", "1"], name, number);
    }
}

#[test]
fn partial_outputs_are_written_and_resuming_is_explained() {
    for (name, number) in SIGNALS {
        let place = ResumeFolder::new();
        let mut program = place.command();
        program.args(["--batch-size", "1"]);
        let mut running = Running::start_until(program, "stop encode 7");
        assert!(running.wait_for("test hook: "));
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number));
        assert!(
            ended.stderr.ends_with("stopped; run the same command again to resume\n"),
            "{}",
            ended.stderr
        );
        let partial: Vec<String> =
            names(&place.out()).into_iter().filter(|name| name.starts_with("long_en.partial.")).collect();
        assert_eq!(partial.len(), 10, "{:?}", names(&place.out()));
        check_files(&place);
        check_done(&place, &run(place.command()));
    }
}

#[test]
fn stops_while_waiting_for_stdin() {
    for (name, number) in SIGNALS {
        let mut program = demo();
        program.arg("-").stdin(Stdio::piped());
        let mut running = Running::start(program);
        let mut stdin = running.child.stdin.take().unwrap();
        // More than a pipe buffers, so the program has read some once all is written.
        stdin.write_all(&vec![0; 1 << 20]).unwrap();
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
        drop(stdin);
    }
}

#[test]
fn stops_while_waiting_for_a_named_pipe() {
    let place = ResumeFolder::new();
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
        // Blocks until the program has opened the pipe.
        let writer = has_writer.then(|| File::options().write(true).open(&pipe).unwrap());
        assert!(running.wait_for("(2 of 2)"));
        running.signal(name);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        drop(writer);
        assert_eq!(names(&place.out()), ["short_es.srt"]);
    }
}

#[test]
fn stops_while_the_hub_does_not_answer() {
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
        assert_eq!(ended.stderr, "");
        drop(connection);
    }
}

#[test]
fn stops_a_stalled_download_and_resumes_it() {
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
    assert_eq!(ended.stderr, download_notice("tiny", &server.endpoint(), &cache.path().join("hub")));
    // The server stalls only once.
    assert_eq!(run(program()).status.code(), Some(0));
    assert!(server.transfers().last().unwrap().range.is_some());
}

#[test]
fn second_signal_exits_at_once() {
    for (name, number) in SIGNALS {
        let place = ResumeFolder::new();
        let mut running = Running::start_until(place.command(), "hang write 1");
        assert!(running.wait_for("test hook: "));
        // Signals sent in quick succession may be merged.
        while running.child.try_wait().unwrap().is_none() {
            running.signal(name);
            std::thread::yield_now();
        }
        assert_eq!(running.end().status.signal(), Some(number));
        check_files(&place);
    }
}

#[test]
fn panic_fails_one_input() {
    let place = ResumeFolder::new();
    let mut program = place.command();
    program.args(["--jobs", "1"]);
    let ended = Running::start_until(program, "panic read 3").end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("this is a bug"), "{}", ended.stderr);
    assert!(!place.out().join("long_en.srt").exists());
    assert_eq!(fs::read(place.out().join("short_es.srt")).unwrap(), uninterrupted()["short_es.srt"]);
    check_done(&place, &run(place.command()));
}

#[test]
fn engine_panic_is_retried() {
    for point in ["panic encode 4", "panic step 50"] {
        let place = ResumeFolder::new();
        let ended = Running::start_until(place.command(), point).end();
        assert!(ended.stderr.contains("this is a bug"), "{}", ended.stderr);
        check_done(&place, &ended);
    }
}

#[test]
fn dead_engine_thread_is_detected() {
    let place = ResumeFolder::new();
    let ended = Running::start_until(place.command(), "panic admit 9").end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    // It is noticed either when a chunk is submitted or later.
    let is_noticed =
        ["its thread has ended", "the engine has ended"].iter().any(|text| ended.stderr.contains(text));
    assert!(is_noticed, "{}", ended.stderr);
    check_files(&place);
    check_done(&place, &run(place.command()));
}
