//! The architecture: which room may know which, and what only one place may know. Reads the sources as tokens,
//! so comments and texts do not count; what stands under `#[cfg(test)]` is free.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Who may use whom. Everyone may also use [`COMMON`].
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    ("cancel", &[]),
    ("context", &[]),
    ("digest", &[]),
    ("error", &[]),
    ("test_hooks", &[]),
    ("time", &[]),
    ("audio", &[]),
    ("vad", &[]),
    ("chunking", &["vad"]),
    ("mel", &["chunking", "vad"]),
    ("whisper", &["device"]),
    ("transcript", &[]),
    ("decode", &["chunking", "transcript"]),
    ("models", &["decode", "device", "whisper"]),
    ("engine", &["chunking", "decode", "device", "mel", "models", "transcript"]),
    ("export", &["transcript"]),
    ("import", &["decode", "transcript"]),
    ("score", &["import"]),
    ("device", &[]),
    ("plan", &["audio", "chunking", "decode", "device", "export", "models", "store", "transcript"]),
    ("store", &["audio", "chunking", "decode", "export", "transcript", "vad"]),
    ("run", &ANY_BUT_CLI),
    ("report", &ANY_BUT_CLI),
    ("watch", &ANY_BUT_CLI),
    ("cli", &ANY_BUT_CLI),
];

const ANY_BUT_CLI: [&str; 18] = [
    "audio",
    "chunking",
    "decode",
    "device",
    "engine",
    "export",
    "import",
    "mel",
    "models",
    "plan",
    "report",
    "run",
    "score",
    "store",
    "transcript",
    "vad",
    "watch",
    "whisper",
];

const COMMON: [&str; 6] = ["cancel", "context", "digest", "error", "test_hooks", "time"];

/// Exceptions to [`COMMON`]: the loop asks whether to stop, the network does not.
const NOT_COMMON: &[(&str, &str)] = &[("whisper", "cancel")];

/// Words of the language or crates that only some files may say. A folder ends in a slash.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("symphonia", &["audio/decode/", "audio/opus.rs"]),
    ("rubato", &["audio/resample.rs"]),
    ("console", &["cli/progress/", "cli/printer.rs"]),
    ("toml", &["cli/config/document.rs"]),
    ("ctrlc", &["cli/interrupt.rs"]),
    ("earshot", &["vad/detector.rs"]),
    ("anyhow", &["cli/", "main.rs"]),
    ("candle_core", &["whisper/", "device/", "models/"]),
    ("candle_nn", &["whisper/", "device/", "models/"]),
    ("unsafe", &["device/", "whisper/weights.rs"]),
];

/// Features that only `device/` may ask for.
const DEVICE_FEATURES: [&str; 2] = ["cuda", "metal"];

/// Lines of a file before its tests.
const MAX_LINES: usize = 450;

/// A piece of source: its text, and the line it stands in.
type Token = (String, usize);

/// Everything but what `#[cfg(test)]` applies to, groups opened and closed by tokens of their own.
fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                out.push((open.into(), line));
                flatten(group.stream(), out);
                out.push((close.into(), line));
            }
            TokenTree::Punct(hash) if hash.as_char() == '#' && is_cfg_test(trees.peek()) => {
                // To the end of the item: its body, or its semicolon.
                trees.by_ref().skip(1).find(|tree| match tree {
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    TokenTree::Punct(punct) => punct.as_char() == ';',
                    _ => false,
                });
            }
            other => out.push((other.to_string(), line)),
        }
    }
}

fn is_cfg_test(tree: Option<&TokenTree>) -> bool {
    matches!(tree, Some(TokenTree::Group(group)) if group.stream().to_string().replace(' ', "") == "cfg(test)")
}

