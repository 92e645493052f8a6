//! The `config.json` of a checkpoint: the network's shapes, checked before anything is allocated from them.

use serde::Deserialize;

/// The fields that Whisper needs, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WhisperConfig {
    #[serde(default)]
    pub model_type: Option<String>,
    #[serde(default)]
    pub activation_function: Option<String>,
    pub vocab_size: usize,
    pub num_mel_bins: usize,
    pub d_model: usize,
    pub encoder_layers: usize,
    pub encoder_attention_heads: usize,
    pub encoder_ffn_dim: usize,
    pub decoder_layers: usize,
    pub decoder_attention_heads: usize,
    pub decoder_ffn_dim: usize,
    #[serde(default = "default_source_positions")]
    pub max_source_positions: usize,
    #[serde(default = "default_target_positions")]
    pub max_target_positions: usize,
    #[serde(default)]
    pub scale_embedding: bool,
}

fn default_source_positions() -> usize {
    1500
}

fn default_target_positions() -> usize {
    448
}

impl WhisperConfig {
    /// Parses and checks a `config.json`. The error says what is wrong with it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let config: WhisperConfig =
            serde_json::from_slice(bytes).map_err(|error| format!("config.json: {error}"))?;
        config.check().map_err(|why| format!("config.json: {why}"))?;
        Ok(config)
    }

    /// Returns the number of parameters.
    pub fn parameters(&self) -> u64 {
        let width = self.d_model;
        let attention = 4 * width * width + 3 * width;
        let norm = 2 * width;
        let feed_forward = |inner: usize| 2 * width * inner + inner + width;
        let convolutions = (self.num_mel_bins + width) * width * 3 + 2 * width;
        let encoder = self.encoder_layers * (attention + feed_forward(self.encoder_ffn_dim) + 2 * norm);
        let decoder = self.decoder_layers * (2 * attention + feed_forward(self.decoder_ffn_dim) + 3 * norm);
        let positions = (self.max_source_positions + self.max_target_positions) * width;
        // The embedding is also the output projection.
        (convolutions + encoder + decoder + positions + self.vocab_size * width + 2 * norm) as u64
    }

    /// Returns what is wrong with the shapes, if anything.
    pub fn check(&self) -> Result<(), String> {
        if let Some(kind) = self.model_type.as_deref().filter(|kind| *kind != "whisper") {
            return Err(format!("it describes a model of type `{kind}`"));
        }
        if let Some(function) = self.activation_function.as_deref().filter(|f| *f != "gelu") {
            return Err(format!("the activation is `{function}`, not `gelu`"));
        }
        if self.scale_embedding {
            return Err("scaled embeddings are not supported".into());
        }
        // Far above every published size, and far below what could overflow or exhaust memory.
        let bounds = [
            ("vocab_size", self.vocab_size, 1 << 20),
            ("num_mel_bins", self.num_mel_bins, 1024),
            ("d_model", self.d_model, 1 << 14),
            ("encoder_layers", self.encoder_layers, 256),
            ("encoder_attention_heads", self.encoder_attention_heads, 256),
            ("encoder_ffn_dim", self.encoder_ffn_dim, 1 << 17),
            ("decoder_layers", self.decoder_layers, 256),
            ("decoder_attention_heads", self.decoder_attention_heads, 256),
            ("decoder_ffn_dim", self.decoder_ffn_dim, 1 << 17),
            ("max_target_positions", self.max_target_positions, 1 << 14),
        ];
        for (name, value, most) in bounds {
            if value == 0 || value > most {
                return Err(format!("{name} is {value}"));
            }
        }
        if self.max_source_positions != default_source_positions() {
            return Err(format!("max_source_positions is {}, not 1500", self.max_source_positions));
        }
        for (name, heads) in
            [("encoder", self.encoder_attention_heads), ("decoder", self.decoder_attention_heads)]
        {
            if !self.d_model.is_multiple_of(heads) {
                return Err(format!("a width of {} in {heads} {name} heads", self.d_model));
            }
        }
        Ok(())
    }

    /// Returns the configuration of a published size by its name, for benches and tests with random weights.
    pub fn published(size: &str) -> Option<Self> {
        let (d_model, layers, heads) = match size {
            "tiny" | "tiny.en" => (384, (4, 4), 6),
            "base" | "base.en" => (512, (6, 6), 8),
            "small" | "small.en" => (768, (12, 12), 12),
            "medium" | "medium.en" => (1024, (24, 24), 16),
            "large-v1" | "large-v2" | "large-v3" => (1280, (32, 32), 20),
            "large-v3-turbo" => (1280, (32, 4), 20),
            "distil-large-v3" => (1280, (32, 2), 20),
            _ => return None,
        };
        let is_v3 = matches!(size, "large-v3" | "large-v3-turbo" | "distil-large-v3");
        let vocab_size = match () {
            () if is_v3 => 51_866,
            () if size.ends_with(".en") => 51_864,
            () => 51_865,
        };
        Some(WhisperConfig {
            model_type: Some("whisper".into()),
            activation_function: Some("gelu".into()),
            vocab_size,
            num_mel_bins: if is_v3 { 128 } else { 80 },
            d_model,
            encoder_layers: layers.0,
            encoder_attention_heads: heads,
            encoder_ffn_dim: 4 * d_model,
            decoder_layers: layers.1,
            decoder_attention_heads: heads,
            decoder_ffn_dim: 4 * d_model,
            max_source_positions: default_source_positions(),
            max_target_positions: default_target_positions(),
            scale_embedding: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"model_type": "whisper", "vocab_size": 51865, "num_mel_bins": 80, "d_model": 384,
        "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_layers": 4,
        "decoder_attention_heads": 6, "decoder_ffn_dim": 1536, "activation_function": "gelu", "other": [1]}"#;

    #[test]
    fn parses_the_config_of_hugging_face() {
        assert_eq!(
            WhisperConfig::from_json(TINY.as_bytes()).unwrap(),
            WhisperConfig::published("tiny").unwrap()
        );
    }

    #[test]
    fn rejects_other_configs_with_the_reason() {
        for (from, to, reason) in [
            (r#""whisper""#, r#""bert""#, "`bert`"),
            (r#""gelu""#, r#""relu""#, "`relu`"),
            ("384", "385", "385"),
            ("51865", "0", "vocab_size"),
            ("51865", "99999999999", "vocab_size"),
            (r#""d_model": 384,"#, "", "d_model"),
            ("{", "", "config.json"),
        ] {
            let error = WhisperConfig::from_json(TINY.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
