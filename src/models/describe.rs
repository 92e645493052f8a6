//! What a checkpoint is, from its files alone: shapes, vocabulary, how many parameters of which kind, memory needed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use serde::Serialize;

use super::checkpoint::{self, Checkpoint, Files, WEIGHTS};
use super::{Needs, Slots};
use crate::decode::Tokenizer;
use crate::device::SelectedDevice;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::{WhisperConfig, alignment};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    pub name: String,
    pub identity: String,
    /// Of the weights; none if they are built in.
    pub folder: Option<PathBuf>,
    /// Of the weights' files.
    pub bytes: u64,
    pub encoder: Stack,
    pub decoder: Stack,
    pub width: usize,
    pub mels: usize,
    pub vocabulary: usize,
    pub multilingual: bool,
    /// Codes of the languages it has a token for.
    pub languages: Vec<&'static str>,
    /// Heads of the decoder that know when a word is said.
    pub alignment_heads: usize,
    pub parameters: u64,
    /// How the numbers are kept in the files, and how many of each kind.
    pub types: BTreeMap<String, u64>,
    pub memory: Needed,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stack {
    pub layers: usize,
    pub heads: usize,
    pub feed_forward: usize,
}

/// Bytes that it takes on the CPU with the default options.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needed {
    /// Half minutes side by side.
    pub windows: usize,
    pub weights: u64,
    pub caches: u64,
    pub work: u64,
}

/// Reads what is to be known of a checkpoint; of its weights only the headers.
pub fn describe(checkpoint: &Checkpoint) -> Result<Description> {
    let config = WhisperConfig::from_json(&checkpoint.config()?)
        .map_err(|why| Error::model(&checkpoint.name, ModelProblem::NotWhisper { why }))?;
    let tokenizer = Tokenizer::from_json(&checkpoint.tokenizer()?, config.vocab_size)
        .map_err(|fault| Error::model(&checkpoint.name, fault))?;
    let (headers, folder, bytes) = headers(checkpoint)?;
    let mut types = BTreeMap::new();
    for tensor in headers.iter().flat_map(|header| header.tensors().into_values()) {
        let count: usize = tensor.shape.iter().product();
        *types.entry(format!("{:?}", tensor.dtype).to_lowercase()).or_insert(0) += count as u64;
    }
    let parameters = types.values().sum();
    let capacity =
        Slots { windows: None, candidates: 5, beams: 1 }.capacity(&config, None, &SelectedDevice::cpu());
    let needs = Needs::of(&config, capacity, &SelectedDevice::cpu());
    let generation = checkpoint.generation_config()?;
    Ok(Description {
        name: checkpoint.name.clone(),
        identity: checkpoint.identity.clone(),
        folder,
        bytes,
        encoder: Stack {
            layers: config.encoder_layers,
            heads: config.encoder_attention_heads,
            feed_forward: config.encoder_ffn_dim,
        },
        decoder: Stack {
            layers: config.decoder_layers,
            heads: config.decoder_attention_heads,
            feed_forward: config.decoder_ffn_dim,
        },
        width: config.d_model,
        mels: config.num_mel_bins,
        vocabulary: config.vocab_size,
        multilingual: tokenizer.is_multilingual(),
        languages: tokenizer.languages().iter().map(|(language, _)| language.code()).collect(),
        alignment_heads: alignment::heads(&config, generation.as_deref()).len(),
        parameters,
        types,
        memory: Needed {
            windows: capacity.windows,
            weights: needs.weights,
            caches: needs.caches,
            work: needs.work,
        },
    })
}

fn headers(checkpoint: &Checkpoint) -> Result<(Vec<Metadata>, Option<PathBuf>, u64)> {
    match &checkpoint.files {
        Files::Folder { weights, .. } => {
            let headers = weights.iter().map(|path| checkpoint::header(&checkpoint.name, path));
            let bytes = weights.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
            let folder = weights.first().and_then(|path| path.parent()).map(PathBuf::from);
            Ok((headers.collect::<Result<_>>()?, folder, bytes))
        }
        Files::Embedded { weights, .. } => {
            let read = SafeTensors::read_metadata(weights);
            let fault = |why: String| ModelProblem::Damaged { file: WEIGHTS.into(), why };
            let (_, header) =
                read.map_err(|error| Error::model(&checkpoint.name, fault(error.to_string())))?;
            Ok((vec![header], None, weights.len() as u64))
        }
    }
}
