//! After a kill or a signal the same command resumes, and its outputs equal those of an uninterrupted run.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use transcribe::audio::{AudioInput, AudioOptions};

use crate::program::{DEMO_WARNING, Ended, LEDGER, Running, bare, demo, fixture, names, run};

const FORMATS: [&str; 10] = ["txt", "srt", "vtt", "tsv", "json", "ass", "lrc", "csv", "rttm", "html"];

/// Content by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Two recordings and an output folder.
pub struct ResumeFolder(TempDir);

impl ResumeFolder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["long_en.flac", "short_es.flac"] {
            fs::copy(fixture("long").join(name), folder.at(name)).unwrap();
        }
        fs::create_dir(folder.out()).unwrap();
        folder
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn out(&self) -> PathBuf {
        self.at("out")
    }

    /// Transcribes both in chunks of about six seconds, in every format.
    pub fn command(&self) -> Command {
        let mut program = demo();
        program.args([self.at("long_en.flac"), self.at("short_es.flac")]);
        program.args(["--export", "all", "--chunk-length", "6", "--output-dir"]).arg(self.out());
        program
    }

    pub fn files(&self) -> Files {
        let files = names(&self.out()).into_iter().filter(|name| !name.ends_with(".transcribe"));
        files.map(|name| (name.clone(), fs::read(self.out().join(name)).unwrap())).collect()
    }

    /// Returns another folder in the same state.
    fn copy(&self) -> Self {
        let copy = Self::new();
        let done = self.out().join(LEDGER).is_file().then(|| LEDGER.to_owned());
        for name in names(&self.out()).into_iter().chain(done) {
            fs::copy(self.out().join(&name), copy.out().join(&name)).unwrap();
        }
        copy
    }

    /// Returns a folder in which the first recording was stopped after several chunks.
    fn stopped() -> Self {
        let folder = ResumeFolder::new();
        // One chunk at a time, so that it is known which are finished.
        let mut program = folder.only_long();
        program.args(["--batch-size", "1"]);
        let mut running = Running::start_until(program, "stop encode 7");
        assert!(running.wait_for("test hook: "));
        running.signal("TERM");
        assert_eq!(running.end().status.signal(), Some(15));
        assert!(folder.journal().is_file());
        folder
    }

    fn only_long(&self) -> Command {
        let mut program = demo();
        program.arg(self.at("long_en.flac")).args(["--export", "all", "--chunk-length", "6", "--output-dir"]);
        program.arg(self.out());
        program
    }

    fn journal(&self) -> PathBuf {
        self.out().join(".long_en.transcribe")
    }
}

/// Returns the outputs of an uninterrupted run.
pub fn uninterrupted() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = ResumeFolder::new();
        let ended = run(folder.command());
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let files = folder.files();
        assert_eq!(files.len(), 2 * FORMATS.len());
        files
    })
}

/// Checks that there are only complete outputs, marked partial ones, and journals.
pub fn check_files(folder: &ResumeFolder) {
    for (name, content) in folder.files() {
        match uninterrupted().get(&name) {
            Some(whole) => assert!(content == *whole, "{name} differs"),
            None => check_partial(&name, &content),
        }
    }
    for name in names(&folder.out()).iter().filter(|name| name.starts_with('.')) {
        assert!([".long_en.transcribe", ".short_es.transcribe"].contains(&name.as_str()), "{name}");
    }
}

/// Returns the rows of a page.
fn article(page: &str) -> &str {
    let rows = page.split_once("<article").unwrap().1.split_once("</article>").unwrap().0;
    &rows[rows.find("<p class=\"s").unwrap()..rows.rfind("</p>").unwrap()]
}

