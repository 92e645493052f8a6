//! Description of a checkpoint from its files alone: shapes, vocabulary, parameters by type, memory needed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use serde::Serialize;

use super::checkpoint::{self, Checkpoint, CheckpointFiles, WEIGHTS};
use super::{ModelMemory, SlotRequest};
use crate::device::SelectedDevice;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::alignment;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelDescription {
    pub name: String,
    pub identity: String,
    pub format: String,
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
    let config = checkpoint.config()?;
    let tokenizer = checkpoint.tokenizer(config.vocab_size)?;
    let types = types(checkpoint)?;
    let files = checkpoint.weight_files();
    let bytes = checkpoint.bytes_of_weights();
    let folder = files.first().and_then(|path| path.parent()).map(PathBuf::from);
    let parameters = types.values().sum();
    let capacity = SlotRequest { windows: None, candidates: 5, beams: 1 }.capacity(
        &config,
        None,
        &SelectedDevice::cpu(),
    );
    let memory = ModelMemory::of(&config, capacity, &SelectedDevice::cpu(), Some(bytes));
    let generation = checkpoint.generation_config()?;
    Ok(ModelDescription {
        name: checkpoint.name.clone(),
        identity: checkpoint.identity.clone(),
        format: checkpoint.format().to_string(),
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

/// Returns the number of parameters by their type in the files.
fn types(checkpoint: &Checkpoint) -> Result<BTreeMap<String, u64>> {
    let headers = match &checkpoint.files {
        CheckpointFiles::Foreign(model) => return Ok(model.types()),
        CheckpointFiles::Folder { weights, .. } => {
            let headers = weights.iter().map(|path| checkpoint::header(&checkpoint.name, path));
            headers.collect::<Result<Vec<Metadata>>>()?
        }
        CheckpointFiles::Embedded { weights, .. } => {
            let read = SafeTensors::read_metadata(weights);
            let damaged = |why: String| ModelProblem::Damaged { file: WEIGHTS.into(), why };
            let (_, header) =
                read.map_err(|error| Error::model(&checkpoint.name, damaged(error.to_string())))?;
            vec![header]
        }
    };
    let mut types = BTreeMap::new();
    for tensor in headers.iter().flat_map(|header| header.tensors().into_values()) {
        let count: usize = tensor.shape.iter().product();
        *types.entry(format!("{:?}", tensor.dtype).to_lowercase()).or_insert(0) += count as u64;
    }
    Ok(types)
}
