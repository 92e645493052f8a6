//! Alignment heads: the cross-attention heads of the decoder that follow the audio, and their attention weights.

use candle_core::{Result, Tensor};
use serde::Deserialize;

use super::config::WhisperConfig;
use super::decoder::{SequenceTokens, TextDecoder};
use super::kv_cache::KvCache;
use super::workspace::Workspace;

/// Heads whose weights are in memory at a time.
const HEADS_TOGETHER: usize = 4;

/// A decoder layer, and one of its heads.
pub type AlignmentHead = (usize, usize);

/// Returns the alignment heads that the checkpoint's `generation_config.json` names, else those of the published model of
/// this shape, else all heads of the last half of the layers.
pub fn heads(config: &WhisperConfig, generation_config: Option<&[u8]>) -> Vec<AlignmentHead> {
    #[derive(Deserialize)]
    struct Generation {
        alignment_heads: Option<Vec<AlignmentHead>>,
    }
    let (layers, count) = (config.decoder_layers, config.decoder_attention_heads);
    // Some distilled checkpoints name heads of layers that only their teacher has.
    let all_exist = |heads: &[AlignmentHead]| {
        !heads.is_empty() && heads.iter().all(|head| head.0 < layers && head.1 < count)
    };
    let named = generation_config.and_then(|json| serde_json::from_slice::<Generation>(json).ok());
    let named = named.and_then(|generation| generation.alignment_heads);
    let mut heads = named
        .filter(|heads| all_exist(heads))
        .or_else(|| published_heads(config).map(<[AlignmentHead]>::to_vec).filter(|heads| all_exist(heads)))
        .unwrap_or_else(|| {
            (layers / 2..layers).flat_map(|layer| (0..count).map(move |head| (layer, head))).collect()
        });
    heads.sort_unstable();
    heads.dedup();
    heads
}

/// Returns the alignment heads that openai/whisper lists for the models that it published.
fn published_heads(config: &WhisperConfig) -> Option<&'static [AlignmentHead]> {
    let is_english = config.vocab_size < 51_865;
    let is_v3 = config.vocab_size > 51_865;
    match (config.d_model, config.encoder_layers, config.decoder_layers) {
        (384, 4, 4) if is_english => Some(&[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]),
        (384, 4, 4) => Some(&[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]),
        (512, 6, 6) if is_english => Some(&[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)]),
        (512, 6, 6) => Some(&[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]),
        (768, 12, 12) if is_english => Some(SMALL_ENGLISH),
        (768, 12, 12) => {
            Some(&[(5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)])
        }
        (1024, 24, 24) if is_english => Some(MEDIUM_ENGLISH),
        (1024, 24, 24) => Some(&[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)]),
        (1280, 32, 32) if is_v3 => Some(LARGE_V3),
        // large-v1 has the same shape; its published checkpoints name their heads.
        (1280, 32, 32) => Some(LARGE_V2),
        (1280, 32, 4) => Some(&[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]),
        _ => None,
    }
}

#[rustfmt::skip]
const SMALL_ENGLISH: &[AlignmentHead] = &[
    (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10), (10, 0), (10, 1), (10, 2),
    (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
];
#[rustfmt::skip]
const MEDIUM_ENGLISH: &[AlignmentHead] = &[
    (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14), (18, 7), (18, 10),
    (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
];
#[rustfmt::skip]
const LARGE_V2: &[AlignmentHead] = &[
    (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11), (18, 19), (19, 11),
    (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13), (25, 5), (26, 1), (26, 12), (27, 15),
];
#[rustfmt::skip]
const LARGE_V3: &[AlignmentHead] = &[
    (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6),
];

/// The attention weights to return.
#[derive(Debug)]
pub struct AttentionProbe<'a> {
    /// In ascending order.
    pub heads: &'a [AlignmentHead],
    /// The number of audio entries that count, for each sequence.
    pub audio_lens: &'a [usize],
}

impl TextDecoder {
    /// Runs the decoder as [`forward`](Self::forward) does. For every sequence and every head, calls `on_weights` with
    /// the sequence's index and its cross-attention weights, `[tokens, entries]`.
    pub fn forward_with_attention(
        &self,
        sequences: &[SequenceTokens<'_>],
        caches: (&KvCache, &KvCache),
        probe: &AttentionProbe<'_>,
        workspace: &mut Workspace,
        on_weights: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<Tensor> {
        let mut row_ranges = Vec::with_capacity(sequences.len());
        let mut count = 0;
        for sequence in sequences {
            row_ranges.push(count..count + sequence.tokens.len());
            count += sequence.tokens.len();
        }
        let mut on_host = Vec::new();
        self.run_layers(&self.batch(sequences)?, caches, workspace, &mut |layer, query, workspace| {
            let heads: Vec<usize> =
                probe.heads.iter().filter(|head| head.0 == layer).map(|head| head.1).collect();
            for heads in heads.chunks(HEADS_TOGETHER) {
                for (index, (sequence, rows)) in sequences.iter().zip(&row_ranges).enumerate() {
                    let audio_len = probe.audio_lens[index];
                    let query = query.narrow(0, rows.start, rows.len())?;
                    let weights = workspace.attention_weights.view((heads.len(), rows.len(), audio_len))?;
                    caches.1.attention_weights(
                        layer,
                        &query,
                        heads,
                        (sequence.window, audio_len),
                        &weights,
                    )?;
                    self.read(&weights, &mut on_host)?;
                    on_host.chunks_exact(rows.len() * audio_len).for_each(|head| on_weights(index, head));
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(size: &str) -> WhisperConfig {
        WhisperConfig::published(size).unwrap()
    }

    #[test]
    fn heads_come_from_the_checkpoint_then_the_table_then_the_last_half() {
        let tiny = published("tiny");
        let named = br#"{"alignment_heads": [[3, 1], [1, 0]], "max_length": 448}"#;
        assert_eq!(heads(&tiny, Some(named)), [(1, 0), (3, 1)]);
        let table = [(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)];
        assert_eq!(heads(&tiny, None), table);
        // Heads that do not exist, or none at all.
        for json in
            [&br#"{"alignment_heads": [[4, 0]]}"#[..], br#"{"alignment_heads": [[0, 6]]}"#, b"{}", b"no json"]
        {
            assert_eq!(heads(&tiny, Some(json)), table);
        }
        for json in [&br#"{"alignment_heads": []}"#[..], br#"{"alignment_heads": null}"#] {
            assert_eq!(heads(&tiny, Some(json)), table);
        }
        let distilled = heads(&published("distil-large-v3"), Some(br#"{"alignment_heads": [[7, 0]]}"#));
        assert_eq!(distilled, (0..20).map(|head| (1, head)).collect::<Vec<_>>());
        let odd = WhisperConfig { d_model: 320, decoder_attention_heads: 2, decoder_layers: 3, ..tiny };
        assert_eq!(heads(&odd, None), [(1, 0), (1, 1), (2, 0), (2, 1)]);
    }

    #[test]
    fn published_heads_exist() {
        let sizes = [
            ("tiny", 6),
            ("tiny.en", 8),
            ("base", 8),
            ("base.en", 5),
            ("small", 10),
            ("small.en", 19),
            ("medium", 6),
            ("medium.en", 18),
            ("large-v2", 23),
            ("large-v3", 10),
            ("large-v3-turbo", 6),
        ];
        for (size, count) in sizes {
            let config = published(size);
            let heads = heads(&config, None);
            assert_eq!(heads.len(), count, "{size}");
            assert_eq!(Some(&heads[..]), published_heads(&config), "{size}");
        }
    }
}