/// Checks that a partial output is the beginning of the whole and marked as partial.
fn check_partial(name: &str, content: &[u8]) {
    let (stem, format) = name.split_once(".partial.").unwrap_or_else(|| panic!("{name} is left over"));
    let whole = std::str::from_utf8(&uninterrupted()[&format!("{stem}.{format}")]).unwrap();
    let content = std::str::from_utf8(content).unwrap();
    if format == "json" {
        let (part, whole): (Value, Value) =
            (serde_json::from_str(content).unwrap(), serde_json::from_str(whole).unwrap());
        assert_eq!(part["partial"], true);
        assert!(whole.get("partial").is_none());
        let text = part["text"].as_str().unwrap();
        assert!(!text.is_empty() && whole["text"].as_str().unwrap().starts_with(text));
        let segments = part["segments"].as_array().unwrap();
        assert_eq!(segments[..], whole["segments"].as_array().unwrap()[..segments.len()]);
        return;
    }
    // Times or the number of the cue come before the mark.
    let text = content
        .trim_end()
        .trim_end_matches(['"', ' ', '-', '>'])
        .strip_suffix("[partial]")
        .unwrap_or_else(|| panic!("{name}: {content}"));
    let said = match format {
        "txt" => text,
        "html" => article(text),
        "tsv" | "lrc" | "csv" | "rttm" => &text[..text.trim_end_matches('\n').rfind('\n').unwrap() + 1],
        // How long the last cue is shown depends on the next.
        "ass" => without_last(text, "\n"),
        _ => without_last(text, "\n\n"),
    };
    let whole = if format == "html" { article(whole) } else { whole };
    let has_cues = ["srt", "vtt", "ass"].contains(&format);
    assert!((has_cues || said.len() > 8) && whole.starts_with(said), "{name}: {content}");
}

/// Returns a text without what stands behind the last separator but one.
fn without_last<'t>(text: &'t str, separator: &str) -> &'t str {
    let before = |text: &'t str| text.rfind(separator).map_or("", |end| &text[..end]);
    before(before(text.trim_end()))
}

/// Checks that the run completed and left nothing but the outputs.
pub fn check_done(folder: &ResumeFolder, ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(folder.files() == *uninterrupted());
    let hidden = names(&folder.out()).iter().any(|name| name.starts_with('.'));
    assert!(!hidden, "{:?}", names(&folder.out()));
}

/// Stops the program repeatedly, each time a little later, and finally lets it finish.
fn stop_repeatedly(signal: &str, number: i32) {
    let folder = ResumeFolder::new();
    let moments = [
        "open 1",
        "read 20",
        "encode 1",
        "chunk 1",
        "step 10",
        "chunk 1",
        "encode 3",
        "chunk 2",
        "read 100",
        "chunk 1",
        "step 20",
        "chunk 2",
        "load 1",
        "chunk 1",
        "write 1",
        "chunk 1",
        "write 2",
        "written 1",
        "write 4",
        "written 1",
    ];
    let mut stops = 0;
    for (nth, moment) in moments.iter().enumerate() {
        let mut program = folder.command();
        // Options that do not affect the text may differ each time.
        program.args(["--batch-size", ["1", "2", "4", "auto"][nth % 4]]);
        program.args(["--threads", ["1", "2"][nth % 2], "--jobs", ["2", "1", "auto"][nth % 3]]);
        let mut running = Running::start_until(program, &format!("stop {moment}"));
        if !running.wait_for("test hook: ") {
            // It finished before it reached that point.
            assert_eq!(running.end().status.code(), Some(0));
            break;
        }
        running.signal(signal);
        assert_eq!(running.end().status.signal(), Some(number), "{moment}");
        check_files(&folder);
        stops += 1;
    }
    assert!(stops >= 12, "only {stops}");
    check_done(&folder, &run(folder.command()));
}

#[test]
fn repeated_kills_do_not_change_the_outputs() {
    stop_repeatedly("KILL", 9);
}

#[test]
fn repeated_sigterm_does_not_change_the_outputs() {
    stop_repeatedly("TERM", 15);
}

/// Run by `just kill`.
#[test]
#[ignore = "takes minutes"]
fn fifty_kills_at_random_times_do_not_change_the_outputs() {
    let (mut kills, mut rounds, mut random) = (0, 0, 1_u64);
    while kills < 50 {
        let folder = ResumeFolder::new();
        rounds += 1;
        loop {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut running = Running::start(folder.command());
            std::thread::sleep(std::time::Duration::from_millis(100 + (random >> 33) % 900));
            let ended = match running.child.try_wait().unwrap() {
                Some(_) => running.end(),
                None => {
                    running.signal(if random >> 63 == 0 { "KILL" } else { "TERM" });
                    running.end()
                }
            };
            if ended.status.code() == Some(0) {
                break;
            }
            assert!(matches!(ended.status.signal(), Some(9 | 15)), "{ended:?}");
            kills += 1;
        }
        assert_eq!(run(folder.command()).status.code(), Some(0));
        for (name, whole) in uninterrupted() {
            assert!(folder.files()[name] == *whole, "{name}");
        }
    }
    println!("{kills} kills in {rounds} rounds");
}

