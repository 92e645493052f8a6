//! What a window is told of the text before it.

use super::tokenizer::Tokenizer;

/// All tokens so far, and since when they are fit to be a prompt.
#[derive(Debug, Clone)]
pub struct History {
    tokens: Vec<u32>,
    initial_prompt_len: usize,
    carry_initial_prompt: bool,
    reset_since: usize,
    /// At most so many tokens of prompt.
    room: usize,
}

impl History {
    pub fn new(initial_prompt: Vec<u32>, carry_initial_prompt: bool, n_text_ctx: usize) -> Self {
        History {
            initial_prompt_len: initial_prompt.len(),
            tokens: initial_prompt,
            carry_initial_prompt,
            reset_since: 0,
            room: (n_text_ctx / 2).saturating_sub(1),
        }
    }

    pub fn extend(&mut self, tokens: impl IntoIterator<Item = u32>) {
        self.tokens.extend(tokens);
    }

    /// Nothing so far will be in a prompt again.
    pub fn reset(&mut self) {
        self.reset_since = self.tokens.len();
    }

    /// All tokens without the initial prompt.
    pub fn said(&self) -> &[u32] {
        &self.tokens[self.initial_prompt_len..]
    }

    /// The tokens that a window begins with: prompt, if there is any, and `sot_sequence`.
    pub fn initial_tokens(&self, sot_prev: u32, sot_sequence: &[u32]) -> Vec<u32> {
        let (carried, since) = match self.carry_initial_prompt {
            true => (self.initial_prompt_len, self.initial_prompt_len.max(self.reset_since)),
            false => (0, self.reset_since),
        };
        let carried = last(&self.tokens[..carried], self.room);
        let recent = last(&self.tokens[since..], self.room - carried.len());
        let mut tokens = Vec::with_capacity(self.room + 1 + sot_sequence.len());
        if carried.len() + recent.len() > 0 {
            tokens.push(sot_prev);
        }
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

    fn history(prompt: &[u32], carry: bool) -> History {
        History::new(prompt.to_vec(), carry, 16)
    }

    #[test]
    fn a_prompt_is_the_last_tokens_since_the_reset() {
        let mut history = history(&[], false);
        assert_eq!(history.initial_tokens(99, &[1, 2]), [1, 2]);
        history.extend(10..20);
        assert_eq!(history.initial_tokens(99, &[1, 2]), [99, 13, 14, 15, 16, 17, 18, 19, 1, 2]);
        history.reset();
        assert_eq!(history.initial_tokens(99, &[1, 2]), [1, 2]);
        history.extend([30]);
        assert_eq!(history.initial_tokens(99, &[1, 2]), [99, 30, 1, 2]);
    }

    #[test]
    fn the_initial_prompt_is_said_once_or_carried() {
        let mut once = history(&[5, 6], false);
        assert_eq!(once.initial_tokens(99, &[1]), [99, 5, 6, 1]);
        once.extend(10..13);
        once.reset();
        assert_eq!(once.initial_tokens(99, &[1]), [1]);
        assert_eq!(once.said(), [10, 11, 12]);

        let mut carried = history(&[5, 6], true);
        carried.extend(10..18);
        assert_eq!(carried.initial_tokens(99, &[1]), [99, 5, 6, 13, 14, 15, 16, 17, 1]);
        carried.reset();
        assert_eq!(carried.initial_tokens(99, &[1]), [99, 5, 6, 1]);
    }
}
