//! The prompt of a window: the text before it.

use super::tokenizer::Tokenizer;

/// All tokens so far, and which of them may be in a prompt.
#[derive(Debug, Clone)]
pub struct PromptHistory {
    /// Hotwords, before everything else.
    hotwords: Vec<u32>,
    /// The initial prompt, if every prompt begins with it.
    carried: Vec<u32>,
    /// Tokens since the last reset; may be more than fit.
    recent: Vec<u32>,
    /// All tokens without the initial prompt.
    tokens: Vec<u32>,
    /// The most tokens of a prompt.
    max_len: usize,
}

impl PromptHistory {
    /// Creates a history without text. Of hotwords that do not fit the first are kept, of everything else the last tokens.
    pub fn new(
        mut hotwords: Vec<u32>,
        initial_prompt: Vec<u32>,
        carry_initial_prompt: bool,
        n_text_ctx: usize,
    ) -> Self {
        let (carried, recent) = match carry_initial_prompt {
            true => (initial_prompt, Vec::new()),
            false => (Vec::new(), initial_prompt),
        };
        let max_len = (n_text_ctx / 2).saturating_sub(1);
        hotwords.truncate(max_len);
        PromptHistory { hotwords, carried, recent, tokens: Vec::new(), max_len }
    }

    pub fn extend(&mut self, tokens: &[u32]) {
        self.hear(tokens);
        self.tokens.extend_from_slice(tokens);
    }

    /// Adds tokens to later prompts alone.
    pub fn hear(&mut self, tokens: &[u32]) {
        self.recent.extend_from_slice(tokens);
    }

    /// Keeps all text so far out of later prompts.
    pub fn reset(&mut self) {
        self.recent.clear();
    }

    /// Returns the prompt of the next window, for [`resume`](Self::resume).
    pub fn recent(&self) -> &[u32] {
        last(&self.recent, self.max_len)
    }

    /// Continues the prompt of another history.
    pub fn resume(&mut self, recent: Vec<u32>) {
        self.recent = recent;
    }

    /// Returns all tokens without the initial prompt.
    pub fn into_tokens(self) -> Vec<u32> {
        self.tokens
    }

    /// Returns the tokens that a window begins with: the prompt, if there is any, and `sot_sequence`. With `has_prefix`
    /// the hotwords are left out, as in faster-whisper.
    pub fn initial_tokens(&self, sot_prev: u32, sot_sequence: &[u32], has_prefix: bool) -> Vec<u32> {
        let hotwords = if has_prefix { &[] } else { &self.hotwords[..] };
        let carried = last(&self.carried, self.max_len - hotwords.len());
        let recent = last(&self.recent, self.max_len - hotwords.len() - carried.len());
        let mut tokens = Vec::with_capacity(self.max_len + 1 + sot_sequence.len());
        if hotwords.len() + carried.len() + recent.len() > 0 {
            tokens.push(sot_prev);
        }
        tokens.extend_from_slice(hotwords);
        tokens.extend_from_slice(carried);
        tokens.extend_from_slice(recent);
        tokens.extend_from_slice(sot_sequence);
        tokens
    }
}

/// Returns the tokens of a prompt that is given as text.
pub fn prompt_tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(&format!(" {}", super::strip(text)))
}

fn last(tokens: &[u32], count: usize) -> &[u32] {
    &tokens[tokens.len().saturating_sub(count)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(prompt: &[u32], carry: bool) -> PromptHistory {
        PromptHistory::new(Vec::new(), prompt.to_vec(), carry, 16)
    }

    #[test]
    fn prompts_hold_the_last_tokens_since_the_reset() {
        let mut history = history(&[], false);
        assert_eq!(history.initial_tokens(99, &[1, 2], false), [1, 2]);
        history.extend(&[10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
        assert_eq!(history.initial_tokens(99, &[1, 2], false), [99, 13, 14, 15, 16, 17, 18, 19, 1, 2]);
        history.reset();
        assert_eq!(history.initial_tokens(99, &[1, 2], false), [1, 2]);
        history.extend(&[30]);
        assert_eq!(history.initial_tokens(99, &[1, 2], false), [99, 30, 1, 2]);
    }

    #[test]
    fn the_initial_prompt_is_used_once_or_carried() {
        let mut once = history(&[5, 6], false);
        assert_eq!(once.initial_tokens(99, &[1], false), [99, 5, 6, 1]);
        once.extend(&[10, 11, 12]);
        once.reset();
        assert_eq!(once.initial_tokens(99, &[1], false), [1]);
        assert_eq!(once.into_tokens(), [10, 11, 12]);

        let mut carried = history(&[5, 6], true);
        carried.extend(&[10, 11, 12, 13, 14, 15, 16, 17]);
        assert_eq!(carried.initial_tokens(99, &[1], false), [99, 5, 6, 13, 14, 15, 16, 17, 1]);
        carried.reset();
        assert_eq!(carried.initial_tokens(99, &[1], false), [99, 5, 6, 1]);
    }

    #[test]
    fn hotwords_begin_every_prompt_without_a_prefix() {
        let mut history = PromptHistory::new(vec![7, 8], vec![5, 6], true, 16);
        assert_eq!(history.initial_tokens(99, &[1], false), [99, 7, 8, 5, 6, 1]);
        assert_eq!(history.initial_tokens(99, &[1], true), [99, 5, 6, 1]);
        history.extend(&[10, 11, 12, 13]);
        assert_eq!(history.initial_tokens(99, &[1], false), [99, 7, 8, 5, 6, 11, 12, 13, 1]);
        let many = PromptHistory::new((10..30).collect(), vec![5], false, 16);
        assert_eq!(many.initial_tokens(99, &[1], false), [99, 10, 11, 12, 13, 14, 15, 16, 1]);
    }

    #[test]
    fn the_text_before_a_seam_is_the_prompt_after_it() {
        let mut before = history(&[], false);
        before.extend(&[10, 11, 12, 13, 14, 15, 16, 17, 18]);
        let mut behind = history(&[5, 6], false);
        behind.resume(before.recent().to_vec());
        behind.extend(&[30]);
        assert_eq!(behind.initial_tokens(99, &[1], false), [99, 13, 14, 15, 16, 17, 18, 30, 1]);
        assert_eq!(behind.into_tokens(), [30]);
    }
}
