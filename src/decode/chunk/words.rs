//! Word times of a chunk: what to align, and what comes of it.

use super::super::options::WordTimes;
use super::super::words::{AlignRequest, Alignment, WordRules, snap};
use super::{ChunkDecoder, SettledWindow, WindowOutcome};
use crate::chunking::ChunkSpan;
use crate::time::WINDOW_FRAMES;

impl ChunkDecoder {
    /// Returns the text whose words must be timed before the next request.
    pub fn alignment(&self) -> Option<AlignRequest> {
        let SettledWindow { window, .. } = self.untimed.as_ref()?;
        let special = self.tokenizer.special();
        let (_, mut text) = window.text(special.eot);
        let start = self.sot_sequence.iter().filter(|token| **token != special.no_timestamps);
        let mut tokens: Vec<u32> = start.copied().chain([special.no_timestamps]).collect();
        // Text past the network's context cannot be timed.
        text.truncate(self.limits.n_text_ctx.saturating_sub(tokens.len() + 1));
        let text_starts = tokens.len();
        tokens.append(&mut text);
        let text = text_starts..tokens.len();
        tokens.push(special.eot);
        (!text.is_empty()).then_some(AlignRequest { seek: window.seek, frames: window.frames, tokens, text })
    }

    /// Takes the result of the last [`alignment`](Self::alignment).
    pub fn take_words(&mut self, alignment: &Alignment) -> WindowOutcome {
        let Some(mut settled) = self.untimed.take() else { return WindowOutcome::Silence };
        let rules = WordRules {
            tokenizer: &self.tokenizer,
            options: &self.options,
            without_spaces: self.without_spaces,
            content_end: self.content_end(),
        };
        if settled.window.take_words(alignment, &rules, &mut self.last_speech) {
            // openai's times stay openai's.
            if let Some(speech) =
                self.speech.as_ref().filter(|_| self.options.word_times == WordTimes::Aligned)
            {
                snap::to_speech(&mut settled.window.segments, speech);
            }
            return self.add(settled);
        }
        self.advance(settled.window.advance, settled.decision);
        WindowOutcome::Segments(0)
    }

    /// Returns where the audio ends, if the chunk shows it: if another chunk follows at a seam, a whole window more is
    /// visible.
    fn content_end(&self) -> Option<usize> {
        let ChunkSpan { end, visible, limit, .. } = self.span;
        (limit.is_some() || visible < end + WINDOW_FRAMES).then_some(visible)
    }
}
