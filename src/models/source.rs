//! Resolution of `--model`, which is a known name, a hub repository, a folder or the demo, to local files.
//!
//! Leaves the contents of the files to the loader.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::checkpoint::{
    CONFIG, Checkpoint, CheckpointFiles, GENERATION_CONFIG, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, checked,
    missing, shards, unreadable,
};
use super::demo::{self, DEMO};
use super::hub::{self, DownloadProgress, Hub};
use crate::cancel::CancelToken;
use crate::digest::hex;
use crate::error::{Error, ModelProblem, Result};

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

/// Returns the short names and the demo's.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name).chain([DEMO])
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
        return hub::checkpoint(model, repository, revision, hub, cancel, on_progress);
    }
    let path = Path::new(model);
    if path.is_dir() {
        return folder(model, path);
    }
    if path.is_file() {
        let why = "it is a file; pass the folder that contains it".to_owned();
        return Err(Error::model(model, ModelProblem::NotWhisper { why }));
    }
    if is_repository(model) {
        return hub::checkpoint(model, model, revision, hub, cancel, on_progress);
    }
    Err(unknown(model))
}

fn unknown(model: &str) -> Error {
    let why = if Path::new(model).components().count() > 1 {
        "no such folder".to_owned()
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

/// Finds a checkpoint in a local folder.
fn folder(model: &str, folder: &Path) -> Result<Checkpoint> {
    let required = |file: &str| {
        let path = folder.join(file);
        if path.is_file() { Ok(path) } else { Err(missing(model, file)) }
    };
    let config = required(CONFIG)?;
    let weights = match required(WEIGHTS) {
        Ok(path) => vec![path],
        Err(none) => {
            let index = folder.join(WEIGHTS_INDEX);
            if !index.is_file() {
                return Err(other_weights(model, folder).unwrap_or(none));
            }
            let bytes = std::fs::read(&index).map_err(|e| unreadable(model, &index, e))?;
            shards(model, &bytes)?.iter().map(|shard| required(shard)).collect::<Result<_>>()?
        }
    };
    let generation_config = Some(folder.join(GENERATION_CONFIG)).filter(|path| path.is_file());
    let tokenizer = required(TOKENIZER)?;
    let identity = folder_identity(model, &config, &tokenizer, &weights)?;
    let files = CheckpointFiles::Folder { config, generation_config, tokenizer, weights };
    checked(Checkpoint { name: model.to_owned(), identity, files })
}

/// Returns a better error than "model.safetensors is missing" for a folder in another program's format.
fn other_weights(model: &str, folder: &Path) -> Option<Error> {
    let found = ["pytorch_model.bin", "model.bin", "tf_model.h5", "flax_model.msgpack"]
        .into_iter()
        .find(|file| folder.join(file).is_file())?;
    let why = format!("it has `{found}` but no `{WEIGHTS}`");
    Some(Error::model(model, ModelProblem::NotWhisper { why }))
}

/// Identifies the weights by their sizes and modification times, because hashing gigabytes at every start is slow.
fn folder_identity(model: &str, config: &Path, tokenizer: &Path, weights: &[PathBuf]) -> Result<String> {
    let mut digest = Sha256::new();
    for path in [config, tokenizer] {
        digest.update(std::fs::read(path).map_err(|e| unreadable(model, path, e))?);
    }
    for path in weights {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(model, path, e))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        digest.update(metadata.len().to_le_bytes());
        digest.update(modified.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
    Ok(format!("folder@{}", hex(&digest.finalize())))
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
        assert!(problem("./nowhere/at/all").contains("no such folder"));
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

    #[test]
    fn reads_a_folder_and_names_its_problems() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        let found = find_local(demo.to_str().unwrap()).unwrap();
        assert!(found.identity.starts_with("folder@"));
        assert!(found.generation_config().unwrap().is_some());
        assert_eq!(found.config().unwrap(), demo::checkpoint().unwrap().config().unwrap());

        let copy = tempfile::tempdir().unwrap();
        let name = copy.path().to_str().unwrap();
        assert!(problem(name).ends_with("`config.json` is missing"));
        std::fs::copy(demo.join(CONFIG), copy.path().join(CONFIG)).unwrap();
        assert!(problem(name).ends_with("`model.safetensors` is missing"));
        std::fs::write(copy.path().join("pytorch_model.bin"), b"").unwrap();
        assert!(problem(name).contains("`pytorch_model.bin` but no `model.safetensors`"));
        let weights = std::fs::read(demo.join(WEIGHTS)).unwrap();
        let cut = copy.path().join(WEIGHTS);
        std::fs::write(&cut, &weights[..weights.len() / 2]).unwrap();
        assert!(problem(name).ends_with("`tokenizer.json` is missing"));
        std::fs::copy(demo.join(TOKENIZER), copy.path().join(TOKENIZER)).unwrap();
        assert!(problem(name).contains(&format!("bytes instead of {}", weights.len())), "{}", problem(name));
        for (length, why) in [(0, "only 0 bytes"), (100, "ends within its header")] {
            std::fs::write(&cut, &weights[..length]).unwrap();
            assert!(problem(name).contains(why), "{}", problem(name));
        }
        std::fs::write(&cut, &weights).unwrap();
        assert!(find_local(name).unwrap().generation_config().unwrap().is_none());
        assert!(problem(cut.to_str().unwrap()).contains("pass the folder"));
    }
}
