//! Reads a source file as tokens and finds what it uses and declares.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token of a source file, and its line.
pub type Token = (String, usize);

/// Appends all tokens except those that `#[cfg(test)]` applies to. Delimiters of groups become tokens of their own.
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
                // Skip the item up to its body or semicolon.
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

/// One source file.
pub struct SourceFile {
    /// Below `src`, with slashes.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> Self {
        let mut tokens = Vec::new();
        flatten(text.parse().unwrap_or_else(|error| panic!("{path}: {error}")), &mut tokens);
        Self { path: path.into(), text: text.into(), tokens }
    }

    /// Returns the top-level module that the file belongs to.
    pub fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Returns how many `super` lead from the file's module to the root of the crate.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        match self.path.rsplit('/').next().unwrap() {
            "mod.rs" | "lib.rs" | "main.rs" => parts - 1,
            _ => parts,
        }
    }

    /// Returns the token at an index, or an empty string after the last one.
    pub fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.0)
    }

    pub fn is_path_separator(&self, at: usize) -> bool {
        self.token(at) == ":" && self.token(at + 1) == ":"
    }

    /// Returns where the rest of a path begins if a path from the root of the crate starts at this index.
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

    /// Returns the first names of the paths that continue at this index: one, or those in `{…}`.
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

    /// Returns the modules that the file uses, with the lines.
    pub fn uses(&self) -> Vec<(&str, usize)> {
        let paths = (0..self.tokens.len()).filter_map(|at| self.after_root(at));
        paths.flat_map(|next| self.branches(next)).filter(|(used, _)| *used != self.module()).collect()
    }

    /// Returns the types that the file declares, with the lines.
    pub fn types(&self) -> Vec<(&str, usize)> {
        let declared = |at: &usize| matches!(self.token(*at), "struct" | "enum" | "trait" | "type" | "union");
        let is_name = |name: &str| name.chars().next().is_some_and(char::is_uppercase);
        let names = (0..self.tokens.len()).filter(declared).map(|at| (self.token(at + 1), self.tokens[at].1));
        names.filter(|(name, _)| is_name(name)).collect()
    }

    /// Whether the file is one of these, or in one of these folders, which end in a slash.
    pub fn is_in(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    /// Returns the lines in which the file uses an outside crate, or the keyword `unsafe`.
    pub fn crate_uses(&self, name: &str) -> Vec<usize> {
        let used = |at: &usize| {
            let token = self.token(*at);
            let is_path = self.is_path_separator(at + 1) || self.token(at + 1) == ";" || name == "unsafe";
            let is_root = *at < 2 || !self.is_path_separator(at - 2);
            token == name && is_path && is_root
        };
        (0..self.tokens.len()).filter(used).map(|at| self.tokens[at].1).collect()
    }
}

/// Returns the number of lines before the tests.
pub fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
    tests.unwrap_or(lines.len())
}

/// Appends every Rust file below a folder with its path from there and its text.
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

/// Returns every Rust file of a folder of the repository.
pub fn files_of(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut files);
    assert!(!files.is_empty(), "{folder} has no sources");
    files
}

/// The sources of the program without modules that hold only tests.
pub fn sources() -> Vec<SourceFile> {
    let files = files_of("src");
    let tests: Vec<String> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &str, text: &str| {
        path.contains("/tests/")
            || text.contains("\n#![cfg(test)]\n")
            || tests.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")))
    };
    let files = files.iter().filter(|(path, text)| !is_test(path, text));
    files.map(|(path, text)| SourceFile::new(path, text)).collect()
}

/// Paths, without `.rs`, of the modules that a file declares for tests only and keeps in files of their own.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let folder = match path.rsplit_once('/') {
        Some((folder, "mod.rs")) => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| format!("{folder}/{name}")).collect()
}