struct File {
    /// Below `src`, with slashes.
    path: String,
    text: String,
    tokens: Vec<Token>,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let mut tokens = Vec::new();
        flatten(text.parse().unwrap_or_else(|error| panic!("{path}: {error}")), &mut tokens);
        Self { path: path.into(), text: text.into(), tokens }
    }

    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super` lead from here to the root of the crate, outside modules inside the file.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        match self.path.rsplit('/').next().unwrap() {
            "mod.rs" | "lib.rs" | "main.rs" => parts - 1,
            _ => parts,
        }
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.0)
    }

    fn is_path_separator(&self, at: usize) -> bool {
        self.token(at) == ":" && self.token(at + 1) == ":"
    }

    /// If a path from the root of the crate starts here: where the part after the root does.
    fn after_root(&self, at: usize) -> Option<usize> {
        if at >= 2 && self.is_path_separator(at - 2) {
            return None;
        }
        let mut supers = 0;
        while self.token(at + 3 * supers) == "super" && self.is_path_separator(at + 3 * supers + 1) {
            supers += 1;
        }
        let named = self.token(at) == "crate" || (self.token(at) == "transcribe" && self.path == "main.rs");
        match () {
            () if named && self.is_path_separator(at + 1) => Some(at + 3),
            () if supers > 0 && supers >= self.depth() => Some(at + 3 * supers),
            () => None,
        }
    }

    /// The first names of the paths that go on here: one, or those of a `{…}`.
    fn branches(&self, at: usize) -> Vec<(&str, usize)> {
        if self.token(at) != "{" {
            return vec![(self.token(at), self.tokens[at].1)];
        }
        let mut names = Vec::new();
        let (mut depth, mut fresh) = (1, true);
        for (token, line) in &self.tokens[at + 1..] {
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," => fresh = depth == 1,
                name if fresh => {
                    names.push((name, *line));
                    fresh = false;
                }
                _ => (),
            }
            if depth == 0 {
                break;
            }
        }
        names
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |line: usize, what: String| found.push(format!("src/{}:{line}: {what}", self.path));
        if !self.text.starts_with("//!") {
            say(1, "does not open with what it is for (`//!`)".into());
        }
        let lines = code_lines(&self.text);
        if lines > MAX_LINES {
            say(lines, format!("{lines} lines before its tests, more than {MAX_LINES}"));
        }
        for (at, (token, line)) in self.tokens.iter().enumerate() {
            if let Some(next) = self.after_root(at) {
                for (used, line) in self.branches(next) {
                    if let Err(why) = edge(self.room(), used) {
                        say(line, why);
                    }
                }
            }
            if token == "crate" && !self.is_path_separator(at + 1) && self.token(at + 1) != ")" {
                say(*line, "names the whole crate, which hides what it uses".into());
            }
            for (word, places) in ONLY_IN {
                let said =
                    token.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
                if said && token != "unsafe_code" && !self.is_in(places) {
                    say(*line, format!("`{token}` belongs in {} only", places.join(", ")));
                }
            }
            let feature = token == "feature" && self.token(at + 1) == "=";
            let asked = self.token(at + 2).trim_matches('"');
            if feature && DEVICE_FEATURES.contains(&asked) && !self.is_in(&["device/"]) {
                say(*line, format!("feature `{asked}` belongs in device/ only"));
            }
        }
        found
    }
}

fn edge(from: &str, to: &str) -> Result<(), String> {
    let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == from) else {
        return Err(format!("`{from}` is no room of the table"));
    };
    let common = COMMON.contains(&to) && !NOT_COMMON.contains(&(from, to));
    match from == to || common || allowed.contains(&to) {
        true => Ok(()),
        false => Err(format!("`{from}` must not use `{to}`")),
    }
}

fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
    tests.unwrap_or(lines.len())
}

/// Every Rust file below a folder, as (path from the folder, content).
fn rust_files(folder: &Path, below: &str, out: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            rust_files(&path, &format!("{name}/"), out);
        } else if name.ends_with(".rs") {
            out.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn files_of(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut files);
    assert!(!files.is_empty(), "{folder} has no sources");
    files
}

#[test]
fn the_rooms_keep_to_the_table() {
    // A file that is nothing but a test is free, too.
    let files = files_of("src").into_iter().filter(|(_, text)| !text.contains("\n#![cfg(test)]\n"));
    let found: Vec<String> = files.flat_map(|(path, text)| File::new(&path, &text).violations()).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_room_is_in_the_table_and_on_the_map() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (path, text) in files_of("src") {
        let file = File::new(&path, &text);
        let room = file.room();
        assert!(ROOMS.iter().any(|(known, _)| *known == room), "`{room}` is no room of the table");
        if path.contains('/') {
            assert!(map.contains(&format!("//! | [`{room}`] |")), "`{room}` is not on the map in src/lib.rs");
        }
    }
}

#[test]
fn tests_and_benches_say_what_they_are_for() {
    for folder in ["tests", "benches"] {
        for (path, text) in files_of(folder) {
            assert!(text.starts_with("//!"), "{folder}/{path} does not open with `//!`");
        }
    }
}

