//! Windows and text in which nobody speaks, by the voice detector's map of the chunk.
//!
//! On music, noise and silence the network writes what it has read in subtitles of such places. These rules leave that
//! out, and look again at speech behind a long pause; without a map, as with `--chunk-length 0`, none of them applies.

use super::ChunkDecoder;
use crate::time::{WINDOW_FRAMES, frame_at};
use crate::transcript::decision::{DecisionRule, WindowDecision};
use crate::transcript::segment::Segment;

/// Frames with a lower speech probability are certainly not speech.
const NO_SPEECH: f32 = 0.2;
/// Frames with a higher speech probability are probably speech.
const SPEECH: f32 = 0.5;
/// Doubtful text needs some frames with at least this probability.
const PERHAPS_SPEECH: f32 = 0.3;
/// Fewer frames of speech than this are a click.
const CLICK: usize = 10;
/// The next window begins this many frames before the end of a silent one, so that it does not cut into a word.
const MARGIN: usize = 50;
/// Frames of speech in a row that are a word.
const WORD: usize = 25;
/// A window that counts as silence is given up for its speech only if that begins this many frames later.
const PAUSE: usize = 200;
/// Seconds by which the network's times of a segment may be wrong.
const TOLERANCE: f64 = 0.2;
/// Text is doubtful above this probability of silence, or below this mean log-probability.
const DOUBTFUL: (f64, f64) = (0.3, -0.7);

impl ChunkDecoder {
    /// Goes on to the next window if nobody speaks in this one; returns where it began and how many frames were skipped.
    pub fn skip_silence(&mut self) -> Option<(usize, usize)> {
        if self.seek < self.span.first && self.is_silent() {
            self.seek = self.span.first;
        }
        if self.seek >= self.span.end || !self.is_silent() {
            return None;
        }
        let (seek, frames) = (self.seek, self.frames());
        let skipped = if frames == WINDOW_FRAMES { frames - MARGIN } else { frames };
        self.advance(
            skipped,
            WindowDecision { seek, rule: DecisionRule::Silence, ..WindowDecision::default() },
        );
        Some((seek, skipped))
    }

    /// Returns whether nobody speaks in the next window, of which nothing was tried yet.
    fn is_silent(&self) -> bool {
        let Some(speech) = self.speech.as_ref().filter(|_| self.rejected.is_empty()) else { return false };
        let window = self.seek..self.seek + self.frames();
        !window.is_empty() && speech.speech_frames(window, NO_SPEECH) < CLICK
    }

    /// Returns how many frames the next window, which counts as silence, has before somebody speaks, if there is such a
    /// pause: openai/whisper loses what is said behind it.
    pub(super) fn frames_to_speech(&self) -> Option<usize> {
        let window = self.seek..self.seek + self.frames();
        let speech = self.speech.as_ref()?.first_speech(window, SPEECH, WORD)?;
        (speech >= self.seek + PAUSE).then(|| speech - MARGIN - self.seek)
    }

    /// Returns whether nobody has said the text of a segment: it has neither letter nor digit, or it is doubtful and stands
    /// where nobody speaks.
    pub(super) fn is_unspoken(&self, segment: &Segment) -> bool {
        let Some(speech) = &self.speech else { return false };
        if !segment.text.chars().any(char::is_alphanumeric) {
            return true;
        }
        let (no_speech_prob, avg_logprob) = DOUBTFUL;
        if segment.no_speech_prob <= no_speech_prob && segment.avg_logprob >= avg_logprob {
            return false;
        }
        let end = frame_at(segment.end + TOLERANCE).min(self.span.visible);
        speech.speech_frames(frame_at(segment.start - TOLERANCE)..end, PERHAPS_SPEECH) < CLICK
    }
}
