//! The files of a checkpoint in Hugging Face form: their names, and the check that none is truncated.

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

/// A checkpoint in Hugging Face form, all of whose files are available locally.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The name that the user gave.
    pub name: String,
    /// Equal for checkpoints with the same weights.
    pub identity: String,
    pub files: CheckpointFiles,
}

/// The files of a checkpoint.
#[derive(Debug, Clone)]
pub enum CheckpointFiles {
    Folder {
        config: PathBuf,
        generation_config: Option<PathBuf>,
        tokenizer: PathBuf,
        /// One file, or all shards sorted by name.
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
            CheckpointFiles::Folder { config, .. } => self.read(config),
            CheckpointFiles::Embedded { config, .. } => Ok(config.into()),
        }
    }

    pub fn generation_config(&self) -> Result<Option<Cow<'_, [u8]>>> {
        match &self.files {
            CheckpointFiles::Folder { generation_config: None, .. } => Ok(None),
            CheckpointFiles::Folder { generation_config: Some(path), .. } => self.read(path).map(Some),
            CheckpointFiles::Embedded { generation_config, .. } => Ok(Some(generation_config.into())),
        }
    }

    pub fn tokenizer(&self) -> Result<Cow<'_, [u8]>> {
        match &self.files {
            CheckpointFiles::Folder { tokenizer, .. } => self.read(tokenizer),
            CheckpointFiles::Embedded { tokenizer, .. } => Ok(tokenizer.into()),
        }
    }

    fn read(&self, path: &Path) -> Result<Cow<'_, [u8]>> {
        std::fs::read(path).map(Cow::Owned).map_err(|e| unreadable(&self.name, path, e))
    }
}

/// Returns the names of the shards in a `model.safetensors.index.json`.
pub fn shards(model: &str, index: &[u8]) -> Result<Vec<String>> {
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
    // A name from a foreign file must not lead out of the folder.
    let is_plain = |name: &String| Path::new(name).file_name() == Some(name.as_ref());
    match names.iter().find(|name| !is_plain(name)) {
        Some(bad) => Err(damaged(format!("`{bad}` is not the name of a file next to it"))),
        None if names.is_empty() => Err(damaged("it lists no files".into())),
        None => Ok(names),
    }
}

/// Returns the checkpoint if none of its weight files is truncated.
pub fn checked(checkpoint: Checkpoint) -> Result<Checkpoint> {
    if let CheckpointFiles::Folder { weights, .. } = &checkpoint.files {
        for path in weights {
            header(&checkpoint.name, path)?;
        }
    }
    Ok(checkpoint)
}

/// Reads the header of a weight file and compares the file's length with it.
pub fn header(model: &str, path: &Path) -> Result<Metadata> {
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
        serde_json::from_slice(&header).map_err(|e| damaged(format!("its header is invalid: {e}")))?;
    let end = header.tensors().values().map(|tensor| tensor.data_offsets.1 as u64).max().unwrap_or(0);
    let expected = end.saturating_add(8).saturating_add(header_length);
    if expected != length {
        return Err(damaged(format!("it has {length} bytes instead of {expected}")));
    }
    Ok(header)
}

pub fn missing(model: &str, file: &str) -> Error {
    Error::model(model, ModelProblem::MissingFile { file: file.to_owned() })
}

pub fn unreadable(model: &str, path: &Path, source: std::io::Error) -> Error {
    Error::model(model, ModelProblem::Unreadable { file: path.display().to_string(), source: source.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_shards_and_rejects_names_outside_the_folder() {
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
