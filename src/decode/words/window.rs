//! A window whose text is settled: its word times, and how they change its segments and the next window.

use super::super::options::{DecodeOptions, WordTimes};
use super::super::tokenizer::Tokenizer;
use super::hallucination::{HallucinationVerdict, WindowTimes, judge};
use super::{Alignment, segments, timing};
use crate::time::{HOP, SAMPLE_RATE, WINDOW_FRAMES, seconds_of_frames};
use crate::transcript::segment::Segment;

const FRAMES_PER_SECOND: f64 = SAMPLE_RATE as f64 / HOP as f64;

/// The segments of one window, with the times of its timestamps.
#[derive(Debug)]
pub struct TimedWindow {
    pub segments: Vec<Segment>,
    pub seek: usize,
    pub frames: usize,
    /// Frames to the next window.
    pub advance: usize,
    pub single_timestamp_ending: bool,
}

/// What timing words needs to know of the chunk.
pub struct WordRules<'a> {
    pub tokenizer: &'a Tokenizer,
    pub options: &'a DecodeOptions,
    pub without_spaces: bool,
    /// The frame at which the audio ends, if known.
    pub content_end: Option<usize>,
}

impl TimedWindow {
    /// Returns how many text tokens each segment has, and the tokens.
    pub fn text(&self, eot: u32) -> (Vec<usize>, Vec<u32>) {
        let mut all = Vec::new();
        let count = |segment: &Segment| {
            let before = all.len();
            all.extend(segment.tokens.iter().copied().filter(|token| *token < eot));
            all.len() - before
        };
        (self.segments.iter().map(count).collect(), all)
    }

    /// Gives the segments their words, and moves the next window to the end of the last word. `last_speech` is the end of
    /// the last word before the window, then in it. Returns false if the window is dropped.
    pub fn take_words(
        &mut self,
        alignment: &Alignment,
        rules: &WordRules<'_>,
        last_speech: &mut f64,
    ) -> bool {
        let WordRules { tokenizer, options, without_spaces, .. } = *rules;
        let (texts, text) = self.text(tokenizer.special().eot);
        let text = &text[..text.len().min(alignment.probabilities.len())];
        let mut words = timing::timings(tokenizer, text, without_spaces, alignment);
        let lengths = timing::lengths(&words);
        timing::shorten_at_sentence_ends(&mut words, lengths);
        timing::merge_punctuation(&mut words, &options.prepend_punctuations, &options.append_punctuations);
        let offset = seconds_of_frames(self.seek as u64);
        let by_timestamps: Vec<(f64, f64)> = self.segments.iter().map(|s| (s.start, s.end)).collect();
        segments::distribute(&mut self.segments, &texts, words, lengths, offset, *last_speech);
        if options.word_times == WordTimes::Aligned {
            self.keep_texts(&by_timestamps);
            *last_speech = self.last_speech_end().unwrap_or(*last_speech);
            return true;
        }
        self.end_with_last_word(options.hallucination_silence_threshold);
        if let Some(threshold) = options.hallucination_silence_threshold
            && !self.drop_hallucinations(threshold, rules.content_end, *last_speech)
        {
            return false;
        }
        *last_speech = self.last_speech_end().unwrap_or(*last_speech);
        true
    }

    /// Makes segments empty that are without word times, and no others: those without length.
    fn keep_texts(&mut self, by_timestamps: &[(f64, f64)]) {
        for (segment, &(start, end)) in self.segments.iter_mut().zip(by_timestamps) {
            if start == end || segment.start >= segment.end {
                (segment.start, segment.end) = (start, end);
            }
        }
    }

    /// Begins the next window after the last word, unless the text is known to be complete.
    fn end_with_last_word(&mut self, threshold: Option<f64>) {
        let Some(last) = self.last_speech_end().filter(|_| !self.single_timestamp_ending) else { return };
        if last <= seconds_of_frames(self.seek as u64) {
            return;
        }
        let left = seconds_of_frames((self.seek + WINDOW_FRAMES) as u64) - last;
        // The rest is too short for silence to skip.
        match threshold {
            Some(threshold) if left <= threshold => self.advance = self.frames.max(1),
            _ => self.seek_to(last * FRAMES_PER_SECOND),
        }
    }

    /// Returns false if the window is dropped.
    fn drop_hallucinations(&mut self, threshold: f64, content_end: Option<usize>, last_speech: f64) -> bool {
        let start = seconds_of_frames(self.seek as u64);
        let end = start + seconds_of_frames(self.frames as u64);
        match judge(&self.segments, &WindowTimes { start, end, last_speech, threshold }) {
            HallucinationVerdict::Keep => {}
            HallucinationVerdict::Skip { silence } => {
                self.seek_to(self.seek as f64 + (silence * FRAMES_PER_SECOND).round_ties_even());
                return false;
            }
            HallucinationVerdict::Drop { index, from, end } => {
                self.segments.truncate(index);
                self.seek_to(from * FRAMES_PER_SECOND);
                let is_last = |content: &usize| seconds_of_frames(*content as u64) - end < threshold;
                if let Some(content) = content_end.filter(is_last) {
                    self.advance = content.saturating_sub(self.seek).max(1);
                }
            }
        }
        true
    }

    /// Returns the end of the last word, or of the last segment if there are no words.
    fn last_speech_end(&self) -> Option<f64> {
        let words = self.segments.iter().rev().filter_map(|segment| segment.words.as_ref()?.last());
        words.map(|word| word.end).next().or(self.segments.last().map(|segment| segment.end))
    }

    /// Begins the next window at this frame, at least one frame later than this window.
    fn seek_to(&mut self, frame: f64) {
        self.advance = (frame.round_ties_even() as usize).saturating_sub(self.seek).max(1);
    }
}
