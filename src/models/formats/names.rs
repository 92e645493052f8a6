//! Names of tensors: those of openai, Hugging Face, and the GGUF converters → Hugging Face's; the tensors of a network,
//! and the network that a set of tensors belongs to.

use std::collections::BTreeMap;

use super::tensors::StoredTensor;
use crate::whisper::WhisperConfig;

/// The width of an attention head in every published model, for formats that do not say it.
const HEAD_WIDTH: usize = 64;

/// Returns Hugging Face's name of a tensor, without the prefix `model.`; `None` if it is not part of the network.
pub fn canonical(name: &str) -> Option<String> {
    let name = name.strip_prefix("model.").unwrap_or(name);
    let (part, rest) = name.split_once('.')?;
    let part = match part {
        "encoder" | "enc" => "encoder",
        "decoder" | "dec" => "decoder",
        _ => return None,
    };
    if rest == "positional_embedding" {
        return Some(format!("{part}.embed_positions.weight"));
    }
    let (layer, kind) = rest.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    let mut pieces = layer.splitn(3, '.');
    let layer = match (pieces.next(), pieces.next(), pieces.next()) {
        (Some("layers" | "blocks" | "blk"), Some(index), Some(inner)) => {
            format!("layers.{}.{}", index.parse::<u16>().ok()?, inner_layer(inner)?)
        }
        _ => outer_layer(layer)?.to_owned(),
    };
    Some(format!("{part}.{layer}.{kind}"))
}

fn outer_layer(name: &str) -> Option<&'static str> {
    Some(match name {
        "conv1" | "conv.0" => "conv1",
        "conv2" | "conv.1" => "conv2",
        "embed_positions" | "position_embd" | "pos_emb" => "embed_positions",
        "embed_tokens" | "token_embedding" | "token_embd" => "embed_tokens",
        "layer_norm" | "ln_post" | "ln" | "output_norm" | "final_norm" => "layer_norm",
        _ => return None,
    })
}

fn inner_layer(name: &str) -> Option<String> {
    let fixed = match name {
        "self_attn_layer_norm" | "attn_ln" | "attn_norm" | "norm_attn" | "norm_self" => {
            "self_attn_layer_norm"
        }
        "encoder_attn_layer_norm" | "cross_attn_ln" | "cross_attn_norm" | "norm_cross" => {
            "encoder_attn_layer_norm"
        }
        "final_layer_norm" | "mlp_ln" | "ffn_norm" | "norm_ffn" => "final_layer_norm",
        "fc1" | "mlp.0" | "ffn_up" | "ffn.fc1" => "fc1",
        "fc2" | "mlp.2" | "ffn_down" | "ffn.fc2" => "fc2",
        _ => {
            let (attention, projection) = name.rsplit_once('.').or_else(|| name.rsplit_once('_'))?;
            return Some(format!("{}.{}", attention_part(attention)?, projection_part(projection)?));
        }
    };
    Some(fixed.to_owned())
}

fn attention_part(name: &str) -> Option<&'static str> {
    match name {
        "attn" | "self_attn" => Some("self_attn"),
        "cross_attn" | "encoder_attn" => Some("encoder_attn"),
        _ => None,
    }
}

fn projection_part(name: &str) -> Option<&'static str> {
    match name {
        "q_proj" | "query" | "q" => Some("q_proj"),
        "k_proj" | "key" | "k" => Some("k_proj"),
        "v_proj" | "value" | "v" => Some("v_proj"),
        "out_proj" | "out" => Some("out_proj"),
        _ => None,
    }
}

/// What a format says of the network beside its tensors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heads {
    pub encoder: Option<usize>,
    pub decoder: Option<usize>,
}

/// Returns the configuration of the network that the tensors form; the error says what is wrong with it.
pub fn config_of(tensors: &BTreeMap<String, StoredTensor>, given: Heads) -> Result<WhisperConfig, String> {
    let shape = |name: &str, dimension: usize| {
        let found = tensors.get(name).ok_or_else(|| format!("it has no tensor `{name}`"))?;
        let size = found.shape.get(dimension).copied();
        size.ok_or_else(|| format!("its tensor `{name}` has the shape {:?}", found.shape))
    };
    let layers = |part: &str| {
        (0..).take_while(|index| tensors.contains_key(&format!("{part}.layers.{index}.fc1.weight"))).count()
    };
    let width = shape("decoder.embed_tokens.weight", 1)?;
    let heads = |count: Option<usize>| count.unwrap_or(width / HEAD_WIDTH);
    let config = WhisperConfig {
        model_type: None,
        activation_function: None,
        vocab_size: shape("decoder.embed_tokens.weight", 0)?,
        // Some formats store the three taps in a dimension of their own and some do not.
        num_mel_bins: match &tensors.get("encoder.conv1.weight").map(|found| found.shape.as_slice()) {
            Some([_, bins, 3]) => *bins,
            Some([_, row]) => row / 3,
            _ => return Err("it has no tensor `encoder.conv1.weight` of three dimensions".into()),
        },
        d_model: width,
        encoder_layers: layers("encoder"),
        encoder_attention_heads: heads(given.encoder),
        encoder_ffn_dim: shape("encoder.layers.0.fc1.weight", 0)?,
        decoder_layers: layers("decoder"),
        decoder_attention_heads: heads(given.decoder),
        decoder_ffn_dim: shape("decoder.layers.0.fc1.weight", 0)?,
        max_source_positions: shape("encoder.embed_positions.weight", 0)?,
        max_target_positions: shape("decoder.embed_positions.weight", 0)?,
        scale_embedding: false,
    };
    config.check()?;
    Ok(config)
}

