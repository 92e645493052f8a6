//! What `--model` names: a known name, a hub repository, a folder or the demo, resolved to files at hand.
//!
//! Only finds the files and sees that none is cut off; what they hold is for the loader.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use crate::backend::demo;
use crate::backend::hub::{self, Hub};
use crate::cancel::CancelToken;
use crate::error::{Error, ModelFault, Result};

pub const CONFIG: &str = "config.json";
pub const GENERATION_CONFIG: &str = "generation_config.json";
pub const TOKENIZER: &str = "tokenizer.json";
pub const WEIGHTS: &str = "model.safetensors";
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// The name of the checkpoint inside the binary.
pub const DEMO: &str = "demo";

/// Names that people use, and the hub repositories that hold them.
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

/// A checkpoint in Hugging Face form with every file at hand.
#[derive(Debug)]
pub struct Checkpoint {
    /// As the person called it.
    pub name: String,
    /// Two checkpoints with the same identity hold the same weights.
    pub identity: String,
    pub files: Files,
}

/// Where the files of a checkpoint are.
#[derive(Debug)]
pub enum Files {
    Folder {
        config: PathBuf,
        generation_config: Option<PathBuf>,
        tokenizer: PathBuf,
        /// One file, or all shards in the order of their names.
        weights: Vec<PathBuf>,
    },
    Embedded {
        config: Vec<u8>,
        generation_config: Vec<u8>,
        tokenizer: Vec<u8>,
        weights: Vec<u8>,
    },
}

impl Checkpoint {
    pub fn config(&self) -> Result<Cow<'_, [u8]>> {
        match &self.files {
            Files::Folder { config, .. } => self.read(config),
            Files::Embedded { config, .. } => Ok(config.into()),
        }
    }

    pub fn generation_config(&self) -> Result<Option<Cow<'_, [u8]>>> {
        match &self.files {
            Files::Folder { generation_config: None, .. } => Ok(None),
            Files::Folder { generation_config: Some(path), .. } => self.read(path).map(Some),
            Files::Embedded { generation_config, .. } => Ok(Some(generation_config.into())),
        }
    }

    pub fn tokenizer(&self) -> Result<Cow<'_, [u8]>> {
        match &self.files {
            Files::Folder { tokenizer, .. } => self.read(tokenizer),
            Files::Embedded { tokenizer, .. } => Ok(tokenizer.into()),
        }
    }

    fn read(&self, path: &Path) -> Result<Cow<'_, [u8]>> {
        std::fs::read(path).map(Cow::Owned).map_err(|e| unreadable(&self.name, path, e))
    }
}

/// How far the download of one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download<'a> {
    pub file: &'a str,
    pub done: u64,
    pub total: u64,
}

/// Finds the checkpoint that `model` names, and downloads it if it must and may.
pub fn find(
    model: &str,
    revision: Option<&str>,
    hub: &Hub,
    cancel: &CancelToken,
    on_progress: &mut dyn FnMut(Download<'_>),
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
        let why = "it is a file; name the folder that holds it".to_owned();
        return Err(Error::model(model, ModelFault::NotWhisper { why }));
    }
    if is_repository(model) {
        return hub::checkpoint(model, model, revision, hub, cancel, on_progress);
    }
    let why = if path.components().count() > 1 {
        "there is no such folder".to_owned()
    } else {
        nearest(model)
            .map_or_else(|| "no model has this name".to_owned(), |near| format!("did you mean {near}?"))
    };
    Err(Error::model(model, ModelFault::NotFound(Some(why))))
}

/// `owner/name`, in the letters that the hub allows.
fn is_repository(model: &str) -> bool {
    let part = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    model.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// The known names most like a mistyped one, best first.
fn nearest(model: &str) -> Option<String> {
    let asked = model.to_lowercase();
    let asked = asked.strip_prefix("whisper-").unwrap_or(&asked);
    let mut near: Vec<(f64, &str)> = KNOWN
        .iter()
        .map(|(name, _)| *name)
        .chain([DEMO])
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(3);
    let names: Vec<String> = near.iter().map(|(_, name)| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// A checkpoint in a folder of the person's own.
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
    let files = Files::Folder { config, generation_config, tokenizer, weights };
    checked(Checkpoint { name: model.to_owned(), identity, files })
}

/// A folder made for another program deserves a better answer than "model.safetensors is missing".
fn other_weights(model: &str, folder: &Path) -> Option<Error> {
    let found = ["pytorch_model.bin", "model.bin", "tf_model.h5", "flax_model.msgpack"]
        .into_iter()
        .find(|file| folder.join(file).is_file())?;
    let why = format!("it has `{found}` but no `{WEIGHTS}`");
    Some(Error::model(model, ModelFault::NotWhisper { why }))
}

/// The files named in a `model.safetensors.index.json`.
pub(super) fn shards(model: &str, index: &[u8]) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let damaged = |why: String| Error::model(model, ModelFault::Damaged { file: WEIGHTS_INDEX.into(), why });
    let index: Index = serde_json::from_slice(index).map_err(|e| damaged(e.to_string()))?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    // A name from a file of somebody else must not lead out of the folder.
    let plain = |name: &String| Path::new(name).file_name() == Some(name.as_ref());
    match names.iter().find(|name| !plain(name)) {
        Some(bad) => Err(damaged(format!("it names `{bad}`, which is not a file beside it"))),
        None if names.is_empty() => Err(damaged("it names no file".into())),
        None => Ok(names),
    }
}

/// Lets a checkpoint pass whose weights are all there.
pub(super) fn checked(checkpoint: Checkpoint) -> Result<Checkpoint> {
    if let Files::Folder { weights, .. } = &checkpoint.files {
        for path in weights {
            check_length(&checkpoint.name, path)?;
        }
    }
    Ok(checkpoint)
}

/// Compares the length of a weight file with what its header promises.
fn check_length(model: &str, path: &Path) -> Result<()> {
    let io = |e| unreadable(model, path, e);
    let damaged =
        |why: String| Error::model(model, ModelFault::Damaged { file: path.display().to_string(), why });
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length < 8 {
        return Err(damaged(format!("it has only {length} bytes")));
    }
    let mut header_length = [0; 8];
    file.read_exact(&mut header_length).map_err(io)?;
    let header_length = u64::from_le_bytes(header_length);
    if header_length > length - 8 {
        return Err(damaged("it ends within its header, or is not in the safetensors format".into()));
    }
    let mut header = Vec::new();
    file.take(header_length).read_to_end(&mut header).map_err(io)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|e| damaged(format!("its header is wrong: {e}")))?;
    let end = header.tensors().values().map(|tensor| tensor.data_offsets.1 as u64).max().unwrap_or(0);
    let expected = end.saturating_add(8).saturating_add(header_length);
    if expected != length {
        return Err(damaged(format!("it has {length} bytes instead of {expected}")));
    }
    Ok(())
}