/// Returns how many windows the encoder received.
fn windows(mut program: Command) -> usize {
    program.arg("--stats");
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let line = ended.stderr.lines().find_map(|line| line.strip_prefix("windows ")).unwrap().trim();
    line.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn finished_chunks_are_not_transcribed_again() {
    let stopped = ResumeFolder::stopped();
    let (anew, on) = (stopped.copy(), stopped.copy());
    let mut program = anew.only_long();
    program.arg("--no-resume");
    let all = windows(program);
    let rest = windows(on.only_long());
    // At least five chunks were finished.
    assert!(rest + 5 <= all, "{rest} of {all}");
}

/// Resumes in a copy of a stopped folder, with some change.
fn resume(stopped: &ResumeFolder, change: impl FnOnce(&ResumeFolder, &mut Command)) -> (ResumeFolder, Ended) {
    let folder = stopped.copy();
    let mut program = folder.only_long();
    change(&folder, &mut program);
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!folder.journal().exists());
    (folder, ended)
}

#[test]
fn only_options_that_affect_the_text_discard_the_journal() {
    let stopped = ResumeFolder::stopped();
    let resumes = |change: &dyn Fn(&ResumeFolder, &mut Command)| {
        let (folder, ended) = resume(&stopped, change);
        assert!(ended.stderr.contains("resuming where an earlier run stopped"), "{}", ended.stderr);
        check_files(&folder);
    };
    resumes(&|_, _| {});
    resumes(&|_, program| {
        program.args(["--batch-size", "3", "--threads", "1", "--jobs", "1", "--device", "cpu", "--stats"]);
    });
    // The same content with another modification time.
    resumes(&|folder, _| {
        let content = fs::read(folder.at("long_en.flac")).unwrap();
        fs::write(folder.at("long_en.flac"), content).unwrap();
    });

    let discards = |why: &str, change: &dyn Fn(&ResumeFolder, &mut Command)| {
        let (_, ended) = resume(&stopped, change);
        assert!(!ended.stderr.contains("resuming where"), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("can be reused: {why}")), "{}", ended.stderr);
    };
    discards("the input has changed", &|folder, _| {
        let mut content = fs::read(folder.at("long_en.flac")).unwrap();
        content.extend(b"more");
        fs::write(folder.at("long_en.flac"), content).unwrap();
    });
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    discards("the model has changed", &|_, program| {
        program.arg("--model").arg(&model);
    });
    for option in [
        ["--chunk-length", "30"],
        ["--language", "en"],
        ["--seed", "1"],
        ["--initial-prompt", "fox"],
        ["--condition-on-previous-text", "false"],
        ["--channel", "0"],
    ] {
        discards("options that affect the text", &|folder, program| {
            let mut changed = demo();
            changed
                .arg(folder.at("long_en.flac"))
                .args(["--export", "all", "--output-dir"])
                .arg(folder.out());
            if option[0] != "--chunk-length" {
                changed.args(["--chunk-length", "6"]);
            }
            changed.args(option);
            *program = changed;
        });
    }
    discards("`--no-resume` was given", &|_, program| {
        program.arg("--no-resume");
    });
}

/// Writes five minutes without pauses, whose chunks continue from each other.
fn long_wav(path: &Path) {
    let mut reader =
        AudioInput::file(fixture("long/long_en.flac")).unwrap().open(&AudioOptions::default()).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend(block.iter().flat_map(|sample| ((sample * 32768.0) as i16).to_le_bytes()));
    }
    let mut wav =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data".to_vec();
    let audio = samples.repeat(3)[..300 * 32_000].to_vec();
    wav.extend((audio.len() as u32).to_le_bytes());
    wav.extend(audio);
    fs::write(path, wav).unwrap();
}

