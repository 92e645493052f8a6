//! The files of a checkpoint in Hugging Face form, at hand: what they are called, and that none is cut off.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::Metadata;

use crate::error::{Error, ModelProblem, Result};

pub const CONFIG: &str = "config.json";
pub const GENERATION_CONFIG: &str = "generation_config.json";
pub const TOKENIZER: &str = "tokenizer.json";
pub const WEIGHTS: &str = "model.safetensors";
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// A checkpoint in Hugging Face form with every file at hand.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// As the person called it.
    pub name: String,
    /// Two checkpoints with the same identity hold the same weights.
    pub identity: String,
    pub files: Files,
}

/// Where the files of a checkpoint are.
#[derive(Debug, Clone)]
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

/// The files named in a `model.safetensors.index.json`.
pub(super) fn shards(model: &str, index: &[u8]) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let damaged =
        |why: String| Error::model(model, ModelProblem::Damaged { file: WEIGHTS_INDEX.into(), why });
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
    header(model, path).map(drop)
}

/// The header of a weight file that is as long as its header promises.
pub(super) fn header(model: &str, path: &Path) -> Result<Metadata> {
    let io = |e| unreadable(model, path, e);
    let damaged =
        |why: String| Error::model(model, ModelProblem::Damaged { file: path.display().to_string(), why });
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
    Ok(header)
}

pub(super) fn missing(model: &str, file: &str) -> Error {
    Error::model(model, ModelProblem::MissingFile { file: file.to_owned() })
}

pub(super) fn unreadable(model: &str, path: &Path, source: std::io::Error) -> Error {
    Error::model(model, ModelProblem::Unreadable { file: path.display().to_string(), source: source.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
