//! After an early end of any kind the same command goes on, and its outputs are those of a run that nobody disturbed.

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

use crate::program::{Ended, LEDGER, Running, bare, demo, fixture, names, run};

const FORMATS: [&str; 9] = ["txt", "srt", "vtt", "tsv", "json", "ass", "lrc", "csv", "html"];

/// By name.
type Files = BTreeMap<String, Vec<u8>>;

/// Two recordings, and a folder for what comes of them.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in ["long_en.flac", "short_es.flac"] {
            fs::copy(fixture("long").join(name), place.at(name)).unwrap();
        }
        fs::create_dir(place.out()).unwrap();
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn out(&self) -> PathBuf {
        self.at("out")
    }

    /// Both of them in chunks of about six seconds, in every format.
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

    /// Another place in the state of this one.
    fn copy(&self) -> Self {
        let copy = Self::new();
        let done = self.out().join(LEDGER).is_file().then(|| LEDGER.to_owned());
        for name in names(&self.out()).into_iter().chain(done) {
            fs::copy(self.out().join(&name), copy.out().join(&name)).unwrap();
        }
        copy
    }

    /// With the first recording stopped when some of its chunks, not the first ones alone, were finished.
    fn stopped() -> Self {
        let place = Place::new();
        // One after the other, so that it is known what is finished then.
        let mut program = place.only_long();
        program.args(["--batch-size", "1"]);
        let mut running = Running::start_until(program, "stop encode 7");
        assert!(running.wait_for("test hook: "));
        running.signal("TERM");
        assert_eq!(running.end().status.signal(), Some(15));
        assert!(place.journal().is_file());
        place
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

/// What a run that nobody disturbs makes of the two.
pub fn undisturbed() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let place = Place::new();
        let ended = run(place.command());
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let files = place.files();
        assert_eq!(files.len(), 2 * FORMATS.len());
        files
    })
}

/// Whatever happened, there are only whole outputs, partial ones that say so, and journals.
pub fn check_files(place: &Place) {
    for (name, content) in place.files() {
        match undisturbed().get(&name) {
            Some(whole) => assert!(content == *whole, "{name} differs"),
            None => check_partial(&name, &content),
        }
    }
    for name in names(&place.out()).iter().filter(|name| name.starts_with('.')) {
        assert!([".long_en.transcribe", ".short_es.transcribe"].contains(&name.as_str()), "{name}");
    }
}

/// The rows of a page.
fn article(page: &str) -> &str {
    let rows = page.split_once("<article").unwrap().1.split_once("</article>").unwrap().0;
    &rows[rows.find("<p class=\"s").unwrap()..]
}

/// The beginning of the whole, and a mark.
fn check_partial(name: &str, content: &[u8]) {
    let (stem, format) = name.split_once(".partial.").unwrap_or_else(|| panic!("{name} is left over"));
    let whole = std::str::from_utf8(&undisturbed()[&format!("{stem}.{format}")]).unwrap();
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
    // Times, or the number of the cue, stand before the mark.
    let text = content
        .trim_end()
        .trim_end_matches(['"', ' ', '-', '>'])
        .strip_suffix("[partial]")
        .unwrap_or_else(|| panic!("{name}: {content}"));
    let said = match format {
        "txt" => text,
        "html" => article(text),
        "tsv" | "ass" | "lrc" | "csv" => &text[..text.trim_end_matches('\n').rfind('\n').unwrap() + 1],
        _ => &text[..text.rfind("\n\n").unwrap() + 2],
    };
    let whole = if format == "html" { article(whole) } else { whole };
    assert!(said.len() > 8 && whole.starts_with(said), "{name}: {content}");
}

/// It went through to the end, and nothing but the outputs is there.
pub fn check_done(place: &Place, ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(place.files() == *undisturbed());
    let hidden = names(&place.out()).iter().any(|name| name.starts_with('.'));
    assert!(!hidden, "{:?}", names(&place.out()));
}

/// Stops it again and again, each time a little later in its work, and lets it finish in the end.
fn stopped_again_and_again(signal: &str, number: i32) {
    let place = Place::new();
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
        let mut program = place.command();
        // What does not change the text may be another each time.
        program.args(["--batch-size", ["1", "2", "4", "auto"][nth % 4]]);
        program.args(["--threads", ["1", "2"][nth % 2], "--jobs", ["2", "1", "auto"][nth % 3]]);
        let mut running = Running::start_until(program, &format!("stop {moment}"));
        if !running.wait_for("test hook: ") {
            // There was not so much left to do.
            assert_eq!(running.end().status.code(), Some(0));
            break;
        }
        running.signal(signal);
        assert_eq!(running.end().status.signal(), Some(number), "{moment}");
        check_files(&place);
        stops += 1;
    }
    assert!(stops >= 12, "only {stops}");
    check_done(&place, &run(place.command()));
}

