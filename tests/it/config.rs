//! The configuration file: precedence, errors with their lines, and `--print-config`.

use std::path::PathBuf;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use tempfile::TempDir;

use crate::program::{DEMO_WARNING, bare, fixture};

/// A configuration folder with a file in it.
struct ConfigHome {
    home: TempDir,
}

impl ConfigHome {
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

    /// Returns the value of an option and its source, as `--print-config` prints them.
    fn printed(&self, program: &mut Command, option: &str) -> (String, String) {
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
fn options_override_the_environment_the_file_and_the_defaults() {
    let home = ConfigHome::new("batch-size = 3\nlanguage = \"de\"\nvad = true\n");
    let printed = |program: &mut Command| home.printed(program, "batch-size");
    assert_eq!(printed(&mut home.program()), pair("3", "FILE, line 1"));
    let with_variable = || {
        let mut program = home.program();
        program.env("TRANSCRIBE_BATCH_SIZE", "5");
        program
    };
    assert_eq!(printed(&mut with_variable()), pair("5", "TRANSCRIBE_BATCH_SIZE"));
    assert_eq!(printed(with_variable().args(["--batch-size", "7"])), pair("7", "command line"));
    assert_eq!(printed(home.program().arg("--no-config")), pair("\"auto\"", "default"));
    assert_eq!(home.printed(&mut home.program(), "vad"), pair("true", "FILE, line 3"));
    assert_eq!(home.printed(&mut home.program(), "language"), pair("\"de\"", "FILE, line 2"));

    let other = home.home.path().join("other.toml");
    std::fs::write(&other, "batch_size = 11\n").unwrap();
    let source = format!("{}, line 1", other.display());
    let by_flag = printed(home.program().env("TRANSCRIBE_NO_CONFIG", "1").arg("--config").arg(&other));
    assert_eq!(by_flag, pair("11", &source));
    assert_eq!(printed(home.program().env("TRANSCRIBE_CONFIG", &other)), pair("11", &source));
    let none = printed(home.program().env("TRANSCRIBE_CONFIG", &other).arg("--no-config"));
    assert_eq!(none, pair("\"auto\"", "default"));
}

#[test]
fn applies_settings_from_the_file() {
    let file = "model = \"demo\"\nexport = [\"srt\", \"json\"]\noutput_dir = \"out\"\nword-timestamps = true\n\
                initial-prompt = \"\"\"\nTwo lines\nof it\"\"\"\noffset = 00:00:02\nthreads = 1_0\nseed = 0x10\n";
    let home = ConfigHome::new(file);
    home.program().arg(speech()).assert().code(0).stdout(is_empty()).stderr(DEMO_WARNING);
    let out = home.home.path().join("out");
    let json = std::fs::read_to_string(out.join("short_en.json")).unwrap();
    let transcript: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = &transcript["segments"][0];
    assert!(first["start"].as_f64().unwrap() >= 2.0, "{first}");
    assert!(first["words"].as_array().is_some_and(|words| !words.is_empty()), "{first}");
    assert!(out.join("short_en.srt").is_file());

    // Settings of commands: those shared with the program, and their own.
    let file = "export = \"txt\"\nmodel = \"tiny\"\n[commands.export]\nexport = \"vtt\"\n[commands.bench]\ntokens = 3\n\
                seconds = 1\nmodel = \"demo\"\njson = true\n";
    let home = ConfigHome::new(file);
    home.program().arg("export").arg(out.join("short_en.json")).assert().code(0);
    assert!(out.join("short_en.vtt").is_file() && !out.join("short_en.txt").exists());
    home.program().arg("bench").assert().code(0).stdout(contains("\"tokens_per_window\":3"));
    std::fs::write(home.file(), "export = \"txt\"\n").unwrap();
    home.program().arg("export").arg(out.join("short_en.json")).assert().code(0);
    assert!(out.join("short_en.txt").is_file());
}

#[test]
fn explicit_options_override_conflicting_settings() {
    let home = ConfigHome::new("quiet = true\nmodel = \"demo\"\nclip-timestamps = \"0,4\"\n");
    let verbose = || {
        let mut program = home.program();
        program.arg(speech()).arg("--verbose");
        program
    };
    verbose().assert().code(0).stderr(contains("model demo@"));
    verbose().args(["--offset", "3"]).assert().code(0).stdout(contains("The door").not());
    verbose().env("TRANSCRIBE_QUIET", "1").assert().code(2).stderr(contains("cannot be used with"));
    // Settings equal to the defaults conflict with nothing.
    let home = ConfigHome::new("quiet = false\nverbose = true\nclip-timestamps = \"0\"\noffset = 3\n");
    assert_eq!(home.printed(&mut home.program(), "verbose"), pair("true", "FILE, line 2"));
}

/// Checks everything that stderr says about an invalid file.
#[track_caller]
fn rejects(file: &str, expected: &str) {
    let home = ConfigHome::new(file);
    let output = home.program().arg(speech()).assert().code(2).stdout(is_empty());
    let stderr = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    let stderr = stderr.replace(&home.file().display().to_string(), "FILE");
    assert_eq!(stderr.trim_end(), expected, "{file}");
}

#[test]
fn reports_all_errors_of_the_file_with_their_lines() {
    rejects(
        "# mine\nmodle = \"demo\"\ntask = \"translat\"\nbeam-size = \"many\"\nquiet = 1\nmax-wer = 0.1\n[exprot]\nx = 1\n",
        "error: `FILE`, line 2: `modle`: unknown option\n\
         hint: did you mean `model`?\n\
         error: `FILE`, line 3: `task = \"translat\"`: must be one of transcribe, translate\n\
         hint: did you mean `translate`?\n\
         error: `FILE`, line 4: `beam-size = \"many\"`: must be a non-negative integer\n\
         hint: `beam-size`: Number of beams in beam search at temperature 0; 1 disables it. openai's command line \
         defaults to 5: slower, sometimes better\n\
         error: `FILE`, line 5: `quiet = 1`: must be `true` or `false`, without quotes\n\
         hint: `quiet`: Print only warnings and errors\n\
         error: `FILE`, line 6: `max-wer`: unknown option\n\
         hint: use the table `[commands.score]` for options of `transcribe score`\n\
         error: `FILE`, line 7: `[exprot]`: unknown table\n\
         hint: use the table `[commands.export]` for settings of `transcribe export`",
    );
    rejects(
        "model = small\n",
        "error: `FILE`, line 1: string values must be quoted, expected literal string\n\
         hint: the file must be TOML: `key = value`, with strings in quotes",
    );
    rejects(
        "quiet = true\nverbose = true\n",
        "error: `FILE`, line 2: `verbose = true`: cannot be used with `quiet` in line 1\nhint: remove one of them",
    );
    rejects(
        "batch-size = 1\nbatch_size = 2\n",
        "error: `FILE`, line 2: `batch_size = 2`: is already set as `batch-size` in line 1\nhint: remove one of them",
    );
    rejects(
        "no_config = true\n",
        "error: `FILE`, line 1: `no_config = true`: cannot be set in the configuration file\n\
         hint: use `--no-config` on the command line",
    );
}

#[test]
fn reports_the_line_of_settings_that_are_invalid_together() {
    rejects(
        "model = \"demo\"\nlanguage = \"germn\"\n",
        "error: `FILE`, line 2: `language = \"germn\"`: not a language that Whisper knows\nhint: did you mean `de` (german)?",
    );
    // An error on the command line is not attributed to the file.
    let home = ConfigHome::new("model = \"demo\"\n");
    let wrong = home.program().arg(speech()).args(["--chunk-length", "0.5"]).assert().code(2);
    wrong.stderr(contains("error: `--chunk-length 0.5`: must be 0 or"));
}

#[test]
fn settings_that_need_another_option_are_ignored_without_it() {
    let file = "model = \"demo\"\noutput-dir = \"out\"\nflat = true\nmax-line-width = 20\npatience = 2\n\
                hallucination-silence-threshold = 1\n";
    let home = ConfigHome::new(file);
    home.program().arg(speech()).assert().code(0).stdout(contains("The door is blue.")).stderr(DEMO_WARNING);
    home.program().args(["doctor", "--device", "cpu"]).assert().code(0);
    // With the other options they count.
    let written = |line: &[&str]| {
        home.program().arg(speech()).args(line).assert().code(0);
        std::fs::read_to_string(home.home.path().join("out/short_en.srt")).unwrap()
    };
    let wordless = written(&["--export", "srt", "--no-word-timestamps"]);
    assert!(wordless.contains("Close Friday two eight Monday six door."));
    // Subtitles have words by default.
    for line in
        [&["--export", "srt", "--overwrite"][..], &["--export", "srt", "--word-timestamps", "--overwrite"]]
    {
        let narrow = written(line);
        assert!(!narrow.contains("Close Friday two eight Monday"), "{narrow}");
    }
    // So are variables of the environment; on the command line they are errors.
    let mut variable = home.program();
    variable.arg("--no-config").arg(speech()).env("TRANSCRIBE_MODEL", "demo");
    variable.env("TRANSCRIBE_OUTPUT_DIR", "out").env("TRANSCRIBE_HIGHLIGHT_WORDS", "1");
    variable.assert().code(0).stdout(contains("The door is blue."));
    let refused = |line: &[&str]| home.program().arg(speech()).args(line).assert().code(2).stdout(is_empty());
    refused(&["--output-dir", "out"]).stderr(contains("has no effect without `--export`"));
    refused(&["--patience", "2"]).stderr(contains("no effect without a beam search"));
    // They are listed all the same.
    let listed = home.printed(&mut home.program(), "output-dir");
    assert_eq!(listed, pair("\"out\"", "FILE, line 2"));
    // A transcript without words is converted without what needs them.
    let plain = home.home.path().join("plain.srt");
    std::fs::write(&plain, "1\n00:00:01,000 --> 00:00:03,000\nsome words here\n").unwrap();
    home.program().arg("export").arg(&plain).args(["--export", "vtt"]).assert().code(0);
    assert!(home.home.path().join("out/plain.vtt").is_file());
}

#[test]
fn a_named_file_must_exist() {
    let home = ConfigHome::new("model = \"demo\"\n");
    let missing = contains("error: `none.toml`: there is no such file\nhint: check the path of `--config`");
    home.program().arg(speech()).args(["--config", "none.toml"]).assert().code(2).stderr(missing);
    let both = home.program().arg(speech()).args(["--config", "a", "--no-config"]).assert();
    both.code(2).stderr(contains("`--config`: cannot be used with `--no-config`"));
    // Help must not depend on the file.
    std::fs::write(home.file(), "modle = 1").unwrap();
    home.program().arg("--help").assert().code(0);
    home.program().arg(speech()).args(["--no-config", "--model", "demo"]).assert().code(0);
}

#[test]
fn print_config_prints_a_file_with_the_same_settings() {
    let settings = |program: &mut Command| {
        let output = program.arg("--print-config").assert().code(0).stderr(is_empty());
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let home = ConfigHome::new(
        "initial-prompt = \"a \\\"b\\\"\\n\\\\c\"\nexport = [\"srt\"]\nclip-timestamps = [1, 2.5]\n",
    );
    let first = settings(home.program().env("TRANSCRIBE_SEED", "18446744073709551615").args([
        "--hotwords",
        "it's ünïcödé # 5",
        "--temperature",
        "0.40",
        "--quiet",
    ]));
    let copy = home.home.path().join("copy.toml");
    std::fs::write(&copy, &first).unwrap();
    let second = settings(home.program().arg("--config").arg(&copy));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.rsplit_once(" # ").unwrap().0.trim().to_owned()).collect()
    };
    assert_eq!(values(&second), values(&first));
    assert!(values(&first).contains(&r#"initial-prompt = "a \"b\"\n\\c""#.to_owned()), "{first}");
    assert!(values(&first).contains(&"clip-timestamps = \"1,2.5\"".to_owned()), "{first}");
    // Every option of the help is listed, set or not.
    let help = home.program().arg("--help").assert().code(0).get_output().stdout.clone();
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
fn a_folder_in_place_of_the_file_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("transcribe/transcribe.toml")).unwrap();
    let mut program = Command::from_std(bare());
    program.env("XDG_CONFIG_HOME", home.path()).arg(speech());
    program
        .assert()
        .code(2)
        .stderr(contains("cannot be read").and(contains("hint: `--no-config` runs without it")));
}