/// What the checker says of one file, without the place.
fn verdict(path: &str, source: &str) -> Vec<String> {
    let found = File::new(path, &format!("//! Doc.\n{source}")).violations();
    found.into_iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn the_checker_lets_the_allowed_pass() {
    let fine = [
        ("mel/stream.rs", "use crate::error::Result; use super::filters::X; use crate::mel::Y;"),
        ("mel/stream.rs", "// crate::cli\n/// [`crate::cli`]\nconst A: &str = \"use crate::cli; unsafe\";"),
        ("engine/mod.rs", "use crate::{decode::{a, b}, mel::Features, whisper};\npub(crate) fn f() {}"),
        ("engine/mod.rs", "#[cfg(test)]\nmod tests { use crate::cli::X; use symphonia::Y; }"),
        ("engine/mod.rs", "#[cfg(test)]\nuse crate::cli::X;\nuse crate::mel::Z;"),
        ("main.rs", "fn main() { transcribe::cli::run() }"),
        ("device/cuda/mod.rs", "#[cfg(feature = \"cuda\")] unsafe fn f() { super::g() }"),
        ("audio/opus.rs", "use symphonia_adapter_libopus::A;"),
        ("whisper/weights.rs", "#![expect(unsafe_code, reason = \"map\")]"),
        ("audio/mod.rs", "#![expect(unsafe_code, reason = \"none\")]"),
        ("run/front_end.rs", "use crate::audio; use super::x;"),
    ];
    for (path, source) in fine {
        assert_eq!(verdict(path, source), Vec::<String>::new(), "{path}: {source}");
    }
}

#[test]
fn the_checker_finds_each_violation() {
    let wrong = [
        ("mel/stream.rs", "use crate::cli::X;", "`mel` must not use `cli`"),
        ("mel/stream.rs", "fn f() { crate::device::x() }", "`mel` must not use `device`"),
        ("mel/stream.rs", "fn f() { vec![crate::run::X] }", "`mel` must not use `run`"),
        (
            "export/srt.rs",
            "use crate::{error::Error, whisper::{Config, W}};",
            "`export` must not use `whisper`",
        ),
        (
            "export/srt.rs",
            "use crate::{\n  transcript::{a, b},\n  device,\n};",
            "`export` must not use `device`",
        ),
        ("export/srt.rs", "use super::super::engine::X;", "`export` must not use `engine`"),
        ("export/mod.rs", "use super::audio::X;", "`export` must not use `audio`"),
        ("time.rs", "use super::audio::X;", "`time` must not use `audio`"),
        ("whisper/encoder.rs", "use crate::cancel::CancelToken;", "`whisper` must not use `cancel`"),
        ("run/mod.rs", "use crate::cli;", "`run` must not use `cli`"),
        ("main.rs", "use transcribe::run::run;", "`main` must not use `run`"),
        ("tools/mod.rs", "use crate::error::E;", "`tools` is no room of the table"),
        ("mel/mod.rs", "use crate as all;", "names the whole crate, which hides what it uses"),
        ("mel/mod.rs", "use crate::*;", "`mel` must not use `*`"),
        (
            "audio/mod.rs",
            "use symphonia::core::X;",
            "`symphonia` belongs in audio/decode/, audio/opus.rs only",
        ),
        (
            "run/mod.rs",
            "fn f() { console::Term::stderr() }",
            "`console` belongs in cli/progress/, cli/printer.rs only",
        ),
        ("run/mod.rs", "use anyhow::Context;", "`anyhow` belongs in cli/, main.rs only"),
        (
            "decode/rules.rs",
            "use candle_core::Tensor;",
            "`candle_core` belongs in whisper/, device/, models/ only",
        ),
        ("mel/mod.rs", "fn f() { unsafe { g() } }", "`unsafe` belongs in device/, whisper/weights.rs only"),
        ("cli/mod.rs", "const C: bool = cfg!(feature = \"cuda\");", "feature `cuda` belongs in device/ only"),
        (
            "whisper/mod.rs",
            "#[cfg(any(test, feature = \"metal\"))] mod m;",
            "feature `metal` belongs in device/ only",
        ),
        ("mel/mod.rs", "#[cfg(test)]\nmod tests {}\nuse crate::cli::X;", "`mel` must not use `cli`"),
    ];
    for (path, source, expected) in wrong {
        assert_eq!(verdict(path, source), [expected], "{path}: {source}");
    }
}

#[test]
fn the_checker_reads_the_form_of_a_file() {
    assert_eq!(File::new("time.rs", "const A: u8 = 1;").violations().len(), 1);
    let long = "const A: u8 = 1;\n".repeat(MAX_LINES);
    assert_eq!(verdict("time.rs", &long), ["451 lines before its tests, more than 450"]);
    let tested = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(verdict("time.rs", &tested), Vec::<String>::new());
    let at = File::new("mel/mod.rs", "//! Doc.\n\nuse crate::{\n    error::E,\n    cli::X,\n};").violations();
    assert_eq!(at, ["src/mel/mod.rs:5: `mel` must not use `cli`"]);
}
