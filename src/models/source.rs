//! Resolution of `--model`, which is a known name, a hub repository, a file or folder, or the demo, to local files.
//!
//! Leaves the contents of the files to the loader.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::demo::{self, DEMO};
use super::hub::{self, DownloadProgress, Hub};
use super::{elsewhere, local};
use crate::cancel::CancelToken;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::WhisperConfig;

/// Short names and their hub repositories.
const KNOWN: [(&str, &str); 19] = [
    ("tiny", "openai/whisper-tiny"),
    ("tiny.en", "openai/whisper-tiny.en"),
    ("base", "openai/whisper-base"),
    ("base.en", "openai/whisper-base.en"),
    ("small", "openai/whisper-small"),
    ("small.en", "openai/whisper-small.en"),
    ("medium", "openai/whisper-medium"),
    ("medium.en", "openai/whisper-medium.en"),
    ("large-v1", "openai/whisper-large"),
    ("large-v2", "openai/whisper-large-v2"),
    ("large-v3", "openai/whisper-large-v3"),
    ("large", "openai/whisper-large-v3"),
    ("large-v3-turbo", "openai/whisper-large-v3-turbo"),
    ("turbo", "openai/whisper-large-v3-turbo"),
    ("distil-small.en", "distil-whisper/distil-small.en"),
    ("distil-medium.en", "distil-whisper/distil-medium.en"),
    ("distil-large-v2", "distil-whisper/distil-large-v2"),
    ("distil-large-v3", "distil-whisper/distil-large-v3"),
    ("distil-large-v3.5", "distil-whisper/distil-large-v3.5"),
];

/// Numbers of parameters of distilled models, about.
const DISTILLED: [(&str, u64); 4] = [
    ("distil-small.en", 166_000_000),
    ("distil-medium.en", 394_000_000),
    ("distil-large-v2", 756_000_000),
    ("distil-large-v3.5", 756_000_000),
];

/// Returns the short names and the demo's.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name).chain([DEMO])
}

/// A model that can be downloaded by a short name.
#[derive(Debug, Clone, Copy)]
pub struct KnownModel {
    pub name: &'static str,
    pub repository: &'static str,
    pub parameters: Option<u64>,
    /// Bytes to download, about.
    pub bytes: Option<u64>,
}

/// Returns the models with short names.
pub fn known() -> impl Iterator<Item = KnownModel> {
    KNOWN.iter().map(|&(name, repository)| {
        let published = WhisperConfig::published(name_of(repository).unwrap_or(name));
        let published = published.map(|config| config.parameters());
        let distilled = DISTILLED.iter().find(|(distilled, _)| *distilled == name).map(|(_, count)| *count);
        let parameters = published.or(distilled);
        // The newer checkpoints are published in half precision.
        let is_half = repository.starts_with("distil-whisper/") || repository.contains("large-v3");
        let bytes = parameters.map(|count| count * if is_half { 2 } else { 4 });
        KnownModel { name, repository, parameters, bytes }
    })
}

/// Returns the hub repository that a name stands for: that of a short name, or `owner/name` itself.
pub fn repository(model: &str) -> Result<&str> {
    if let Some((_, repository)) = KNOWN.iter().find(|(name, _)| *name == model) {
        return Ok(repository);
    }
    if is_repository(model) { Ok(model) } else { Err(unknown(model)) }
}

/// Returns the short name of a repository, if it has one.
pub fn name_of(repository: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(_, known)| *known == repository).map(|(name, _)| *name)
}

/// Finds the checkpoint that `model` names, and downloads it if it is missing and that is allowed.
pub fn find(
    model: &str,
    revision: Option<&str>,
    hub: &Hub,
    cancel: &CancelToken,
    on_progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<Checkpoint> {
    if model == DEMO {
        return demo::checkpoint();
    }
    if let Some((_, repository)) = KNOWN.iter().find(|(name, _)| *name == model) {
        if revision.is_none() && hub::cached(model, repository, hub)?.is_none() {
            match elsewhere::find(model, hub) {
                Ok(Some(found)) => return Ok(found),
                Err(error) if hub.offline => return Err(error),
                // A damaged file of another program is no reason not to download.
                Ok(None) | Err(_) => {}
            }
        }
        return hub::checkpoint(model, repository, revision, hub, cancel, on_progress);
    }
    let path = Path::new(model);
    if path.is_dir() {
        return local::folder(model, path);
    }
    if path.is_file() {
        return local::file(model, path);
    }
    if is_repository(model) {
        return hub::checkpoint(model, model, revision, hub, cancel, on_progress);
    }
    Err(unknown(model))
}

fn unknown(model: &str) -> Error {
    let why = if Path::new(model).components().count() > 1 {
        "no such file or folder".to_owned()
    } else {
        nearest(model)
            .map_or_else(|| "no model has this name".to_owned(), |near| format!("did you mean {near}?"))
    };
    Error::model(model, ModelProblem::NotFound(Some(why)))
}

/// Whether this is `owner/name` in the characters that the hub allows.
fn is_repository(model: &str) -> bool {
    let part = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    model.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// Returns the names most similar to a mistyped one, best first.
fn nearest(model: &str) -> Option<String> {
    let asked = model.to_lowercase();
    let asked = asked.strip_prefix("whisper-").unwrap_or(&asked);
    let mut near: Vec<(f64, &str)> = KNOWN
        .iter()
        .map(|(name, _)| *name)
        .chain([DEMO])
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(similarity, _)| *similarity > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(3);
    let names: Vec<String> = near.iter().map(|(_, name)| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_local(model: &str) -> Result<Checkpoint> {
        find(model, None, &Hub { offline: true, ..Hub::nowhere() }, &CancelToken::new(), &mut |_| {})
    }

    fn problem(model: &str) -> String {
        find_local(model).unwrap_err().to_string()
    }

    #[test]
    fn suggests_similar_names() {
        assert!(problem("largev3").contains("did you mean `large-v3`"), "{}", problem("largev3"));
        assert!(problem("whisper-tiny").contains("did you mean `tiny`"), "{}", problem("whisper-tiny"));
        assert!(problem("xyzzy").contains("no model has this name"));
        assert!(problem("./nowhere/at/all").contains("no such file or folder"));
    }

    #[test]
    fn distinguishes_repositories_from_paths() {
        for yes in ["openai/whisper-tiny", "a/b.c_d-1"] {
            assert!(is_repository(yes), "{yes}");
        }
        for no in ["tiny", "./a", "../a", "a/b/c", "/a", "a/", "a b/c", "a/.."] {
            assert!(!is_repository(no), "{no}");
        }
    }
}
