//! Files of models: what describes a network, its vocabulary, and its weights in every format.

use candle_core::DType;
use transcribe::cancel::CancelToken;
use transcribe::decode::Tokenizer;
use transcribe::models::checkpoint::{self, CheckpointFiles};
use transcribe::models::hub::{DownloadLimits, Hub};
use transcribe::models::{describe, source};
use transcribe::whisper::weights::WeightSource;
use transcribe::whisper::{WhisperConfig, alignment};

use super::Scratch;

/// The network that the seeds describe.
const CONFIG: &[u8] = br#"{"vocab_size": 51865, "num_mel_bins": 80, "d_model": 128, "encoder_layers": 3,
    "encoder_attention_heads": 2, "encoder_ffn_dim": 512, "decoder_layers": 2, "decoder_attention_heads": 2,
    "decoder_ffn_dim": 512}"#;

pub fn config(bytes: &[u8]) -> String {
    match WhisperConfig::from_json(bytes) {
        Ok(config) => format!("{config:?} {}", config.parameters()),
        Err(why) => why,
    }
}

/// Reads the alignment heads, which must be heads of the network.
pub fn generation_config(bytes: &[u8]) -> String {
    let config = WhisperConfig::from_json(CONFIG).expect("valid");
    format!("{:?}", alignment::heads(&config, Some(bytes)))
}

/// Builds a tokenizer, and writes and reads a text with it.
pub fn tokenizer(bytes: &[u8]) -> String {
    match Tokenizer::from_json(bytes, 51_865) {
        Ok(tokenizer) => {
            let ids = tokenizer.encode(" a text, 12 → é");
            let special = tokenizer.special();
            let non_speech = tokenizer.non_speech_tokens();
            format!("{ids:?} {:?} {special:?} {non_speech:?}", tokenizer.decode(&ids))
        }
        Err(problem) => problem.to_string(),
    }
}

/// Reads the header of weights, and every tensor in them.
pub fn safetensors(bytes: &[u8]) -> String {
    let file = Scratch::new("model.safetensors", bytes);
    let header = match checkpoint::header("fuzz", &file.path) {
        Ok(header) => header,
        Err(error) => return file.shown(error.chain()),
    };
    let names = header.offset_keys();
    let paths = [file.path.clone()];
    match WeightSource::Files(&paths).open(DType::F32) {
        Ok(weights) => {
            let sums = names.iter().map(|name| match weights.get_unchecked(name) {
                Ok(tensor) => format!("{:?}", tensor.shape()),
                Err(error) => file.shown(error),
            });
            sums.collect::<Vec<_>>().join(" ")
        }
        Err(error) => file.shown(error),
    }
}

/// Reads the names of shards, which must stay in their folder.
pub fn weights_index(bytes: &[u8]) -> String {
    match checkpoint::shards("fuzz", "index", bytes) {
        Ok(names) => {
            let folder = std::path::Path::new("/folder");
            assert!(names.iter().all(|name| folder.join(name).parent() == Some(folder)), "{names:?}");
            names.join(" ")
        }
        Err(error) => error.chain(),
    }
}

/// Opens a file of another program, and reads its tensors.
pub fn weights(bytes: &[u8]) -> String {
    let file = Scratch::new("weights", bytes);
    let hub = Hub {
        endpoint: String::new(),
        cache: file.folder().join("none"),
        token: None,
        offline: true,
        others: None,
        limits: DownloadLimits::default(),
    };
    let path = file.path.to_str().expect("UTF-8");
    let found = match source::find(path, None, &hub, &CancelToken::new(), &mut |_| {}) {
        Ok(found) => found,
        Err(error) => return file.shown(error.chain()),
    };
    let described = describe::describe(&found).map(|model| (model.parameters, model.types));
    let described = described.map_err(|error| file.shown(error.chain()));
    let CheckpointFiles::Foreign(model) = &found.files else { return "of Hugging Face".to_owned() };
    let mut read = Vec::new();
    if let Ok(weights) = model.weights(DType::F32) {
        for name in tensor_names() {
            read.push(match weights.get_unchecked(&name) {
                Ok(tensor) => format!("{:?}", tensor.shape()),
                Err(error) => file.shown(error),
            });
        }
    }
    format!("{described:?} {}", read.join(" "))
}

/// Returns the names of tensors of a network with one layer on each side.
fn tensor_names() -> Vec<String> {
    let mut names: Vec<String> =
        ["encoder.conv1", "encoder.conv2", "encoder.layer_norm", "decoder.layer_norm"]
            .map(String::from)
            .into();
    names.extend(
        ["encoder.embed_positions", "decoder.embed_positions", "decoder.embed_tokens"].map(String::from),
    );
    for (part, attentions) in [("encoder", &["self_attn"][..]), ("decoder", &["self_attn", "encoder_attn"])] {
        let layer = format!("{part}.layers.0");
        for attention in attentions {
            names.push(format!("{layer}.{attention}_layer_norm"));
            let projections = ["q_proj", "k_proj", "v_proj", "out_proj"];
            names.extend(projections.map(|projection| format!("{layer}.{attention}.{projection}")));
        }
        names.extend(["fc1", "fc2", "final_layer_norm"].map(|name| format!("{layer}.{name}")));
    }
    names.iter().flat_map(|name| [format!("{name}.weight"), format!("{name}.bias")]).collect()
}