#[test]
fn a_recording_without_pauses_resumes_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let (audio, out) = (folder.path().join("talk.wav"), folder.path().join("out"));
    long_wav(&audio);
    let program = |out: &Path| {
        let mut program = demo();
        program.arg(&audio).args(["--export", "json", "--chunk-length", "0", "--output-dir"]).arg(out);
        program
    };
    let whole = folder.path().join("whole");
    assert_eq!(run(program(&whole)).status.code(), Some(0));
    for _ in 0..2 {
        let mut running = Running::start_until(program(&out), "stop chunk 1");
        assert!(running.wait_for("test hook: "));
        running.signal("KILL");
        running.end();
    }
    let ended = run(program(&out));
    assert!(ended.status.success() && ended.stderr.contains("resuming where"), "{ended:?}");
    assert_eq!(names(&out), ["talk.json"]);
    assert!(fs::read(out.join("talk.json")).unwrap() == fs::read(whole.join("talk.json")).unwrap());
}

#[test]
fn other_formats_resume_from_the_same_journal() {
    let stopped = ResumeFolder::stopped();
    let folder = stopped.copy();
    let mut program = demo();
    program.arg(folder.at("long_en.flac")).args(["--export", "srt", "--chunk-length", "6", "--output-dir"]);
    program.arg(folder.out());
    let ended = run(program);
    assert!(ended.stderr.contains("resuming where"), "{ended:?}");
    assert_eq!(fs::read(folder.out().join("long_en.srt")).unwrap(), uninterrupted()["long_en.srt"]);
    assert!(!folder.out().join("long_en.partial.srt").exists());
}

#[test]
fn a_damaged_journal_loses_only_its_damaged_part() {
    let stopped = ResumeFolder::stopped();
    let whole = fs::read(stopped.journal()).unwrap();
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > 4, "{lines} records");
    // After the records of the fingerprint and the language.
    let late = whole.len() * 3 / 4;
    let damages: [(&str, Vec<u8>); 4] = [
        ("its end is damaged", whole[..whole.len() - 1].to_vec()),
        ("its end is damaged", [&whole[..], &[0; 4096]].concat()),
        ("its end is damaged", [&whole[..late], b"?", &whole[late + 1..]].concat()),
        ("it is damaged", vec![b'?'; whole.len()]),
    ];
    for (why, content) in damages {
        let (folder, ended) = resume(&stopped, |folder, _| {
            fs::write(folder.journal(), &content).unwrap();
            // A temporary file, as a killed writer leaves it.
            fs::write(folder.out().join(".long_en.srt.aB3dE6.tmp"), "1\n").unwrap();
        });
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("resuming where"), why != "it is damaged", "{}", ended.stderr);
        check_files(&folder);
    }
}

/// Returns a journal whose last record differs in a probability, with the right checksum of its line.
fn with_changed_probability(journal: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(journal).unwrap();
    let start = text.trim_end().rfind('\n').unwrap() + 1;
    let record = text[start..].trim_end().split_once(' ').unwrap().1;
    let changed = record.replacen("\"avg_logprob\":-0.", "\"avg_logprob\":-0.9", 1);
    assert_ne!(changed, record);
    format!("{}{:08x} {changed}\n", &text[..start], crc32fast::hash(changed.as_bytes())).into_bytes()
}

