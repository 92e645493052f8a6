//! The vocabulary of a model: in a file of its own, in the file of the weights, or the published one that belongs to the
//! size of the network.

use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::Tokenizer;
use crate::error::{Error, ModelProblem, Result};
use crate::models::checkpoint::{read_small, unreadable};
use crate::models::demo;

/// The tokens of openai's English-only models: see `models/vocabulary`.
const ENGLISH: &[u8] = include_bytes!("../../../models/vocabulary/english.zst");
/// The number of outputs of English-only models, and of multilingual ones without and with Cantonese.
const ENGLISH_OUTPUTS: usize = 51_864;
const MULTILINGUAL_OUTPUTS: std::ops::RangeInclusive<usize> = 51_865..=51_866;

#[derive(Debug, Clone)]
pub enum Vocabulary {
    /// A `tokenizer.json`.
    File(PathBuf),
    /// The bytes of the tokens in the order of their ids.
    Tokens(Arc<[Vec<u8>]>),
    /// The one that openai published for networks of this size.
    Published,
}

impl Vocabulary {
    /// Returns the tokenizer for a network with `n_vocab` outputs.
    pub fn tokenizer(&self, model: &str, n_vocab: usize) -> Result<Tokenizer> {
        let built = match self {
            Vocabulary::File(path) => {
                let json = read_small(model, path)?;
                Tokenizer::from_json(&json, n_vocab)
            }
            Vocabulary::Tokens(tokens) => Tokenizer::from_tokens(tokens, n_vocab),
            Vocabulary::Published if n_vocab == ENGLISH_OUTPUTS => {
                Tokenizer::from_tokens(&english(model)?, n_vocab)
            }
            // The demo has the vocabulary of the multilingual models.
            Vocabulary::Published if MULTILINGUAL_OUTPUTS.contains(&n_vocab) => {
                Tokenizer::from_json(&demo::tokenizer_for(n_vocab)?, n_vocab)
            }
            Vocabulary::Published => {
                let why = format!("it has no vocabulary, and no published one has {n_vocab} tokens");
                Err(ModelProblem::NotWhisper { why })
            }
        };
        built.map_err(|problem| Error::model(model, problem))
    }
}

/// Unpacks the English vocabulary: the length of each token in one byte, and its bytes.
fn english(model: &str) -> Result<Vec<Vec<u8>>> {
    let packed = zstd::decode_all(ENGLISH).map_err(|e| unreadable(model, "the vocabulary".as_ref(), e))?;
    let (mut rest, mut tokens) = (packed.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_first() {
        let (token, after) = after.split_at_checked(usize::from(*length)).unwrap_or_default();
        tokens.push(token.to_vec());
        rest = after;
    }
    Ok(tokens)
}
