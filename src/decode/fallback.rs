//! Decides whether a window's result is accepted or another temperature is tried.

use super::options::DecodeOptions;
use crate::transcript::decision::RejectionReason;

/// The result of one attempt at a window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Text and timestamp tokens, without the end of text.
    pub tokens: Vec<u32>,
    pub temperature: f64,
    pub avg_logprob: f64,
    pub no_speech_prob: f64,
    pub compression_ratio: f64,
}

impl WindowResult {
    /// Returns the thresholds that it fails.
    pub fn faults(&self, options: &DecodeOptions) -> Vec<RejectionReason> {
        let is_repetitive = options.compression_ratio_threshold.is_some_and(|t| self.compression_ratio > t);
        let is_doubtful = options.logprob_threshold.is_some_and(|t| self.avg_logprob < t);
        let faults =
            [(is_repetitive, RejectionReason::CompressionRatio), (is_doubtful, RejectionReason::Logprob)];
        faults.into_iter().filter(|(fails, _)| *fails).map(|(_, fault)| fault).collect()
    }

    /// Returns whether another attempt at a higher temperature may be better.
    pub fn needs_fallback(&self, options: &DecodeOptions) -> bool {
        let faults = self.faults(options);
        let is_silent = options.no_speech_threshold.is_some_and(|t| self.no_speech_prob > t);
        !(faults.is_empty() || is_silent && faults.contains(&RejectionReason::Logprob))
    }

    /// Returns whether the window counts as silence.
    pub fn is_silence(&self, options: &DecodeOptions) -> bool {
        let is_silent = options.no_speech_threshold.is_some_and(|t| self.no_speech_prob > t);
        let is_trusted = options.logprob_threshold.is_some_and(|t| self.avg_logprob > t);
        is_silent && !is_trusted
    }
}

/// Returns the attempt to take if none met the thresholds: the likeliest of those that are not repetitive, or else of
/// all; the first of equals.
pub fn likeliest(attempts: Vec<WindowResult>, options: &DecodeOptions) -> Option<WindowResult> {
    let is_varied =
        |result: &WindowResult| !result.faults(options).contains(&RejectionReason::CompressionRatio);
    let any_varied = attempts.iter().any(is_varied);
    let eligible = attempts.into_iter().filter(|result| !any_varied || is_varied(result));
    eligible.reduce(|best, other| if other.avg_logprob > best.avg_logprob { other } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(avg_logprob: f64, no_speech_prob: f64, compression_ratio: f64) -> WindowResult {
        WindowResult { tokens: vec![], temperature: 0.0, avg_logprob, no_speech_prob, compression_ratio }
    }

    #[test]
    fn thresholds_are_exclusive_and_silence_needs_no_fallback() {
        let options = DecodeOptions::default();
        assert!(!result(-1.0, 0.0, 2.4).needs_fallback(&options));
        assert!(result(-1.01, 0.0, 2.4).needs_fallback(&options));
        assert!(result(-0.1, 0.0, 2.41).needs_fallback(&options));
        assert!(result(-0.1, 0.9, 2.41).needs_fallback(&options));
        assert!(!result(-1.01, 0.9, 2.41).needs_fallback(&options));
        let lenient = DecodeOptions { logprob_threshold: None, ..options.clone() };
        assert!(!result(-9.0, 0.9, 2.0).needs_fallback(&lenient));

        let of = |results: &[WindowResult]| likeliest(results.to_vec(), &options);
        assert_eq!(of(&[]), None);
        let three = [result(-1.5, 0.0, 1.0), result(-0.1, 0.0, 3.0), result(-1.2, 0.0, 1.0)];
        assert_eq!(of(&three), Some(three[2].clone()));
        assert_eq!(of(&three[1..2]), Some(three[1].clone()));

        assert!(!result(-0.9, 0.9, 0.0).is_silence(&options));
        assert!(result(-1.0, 0.9, 0.0).is_silence(&options));
        assert!(!result(-1.0, 0.6, 0.0).is_silence(&options));
        assert!(result(-0.1, 0.9, 0.0).is_silence(&lenient));
    }
}
