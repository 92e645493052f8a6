//! Which files of a repository make up a model: those of Hugging Face, with weights as safetensors or by PyTorch, or those of
//! CTranslate2.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, ModelProblem, Result};
use crate::models::checkpoint::{
    self, CONFIG, Checkpoint, CheckpointFiles, GENERATION_CONFIG, TOKENIZER, WEIGHTS, WEIGHTS_INDEX,
};
use crate::models::formats::ModelFormat;
use crate::models::local::{self, PYTORCH_INDEX, PYTORCH_WEIGHTS};

pub const CT2_WEIGHTS: &str = "model.bin";
/// The vocabulary of CTranslate2 by the version of its converter.
const CT2_VOCABULARIES: [&str; 2] = ["vocabulary.json", "vocabulary.txt"];
/// What faster-whisper needs beside it, so that both programs can use the download.
const CT2_OTHERS: [&str; 1] = ["preprocessor_config.json"];

/// The weights that a folder has.
#[derive(Debug)]
pub enum RepositoryLayout {
    Safetensors(Vec<PathBuf>),
    PyTorch(Vec<PathBuf>),
    CTranslate2(PathBuf),
}

impl RepositoryLayout {
    /// Returns the layout of a folder that has everything that is needed to run, and `None` of another.
    pub fn of_folder(model: &str, folder: &Path) -> Result<Option<Self>> {
        let present = |file: &str| Some(folder.join(file)).filter(|path| path.is_file());
        let shards = |index: &str| match present(index) {
            Some(path) => {
                let bytes = checkpoint::read_small(model, &path)?;
                let names = checkpoint::shards(model, index, &bytes)?;
                Ok(names.iter().map(|name| present(name)).collect::<Option<Vec<_>>>())
            }
            None => Ok(None),
        };
        if present(CONFIG).is_none() {
            return Ok(None);
        }
        if present(TOKENIZER).is_some() {
            if let Some(path) = present(WEIGHTS) {
                return Ok(Some(RepositoryLayout::Safetensors(vec![path])));
            }
            if let Some(paths) = shards(WEIGHTS_INDEX)? {
                return Ok(Some(RepositoryLayout::Safetensors(paths)));
            }
            if let Some(path) = present(PYTORCH_WEIGHTS) {
                return Ok(Some(RepositoryLayout::PyTorch(vec![path])));
            }
            if let Some(paths) = shards(PYTORCH_INDEX)? {
                return Ok(Some(RepositoryLayout::PyTorch(paths)));
            }
        }
        let has_vocabulary = [TOKENIZER].iter().chain(&CT2_VOCABULARIES).any(|file| present(file).is_some());
        Ok(present(CT2_WEIGHTS).filter(|_| has_vocabulary).map(RepositoryLayout::CTranslate2))
    }

    /// Whether a `generation_config.json` may belong to it.
    pub fn may_have_generation_config(&self) -> bool {
        !matches!(self, RepositoryLayout::CTranslate2(_))
    }

    /// Returns the model in the folder.
    pub fn checkpoint(self, model: &str, identity: String, folder: &Path) -> Result<Checkpoint> {
        let (format, weights) = match self {
            RepositoryLayout::Safetensors(weights) => {
                let files = CheckpointFiles::Folder {
                    config: folder.join(CONFIG),
                    generation_config: Some(folder.join(GENERATION_CONFIG)).filter(|path| path.is_file()),
                    tokenizer: folder.join(TOKENIZER),
                    weights,
                };
                return Ok(Checkpoint { name: model.to_owned(), identity, found: None, files });
            }
            RepositoryLayout::PyTorch(weights) => (ModelFormat::PyTorch, weights),
            RepositoryLayout::CTranslate2(weights) => (ModelFormat::CTranslate2, vec![weights]),
        };
        let checkpoint = local::foreign(model, format, weights)?;
        Ok(Checkpoint { identity, ..checkpoint })
    }
}

/// Whether a `config.json` is that of a Whisper in the form of Hugging Face or of CTranslate2; the error says what it is.
pub fn check_config(config: &Value) -> std::result::Result<ConfigKind, String> {
    match config.get("model_type").map(|kind| (kind.as_str(), kind)) {
        Some((Some("whisper"), _)) => Ok(ConfigKind::HuggingFace),
        Some((_, kind)) => {
            Err(format!("the `model_type` in its config.json is `{}`", kind.as_str().unwrap_or("?")))
        }
        None if ["suppress_ids", "alignment_heads"].iter().any(|key| config.get(key).is_some()) => {
            Ok(ConfigKind::CTranslate2)
        }
        None => Err("its config.json has no `model_type`".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    HuggingFace,
    CTranslate2,
}

/// The files of a repository on the hub, one revision of it.
pub struct RemoteRepository<'a> {
    pub model: &'a str,
    /// Downloads a file unless it is cached; `None` if the repository has no such file.
    pub get: &'a mut dyn FnMut(&str) -> Result<Option<PathBuf>>,
}

impl RemoteRepository<'_> {
    /// Downloads all files of the model with this `config.json`; returns whether it has a `generation_config.json`. Other
    /// kinds of models are rejected before their weights are downloaded.
    pub fn download(&mut self, config: &Path) -> Result<bool> {
        let bytes = checkpoint::read_small(self.model, config)?;
        let parsed: Value = serde_json::from_slice(&bytes).map_err(|e| {
            let file = config.display().to_string();
            Error::model(self.model, ModelProblem::Damaged { file, why: e.to_string() })
        })?;
        let kind = check_config(&parsed);
        match kind.map_err(|why| Error::model(self.model, ModelProblem::NotWhisper { why }))? {
            ConfigKind::HuggingFace => {
                let has_generation_config = (self.get)(GENERATION_CONFIG)?.is_some();
                self.required(TOKENIZER)?;
                self.weights()?;
                Ok(has_generation_config)
            }
            ConfigKind::CTranslate2 => {
                for file in CT2_OTHERS {
                    (self.get)(file)?;
                }
                let mut has_vocabulary = (self.get)(TOKENIZER)?.is_some();
                for file in CT2_VOCABULARIES {
                    has_vocabulary |= (self.get)(file)?.is_some();
                }
                if !has_vocabulary {
                    return Err(checkpoint::missing(self.model, TOKENIZER));
                }
                self.required(CT2_WEIGHTS)?;
                Ok(false)
            }
        }
    }

    fn required(&mut self, file: &str) -> Result<PathBuf> {
        (self.get)(file)?.ok_or_else(|| checkpoint::missing(self.model, file))
    }

    /// Downloads the weights in the best form that there is.
    fn weights(&mut self) -> Result<()> {
        for (whole, index) in [(WEIGHTS, WEIGHTS_INDEX), (PYTORCH_WEIGHTS, PYTORCH_INDEX)] {
            if (self.get)(whole)?.is_some() {
                return Ok(());
            }
            if let Some(path) = (self.get)(index)? {
                let bytes = checkpoint::read_small(self.model, &path)?;
                for shard in checkpoint::shards(self.model, index, &bytes)? {
                    self.required(&shard)?;
                }
                return Ok(());
            }
        }
        Err(checkpoint::missing(self.model, WEIGHTS))
    }
}