#[test]
fn killed_again_and_again_it_ends_with_the_same_bytes() {
    stopped_again_and_again("KILL", 9);
}

#[test]
fn terminated_again_and_again_it_ends_with_the_same_bytes() {
    stopped_again_and_again("TERM", 15);
}

/// At moments that nobody chose. Run by `just kill`.
#[test]
#[ignore = "takes minutes"]
fn killed_at_fifty_random_moments_it_ends_with_the_same_bytes() {
    let (mut kills, mut rounds, mut random) = (0, 0, 1_u64);
    while kills < 50 {
        let place = Place::new();
        rounds += 1;
        loop {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut running = Running::start(place.command());
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
        assert_eq!(run(place.command()).status.code(), Some(0));
        for (name, whole) in undisturbed() {
            assert!(place.files()[name] == *whole, "{name}");
        }
    }
    println!("{kills} deaths in {rounds} rounds");
}

/// Windows that the encoder was given.
fn windows(mut program: Command) -> usize {
    program.arg("--stats");
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let line = ended.stderr.lines().find_map(|line| line.strip_prefix("windows ")).unwrap().trim();
    line.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn finished_chunks_are_not_done_again() {
    let stopped = Place::stopped();
    let (anew, on) = (stopped.copy(), stopped.copy());
    let mut program = anew.only_long();
    program.arg("--no-resume");
    let all = windows(program);
    let rest = windows(on.only_long());
    // Five at least were finished.
    assert!(rest + 5 <= all, "{rest} of {all}");
}

/// Goes on in a copy of a stopped place; what it says of the journal.
fn goes_on(stopped: &Place, change: impl FnOnce(&Place, &mut Command)) -> (Place, Ended) {
    let place = stopped.copy();
    let mut program = place.only_long();
    change(&place, &mut program);
    let ended = run(program);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!place.journal().exists());
    (place, ended)
}

#[test]
fn what_changes_the_text_invalidates_and_what_does_not_does_not() {
    let stopped = Place::stopped();
    let resumes = |change: &dyn Fn(&Place, &mut Command)| {
        let (place, ended) = goes_on(&stopped, change);
        assert!(ended.stderr.contains("resuming where an earlier run stopped"), "{}", ended.stderr);
        check_files(&place);
    };
    resumes(&|_, _| {});
    resumes(&|_, program| {
        program.args(["--batch-size", "3", "--threads", "1", "--jobs", "1", "--device", "cpu", "--stats"]);
    });
    // The same content under a new date.
    resumes(&|place, _| {
        let content = fs::read(place.at("long_en.flac")).unwrap();
        fs::write(place.at("long_en.flac"), content).unwrap();
    });

    let renewed = |why: &str, change: &dyn Fn(&Place, &mut Command)| {
        let (_, ended) = goes_on(&stopped, change);
        assert!(!ended.stderr.contains("resuming where"), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("can be reused: {why}")), "{}", ended.stderr);
    };
    renewed("the input has changed", &|place, _| {
        let mut content = fs::read(place.at("long_en.flac")).unwrap();
        content.extend(b"more");
        fs::write(place.at("long_en.flac"), content).unwrap();
    });
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    renewed("the model has changed", &|_, program| {
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
        renewed("options that affect the text", &|place, program| {
            let mut changed = demo();
            changed.arg(place.at("long_en.flac")).args(["--export", "all", "--output-dir"]).arg(place.out());
            if option[0] != "--chunk-length" {
                changed.args(["--chunk-length", "6"]);
            }
            changed.args(option);
            *program = changed;
        });
    }
    renewed("`--no-resume` was given", &|_, program| {
        program.arg("--no-resume");
    });
}

/// Five minutes whose chunks each go on where the one before left off.
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
fn a_recording_in_one_piece_goes_on_in_the_midst_of_it() {
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
fn other_formats_of_the_same_text_are_made_of_what_is_finished() {
    let stopped = Place::stopped();
    let place = stopped.copy();
    let mut program = demo();
    program.arg(place.at("long_en.flac")).args(["--export", "srt", "--chunk-length", "6", "--output-dir"]);
    program.arg(place.out());
    let ended = run(program);
    assert!(ended.stderr.contains("resuming where"), "{ended:?}");
    assert_eq!(fs::read(place.out().join("long_en.srt")).unwrap(), undisturbed()["long_en.srt"]);
    assert!(!place.out().join("long_en.partial.srt").exists());
}

#[test]
fn a_damaged_journal_costs_its_damaged_part_only() {
    let stopped = Place::stopped();
    let whole = fs::read(stopped.journal()).unwrap();
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > 4, "{lines} records");
    // Behind the records of what the work is and of the language.
    let late = whole.len() * 3 / 4;
    let damages: [(&str, Vec<u8>); 4] = [
        ("its end is damaged", whole[..whole.len() - 1].to_vec()),
        ("its end is damaged", [&whole[..], &[0; 4096]].concat()),
        ("its end is damaged", [&whole[..late], b"?", &whole[late + 1..]].concat()),
        ("it is damaged", vec![b'?'; whole.len()]),
    ];
    for (why, content) in damages {
        let (place, ended) = goes_on(&stopped, |place, _| {
            fs::write(place.journal(), &content).unwrap();
            // As a writer leaves it that is killed.
            fs::write(place.out().join(".long_en.srt.aB3dE6.tmp"), "1\n").unwrap();
        });
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("resuming where"), why != "it is damaged", "{}", ended.stderr);
        check_files(&place);
    }
}

