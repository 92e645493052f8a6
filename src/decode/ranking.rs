//! Ranks the hypotheses for one window.

/// One candidate text of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Without the end-of-text token.
    pub tokens: Vec<u32>,
    /// Over the tokens and, if it was reached, the end of text.
    pub sum_logprob: f32,
}

/// Returns the index of the best hypothesis, the first of equals: by log-probability per token, or with a penalty by
/// log-probability per length as in Google's translation system (Wu et al., 2016).
pub fn best(hypotheses: &[Hypothesis], length_penalty: Option<f64>) -> usize {
    let score = |hypothesis: &Hypothesis| {
        let length = hypothesis.tokens.len() as f64;
        let length = match length_penalty {
            Some(penalty) => ((5.0 + length) / 6.0).powf(penalty),
            None => length.max(1.0),
        };
        f64::from(hypothesis.sum_logprob) / length
    };
    let mut best = 0;
    for (index, hypothesis) in hypotheses.iter().enumerate() {
        if score(hypothesis) > score(&hypotheses[best]) {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_log_probability_per_length_wins() {
        let hypothesis = |sum_logprob, length| Hypothesis { tokens: vec![1; length], sum_logprob };
        let both = [hypothesis(-3.0, 2), hypothesis(-7.0, 7)];
        assert_eq!(best(&both, None), 1);
        assert_eq!(best(&both, Some(1.0)), 0);
        assert_eq!(best(&both, Some(0.0)), 0);
        assert_eq!(best(&[hypothesis(-1.0, 1), hypothesis(-1.0, 1)], None), 0);
        assert_eq!(best(&[hypothesis(-2.0, 0), hypothesis(-1.0, 0)], None), 1);
    }
}
