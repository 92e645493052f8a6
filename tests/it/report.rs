//! `--report` and `transcribe report`: what a run leaves in writing for programs, and what they can make of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, bare, fixture, run};
use crate::schema;

/// A folder with inputs: two that are good, and three that are not.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("long/short_en.flac"), folder.path().join("talk.flac")).unwrap();
    std::fs::copy(fixture("audio/s16-16k-mono.wav"), folder.path().join("録音.wav")).unwrap();
    std::fs::write(folder.path().join("empty.mp3"), b"").unwrap();
    std::fs::write(folder.path().join("none.mp3"), b"").unwrap();
    std::fs::write(folder.path().join("notes.mp3"), "only words\n".repeat(100)).unwrap();
    folder
}

/// The demo in that folder, without anything that it says of itself.
fn demo(folder: &Path, line: &str) -> Command {
    let mut program = bare();
    program.current_dir(folder).env("TRANSCRIBE_MODEL", "demo").args(line.split_whitespace());
    program
}

fn output(folder: &Path, line: &str) -> Output {
    demo(folder, line).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(parse).collect()
}

fn read(folder: &Path, name: &str) -> Vec<Value> {
    lines(&std::fs::read_to_string(folder.join(name)).unwrap())
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

fn summary(lines: &[Value]) -> &Value {
    assert_eq!(of(lines, "summary").len(), 1);
    lines.last().unwrap()
}

/// The counts that a script of one line makes of the events.
fn counted(lines: &[Value]) -> Value {
    let count = |event: &str| of(lines, event).len();
    let (planned, done, skipped, failed) =
        (count("file_planned"), count("file_done"), count("file_skipped"), count("file_failed"));
    let unfinished = planned - done - skipped - failed;
    serde_json::json!({"planned": planned, "done": done, "skipped": skipped, "failed": failed,
        "unfinished": unfinished, "missed": count("limit_missed")})
}

fn check_schema(lines: &[Value]) {
    let printed = bare().args(["report", "schema"]).output().unwrap().stdout;
    let root: Value = serde_json::from_slice(&printed).unwrap();
    for line in lines {
        schema::check(&root, &root, line).unwrap_or_else(|why| panic!("{line}: {why}"));
    }
}

#[test]
fn every_line_matches_the_schema_and_the_summary_counts_the_lines() {
    let folder = folder();
    let here = folder.path();
    // No text is so likely: every window is tried again.
    let line = "talk.flac empty.mp3 録音.wav notes.mp3 none.mp3 --export srt,txt --report run.jsonl \
        --logprob-threshold 0 --temperature-increment-on-fallback 0.5";
    let ended = output(here, line);
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    let lines = read(here, "run.jsonl");
    check_schema(&lines);
    let end = summary(&lines);
    assert_eq!(end["counts"], counted(&lines));
    assert_eq!(
        end["counts"],
        serde_json::json!({"planned": 5, "done": 2, "skipped": 0, "failed": 3,
        "unfinished": 0, "missed": 0})
    );
    assert_eq!((&end["exit_code"], &end["stopped"]), (&1.into(), &Value::Null));

    assert_eq!(lines[0]["options"]["export"], "srt,txt");
    assert_eq!(lines[0]["options"]["model"], "demo");
    let warnings = of(&lines, "warning");
    assert_eq!((warnings.len(), &warnings[0]["kind"]), (1, &"demo_model".into()), "{warnings:?}");
    let kinds: Vec<_> =
        of(&lines, "file_failed").iter().map(|line| (line["input"].clone(), line["kind"].clone())).collect();
    for failed in [("empty.mp3", "empty"), ("none.mp3", "empty"), ("notes.mp3", "not_audio")] {
        assert!(kinds.contains(&(failed.0.into(), failed.1.into())), "{kinds:?}");
    }
    let done = of(&lines, "file_done");
    let talk = done.iter().find(|line| line["input"] == "talk.flac").unwrap();
    assert_eq!(talk["outputs"], serde_json::json!(["talk.srt", "talk.txt"]));
    assert_eq!((&talk["audio_seconds"], &talk["language"]), (&10.0.into(), &"en".into()));
    let again = of(&lines, "window_fallback");
    assert!(
        !again.is_empty() && again.iter().all(|line| line["rejected"][0]["faults"][0] == "logprob"),
        "{again:?}"
    );
    assert_eq!(end["fallbacks"], again.len());
    let chunk = of(&lines, "chunk_done")[0];
    assert!(
        chunk["seconds"].as_f64() > Some(0.0) && chunk["memory"]["host"]["peak"].as_u64() > Some(1 << 20),
        "{chunk}"
    );
    let elapsed: Vec<f64> = lines.iter().map(|line| line["elapsed"].as_f64().unwrap()).collect();
    assert!(elapsed.is_sorted());

    // The account for people says the same, each reason once.
    let said = said(&ended);
    assert!(
        said.contains("5 inputs: 2 done, 3 failed\n  2 is empty: `empty.mp3`, `none.mp3`\n  1 not an audio"),
        "{said}"
    );
    assert!(said.contains("of audio in "), "{said}");

    // Nothing of it changes the outputs.
    let srt = std::fs::read(here.join("talk.srt")).unwrap();
    output(
        here,
        "talk.flac --export srt --overwrite --logprob-threshold 0 --temperature-increment-on-fallback 0.5",
    );
    assert_eq!(std::fs::read(here.join("talk.srt")).unwrap(), srt);
}

#[test]
fn counts_skipped_inputs_and_missed_gates() {
    let folder = folder();
    let here = folder.path();
    std::fs::write(here.join("talk.srt"), "of somebody").unwrap();
    std::fs::copy(fixture("long/short_es.flac"), here.join("deaf.flac")).unwrap();
    // Everything counts as silence to the model.
    let line = "talk.flac 録音.wav deaf.flac --export srt --report run.jsonl --vad --fail-under-coverage 50 \
        --no-speech-threshold 0 --logprob-threshold 0";
    let ended = output(here, line);
    assert_eq!(ended.status.code(), Some(7), "{}", said(&ended));
    let lines = read(here, "run.jsonl");
    check_schema(&lines);
    assert_eq!(summary(&lines)["counts"], counted(&lines));
    assert_eq!(summary(&lines)["missed"][0]["kind"], "limit_missed");
    assert_eq!((of(&lines, "file_skipped").len(), of(&lines, "file_done").len()), (1, 2));
}

#[test]
fn manifest_ids_appear_in_every_line_of_their_input() {
    let folder = folder();
    let here = folder.path();
    let manifest =
        "{\"audio\": \"talk.flac\", \"id\": \"first\"}\n{\"audio\": \"empty.mp3\", \"id\": \"second\"}\n";
    std::fs::write(here.join("jobs.jsonl"), manifest).unwrap();
    let ended = output(here, "--manifest jobs.jsonl --export srt --report run.jsonl");
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    let lines = read(here, "run.jsonl");
    check_schema(&lines);
    assert_eq!(summary(&lines)["counts"], counted(&lines));
    let called = |event: &str| of(&lines, event).iter().map(|line| line["id"].clone()).collect::<Vec<_>>();
    assert_eq!(called("file_planned"), ["first", "second"]);
    assert_eq!((called("file_done"), called("file_failed")), (vec!["first".into()], vec!["second".into()]));
}

#[test]
fn several_uses_of_one_recording_are_told_apart() {
    let folder = folder();
    let here = folder.path();
    let manifest = [
        r#"{"audio": "talk.flac", "id": "english", "outputs": ["srt"]}"#,
        r#"{"audio": "talk.flac", "language": "de", "outputs": {"srt": "german.srt"}}"#,
        r#"{"audio": "talk.flac", "id": "blocked", "outputs": {"srt": "blocked.srt"}, "language": "es"}"#,
    ];
    std::fs::write(here.join("jobs.jsonl"), manifest.join("\n")).unwrap();
    std::fs::create_dir(here.join("blocked.srt")).unwrap();
    let ended = output(here, "--manifest jobs.jsonl --report run.jsonl");
    assert_eq!(ended.status.code(), Some(6), "{}", said(&ended));
    let lines = read(here, "run.jsonl");
    check_schema(&lines);
    let found = |lines: &[Value], event: &str| {
        let mut found: Vec<(String, Value)> = of(lines, event)
            .iter()
            .map(|line| (line["id"].as_str().unwrap().to_owned(), line["outputs"].clone()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    let done = [("english", "talk.srt"), ("jobs.jsonl:2", "german.srt")];
    let done = done.map(|(id, output)| (id.to_owned(), serde_json::json!([output])));
    assert_eq!(found(&lines, "file_done"), done);
    assert!(of(&lines, "file_planned").iter().all(|line| line["input"] == "talk.flac"));
    assert_eq!(summary(&lines)["failures"][0]["id"], "blocked");

    // A later run completes it, and a merged report knows which use was done when.
    std::fs::remove_dir(here.join("blocked.srt")).unwrap();
    assert_eq!(output(here, "--manifest jobs.jsonl --report again.jsonl").status.code(), Some(0));
    let all = lines_of(&output(here, "report merge run.jsonl again.jsonl"));
    let counts = &summary(&all)["counts"];
    assert_eq!((&counts["planned"], &counts["done"], &counts["failed"]), (&3.into(), &3.into(), &0.into()));
    let shown = String::from_utf8(output(here, "report show run.jsonl").stdout).unwrap();
    for row in [
        "talk.flac (english)       done",
        "talk.flac (jobs.jsonl:2)  done",
        "talk.flac (blocked)       failed: ",
    ] {
        assert!(shown.contains(row), "{row}: {shown}");
    }
}

#[test]
fn shows_how_many_speakers_were_heard() {
    let folder = folder();
    let here = folder.path();
    assert_eq!(output(here, "talk.flac --export srt --report run.jsonl").status.code(), Some(0));
    let shown = |report: &str| {
        let shown = String::from_utf8(output(here, &format!("report show {report}")).stdout).unwrap();
        shown
            .lines()
            .filter(|line| line.starts_with("input") || line.contains(" done "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let plain = shown("run.jsonl");
    assert!(plain[0].ends_with("  subtitles"), "{plain:?}");
    let mut lines = read(here, "run.jsonl");
    let done = lines.iter_mut().find(|line| line["event"] == "file_done").unwrap();
    done["speakers"] =
        serde_json::json!([{"name": "Speaker 1", "seconds": 3.5}, {"name": "Anna", "seconds": 0.5}]);
    check_schema(&lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(here.join("named.jsonl"), text).unwrap();
    let named = shown("named.jsonl");
    assert!(named[0].ends_with("  subtitles  speakers") && named[1].ends_with("  2"), "{named:?}");
}

#[test]
fn an_unwritable_report_is_refused_before_the_run() {
    let folder = folder();
    let here = folder.path();
    // A model that would end with 3.
    let refused = |report: &str, code: i32, why: &str| {
        let ended = output(here, &format!("talk.flac --model tiny --export srt --report {report}"));
        assert_eq!(ended.status.code(), Some(code), "{}", said(&ended));
        assert!(said(&ended).contains(why), "{}", said(&ended));
    };
    refused("no/such/run.jsonl", 6, "cannot be written");
    let before = std::fs::read(here.join("talk.flac")).unwrap();
    refused("talk.flac", 2, "exists and is not a report");
    assert_eq!(std::fs::read(here.join("talk.flac")).unwrap(), before);
    refused(".", 6, "cannot be written");
}

#[test]
fn two_runs_cannot_share_a_report() {
    let folder = folder();
    let here = folder.path();
    let mut first =
        Running::start_until(demo(here, "talk.flac --export srt --report run.jsonl"), "stop load 1");
    assert!(first.wait_for("test hook: load"));
    let second = output(here, "録音.wav --export srt --report run.jsonl");
    assert_eq!(second.status.code(), Some(2));
    assert!(
        said(&second).contains("another process is writing it\nhint: give each run"),
        "{}",
        said(&second)
    );
    first.signal("INT");
    first.end();
    assert_eq!(summary(&read(here, "run.jsonl"))["stopped"], "interrupt");
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_warns_once_and_does_not_stop_the_run() {
    let folder = folder();
    let here = folder.path();
    assert!(Command::new("mkfifo").arg(here.join("pipe")).status().unwrap().success());
    let mut program = demo(here, "talk.flac 録音.wav --export srt --report pipe");
    program.stderr(std::process::Stdio::piped());
    let child = program.spawn().unwrap();
    let head = Command::new("head").args(["-n", "2"]).arg(here.join("pipe")).output().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(lines(&String::from_utf8(head.stdout).unwrap())[0]["event"], "run_started");
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert_eq!(said(&ended).matches("`pipe` cannot be written").count(), 1, "{}", said(&ended));
    assert!(here.join("talk.srt").is_file() && here.join("録音.srt").is_file());
}

#[test]
#[cfg(unix)]
fn a_stopped_run_reports_it_and_the_next_run_completes_it() {
    let folder = folder();
    let here = folder.path();
    std::fs::copy(fixture("long/long_en.flac"), here.join("long.flac")).unwrap();
    let line = |report: &str| {
        format!("talk.flac long.flac empty.mp3 --export srt --chunk-length 30 --report {report}")
    };

    let mut stopped = Running::start_until(demo(here, &line("a.jsonl")), "stop chunk 2");
    assert!(stopped.wait_for("test hook: chunk"));
    stopped.signal("INT");
    stopped.end();
    let lines_a = read(here, "a.jsonl");
    check_schema(&lines_a);
    let end = summary(&lines_a);
    assert_eq!((&end["stopped"], &end["exit_code"]), (&"interrupt".into(), &130.into()));
    assert_eq!(end["counts"], counted(&lines_a));
    assert!(end["unfinished"].as_array().unwrap().contains(&"long.flac".into()), "{end}");

    let mut killed = Running::start_until(demo(here, &line("b.jsonl")), "hang chunk 1");
    assert!(killed.wait_for("test hook: chunk"));
    killed.signal("KILL");
    killed.end();
    let lines_b = read(here, "b.jsonl");
    check_schema(&lines_b);
    assert!(of(&lines_b, "summary").is_empty() && !of(&lines_b, "file_planned").is_empty());

    assert_eq!(output(here, &line("c.jsonl")).status.code(), Some(1));
    let lines_c = read(here, "c.jsonl");
    check_schema(&lines_c);
    assert!(of(&lines_c, "chunk_done").iter().any(|line| line["kept"] == true), "no chunk was resumed");

    // Repair the empty input.
    std::fs::copy(here.join("talk.flac"), here.join("empty.mp3")).unwrap();
    assert_eq!(output(here, &line("d.jsonl")).status.code(), Some(0));
    merged(here, &[lines_a, lines_b, lines_c]);
}

/// In the order in which they are named, they give the same whichever comes first.
fn merged(here: &Path, lines: &[Vec<Value>]) {
    let torn = std::fs::read_to_string(here.join("b.jsonl")).unwrap();
    std::fs::write(here.join("b.jsonl"), &torn[..torn.len() - 20]).unwrap();
    let ended = output(here, "report merge d.jsonl b.jsonl a.jsonl c.jsonl -o all.jsonl");
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert!(said(&ended).contains("`b.jsonl`: its last line is incomplete"), "{}", said(&ended));
    assert!(said(&ended).contains("3 inputs: 3 done"), "{}", said(&ended));
    let all = read(here, "all.jsonl");
    check_schema(&all);
    let times: Vec<&str> = all.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    let events: usize = lines.iter().map(Vec::len).sum();
    assert!(all.len() > events - 4, "{} of {events}", all.len());
    let end = summary(&all);
    assert_eq!(end["counts"]["done"], 3);
    assert_eq!((&end["exit_code"], &end["audio_seconds"]), (&0.into(), &140.0.into()), "{end}");

    // What is merged can be merged and shown again.
    let twice = output(here, "report merge all.jsonl");
    assert_eq!(lines_of(&twice).last().unwrap()["counts"], end["counts"]);
    let shown = String::from_utf8(output(here, "report show all.jsonl").stdout).unwrap();
    for word in ["talk.flac", "done", "2:00", "3 inputs: 3 done", "model demo@"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}

fn lines_of(output: &Output) -> Vec<Value> {
    lines(&String::from_utf8(output.stdout.clone()).unwrap())
}

#[test]
fn merges_the_reports_of_shards() {
    let folder = folder();
    let here = folder.path();
    assert_eq!(output(here, "talk.flac empty.mp3 --export srt --report 1.jsonl").status.code(), Some(1));
    assert_eq!(output(here, "録音.wav notes.mp3 --export srt --report 2.jsonl").status.code(), Some(1));
    let ended = output(here, "report merge 1.jsonl 2.jsonl");
    let all = lines_of(&ended);
    check_schema(&all);
    let end = summary(&all);
    assert_eq!(end["counts"], counted(&all));
    assert_eq!((&end["exit_code"], end["failures"].as_array().unwrap().len()), (&1.into(), 2));
    let froms: Vec<PathBuf> =
        all.iter().filter_map(|line| line["from"].as_str()).map(PathBuf::from).collect();
    assert_eq!(froms.len(), all.len() - 1);
    let shown = String::from_utf8(output(here, "report show 1.jsonl 2.jsonl").stdout).unwrap();
    assert!(shown.contains("failed: is empty") && shown.contains("録音.wav"), "{shown}");
}

#[test]
fn refuses_files_that_are_not_reports() {
    let folder = folder();
    let here = folder.path();
    let missing = output(here, "report show nothing.jsonl");
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    let wrong = output(here, "report merge notes.mp3");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        said(&wrong).contains("`notes.mp3`: line 1 is not a line of a report\nhint: "),
        "{}",
        said(&wrong)
    );
}

#[test]
fn a_panic_still_ends_the_report() {
    let folder = folder();
    let program = demo(folder.path(), "talk.flac --export srt --report run.jsonl");
    let mut program = program;
    program.env("TRANSCRIBE_TEST_AT", "panic chunk 1");
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(101), "{}", ended.stderr);
    let lines = read(folder.path(), "run.jsonl");
    check_schema(&lines);
    assert_eq!((&summary(&lines)["exit_code"], &summary(&lines)["counts"]), (&101.into(), &counted(&lines)));
}