/// Returns the names and shapes of all tensors of a network.
fn expected(config: &WhisperConfig) -> Vec<(String, Vec<usize>)> {
    let width = config.d_model;
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    add("encoder.conv1.weight".into(), &[width, config.num_mel_bins, 3]);
    add("encoder.conv1.bias".into(), &[width]);
    add("encoder.conv2.weight".into(), &[width, width, 3]);
    add("encoder.conv2.bias".into(), &[width]);
    add("decoder.embed_tokens.weight".into(), &[config.vocab_size, width]);
    let parts = [
        ("encoder", config.max_source_positions, config.encoder_layers, config.encoder_ffn_dim),
        ("decoder", config.max_target_positions, config.decoder_layers, config.decoder_ffn_dim),
    ];
    for (part, positions, layers, inner) in parts {
        add(format!("{part}.embed_positions.weight"), &[positions, width]);
        let mut norms = vec![format!("{part}.layer_norm")];
        for layer in (0..layers).map(|index| format!("{part}.layers.{index}")) {
            let attentions: &[&str] =
                if part == "encoder" { &["self_attn"] } else { &["self_attn", "encoder_attn"] };
            for attention in attentions {
                norms.push(format!("{layer}.{attention}_layer_norm"));
                for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    add(format!("{layer}.{attention}.{projection}.weight"), &[width, width]);
                    if projection != "k_proj" {
                        add(format!("{layer}.{attention}.{projection}.bias"), &[width]);
                    }
                }
            }
            norms.push(format!("{layer}.final_layer_norm"));
            for (name, rows, columns) in [("fc1", inner, width), ("fc2", width, inner)] {
                add(format!("{layer}.{name}.weight"), &[rows, columns]);
                add(format!("{layer}.{name}.bias"), &[rows]);
            }
        }
        for norm in norms {
            add(format!("{norm}.weight"), &[width]);
            add(format!("{norm}.bias"), &[width]);
        }
    }
    all
}

/// Keeps the tensors of the network, in the shapes that it takes; the error names one that is missing or does not fit.
pub fn fit(
    mut tensors: BTreeMap<String, StoredTensor>,
    config: &WhisperConfig,
) -> Result<BTreeMap<String, StoredTensor>, String> {
    let mut kept = BTreeMap::new();
    for (name, shape) in expected(config) {
        let mut tensor = tensors.remove(&name).ok_or_else(|| format!("it has no tensor `{name}`"))?;
        if !tensor.reshape(&shape) {
            return Err(format!("its tensor `{name}` has the shape {:?}, not {shape:?}", tensor.shape));
        }
        kept.insert(name, tensor);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_every_known_naming() {
        let same = [
            (
                "decoder.layers.3.encoder_attn.q_proj.weight",
                [
                    "decoder.blocks.3.cross_attn.query.weight",
                    "dec.blk.3.cross_attn_q.weight",
                    "dec.blocks.3.cross_attn.q.weight",
                ],
            ),
            (
                "encoder.layers.0.self_attn.out_proj.bias",
                ["encoder.blocks.0.attn.out.bias", "enc.blk.0.attn_out.bias", "enc.blocks.0.attn.out.bias"],
            ),
            (
                "decoder.layers.1.fc2.weight",
                ["decoder.blocks.1.mlp.2.weight", "dec.blk.1.ffn_down.weight", "dec.blocks.1.ffn.fc2.weight"],
            ),
            (
                "decoder.layers.1.self_attn_layer_norm.bias",
                ["decoder.blocks.1.attn_ln.bias", "dec.blk.1.attn_norm.bias", "dec.blocks.1.norm_self.bias"],
            ),
            (
                "encoder.layer_norm.weight",
                ["encoder.ln_post.weight", "enc.output_norm.weight", "enc.final_norm.weight"],
            ),
            (
                "decoder.embed_positions.weight",
                ["decoder.positional_embedding", "dec.position_embd.weight", "dec.pos_emb.weight"],
            ),
            (
                "decoder.embed_tokens.weight",
                [
                    "decoder.token_embedding.weight",
                    "dec.token_embd.weight",
                    "model.decoder.embed_tokens.weight",
                ],
            ),
            ("encoder.conv1.bias", ["encoder.conv1.bias", "enc.conv1.bias", "enc.conv.0.bias"]),
        ];
        for (name, others) in same {
            assert_eq!(canonical(name).as_deref(), Some(name));
            for other in others {
                assert_eq!(canonical(other).as_deref(), Some(name), "{other}");
            }
        }
        for foreign in [
            "frontend.window",
            "proj_out.weight",
            "decoder.mask",
            "decoder.blocks.x.fc1.weight",
            "encoder",
            "",
        ] {
            assert_eq!(canonical(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn lists_as_many_values_as_the_network_has() {
        for size in ["tiny", "base.en", "large-v3-turbo"] {
            let config = WhisperConfig::published(size).unwrap();
            let count: usize =
                expected(&config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count as u64, config.parameters(), "{size}");
        }
    }
}
