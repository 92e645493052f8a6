//! What a window is told of the text before it.

use super::tokenizer::Tokenizer;

/// All tokens so far, and which of them are fit to be a prompt.
#[derive(Debug, Clone)]
pub struct PromptHistory {
    /// Words to expect; stand before everything else.
    hotwords: Vec<u32>,
    /// Stands before every prompt.
    carried: Vec<u32>,
    /// What the next window is told; more than fits.
    recent: Vec<u32>,
    said: Vec<u32>,
    /// At most so many tokens of prompt.
    room: usize,
}

impl PromptHistory {
    /// Of hotwords that are too many, the first are told; of all else, what comes last.
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
        let room = (n_text_ctx / 2).saturating_sub(1);
        hotwords.truncate(room);
        PromptHistory { hotwords, carried, recent, said: Vec::new(), room }
    }

    pub fn extend(&mut self, tokens: &[u32]) {
        self.recent.extend_from_slice(tokens);
        self.said.extend_from_slice(tokens);
    }

    /// Nothing so far will be in a prompt again.
    pub fn reset(&mut self) {
        self.recent.clear();
    }

    /// What the window after the last one would be told, to be taken up by [`Self::take_up`].
    pub fn recent(&self) -> &[u32] {
        last(&self.recent, self.room)
    }

    /// Goes on where another history was left.
    pub fn take_up(&mut self, recent: Vec<u32>) {
        self.recent = recent;
    }

    /// All tokens without the initial prompt.
    pub fn into_said(self) -> Vec<u32> {
        self.said
    }

    /// The tokens that a window begins with: prompt, if there is any, and `sot_sequence`. The beginning of the
    /// text itself says more than hotwords do: with `has_prefix` they are left out.
    pub fn initial_tokens(&self, sot_prev: u32, sot_sequence: &[u32], has_prefix: bool) -> Vec<u32> {
        let hotwords = if has_prefix { &[] } else { &self.hotwords[..] };
        let carried = last(&self.carried, self.room - hotwords.len());
        let recent = last(&self.recent, self.room - hotwords.len() - carried.len());
        let mut tokens = Vec::with_capacity(self.room + 1 + sot_sequence.len());
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

/// The tokens of a prompt that a person wrote.
pub fn prompt_tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(&format!(" {}", super::text::strip(text)))
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
    fn a_prompt_is_the_last_tokens_since_the_reset() {
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
    fn the_initial_prompt_is_said_once_or_carried() {
        let mut once = history(&[5, 6], false);
        assert_eq!(once.initial_tokens(99, &[1], false), [99, 5, 6, 1]);
        once.extend(&[10, 11, 12]);
        once.reset();
        assert_eq!(once.initial_tokens(99, &[1], false), [1]);
        assert_eq!(once.into_said(), [10, 11, 12]);

        let mut carried = history(&[5, 6], true);
        carried.extend(&[10, 11, 12, 13, 14, 15, 16, 17]);
        assert_eq!(carried.initial_tokens(99, &[1], false), [99, 5, 6, 13, 14, 15, 16, 17, 1]);
        carried.reset();
        assert_eq!(carried.initial_tokens(99, &[1], false), [99, 5, 6, 1]);
    }

    #[test]
    fn hotwords_stand_before_every_prompt_but_that_of_a_prefix() {
        let mut history = PromptHistory::new(vec![7, 8], vec![5, 6], true, 16);
        assert_eq!(history.initial_tokens(99, &[1], false), [99, 7, 8, 5, 6, 1]);
        assert_eq!(history.initial_tokens(99, &[1], true), [99, 5, 6, 1]);
        history.extend(&[10, 11, 12, 13]);
        assert_eq!(history.initial_tokens(99, &[1], false), [99, 7, 8, 5, 6, 11, 12, 13, 1]);
        let many = PromptHistory::new((10..30).collect(), vec![5], false, 16);
        assert_eq!(many.initial_tokens(99, &[1], false), [99, 10, 11, 12, 13, 14, 15, 16, 1]);
    }

    #[test]
    fn what_was_said_before_a_seam_is_the_prompt_behind_it() {
        let mut before = history(&[], false);
        before.extend(&[10, 11, 12, 13, 14, 15, 16, 17, 18]);
        let mut behind = history(&[5, 6], false);
        behind.take_up(before.recent().to_vec());
        behind.extend(&[30]);
        assert_eq!(behind.initial_tokens(99, &[1], false), [99, 13, 14, 15, 16, 17, 18, 30, 1]);
        assert_eq!(behind.into_said(), [30]);
    }
}
