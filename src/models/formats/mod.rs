//! Models in the formats of other programs, known by their content and read as they are: where the tensors are, the shapes
//! of the network, and its vocabulary.
//!
//! Every format is read into the same table of tensors. Leaves finding the files to `source`.

mod archive;
mod ct2;
mod ggml;
mod gguf;
mod names;
mod pickle;
mod pytorch;
mod reader;
mod tensors;
mod vocabulary;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use candle_nn::VarBuilder;

use self::names::Heads;
use self::tensors::{StoredTensor, TensorTable};
use self::vocabulary::Vocabulary;
use super::checkpoint::{CONFIG, GENERATION_CONFIG, TOKENIZER, read_small, unreadable};
use crate::decode::Tokenizer;
use crate::decode::tokenizer::unspell;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::WhisperConfig;
use crate::whisper::weights::map_file;

/// Bytes at the beginning of a file that tell its format.
const HEAD_BYTES: u64 = 64;

/// The format of a file of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    Safetensors,
    CTranslate2,
    Ggml,
    Gguf,
    PyTorch,
    /// A format of PyTorch that is not read.
    LegacyPyTorch,
}

impl ModelFormat {
    /// Returns the format of a file by its first bytes; `None` if it is none of a model.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
        let format = match head.as_slice() {
            head if head.starts_with(&gguf::MAGIC) => ModelFormat::Gguf,
            head if head.starts_with(&ggml::MAGIC) => ModelFormat::Ggml,
            head if head.starts_with(&archive::MAGIC) => ModelFormat::PyTorch,
            head if head.starts_with(&pytorch::LEGACY_MAGIC) => ModelFormat::LegacyPyTorch,
            // The header begins after its length of 8 bytes, and is JSON.
            [_, _, _, _, _, _, 0, 0, b'{', ..] => ModelFormat::Safetensors,
            head if ct2::is_ct2(head) => ModelFormat::CTranslate2,
            _ => return Ok(None),
        };
        Ok(Some(format))
    }
}

impl fmt::Display for ModelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ModelFormat::Safetensors => "Hugging Face safetensors",
            ModelFormat::CTranslate2 => "CTranslate2",
            ModelFormat::Ggml => "whisper.cpp ggml",
            ModelFormat::Gguf => "GGUF",
            ModelFormat::PyTorch | ModelFormat::LegacyPyTorch => "PyTorch",
        })
    }
}

/// A model in the format of another program. Holds no file open and no weights.
#[derive(Debug, Clone)]
pub struct ForeignModel {
    pub format: ModelFormat,
    pub config: WhisperConfig,
    /// A file that may name the alignment heads.
    pub generation_config: Option<PathBuf>,
    vocabulary: Vocabulary,
    tensors: Arc<TensorTable>,
}

/// What a format says of a model, before it is checked.
struct Contents {
    tensors: BTreeMap<String, StoredTensor>,
    heads: Heads,
    /// The tokens of the vocabulary, if the file has one.
    tokens: Vec<Vec<u8>>,
}

impl ForeignModel {
    /// Reads where everything is in the files of a model, of which only PyTorch's may be several.
    pub fn open(model: &str, format: ModelFormat, files: Vec<PathBuf>) -> Result<Self> {
        let first = files.first().map(PathBuf::as_path).unwrap_or_else(|| Path::new(""));
        let beside = |name: &str| Some(first.with_file_name(name)).filter(|path| path.is_file());
        let contents = Contents::read(model, format, &files)?;
        let not_whisper = |why: String| {
            let why = format!("`{}`: {why}", first.display());
            Error::model(model, ModelProblem::NotWhisper { why })
        };
        // openai's files say all of it themselves, and what lies beside them is not theirs.
        let is_hugging_face = format == ModelFormat::PyTorch && contents.heads.encoder.is_none();
        let config = match beside(CONFIG).filter(|_| is_hugging_face) {
            Some(path) => {
                let json = read_small(model, &path)?;
                WhisperConfig::from_json(&json)
                    .map_err(|why| Error::model(model, ModelProblem::NotWhisper { why }))?
            }
            None => names::config_of(&contents.tensors, contents.heads).map_err(not_whisper)?,
        };
        let tensors = names::fit(contents.tensors, &config).map_err(not_whisper)?;
        let generation_config = match format {
            ModelFormat::CTranslate2 => beside(CONFIG),
            _ => beside(GENERATION_CONFIG).filter(|_| is_hugging_face),
        };
        let vocabulary = match beside(TOKENIZER) {
            _ if !contents.tokens.is_empty() => Vocabulary::Tokens(contents.tokens.into()),
            Some(path) if is_hugging_face || format != ModelFormat::PyTorch => Vocabulary::File(path),
            _ if format == ModelFormat::CTranslate2 => ct2_vocabulary(model, first)?,
            _ => Vocabulary::Published,
        };
        let tensors = Arc::new(TensorTable { files, tensors });
        Ok(Self { format, config, generation_config, vocabulary, tensors })
    }