#[test]
fn a_changed_record_with_the_right_checksum_does_not_reach_the_outputs() {
    let stopped = ResumeFolder::stopped();
    let (folder, ended) = resume(&stopped, |folder, _| {
        let changed = with_changed_probability(&fs::read(folder.journal()).unwrap());
        fs::write(folder.journal(), changed).unwrap();
    });
    assert!(ended.stderr.contains("its records do not belong together"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("resuming where"), "{}", ended.stderr);
    let long = folder.files();
    assert!(
        long.len() == FORMATS.len() && long.iter().all(|(name, content)| *content == uninterrupted()[name])
    );
}

#[test]
fn two_processes_do_not_write_the_same_outputs() {
    let folder = ResumeFolder::new();
    let mut first = Running::start_until(folder.only_long(), "stop encode 2");
    assert!(first.wait_for("test hook: encode"));
    let ended = run(folder.command());
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("long_en.flac`: another process is transcribing it"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: wait for it to finish"), "{}", ended.stderr);
    // The other input is transcribed, and nothing of the first was touched.
    assert!(folder.out().join("short_es.srt").is_file());
    assert!(!folder.out().join("long_en.srt").exists() && folder.journal().is_file());
    first.signal("TERM");
    assert_eq!(first.end().status.signal(), Some(15));
    check_done(&folder, &run(folder.command()));
}

#[test]
fn a_run_without_a_writable_journal_completes() {
    let folder = ResumeFolder::new();
    for name in [".long_en.transcribe", ".short_es.transcribe"] {
        fs::create_dir(folder.out().join(name)).unwrap();
    }
    let ended = run(folder.command());
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let warnings: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("warning: ") && *line != DEMO_WARNING.trim_end())
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("cannot write the resume journal"), "{warnings:?}");
    for (name, whole) in uninterrupted() {
        assert!(fs::read(folder.out().join(name)).unwrap() == *whole, "{name}");
    }
}

/// Returns the program with a limit on the size of every file.
fn limited(program: &Command, kilobytes: usize) -> Command {
    let mut shell = Command::new("sh");
    // The signal of the limit is ignored: a full disk sends none.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2), "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn no_space_for_the_journal_costs_only_the_journal() {
    let folder = ResumeFolder::new();
    let mut program = demo();
    program.arg(folder.at("long_en.flac")).args(["--export", "srt", "--chunk-length", "6", "--output-dir"]);
    program.arg(folder.out());
    let ended = run(limited(&program, 6));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("warning: ") && ended.stderr.contains("cannot write the resume journal"),
        "{}",
        ended.stderr
    );
    assert_eq!(names(&folder.out()), ["long_en.srt"]);
    check_files(&folder);
}

#[test]
fn no_space_for_the_outputs_keeps_the_journal() {
    let folder = ResumeFolder::new();
    let ended = run(limited(&folder.command(), 10));
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(ended.stderr.contains("long_en.json` cannot be written"), "{}", ended.stderr);
    assert!(!folder.out().join("long_en.json").exists() && folder.journal().is_file());
    check_files(&folder);
    let ended = run(folder.command());
    assert!(ended.stderr.contains("resuming where"), "{}", ended.stderr);
    check_done(&folder, &ended);
}

#[test]
fn an_output_folder_that_disappears_ends_with_6() {
    let folder = ResumeFolder::new();
    let pipe = folder.at("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut program = demo();
    program.args([&folder.at("short_es.flac"), &pipe, &folder.at("long_en.flac")]);
    program.args(["--jobs", "1", "--export", "srt", "--chunk-length", "6", "--output-dir"]).arg(folder.out());
    let running = Running::start(program);
    // Opening blocks until the program reads: the first input is done by then, the third not started.
    let mut audio = File::options().write(true).open(&pipe).unwrap();
    fs::rename(folder.out(), folder.at("gone")).unwrap();
    fs::write(folder.out(), "in the way").unwrap();
    audio.write_all(&fs::read(folder.at("short_es.flac")).unwrap()).unwrap();
    drop(audio);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(ended.stderr.contains("pipe.srt` cannot be written"), "{}", ended.stderr);
    assert!(ended.stderr.contains("long_en.srt` cannot be written"), "{}", ended.stderr);
    assert_eq!(names(&folder.at("gone")), ["short_es.srt"]);
    assert_eq!(fs::read(folder.at("gone/short_es.srt")).unwrap(), uninterrupted()["short_es.srt"]);
    assert_eq!(fs::read(folder.out()).unwrap(), b"in the way");
}

#[test]
fn text_on_stdout_leaves_no_files() {
    let folder = ResumeFolder::new();
    let mut program = bare();
    program.arg(folder.at("short_es.flac")).args(["--model", "demo"]).current_dir(folder.out());
    assert_eq!(run(program).status.code(), Some(0));
    assert_eq!(names(folder.0.path()), ["long_en.flac", "out", "short_es.flac"]);
}