#[test]
fn two_processes_do_not_make_the_same_outputs() {
    let place = Place::new();
    let mut first = Running::start_until(place.only_long(), "stop encode 2");
    assert!(first.wait_for("test hook: encode"));
    let ended = run(place.command());
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("long_en.flac`: another process is transcribing it"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: wait for it to finish"), "{}", ended.stderr);
    // The other one is done all the same, and nothing of the first was touched.
    assert!(place.out().join("short_es.srt").is_file());
    assert!(!place.out().join("long_en.srt").exists() && place.journal().is_file());
    first.signal("TERM");
    assert_eq!(first.end().status.signal(), Some(15));
    check_done(&place, &run(place.command()));
}

#[test]
fn without_a_journal_the_work_goes_on() {
    let place = Place::new();
    for name in [".long_en.transcribe", ".short_es.transcribe"] {
        fs::create_dir(place.out().join(name)).unwrap();
    }
    let ended = run(place.command());
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("cannot be kept"), "{warnings:?}");
    for (name, whole) in undisturbed() {
        assert!(fs::read(place.out().join(name)).unwrap() == *whole, "{name}");
    }
}

/// The program, in a world where no file may be larger than this.
fn limited(program: &Command, kilobytes: usize) -> Command {
    let mut shell = Command::new("sh");
    // The signal that tells of the limit is ignored, as none comes from a full disk.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2), "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn no_room_for_the_journal_costs_only_the_journal() {
    let place = Place::new();
    let mut program = demo();
    program.arg(place.at("long_en.flac")).args(["--export", "srt", "--chunk-length", "6", "--output-dir"]);
    program.arg(place.out());
    let ended = run(limited(&program, 6));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("warning: ") && ended.stderr.contains("cannot be kept"),
        "{}",
        ended.stderr
    );
    assert_eq!(names(&place.out()), ["long_en.srt"]);
    check_files(&place);
}

#[test]
fn no_room_for_the_outputs_keeps_what_is_finished() {
    let place = Place::new();
    let ended = run(limited(&place.command(), 10));
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(ended.stderr.contains("long_en.json` cannot be written"), "{}", ended.stderr);
    assert!(!place.out().join("long_en.json").exists() && place.journal().is_file());
    check_files(&place);
    let ended = run(place.command());
    assert!(ended.stderr.contains("resuming where"), "{}", ended.stderr);
    check_done(&place, &ended);
}

#[test]
fn a_folder_that_goes_away_ends_with_6_and_nothing_is_half_written() {
    let place = Place::new();
    let pipe = place.at("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut program = demo();
    program.args([&place.at("short_es.flac"), &pipe, &place.at("long_en.flac")]);
    program.args(["--jobs", "1", "--export", "srt", "--chunk-length", "6", "--output-dir"]).arg(place.out());
    let running = Running::start(program);
    // Returns when the other side is open: the first one is done by then, the third not begun.
    let mut audio = File::options().write(true).open(&pipe).unwrap();
    fs::rename(place.out(), place.at("gone")).unwrap();
    fs::write(place.out(), "in the way").unwrap();
    audio.write_all(&fs::read(place.at("short_es.flac")).unwrap()).unwrap();
    drop(audio);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(ended.stderr.contains("pipe.srt` cannot be written"), "{}", ended.stderr);
    assert!(ended.stderr.contains("long_en.srt` cannot be written"), "{}", ended.stderr);
    assert_eq!(names(&place.at("gone")), ["short_es.srt"]);
    assert_eq!(fs::read(place.at("gone/short_es.srt")).unwrap(), undisturbed()["short_es.srt"]);
    assert_eq!(fs::read(place.out()).unwrap(), b"in the way");
}

#[test]
fn text_on_stdout_leaves_nothing_behind() {
    let place = Place::new();
    let mut program = bare();
    program.arg(place.at("short_es.flac")).args(["--model", "demo"]).current_dir(place.out());
    assert_eq!(run(program).status.code(), Some(0));
    assert_eq!(names(place.0.path()), ["long_en.flac", "out", "short_es.flac"]);
}
