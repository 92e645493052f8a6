//! Which files of a folder are wanted, by patterns of their names.

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// Patterns without a slash are of names at any depth, those with one of paths below the folder.
#[derive(Debug, Clone)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Filter {
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Vec<Error>> {
        let (include_set, mut faults) = set("--include", include);
        let (exclude, others) = set("--exclude", exclude);
        faults.extend(others);
        let include = (!include.is_empty()).then_some(include_set);
        if faults.is_empty() { Ok(Self { include, exclude }) } else { Err(faults) }
    }

    /// Whether a file is wanted; its path is that below the folder.
    pub fn takes(&self, path: &Path) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.leaves_out(path)
    }

    /// Whether nothing of a file or folder is wanted.
    pub fn leaves_out(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }
}

fn set(option: &str, patterns: &[String]) -> (GlobSet, Vec<Error>) {
    let (mut builder, mut faults) = (GlobSetBuilder::new(), Vec::new());
    for pattern in patterns {
        let bare = pattern.trim_start_matches("./").trim_end_matches('/');
        let anywhere = match bare.strip_prefix('/') {
            Some(below) => below.to_owned(),
            None if bare.contains('/') => bare.to_owned(),
            None => format!("**/{bare}"),
        };
        match glob(&anywhere, true) {
            Ok(glob) => drop(builder.add(glob)),
            Err(error) => faults.push(bad_pattern(&format!("{option} {pattern}"), &error)),
        }
    }
    (builder.build().unwrap_or_else(|_| GlobSet::empty()), faults)
}

/// As a shell understands it, with `**` for folders of any depth.
pub fn glob(pattern: &str, any_case: bool) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).case_insensitive(any_case).build()
}

pub fn bad_pattern(what: &str, error: &globset::Error) -> Error {
    Error::Usage {
        what: format!("`{what}`"),
        why: format!("not a pattern: {}", error.kind()),
        hint: Some(
            "`*` stands for any letters, `?` for one, `[ab]` for one of these, `**` for any folders".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_at_any_depth_and_paths_from_the_folder_on() {
        let texts = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        let filter =
            |include: &[&str], exclude: &[&str]| Filter::new(&texts(include), &texts(exclude)).unwrap();
        let takes = |filter: &Filter, path: &str| filter.takes(Path::new(path));
        let some = filter(&["*.{mp3,wav}"], &["draft*", "old/", "a/b/*.wav"]);
        for yes in ["x.mp3", "deep/down/X.MP3", "a/b/c/x.wav", "b/x.wav"] {
            assert!(takes(&some, yes), "{yes}");
        }
        for no in ["x.flac", "draft 2.mp3", "deep/Draft.mp3", "a/b/x.wav"] {
            assert!(!takes(&some, no), "{no}");
        }
        assert!(some.leaves_out(Path::new("deep/old")) && !some.leaves_out(Path::new("older")));
        assert!(takes(&filter(&[], &[]), "anything"));
        assert!(takes(&filter(&["/x.mp3"], &[]), "x.mp3") && !takes(&filter(&["/x.mp3"], &[]), "a/x.mp3"));
        let faults = Filter::new(&texts(&["[a"]), &texts(&["{b"])).unwrap_err();
        assert!(faults[0].to_string().starts_with("`--include [a`: not a pattern"), "{faults:?}");
        assert_eq!(faults.len(), 2);
    }
}
