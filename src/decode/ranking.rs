//! Which of several texts for one window is the best.

/// One text for a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Without the end of text.
    pub tokens: Vec<u32>,
    /// Of the tokens and, if it came to it, of the end of text.
    pub sum_logprob: f32,
}

/// The index of the best one, the first of equals: by log-probability per token, or per length in the sense of the
/// penalty that Google's translation system has.
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
    fn the_likeliest_per_length_wins() {
        let hypothesis = |sum_logprob, length| Hypothesis { tokens: vec![1; length], sum_logprob };
        let both = [hypothesis(-3.0, 2), hypothesis(-7.0, 7)];
        assert_eq!(best(&both, None), 1);
        assert_eq!(best(&both, Some(1.0)), 0);
        assert_eq!(best(&both, Some(0.0)), 0);
        assert_eq!(best(&[hypothesis(-1.0, 1), hypothesis(-1.0, 1)], None), 0);
        assert_eq!(best(&[hypothesis(-2.0, 0), hypothesis(-1.0, 0)], None), 1);
    }
}
