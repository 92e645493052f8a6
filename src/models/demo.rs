//! The demo checkpoint built into the binary: `models/demo`, compressed by the build script.

use super::checkpoint::{Checkpoint, CheckpointFiles};
use crate::error::{Error, ModelProblem, Result};

/// The name of the built-in checkpoint.
pub const DEMO: &str = "demo";

include!(concat!(env!("OUT_DIR"), "/demo.rs"));

/// Decompresses the demo, without touching files or the network.
pub fn checkpoint() -> Result<Checkpoint> {
    let files = CheckpointFiles::Embedded {
        config: unpack("config.json", CONFIG)?,
        generation_config: unpack("generation_config.json", GENERATION_CONFIG)?,
        tokenizer: unpack("tokenizer.json", TOKENIZER)?,
        weights: unpack("model.safetensors", WEIGHTS)?,
    };
    Ok(Checkpoint { name: DEMO.to_owned(), identity: format!("{DEMO}@{DIGEST}"), found: None, files })
}

/// Adapts the demo's tokenizer to a vocabulary of this size: that of large-v3 has one more language.
pub fn tokenizer_for(n_vocab: usize) -> Result<Vec<u8>> {
    const FIRST_AFTER_LANGUAGES: u64 = 50_358;
    let json = unpack("tokenizer.json", TOKENIZER)?;
    if n_vocab <= 51_865 {
        return Ok(json);
    }
    let damaged = |error: serde_json::Error| {
        Error::model(DEMO, ModelProblem::Damaged { file: "tokenizer.json".into(), why: error.to_string() })
    };
    let mut file: serde_json::Value = serde_json::from_slice(&json).map_err(damaged)?;
    if let Some(tokens) = file["added_tokens"].as_array_mut() {
        for token in &mut *tokens {
            if let Some(id) = token["id"].as_u64().filter(|id| *id >= FIRST_AFTER_LANGUAGES) {
                token["id"] = (id + 1).into();
            }
        }
        let mut yue = tokens.iter().find(|token| token["content"] == "<|en|>").cloned().unwrap_or_default();
        yue["content"] = "<|yue|>".into();
        yue["id"] = FIRST_AFTER_LANGUAGES.into();
        tokens.push(yue);
    }
    serde_json::to_vec(&file).map_err(damaged)
}

fn unpack(file: &str, packed: &[u8]) -> Result<Vec<u8>> {
    zstd::decode_all(packed)
        .map_err(|e| Error::model(DEMO, ModelProblem::Unreadable { file: file.to_owned(), source: e.into() }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn matches_the_folder() {
        let CheckpointFiles::Embedded { weights, tokenizer, .. } = checkpoint().unwrap().files else {
            panic!("the demo is embedded");
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        assert!(weights == std::fs::read(folder.join("model.safetensors")).unwrap());
        assert!(tokenizer == std::fs::read(folder.join("tokenizer.json")).unwrap());
    }
}
