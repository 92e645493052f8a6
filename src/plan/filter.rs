//! Selects files of a folder by patterns of their names.

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// Patterns without a slash match names at any depth, those with one match paths below the folder.
#[derive(Debug, Clone)]
pub struct NameFilter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl NameFilter {
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Vec<Error>> {
        let (include_set, mut faults) = compile("--include", include);
        let (exclude, others) = compile("--exclude", exclude);
        faults.extend(others);
        let include = (!include.is_empty()).then_some(include_set);
        if faults.is_empty() { Ok(Self { include, exclude }) } else { Err(faults) }
    }

    /// Returns whether a file is selected, by its path below the folder.
    pub fn includes(&self, path: &Path) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.excludes(path)
    }

    /// Returns whether a file, or everything in a folder, is excluded.
    pub fn excludes(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }
}

fn compile(option: &str, patterns: &[String]) -> (GlobSet, Vec<Error>) {
    let (mut builder, mut faults) = (GlobSetBuilder::new(), Vec::new());
    for pattern in patterns {
        let bare = pattern.trim_start_matches("./").trim_end_matches('/');
        let pattern_of_path = match bare.strip_prefix('/') {
            Some(below) => below.to_owned(),
            None if bare.contains('/') => bare.to_owned(),
            None => format!("**/{bare}"),
        };
        match glob(&pattern_of_path, true) {
            Ok(glob) => drop(builder.add(glob)),
            Err(error) => faults.push(bad_pattern(&format!("{option} {pattern}"), &error)),
        }
    }
    (builder.build().unwrap_or_else(|_| GlobSet::empty()), faults)
}

/// Compiles a pattern of a shell, with `**` for folders of any depth.
pub fn glob(pattern: &str, ignore_case: bool) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).case_insensitive(ignore_case).build()
}

pub fn bad_pattern(what: &str, error: &globset::Error) -> Error {
    Error::Usage {
        what: format!("`{what}`"),
        why: format!("not a valid pattern: {}", error.kind()),
        hint: Some("`*` matches any characters, `?` one, `[ab]` one of these, and `**` any folders".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_names_at_any_depth_and_paths_from_the_folder() {
        let texts = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        let filter =
            |include: &[&str], exclude: &[&str]| NameFilter::new(&texts(include), &texts(exclude)).unwrap();
        let includes = |filter: &NameFilter, path: &str| filter.includes(Path::new(path));
        let some = filter(&["*.{mp3,wav}"], &["draft*", "old/", "a/b/*.wav"]);
        for yes in ["x.mp3", "deep/down/X.MP3", "a/b/c/x.wav", "b/x.wav"] {
            assert!(includes(&some, yes), "{yes}");
        }
        for no in ["x.flac", "draft 2.mp3", "deep/Draft.mp3", "a/b/x.wav"] {
            assert!(!includes(&some, no), "{no}");
        }
        assert!(some.excludes(Path::new("deep/old")) && !some.excludes(Path::new("older")));
        assert!(includes(&filter(&[], &[]), "anything"));
        assert!(
            includes(&filter(&["/x.mp3"], &[]), "x.mp3") && !includes(&filter(&["/x.mp3"], &[]), "a/x.mp3")
        );
        let faults = NameFilter::new(&texts(&["[a"]), &texts(&["{b"])).unwrap_err();
        assert!(faults[0].to_string().starts_with("`--include [a`: not a valid pattern"), "{faults:?}");
        assert_eq!(faults.len(), 2);
    }
}
