//! The files of a checkpoint: their names in Hugging Face form, what they say, and the check that none is truncated.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::Metadata;

use super::elsewhere::OtherProgram;
use super::formats::{ForeignModel, ModelFormat};
use crate::decode::Tokenizer;
use crate::error::{Error, ModelProblem, Result};
use crate::limited_read::read_file;
use crate::whisper::WhisperConfig;

pub const CONFIG: &str = "config.json";
pub const GENERATION_CONFIG: &str = "generation_config.json";
pub const TOKENIZER: &str = "tokenizer.json";
pub const WEIGHTS: &str = "model.safetensors";
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// The largest file of a model that is read whole; the tokenizers of published models have a few megabytes.
pub const MAX_SMALL_FILE: u64 = 64 << 20;
/// The largest header of weights, as the format defines it.
const MAX_HEADER: u64 = 100_000_000;

/// A checkpoint, all of whose files are available locally.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The name that the user gave.
    pub name: String,
    /// Equal for checkpoints with the same weights.
    pub identity: String,
    /// The other program that has downloaded it, if it was found there by its name.
    pub found: Option<OtherProgram>,
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
    /// Files of another program.
    Foreign(Arc<ForeignModel>),
}

impl Checkpoint {
    pub fn format(&self) -> ModelFormat {
        match &self.files {
            CheckpointFiles::Folder { .. } | CheckpointFiles::Embedded { .. } => ModelFormat::Safetensors,
            CheckpointFiles::Foreign(model) => model.format,
        }
    }

    /// Returns the files of the weights; none if they are built in.
    pub fn weight_files(&self) -> &[PathBuf] {
        match &self.files {
            CheckpointFiles::Folder { weights, .. } => weights,
            CheckpointFiles::Embedded { .. } => &[],
            CheckpointFiles::Foreign(model) => model.files(),
        }
    }

    pub fn bytes_of_weights(&self) -> u64 {
        match &self.files {
            CheckpointFiles::Embedded { weights, .. } => weights.len() as u64,
            _ => {
                let files = self.weight_files().iter();
                files.filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
            }
        }
    }

    pub fn config(&self) -> Result<WhisperConfig> {
        let json = match &self.files {
            CheckpointFiles::Folder { config, .. } => self.read(config)?,
            CheckpointFiles::Embedded { config, .. } => config.into(),
            CheckpointFiles::Foreign(model) => return Ok(model.config.clone()),
        };
        WhisperConfig::from_json(&json)
            .map_err(|why| Error::model(&self.name, ModelProblem::NotWhisper { why }))
    }

    pub fn generation_config(&self) -> Result<Option<Cow<'_, [u8]>>> {
        match &self.files {
            CheckpointFiles::Embedded { generation_config, .. } => Ok(Some(generation_config.into())),
            CheckpointFiles::Folder { generation_config, .. } => {
                generation_config.as_ref().map(|path| self.read(path)).transpose()
            }
            CheckpointFiles::Foreign(model) => {
                model.generation_config.as_ref().map(|path| self.read(path)).transpose()
            }
        }
    }

    /// Returns the tokenizer for the network, which has `n_vocab` outputs.
    pub fn tokenizer(&self, n_vocab: usize) -> Result<Tokenizer> {
        let json = match &self.files {
            CheckpointFiles::Folder { tokenizer, .. } => self.read(tokenizer)?,
            CheckpointFiles::Embedded { tokenizer, .. } => tokenizer.into(),
            CheckpointFiles::Foreign(model) => return model.tokenizer(&self.name),
        };
        Tokenizer::from_json(&json, n_vocab).map_err(|problem| Error::model(&self.name, problem))
    }

    fn read(&self, path: &Path) -> Result<Cow<'_, [u8]>> {
        read_small(&self.name, path).map(Cow::Owned)
    }
}

/// Reads a file that is not one of weights, and no more of it than any such file has.
pub fn read_small(model: &str, path: &Path) -> Result<Vec<u8>> {
    read_file(path, MAX_SMALL_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            let file = path.display().to_string();
            Error::model(model, ModelProblem::TooLarge { file, limit: MAX_SMALL_FILE })
        }
        _ => unreadable(model, path, error),
    })
}

/// Returns the names of the shards in an index, the file with this name.
pub fn shards(model: &str, file: &str, index: &[u8]) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let damaged = |why: String| Error::model(model, ModelProblem::Damaged { file: file.into(), why });
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
    if header_length > length - 8 || header_length > MAX_HEADER {
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
        assert_eq!(shards("m", WEIGHTS_INDEX, index).unwrap(), ["m-1.safetensors", "m-2.safetensors"]);
        for bad in ["../x", "/etc/passwd", "a/b", ".."] {
            let index = format!(r#"{{"weight_map": {{"a": "{bad}"}}}}"#);
            assert!(shards("m", WEIGHTS_INDEX, index.as_bytes()).is_err(), "{bad}");
        }
        assert!(shards("m", WEIGHTS_INDEX, b"{\"weight_map\": {}}").is_err());
        assert!(shards("m", WEIGHTS_INDEX, b"not json").is_err());
    }
}
