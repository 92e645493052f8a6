//! The path of an output, of which the language may not be known before the recording was heard.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::output_names;
use super::{PlannedInput, modified};
use crate::export::Format;

/// Stands for the language in paths that are shown before it is known.
const PLACEHOLDER: &str = "{language}";
/// Stands for the language in the name of the journal, which must be the same before and after it is known.
const IN_JOURNAL: &str = "auto";

/// The language of a recording without speech, as ISO 639 has it.
pub const UNDETERMINED: &str = "und";

/// A path with the language left open at any number of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPattern {
    folder: PathBuf,
    /// What lies between the places of the language; a single piece if the path does not depend on it.
    pieces: Vec<OsString>,
}

impl OutputPattern {
    pub fn new(folder: PathBuf, pieces: Vec<OsString>) -> Self {
        Self { folder, pieces }
    }

    fn needs_language(&self) -> bool {
        self.pieces.len() > 1
    }

    /// Returns the path for a language.
    pub fn path(&self, language: &str) -> PathBuf {
        self.folder.join(self.pieces.join(OsStr::new(language)))
    }

    /// Returns the path as it is shown before the language is known.
    pub fn shown(&self) -> PathBuf {
        self.path(PLACEHOLDER)
    }

    /// Returns the deepest folder of the path that does not depend on the language.
    fn known_folder(&self) -> PathBuf {
        let mut first = self.pieces.first().cloned().unwrap_or_default();
        first.push(if self.needs_language() { "x" } else { "" });
        self.folder.join(first).parent().map(Path::to_path_buf).unwrap_or_default()
    }

    /// Returns the journal of an input with this as its first output.
    pub fn journal(&self) -> PathBuf {
        let path = self.path(IN_JOURNAL);
        if !self.needs_language() {
            return output_names::journal(&path, path.file_stem());
        }
        let folder = self.known_folder();
        let name = path.with_extension("");
        let parts: Vec<&OsStr> =
            name.strip_prefix(&folder).unwrap_or(&name).components().map(|part| part.as_os_str()).collect();
        output_names::journal(&folder.join("output"), Some(&parts.join(OsStr::new("-"))))
    }
}

/// Returns the patterns if any of them needs the language.
pub fn pending(patterns: Vec<(Format, OutputPattern)>) -> Vec<(Format, OutputPattern)> {
    match patterns.iter().any(|(_, pattern)| pattern.needs_language()) {
        true => patterns,
        false => Vec::new(),
    }
}

impl PlannedInput {
    /// Returns whether the names of its outputs depend on the language, which is to be detected.
    pub fn is_named_by_language(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Names the outputs after their language, where their names depend on it.
    pub fn name_by_language(&mut self, language: &str) {
        if !self.is_named_by_language() {
            return;
        }
        for (format, path) in &mut self.outputs {
            let pattern = self.patterns.iter().find(|(other, _)| other == format);
            *path = pattern.map_or_else(|| path.clone(), |(_, pattern)| pattern.path(language));
        }
        self.requested = self.patterns.iter().map(|(_, pattern)| pattern.path(language)).collect();
        self.modified_before = self.requested.iter().map(|path| (path.clone(), modified(path))).collect();
    }

    /// Returns each output with the folder that it goes to, or that one's deepest parent that is known.
    pub fn output_folders(&self) -> Vec<(&Path, PathBuf)> {
        let folder = |format: &Format, path: &Path| {
            let pattern = self.patterns.iter().find(|(other, _)| other == format);
            let folder = pattern.map_or_else(
                || path.parent().map(Path::to_path_buf).unwrap_or_default(),
                |(_, pattern)| pattern.known_folder(),
            );
            if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
        };
        self.outputs.iter().map(|(format, path)| (path.as_path(), folder(format, path))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(pieces: &[&str]) -> OutputPattern {
        OutputPattern::new("out".into(), pieces.iter().map(OsString::from).collect())
    }

    #[test]
    fn journals_and_folders_do_not_depend_on_the_language() {
        let plain = pattern(&["a/talk.srt"]);
        assert_eq!(
            (plain.known_folder(), plain.journal()),
            ("out/a".into(), "out/a/.talk.transcribe".into())
        );
        let named = pattern(&["a/talk.", ".srt"]);
        assert_eq!(named.path("de"), Path::new("out/a/talk.de.srt"));
        assert_eq!(
            (named.known_folder(), named.journal()),
            ("out/a".into(), "out/a/.talk.auto.transcribe".into())
        );
        let folder = pattern(&["a/", "/b/talk.srt"]);
        assert_eq!(folder.known_folder(), Path::new("out/a"));
        assert_eq!(folder.journal(), Path::new("out/a/.auto-b-talk.transcribe"));
        assert_eq!(pattern(&["", ".srt"]).known_folder(), Path::new("out"));
    }
}
