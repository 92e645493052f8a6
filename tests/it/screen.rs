//! The progress display in a real terminal: tmux, which remembers what stood where. Some of what was seen is kept in
//! `screens/`, to be looked at.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use crate::program::fixture;

const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal of its own server.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    /// None, with a word why, where there is no tmux.
    fn open() -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            println!("skipped: tmux is not installed");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().unwrap() })
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

    /// Runs the demo on all inputs of the folder, and says `ended` behind it.
    fn start(&self, columns: usize, options: &str) {
        let program = assert_cmd::cargo::cargo_bin!("transcribe");
        let line = format!(
            "echo $$ > pid; exec {} --model demo --export srt --threads 1 --batch-size 4 --chunk-length 30 {options} \
             *.flac *.mp3",
            program.display()
        );
        // The shell behind it survives Ctrl+C. Where a terminal that becomes narrower has no room left, tmux puts
        // what stands in its first rows out of reach: that should not be the display.
        let line = format!("seq 12; trap : INT; sh -c '{line}'; echo ended; cat");
        let folder = self.folder.path().to_str().unwrap();
        let size = columns.to_string();
        self.tmux(&["new-session", "-d", "-c", folder, "-x", &size, "-y", "24", &line]);
    }

    /// What the program has drawn a moment before is for the old width. Where that meets the new one nobody can
    /// know what stands where, so it draws nothing meanwhile.
    fn resize(&self, columns: usize) {
        let pid = std::fs::read_to_string(self.at("pid")).unwrap();
        let signal = |name: &str| Command::new("kill").args([name, pid.trim()]).status().unwrap();
        signal("-STOP");
        std::thread::sleep(Duration::from_millis(200));
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", "24"]);
        std::thread::sleep(Duration::from_millis(200));
        signal("-CONT");
    }

    /// All lines, also those that have scrolled away.
    fn lines(&self) -> Vec<String> {
        self.tmux(&["capture-pane", "-p", "-S", "-"]).lines().map(str::to_owned).collect()
    }

    /// Looks until it sees this.
    fn see(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let started = Instant::now();
        loop {
            let lines = self.lines();
            if wanted(&lines) {
                return lines;
            }
            assert!(started.elapsed() < PATIENCE, "never seen:\n{}", lines.join("\n"));
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

/// Inputs with long, wide and odd names.
fn fill(folder: &Path) {
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

/// Lines of inputs in flight.
fn bars(lines: &[String]) -> Vec<&String> {
    let is_bar = |line: &&String| line.contains(" [=") || line.contains(" [  ") || line.contains("  ]");
    lines.iter().filter(is_bar).collect()
}

/// What has to be true of a display at any time.
fn check(lines: &[String], columns: usize) {
    let seen = lines.join("\n");
    assert_eq!(totals(lines).len(), 1, "{columns}:\n{seen}");
    let bars = bars(lines);
    assert!((1..=4).contains(&bars.len()), "{columns}:\n{seen}");
    for line in bars.into_iter().chain(totals(lines)) {
        assert!(line.width() < columns, "{columns}: {line}");
    }
    let last = lines.iter().rposition(|line| !line.is_empty()).unwrap();
    assert!(lines[last].starts_with("total "), "{columns}:\n{seen}");
}

/// Keeps what was seen, if somebody wants it anew.
fn keep(name: &str, lines: &[String]) {
    if std::env::var_os("TRANSCRIBE_KEEP_SCREENS").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/screens");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), format!("{}\n", lines.join("\n").trim_end())).unwrap();
    }
}

fn is_at_work(lines: &[String]) -> bool {
    totals(lines).len() == 1
        && lines.iter().any(|line| line.contains("[="))
        && lines.iter().any(|l| l.contains("eta"))
}

#[test]
fn the_display_fits_wide_and_narrow_terminals_and_leaves_nothing_behind() {
    for columns in [80, 40] {
        let Some(terminal) = Terminal::open() else { return };
        fill(terminal.folder.path());
        terminal.start(columns, "");
        let seen = terminal.see(is_at_work);
        check(&seen, columns);
        keep(&format!("{columns}-columns.txt"), &seen);
        terminal.tmux(&["send-keys", "C-c"]);
        let seen = terminal.see(|lines| lines.iter().any(|line| line == "ended"));
        assert!(totals(&seen).is_empty() && bars(&seen).is_empty(), "{}", seen.join("\n"));
        assert!(seen.iter().any(|line| line.starts_with("stopped; the same command")), "{}", seen.join("\n"));
        keep(&format!("{columns}-columns-stopped.txt"), &seen);
    }
}

#[test]
fn a_terminal_that_changes_its_width_keeps_one_display() {
    let Some(terminal) = Terminal::open() else { return };
    fill(terminal.folder.path());
    terminal.start(80, "--quiet --progress bar");
    terminal.see(is_at_work);
    for columns in [40, 100, 60] {
        terminal.resize(columns);
        // It is drawn anew in a moment, and again.
        std::thread::sleep(Duration::from_millis(500));
        let seen = terminal.lines();
        check(&seen, columns);
        keep(&format!("resized-to-{columns}.txt"), &seen);
    }
    terminal.tmux(&["send-keys", "C-c"]);
    let seen = terminal.see(|lines| lines.iter().any(|line| line == "ended"));
    assert!(totals(&seen).is_empty() && bars(&seen).is_empty(), "{}", seen.join("\n"));
}

#[test]
fn at_the_end_there_is_the_account_alone() {
    let Some(terminal) = Terminal::open() else { return };
    std::fs::copy(fixture("long/short_en.flac"), terminal.at("talk.flac")).unwrap();
    std::fs::write(terminal.at("empty.mp3"), b"").unwrap();
    terminal.start(80, "");
    let seen = terminal.see(|lines| lines.iter().any(|line| line == "ended"));
    assert!(totals(&seen).is_empty() && bars(&seen).is_empty(), "{}", seen.join("\n"));
    assert!(seen.iter().any(|line| line == "2 inputs: 1 done, 1 failed"), "{}", seen.join("\n"));
    keep("end.txt", &seen);
}