/// Hashing gigabytes at every start would be felt, so sizes and times stand for the weights themselves.
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn missing(model: &str, file: &str) -> Error {
    Error::model(model, ModelFault::MissingFile { file: file.to_owned() })
}

pub(super) fn unreadable(model: &str, path: &Path, source: std::io::Error) -> Error {
    Error::model(model, ModelFault::Unreadable { file: path.display().to_string(), source: source.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_local(model: &str) -> Result<Checkpoint> {
        find(model, None, &Hub { offline: true, ..Hub::nowhere() }, &CancelToken::new(), &mut |_| {})
    }

    fn fault(model: &str) -> String {
        find_local(model).unwrap_err().to_string()
    }

    #[test]
    fn mistyped_names_lead_to_the_nearest() {
        assert!(fault("largev3").contains("did you mean `large-v3`"), "{}", fault("largev3"));
        assert!(fault("whisper-tiny").contains("did you mean `tiny`"), "{}", fault("whisper-tiny"));
        assert!(fault("xyzzy").contains("no model has this name"));
        assert!(fault("./nowhere/at/all").contains("no such folder"));
    }

    #[test]
    fn repositories_are_told_from_paths() {
        for yes in ["openai/whisper-tiny", "a/b.c_d-1"] {
            assert!(is_repository(yes), "{yes}");
        }
        for no in ["tiny", "./a", "../a", "a/b/c", "/a", "a/", "a b/c", "a/.."] {
            assert!(!is_repository(no), "{no}");
        }
    }

    #[test]
    fn shards_are_sorted_and_stay_in_their_folder() {
        let index =
            br#"{"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        assert_eq!(shards("m", index).unwrap(), ["m-1.safetensors", "m-2.safetensors"]);
        for bad in ["../x", "/etc/passwd", "a/b", ".."] {
            let index = format!(r#"{{"weight_map": {{"a": "{bad}"}}}}"#);
            assert!(shards("m", index.as_bytes()).is_err(), "{bad}");
        }
        assert!(shards("m", b"{\"weight_map\": {}}").is_err());
        assert!(shards("m", b"not json").is_err());
    }

    #[test]
    fn a_folder_is_read_and_its_faults_are_named() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        let found = find_local(demo.to_str().unwrap()).unwrap();
        assert!(found.identity.starts_with("folder@"));
        assert!(found.generation_config().unwrap().is_some());
        assert_eq!(found.config().unwrap(), demo::checkpoint().unwrap().config().unwrap());

        let copy = tempfile::tempdir().unwrap();
        let name = copy.path().to_str().unwrap();
        assert!(fault(name).ends_with("`config.json` is missing"));
        std::fs::copy(demo.join(CONFIG), copy.path().join(CONFIG)).unwrap();
        assert!(fault(name).ends_with("`model.safetensors` is missing"));
        std::fs::write(copy.path().join("pytorch_model.bin"), b"").unwrap();
        assert!(fault(name).contains("`pytorch_model.bin` but no `model.safetensors`"));
        let weights = std::fs::read(demo.join(WEIGHTS)).unwrap();
        let cut = copy.path().join(WEIGHTS);
        std::fs::write(&cut, &weights[..weights.len() / 2]).unwrap();
        assert!(fault(name).ends_with("`tokenizer.json` is missing"));
        std::fs::copy(demo.join(TOKENIZER), copy.path().join(TOKENIZER)).unwrap();
        assert!(fault(name).contains(&format!("bytes instead of {}", weights.len())), "{}", fault(name));
        for (length, why) in [(0, "only 0 bytes"), (100, "ends within its header")] {
            std::fs::write(&cut, &weights[..length]).unwrap();
            assert!(fault(name).contains(why), "{}", fault(name));
        }
        std::fs::write(&cut, &weights).unwrap();
        assert!(find_local(name).unwrap().generation_config().unwrap().is_none());
        assert!(fault(cut.to_str().unwrap()).contains("name the folder"));
    }
}
