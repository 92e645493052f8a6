//! A chunk whose words are timed: what has to be found out, and what comes of it.

use super::super::words::{AlignRequest, Alignment, WordRules};
use super::{ChunkDecoder, Decided, WindowOutcome};
use crate::chunking::ChunkSpan;
use crate::time::WINDOW_FRAMES;

impl ChunkDecoder {
    /// The text whose words are to be timed before anything else is asked for.
    pub fn alignment(&self) -> Option<AlignRequest> {
        let Decided { window, .. } = self.untimed.as_ref()?;
        let special = self.tokenizer.special();
        let (_, mut text) = window.text(special.eot);
        let start = self.sot_sequence.iter().filter(|token| **token != special.no_timestamps);
        let mut tokens: Vec<u32> = start.copied().chain([special.no_timestamps]).collect();
        // More than the network can see at once cannot be timed.
        text.truncate(self.limits.n_text_ctx.saturating_sub(tokens.len() + 1));
        let text_starts = tokens.len();
        tokens.append(&mut text);
        let text = text_starts..tokens.len();
        tokens.push(special.eot);
        (!text.is_empty()).then_some(AlignRequest { seek: window.seek, frames: window.frames, tokens, text })
    }

    /// Takes what became of the last [`alignment`](Self::alignment).
    pub fn take_words(&mut self, alignment: &Alignment) -> WindowOutcome {
        let Some(mut decided) = self.untimed.take() else { return WindowOutcome::Silence };
        let rules = WordRules {
            tokenizer: &self.tokenizer,
            options: &self.options,
            without_blanks: self.without_blanks,
            content_end: self.content_end(),
        };
        if decided.window.take_words(alignment, &rules, &mut self.last_speech) {
            return self.add(decided);
        }
        self.advance(decided.window.advance, decided.decision);
        WindowOutcome::Segments(0)
    }

    /// Where the audio ends, if the stretch shows it: with another one right behind it, a whole window more can be
    /// seen.
    fn content_end(&self) -> Option<usize> {
        let ChunkSpan { end, visible, limit, .. } = self.span;
        (limit.is_some() || visible < end + WINDOW_FRAMES).then_some(visible)
    }
}
