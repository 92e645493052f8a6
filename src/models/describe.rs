//! Description of a checkpoint from its files alone: shapes, vocabulary, parameters by type, memory needed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use serde::Serialize;

use super::checkpoint::{self, Checkpoint, CheckpointFiles, WEIGHTS};
use super::{ModelMemory, SlotRequest};
use crate::decode::Tokenizer;
use crate::device::SelectedDevice;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::{WhisperConfig, alignment};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelDescription {
    pub name: String,
    pub identity: String,
    /// The folder of the weights; `None` if they are built in.
    pub folder: Option<PathBuf>,
    /// Size of the weight files.
    pub bytes: u64,
    pub encoder: LayerStack,
    pub decoder: LayerStack,
    pub width: usize,
    pub mels: usize,
    pub vocabulary: usize,
    pub multilingual: bool,
    /// Codes of the languages that it has tokens for.
    pub languages: Vec<&'static str>,
    /// The number of cross-attention heads used for word timestamps.
    pub alignment_heads: usize,
    pub parameters: u64,
    /// Number of parameters by their type in the files.
    pub types: BTreeMap<String, u64>,
    pub memory: DefaultMemory,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerStack {
    pub layers: usize,
    pub heads: usize,
    pub feed_forward: usize,
}

/// Bytes taken on the CPU with the default options.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DefaultMemory {
    /// Window slots.
    pub windows: usize,
    pub weights: u64,
    pub caches: u64,
    pub work: u64,
}

/// Describes a checkpoint; reads only the headers of its weights.
pub fn describe(checkpoint: &Checkpoint) -> Result<ModelDescription> {
    let config = WhisperConfig::from_json(&checkpoint.config()?)
        .map_err(|why| Error::model(&checkpoint.name, ModelProblem::NotWhisper { why }))?;
    let tokenizer = Tokenizer::from_json(&checkpoint.tokenizer()?, config.vocab_size)
        .map_err(|problem| Error::model(&checkpoint.name, problem))?;
    let (headers, folder, bytes) = headers(checkpoint)?;
    let mut types = BTreeMap::new();
    for tensor in headers.iter().flat_map(|header| header.tensors().into_values()) {
        let count: usize = tensor.shape.iter().product();
        *types.entry(format!("{:?}", tensor.dtype).to_lowercase()).or_insert(0) += count as u64;
    }
    let parameters = types.values().sum();
    let capacity = SlotRequest { windows: None, candidates: 5, beams: 1 }.capacity(
        &config,
        None,
        &SelectedDevice::cpu(),
    );
    let memory = ModelMemory::of(&config, capacity, &SelectedDevice::cpu());
    let generation = checkpoint.generation_config()?;
    Ok(ModelDescription {
        name: checkpoint.name.clone(),
        identity: checkpoint.identity.clone(),
        folder,
        bytes,
        encoder: LayerStack {
            layers: config.encoder_layers,
            heads: config.encoder_attention_heads,
            feed_forward: config.encoder_ffn_dim,
        },
        decoder: LayerStack {
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
        memory: DefaultMemory {
            windows: capacity.windows,
            weights: memory.weights,
            caches: memory.caches,
            work: memory.work,
        },
    })
}

fn headers(checkpoint: &Checkpoint) -> Result<(Vec<Metadata>, Option<PathBuf>, u64)> {
    match &checkpoint.files {
        CheckpointFiles::Folder { weights, .. } => {
            let headers = weights.iter().map(|path| checkpoint::header(&checkpoint.name, path));
            let bytes = weights.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
            let folder = weights.first().and_then(|path| path.parent()).map(PathBuf::from);
            Ok((headers.collect::<Result<_>>()?, folder, bytes))
        }
        CheckpointFiles::Embedded { weights, .. } => {
            let read = SafeTensors::read_metadata(weights);
            let damaged = |why: String| ModelProblem::Damaged { file: WEIGHTS.into(), why };
            let (_, header) =
                read.map_err(|error| Error::model(&checkpoint.name, damaged(error.to_string())))?;
            Ok((vec![header], None, weights.len() as u64))
        }
    }
}
