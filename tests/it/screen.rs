//! The progress display in a real terminal: tmux, whose screen can be captured. Some captures are kept in `screens/` for
//! people to look at.
//!
//! The tests are ignored by default because they need tmux; `.ci/run` includes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use crate::program::fixture;

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal of a tmux server of its own.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    fn open() -> Self {
        Command::new("tmux").arg("-V").output().expect("tmux must be installed");
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tmux(&self, line: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("LC_ALL", "C.UTF-8");
        tmux.args(["-f", "/dev/null", "-u", "-S"]).arg(self.at("socket")).args(line);
        let output = tmux.output().unwrap();
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the demo model on all inputs of the folder and prints `ended` at the end.
    fn start(&self, columns: usize, options: &str) {
        let program = assert_cmd::cargo::cargo_bin!("transcribe");
        let line = format!(
            "echo $$ > pid; exec {} --model demo --export srt --threads 1 --batch-size 4 --chunk-length 30 {options} \
             *.flac *.mp3",
            program.display()
        );
        // The outer shell survives Ctrl+C. When the terminal becomes narrower and runs out of rows, tmux moves its first
        // rows into the history: the lines of `seq` keep the display out of them.
        let line = format!("seq 12; trap : INT; sh -c '{line}'; echo ended; cat");
        let folder = self.folder.path().to_str().unwrap();
        let size = columns.to_string();
        self.tmux(&["new-session", "-d", "-c", folder, "-x", &size, "-y", "24", &line]);
    }

    /// Resizes the terminal while the program is stopped: if it drew for the old width during the resize, the position of
    /// its lines would be undefined.
    fn resize(&self, columns: usize) {
        let pid = std::fs::read_to_string(self.at("pid")).unwrap();
        let signal = |name: &str| Command::new("kill").args([name, pid.trim()]).status().unwrap();
        signal("-STOP");
        std::thread::sleep(Duration::from_millis(200));
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", "24"]);
        std::thread::sleep(Duration::from_millis(200));
        signal("-CONT");
    }

    /// Returns all lines, including those that have scrolled away.
    fn lines(&self) -> Vec<String> {
        self.tmux(&["capture-pane", "-p", "-S", "-"]).lines().map(str::to_owned).collect()
    }

    /// Captures the screen until a condition holds.
    fn wait_until(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let started = Instant::now();
        loop {
            let lines = self.lines();
            if wanted(&lines) {
                return lines;
            }
            assert!(started.elapsed() < PATIENCE, "condition never held:\n{}", lines.join("\n"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.at("socket")).arg("kill-server");
        let _ = tmux.output();
    }
}

/// Creates inputs with long, wide and odd names.
fn create_inputs(folder: &Path) {
    let names = [
        "a very long name of a very long talk, first part.flac",
        "a very long name of a very long talk, second part.flac",
        "会議の録音その一、とても長い名前のファイルです、本当に.flac",
        "Präsentation für alle.flac",
        "e.flac",
        "ぜ.flac",
    ];
    for name in names {
        std::fs::copy(fixture("long/long_en.flac"), folder.join(name)).unwrap();
    }
    std::fs::write(folder.join("empty.mp3"), b"").unwrap();
}

fn totals(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with("total ")).collect()
}

/// The lines of active inputs.
fn bars(lines: &[String]) -> Vec<&String> {
    let is_bar = |line: &&String| line.contains(" [=") || line.contains(" [  ") || line.contains("  ]");
    lines.iter().filter(is_bar).collect()
}

/// Checks what must hold for the display at any time.
fn check(lines: &[String], columns: usize) {
    let screen = lines.join("\n");
    assert_eq!(totals(lines).len(), 1, "{columns}:\n{screen}");
    let bars = bars(lines);
    assert!((1..=4).contains(&bars.len()), "{columns}:\n{screen}");
    for line in bars.into_iter().chain(totals(lines)) {
        assert!(line.width() < columns, "{columns}: {line}");
    }
    let last = lines.iter().rposition(|line| !line.is_empty()).unwrap();
    assert!(lines[last].starts_with("total "), "{columns}:\n{screen}");
}

/// Stores a capture if TRANSCRIBE_KEEP_SCREENS is set.
fn keep(name: &str, lines: &[String]) {
    if std::env::var_os("TRANSCRIBE_KEEP_SCREENS").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/screens");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), format!("{}\n", lines.join("\n").trim_end())).unwrap();
    }
}

fn is_transcribing(lines: &[String]) -> bool {
    totals(lines).len() == 1
        && lines.iter().any(|line| line.contains("[="))
        && lines.iter().any(|l| l.contains("eta"))
}

#[test]
#[ignore = "needs tmux"]
fn the_display_fits_the_terminal_and_is_removed_at_the_end() {
    for columns in [80, 40] {
        let terminal = Terminal::open();
        create_inputs(terminal.folder.path());
        terminal.start(columns, "");
        let screen = terminal.wait_until(is_transcribing);
        check(&screen, columns);
        keep(&format!("{columns}-columns.txt"), &screen);
        terminal.tmux(&["send-keys", "C-c"]);
        let screen = terminal.wait_until(|lines| lines.iter().any(|line| line == "ended"));
        assert!(totals(&screen).is_empty() && bars(&screen).is_empty(), "{}", screen.join("\n"));
        assert!(
            screen.iter().any(|line| line.starts_with("stopped; run the same command")),
            "{}",
            screen.join("\n")
        );
        keep(&format!("{columns}-columns-stopped.txt"), &screen);
    }
}

#[test]
#[ignore = "needs tmux"]
fn the_display_survives_resizing_the_terminal() {
    let terminal = Terminal::open();
    create_inputs(terminal.folder.path());
    terminal.start(80, "--quiet --progress bar");
    terminal.wait_until(is_transcribing);
    for columns in [40, 100, 60] {
        terminal.resize(columns);
        // Wait until it has been redrawn a few times.
        std::thread::sleep(Duration::from_millis(500));
        let screen = terminal.lines();
        check(&screen, columns);
        keep(&format!("resized-to-{columns}.txt"), &screen);
    }
    terminal.tmux(&["send-keys", "C-c"]);
    let screen = terminal.wait_until(|lines| lines.iter().any(|line| line == "ended"));
    assert!(totals(&screen).is_empty() && bars(&screen).is_empty(), "{}", screen.join("\n"));
}

#[test]
#[ignore = "needs tmux"]
fn only_the_summary_remains_at_the_end() {
    let terminal = Terminal::open();
    std::fs::copy(fixture("long/short_en.flac"), terminal.at("talk.flac")).unwrap();
    std::fs::write(terminal.at("empty.mp3"), b"").unwrap();
    terminal.start(80, "");
    let screen = terminal.wait_until(|lines| lines.iter().any(|line| line == "ended"));
    assert!(totals(&screen).is_empty() && bars(&screen).is_empty(), "{}", screen.join("\n"));
    assert!(screen.iter().any(|line| line == "2 inputs: 1 done, 1 failed"), "{}", screen.join("\n"));
    keep("end.txt", &screen);
}

#[test]
#[ignore = "needs tmux"]
fn text_appears_above_the_display_with_names_and_times() {
    let terminal = Terminal::open();
    for name in ["a.flac", "b.flac"] {
        std::fs::copy(fixture("long/short_en.flac"), terminal.at(name)).unwrap();
    }
    std::fs::write(terminal.at("c.mp3"), b"").unwrap();
    terminal.start(80, "");
    let screen = terminal.wait_until(|lines| lines.iter().any(|line| line == "ended"));
    let text = screen.join("\n");
    let position = |line: &str| {
        screen.iter().position(|other| other == line).unwrap_or_else(|| panic!("{line}:\n{text}"))
    };
    assert!(position("a.flac") < position("b.flac"), "{text}");
    let timed = "[00:00.670 --> 00:01.350] One three.";
    assert_eq!(screen[position("a.flac") + 1], timed, "{text}");
    assert_eq!(screen[position("b.flac") + 1], timed, "{text}");
    assert!(terminal.at("a.srt").is_file());
    keep("text.txt", &screen);
}
