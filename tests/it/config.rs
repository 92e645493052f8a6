//! The configuration file: what stands above it, what is refused and where, and that all settings are told.

use std::path::PathBuf;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use tempfile::TempDir;

use crate::program::{bare, fixture};

/// A person with a configuration folder, and what is in its file.
struct Person {
    home: TempDir,
}

impl Person {
    fn new(file: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("transcribe")).unwrap();
        std::fs::write(home.path().join("transcribe/transcribe.toml"), file).unwrap();
        Self { home }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("transcribe/transcribe.toml")
    }

    fn program(&self) -> Command {
        let mut program = Command::from_std(bare());
        program.env("XDG_CONFIG_HOME", self.home.path()).current_dir(self.home.path());
        program
    }

    /// What `--print-config` says of one option: its value, and where that is from.
    fn told(&self, program: &mut Command, option: &str) -> (String, String) {
        let output = program.arg("--print-config").assert().code(0).stderr(is_empty());
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{option} ="))).unwrap();
        let (setting, source) = line.rsplit_once(" # ").unwrap();
        let value = setting.split_once('=').unwrap().1.trim();
        (value.to_owned(), source.replace(&self.file().display().to_string(), "FILE"))
    }
}

fn speech() -> PathBuf {
    fixture("long/short_en.flac")
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_defaults() {
    let person = Person::new("batch-size = 3\nlanguage = \"de\"\nvad = true\n");
    let told = |program: &mut Command| person.told(program, "batch-size");
    assert_eq!(told(&mut person.program()), pair("3", "FILE, line 1"));
    let with_variable = || {
        let mut program = person.program();
        program.env("TRANSCRIBE_BATCH_SIZE", "5");
        program
    };
    assert_eq!(told(&mut with_variable()), pair("5", "TRANSCRIBE_BATCH_SIZE"));
    assert_eq!(told(with_variable().args(["--batch-size", "7"])), pair("7", "command line"));
    assert_eq!(told(person.program().arg("--no-config")), pair("\"auto\"", "default"));
    assert_eq!(person.told(&mut person.program(), "vad"), pair("true", "FILE, line 3"));
    assert_eq!(person.told(&mut person.program(), "language"), pair("\"de\"", "FILE, line 2"));

    let other = person.home.path().join("other.toml");
    std::fs::write(&other, "batch_size = 11\n").unwrap();
    let source = format!("{}, line 1", other.display());
    let by_flag = told(person.program().env("TRANSCRIBE_NO_CONFIG", "1").arg("--config").arg(&other));
    assert_eq!(by_flag, pair("11", &source));
    assert_eq!(told(person.program().env("TRANSCRIBE_CONFIG", &other)), pair("11", &source));
    let none = told(person.program().env("TRANSCRIBE_CONFIG", &other).arg("--no-config"));
    assert_eq!(none, pair("\"auto\"", "default"));
}

#[test]
fn settings_of_the_file_are_done() {
    let file = "model = \"demo\"\nexport = [\"srt\", \"json\"]\noutput_dir = \"out\"\nword-timestamps = true\n\
                initial-prompt = \"\"\"\nTwo lines\nof it\"\"\"\noffset = 00:00:02\nthreads = 1_0\nseed = 0x10\n";
    let person = Person::new(file);
    person.program().arg(speech()).assert().code(0).stdout(is_empty()).stderr(is_empty());
    let out = person.home.path().join("out");
    let json = std::fs::read_to_string(out.join("short_en.json")).unwrap();
    let transcript: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = &transcript["segments"][0];
    assert!(first["start"].as_f64().unwrap() >= 2.0, "{first}");
    assert!(first["words"].as_array().is_some_and(|words| !words.is_empty()), "{first}");
    assert!(out.join("short_en.srt").is_file());

    // Of the subcommands, what they have in common with the program, and what is theirs alone.
    let file = "export = \"txt\"\nmodel = \"tiny\"\n[commands.export]\nexport = \"vtt\"\n[commands.bench]\ntokens = 3\n\
                seconds = 1\nmodel = \"demo\"\njson = true\n";
    let person = Person::new(file);
    person.program().arg("export").arg(out.join("short_en.json")).assert().code(0);
    assert!(out.join("short_en.vtt").is_file() && !out.join("short_en.txt").exists());
    person.program().arg("bench").assert().code(0).stdout(contains("\"tokens_per_window\":3"));
    std::fs::write(person.file(), "export = \"txt\"\n").unwrap();
    person.program().arg("export").arg(out.join("short_en.json")).assert().code(0);
    assert!(out.join("short_en.txt").is_file());
}

#[test]
fn what_was_said_silences_what_contradicts_it_in_the_file() {
    let person = Person::new("quiet = true\nmodel = \"demo\"\nclip-timestamps = \"0,4\"\n");
    let loud = || {
        let mut program = person.program();
        program.arg(speech()).arg("--verbose");
        program
    };
    loud().assert().code(0).stderr(contains("model demo@"));
    loud().args(["--offset", "3"]).assert().code(0).stdout(contains("The door").not());
    loud().env("TRANSCRIBE_QUIET", "1").assert().code(2).stderr(contains("cannot be used with"));
    // The same as what holds anyway contradicts nothing.
    let person = Person::new("quiet = false\nverbose = true\nclip-timestamps = \"0\"\noffset = 3\n");
    assert_eq!(person.told(&mut person.program(), "verbose"), pair("true", "FILE, line 2"));
}

/// All of stderr about a file that is wrong.
#[track_caller]
fn refused(file: &str, expected: &str) {
    let person = Person::new(file);
    let output = person.program().arg(speech()).assert().code(2).stdout(is_empty());
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    let said = said.replace(&person.file().display().to_string(), "FILE");
    assert_eq!(said.trim_end(), expected, "{file}");
}

#[test]
fn mistakes_in_the_file_are_told_with_their_line_all_at_once() {
    refused(
        "# mine\nmodle = \"demo\"\ntask = \"translat\"\nbeam-size = \"many\"\nquiet = 1\nmax-wer = 0.1\n[exprot]\nx = 1\n",
        "error: `FILE`, line 2: `modle`: there is no such option\n\
         hint: did you mean `model`?\n\
         error: `FILE`, line 3: `task = \"translat\"`: must be one of transcribe, translate\n\
         hint: did you mean `translate`?\n\
         error: `FILE`, line 4: `beam-size = \"many\"`: must be a whole number, 0 or more\n\
         hint: `beam-size`: Beginnings of the text to follow side by side at temperature 0; 1 takes the likeliest word \
         each time. 5 is the default of openai's command line: slower, now and then better\n\
         error: `FILE`, line 5: `quiet = 1`: must be `true` or `false`, without quotes\n\
         hint: `quiet`: No progress and no notes; errors are still told\n\
         error: `FILE`, line 6: `max-wer`: there is no such option\n\
         hint: options of `transcribe score` stand below a line `[commands.score]`\n\
         error: `FILE`, line 7: `[exprot]`: there is no such table\n\
         hint: settings of `transcribe export` stand below a line `[commands.export]`",
    );
    refused(
        "model = small\n",
        "error: `FILE`, line 1: string values must be quoted, expected literal string\n\
         hint: it is read as TOML: `key = value`, with texts in quotes",
    );
    refused(
        "quiet = true\nverbose = true\n",
        "error: `FILE`, line 2: `verbose = true`: cannot be used with `quiet` in line 1\nhint: leave one of them out",
    );
    refused(
        "batch-size = 1\nbatch_size = 2\n",
        "error: `FILE`, line 2: `batch_size = 2`: the same as `batch-size` in line 1\nhint: leave one of them out",
    );
    refused(
        "no_config = true\n",
        "error: `FILE`, line 1: `no_config = true`: cannot be set in a file\n\
         hint: it belongs on the command line: `--no-config`",
    );
}

#[test]
fn what_only_the_whole_shows_to_be_wrong_is_told_with_its_line_too() {
    refused(
        "model = \"demo\"\nlanguage = \"germn\"\n",
        "error: `FILE`, line 2: `language = \"germn\"`: not a language that Whisper knows\nhint: did you mean `de` (german)?",
    );
    refused(
        "model = \"demo\"\noutput-dir = \"out\"\n",
        "error: `FILE`, line 2: `output-dir = \"out\"`: without `--export` no file is written\n\
         hint: say which formats, for example `--export srt,txt`",
    );
    // What the command line alone says wrongly is not the file's fault.
    let person = Person::new("model = \"demo\"\n");
    let wrong = person.program().arg(speech()).args(["--chunk-length", "0.5"]).assert().code(2);
    wrong.stderr(contains("error: `--chunk-length 0.5`: neither"));
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let person = Person::new("model = \"demo\"\n");
    let missing = contains("error: `none.toml`: there is no such file\nhint: check the path of `--config`");
    person.program().arg(speech()).args(["--config", "none.toml"]).assert().code(2).stderr(missing);
    let both = person.program().arg(speech()).args(["--config", "a", "--no-config"]).assert();
    both.code(2).stderr(contains("`--config`: cannot be used with `--no-config`"));
    // Completions for the shell and help must not depend on it.
    std::fs::write(person.file(), "modle = 1").unwrap();
    person.program().arg("--help").assert().code(0);
    person.program().arg(speech()).args(["--no-config", "--model", "demo"]).assert().code(0);
}

#[test]
fn what_is_printed_is_a_file_that_sets_the_same() {
    let settings = |program: &mut Command| {
        let output = program.arg("--print-config").assert().code(0).stderr(is_empty());
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let person = Person::new(
        "initial-prompt = \"a \\\"b\\\"\\n\\\\c\"\nexport = [\"srt\"]\nclip-timestamps = [1, 2.5]\n",
    );
    let first = settings(person.program().env("TRANSCRIBE_SEED", "18446744073709551615").args([
        "--hotwords",
        "it's ünïcödé # 5",
        "--temperature",
        "0.40",
        "--quiet",
    ]));
    let copy = person.home.path().join("copy.toml");
    std::fs::write(&copy, &first).unwrap();
    let second = settings(person.program().arg("--config").arg(&copy));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.rsplit_once(" # ").unwrap().0.trim().to_owned()).collect()
    };
    assert_eq!(values(&second), values(&first));
    assert!(values(&first).contains(&r#"initial-prompt = "a \"b\"\n\\c""#.to_owned()), "{first}");
    assert!(values(&first).contains(&"clip-timestamps = \"1,2.5\"".to_owned()), "{first}");
    // Every option of the help is there, set or not.
    let help = person.program().arg("--help").assert().code(0).get_output().stdout.clone();
    let help = String::from_utf8(help).unwrap();
    let options = help.lines().filter_map(|line| line.trim_start().split_once("--").map(|(_, rest)| rest));
    let mut count = 0;
    for option in
        options.filter_map(|rest| rest.split([' ', '=', ',', '[']).next()).filter(|name| name.len() > 2)
    {
        let shown = help.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with(&format!("--{option}"))
                || line.starts_with('-') && line.contains(&format!(", --{option}"))
        });
        let is_setting = !["help", "version", "config", "no-config", "print-config"].contains(&option);
        if shown && is_setting {
            count += 1;
            assert!(
                first.contains(&format!("\n{option} =")) || first.contains(&format!("\n# {option} =")),
                "{option}"
            );
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn a_folder_in_place_of_the_file_is_no_reason_to_guess() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("transcribe/transcribe.toml")).unwrap();
    let mut program = Command::from_std(bare());
    program.env("XDG_CONFIG_HOME", home.path()).arg(speech());
    program
        .assert()
        .code(2)
        .stderr(contains("cannot be read").and(contains("hint: `--no-config` does without it")));
}
