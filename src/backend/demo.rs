//! The demo checkpoint inside the binary: `models/demo`, compressed by the build script.

use crate::backend::checkpoint::{Checkpoint, Files};
use crate::error::{Error, ModelFault, Result};

/// The name of the checkpoint inside the binary.
pub const DEMO: &str = "demo";

include!(concat!(env!("OUT_DIR"), "/demo.rs"));

/// The demo, unpacked; no file and no network is touched.
pub(super) fn checkpoint() -> Result<Checkpoint> {
    let files = Files::Embedded {
        config: unpack("config.json", CONFIG)?,
        generation_config: unpack("generation_config.json", GENERATION_CONFIG)?,
        tokenizer: unpack("tokenizer.json", TOKENIZER)?,
        weights: unpack("model.safetensors", WEIGHTS)?,
    };
    Ok(Checkpoint { name: DEMO.to_owned(), identity: format!("{DEMO}@{DIGEST}"), files })
}

fn unpack(file: &str, packed: &[u8]) -> Result<Vec<u8>> {
    zstd::decode_all(packed)
        .map_err(|e| Error::model(DEMO, ModelFault::Unreadable { file: file.to_owned(), source: e.into() }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_binary_holds_the_folder() {
        let Files::Embedded { weights, tokenizer, .. } = checkpoint().unwrap().files else {
            panic!("the demo is embedded");
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        assert!(weights == std::fs::read(folder.join("model.safetensors")).unwrap());
        assert!(tokenizer == std::fs::read(folder.join("tokenizer.json")).unwrap());
    }
}