    pub fn tokenizer(&self, model: &str) -> Result<Tokenizer> {
        self.vocabulary.tokenizer(model, self.config.vocab_size)
    }

    /// Returns a builder of host tensors in `dtype`, at the prefix of `encoder` and `decoder`.
    pub fn weights(&self, dtype: DType) -> candle_core::Result<VarBuilder<'static>> {
        self.tensors.open(dtype)
    }

    /// Returns the files of the weights.
    pub fn files(&self) -> &[PathBuf] {
        &self.tensors.files
    }

    /// Returns every file that the model consists of, with those beside the weights.
    pub fn all_files(&self) -> impl Iterator<Item = &Path> {
        let vocabulary = match &self.vocabulary {
            Vocabulary::File(path) => Some(path),
            Vocabulary::Tokens(_) | Vocabulary::Published => None,
        };
        self.files().iter().chain(&self.generation_config).chain(vocabulary).map(PathBuf::as_path)
    }

    /// Returns the number of parameters by the type in which they are stored.
    pub fn types(&self) -> BTreeMap<String, u64> {
        let mut types = BTreeMap::new();
        for tensor in self.tensors.tensors.values() {
            *types.entry(tensor.encoding.name()).or_insert(0) += tensor.elements() as u64;
        }
        types
    }
}

impl Contents {
    fn read(model: &str, format: ModelFormat, files: &[PathBuf]) -> Result<Self> {
        let mut all = Contents { tensors: BTreeMap::new(), heads: Heads::default(), tokens: Vec::new() };
        for (index, path) in files.iter().enumerate() {
            let bytes = map_file(path).map_err(|e| unreadable(model, path, e))?;
            let name = path.display().to_string();
            let read = Self::of_file(format, &name, &bytes, index);
            let Contents { tensors, heads, tokens } = read.map_err(|problem| Error::model(model, problem))?;
            all.tensors.extend(tensors);
            all.heads = heads;
            all.tokens.extend(tokens);
        }
        Ok(all)
    }

    fn of_file(format: ModelFormat, name: &str, bytes: &[u8], index: usize) -> reader::Parsed<Self> {
        match format {
            ModelFormat::CTranslate2 => {
                let (tensors, heads) = ct2::read(name, bytes)?;
                Ok(Contents { tensors, heads, tokens: Vec::new() })
            }
            ModelFormat::Ggml => {
                let ggml::GgmlFile { tensors, heads, tokens } = ggml::read(name, bytes)?;
                Ok(Contents { tensors, heads, tokens })
            }
            ModelFormat::Gguf => {
                let gguf::GgufFile { tensors, heads, tokens } = gguf::read(name, bytes)?;
                Ok(Contents { tensors, heads, tokens: unspell(tokens) })
            }
            ModelFormat::PyTorch => {
                let (tensors, heads) = pytorch::read(name, bytes, index)?;
                Ok(Contents { tensors, heads, tokens: Vec::new() })
            }
            ModelFormat::Safetensors => {
                let why = format!("`{name}` lacks the `{CONFIG}` and `{TOKENIZER}` beside it");
                Err(ModelProblem::NotWhisper { why })
            }
            ModelFormat::LegacyPyTorch => {
                let why =
                    format!("`{name}` was saved by a PyTorch before 1.6; load and save it with a newer one");
                Err(ModelProblem::NotWhisper { why })
            }
        }
    }
}

/// Returns the vocabulary that CTranslate2 keeps beside its weights, as JSON or as lines.
fn ct2_vocabulary(model: &str, weights: &Path) -> Result<Vocabulary> {
    let read = |name: &str| {
        let path = weights.with_file_name(name);
        path.is_file().then(|| read_small(model, &path))
    };
    let damaged = |name: &str, why: String| {
        let file = weights.with_file_name(name).display().to_string();
        Error::model(model, ModelProblem::Damaged { file, why })
    };
    let tokens: Vec<String> = if let Some(json) = read("vocabulary.json") {
        serde_json::from_slice(&json?).map_err(|error| damaged("vocabulary.json", error.to_string()))?
    } else if let Some(lines) = read("vocabulary.txt") {
        let lines =
            String::from_utf8(lines?).map_err(|error| damaged("vocabulary.txt", error.to_string()))?;
        lines.lines().map(String::from).collect()
    } else {
        return Ok(Vocabulary::Published);
    };
    Ok(Vocabulary::Tokens(unspell(tokens).into()))
}
