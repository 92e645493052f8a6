//! A window whose text is known: its words, and what they change about its segments and the next window.

use super::super::options::DecodeOptions;
use super::super::tokenizer::Tokenizer;
use super::hallucination::{Place, Verdict, judge};
use super::{Alignment, segments, timing};
use crate::time::{HOP, SAMPLE_RATE, WINDOW_FRAMES, seconds_of_frames};
use crate::transcript::segment::Segment;

const FRAMES_PER_SECOND: f64 = SAMPLE_RATE as f64 / HOP as f64;

/// What one window said, as the timestamps tell it.
#[derive(Debug)]
pub struct Window {
    pub segments: Vec<Segment>,
    pub seek: usize,
    pub frames: usize,
    /// Frames to the next window.
    pub advance: usize,
    pub single_timestamp_ending: bool,
}

/// What must be known of the chunk to time words.
pub struct WordRules<'a> {
    pub tokenizer: &'a Tokenizer,
    pub options: &'a DecodeOptions,
    pub without_blanks: bool,
    /// The frame at which the audio ends, if that can be told.
    pub content_end: Option<usize>,
}

impl Window {
    /// How many tokens of text each segment has, and all of them.
    pub fn text(&self, eot: u32) -> (Vec<usize>, Vec<u32>) {
        let mut all = Vec::new();
        let count = |segment: &Segment| {
            let before = all.len();
            all.extend(segment.tokens.iter().copied().filter(|token| *token < eot));
            all.len() - before
        };
        (self.segments.iter().map(count).collect(), all)
    }

    /// Gives the segments their words and moves the next window to where the words say. `last_speech` is when
    /// somebody spoke before, then when somebody did in this window. False if nothing of it is to be kept.
    pub fn take_words(
        &mut self,
        alignment: &Alignment,
        rules: &WordRules<'_>,
        last_speech: &mut f64,
    ) -> bool {
        let WordRules { tokenizer, options, without_blanks, .. } = *rules;
        let (texts, text) = self.text(tokenizer.special().eot);
        let text = &text[..text.len().min(alignment.probabilities.len())];
        let mut words = timing::timings(tokenizer, text, without_blanks, alignment);
        let lengths = timing::lengths(&words);
        timing::shorten_at_sentence_ends(&mut words, lengths);
        timing::merge_punctuation(&mut words, &options.prepend_punctuations, &options.append_punctuations);
        let offset = seconds_of_frames(self.seek as u64);
        segments::distribute(&mut self.segments, &texts, words, lengths, offset, *last_speech);

        self.end_with_last_word(options.hallucination_silence_threshold);
        if let Some(threshold) = options.hallucination_silence_threshold
            && !self.drop_hallucinations(threshold, rules.content_end, *last_speech)
        {
            return false;
        }
        *last_speech = self.spoken_until().unwrap_or(*last_speech);
        true
    }

    /// Unless the text is known to be complete, the next window begins after the last word.
    fn end_with_last_word(&mut self, threshold: Option<f64>) {
        let Some(last) = self.spoken_until().filter(|_| !self.single_timestamp_ending) else { return };
        if last <= seconds_of_frames(self.seek as u64) {
            return;
        }
        let left = seconds_of_frames((self.seek + WINDOW_FRAMES) as u64) - last;
        // So little is left that no silence to skip can be in it.
        match threshold {
            Some(threshold) if left <= threshold => self.advance = self.frames.max(1),
            _ => self.go_on_at(last * FRAMES_PER_SECOND),
        }
    }

    /// False if all of it goes.
    fn drop_hallucinations(&mut self, threshold: f64, content_end: Option<usize>, last_speech: f64) -> bool {
        let start = seconds_of_frames(self.seek as u64);
        let end = start + seconds_of_frames(self.frames as u64);
        match judge(&self.segments, &Place { start, end, last_speech, threshold }) {
            Verdict::Keep => {}
            Verdict::Skip { silence } => {
                self.go_on_at(self.seek as f64 + (silence * FRAMES_PER_SECOND).round_ties_even());
                return false;
            }
            Verdict::Drop { index, from, end } => {
                self.segments.truncate(index);
                self.go_on_at(from * FRAMES_PER_SECOND);
                let is_last = |content: &usize| seconds_of_frames(*content as u64) - end < threshold;
                if let Some(content) = content_end.filter(is_last) {
                    self.advance = content.saturating_sub(self.seek).max(1);
                }
            }
        }
        true
    }

    /// The end of the last word, or of the last segment if there are no words at all.
    fn spoken_until(&self) -> Option<f64> {
        let words = self.segments.iter().rev().filter_map(|segment| segment.words.as_ref()?.last());
        words.map(|word| word.end).next().or(self.segments.last().map(|segment| segment.end))
    }

    /// The next window always lies ahead.
    fn go_on_at(&mut self, frame: f64) {
        self.advance = (frame.round_ties_even() as usize).saturating_sub(self.seek).max(1);
    }
}
