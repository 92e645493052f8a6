//! Where somebody speaks: spans of frames, found on the way, with silence left out between them.
//!
//! A span opens where speech becomes likely and closes after it has been unlikely for long enough. Each costs the
//! network at least one window of 30 s, however short it is; so spans that lie in one window together become one,
//! if the silence between them is not very long.

use std::collections::VecDeque;
use std::ops::Range;

use super::Frame;
use crate::time::WINDOW_FRAMES;

/// Speech goes on until its probability is so much lower than what it begins with.
const HYSTERESIS: f32 = 0.15;
/// It never goes on below this probability.
const LOWEST: f32 = 0.01;
/// Silence inside of one window is kept up to so many times the one that ends a span.
const KEPT_SILENCE: u64 = 5;
const WINDOW: u64 = WINDOW_FRAMES as u64;

/// How to find speech. Lengths are in frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceOptions {
    /// The probability of speech that it begins with.
    pub threshold: f32,
    /// Shorter speech is none.
    pub min_speech: u64,
    /// Shorter silence does not end a span.
    pub min_silence: u64,
    /// What is added on either side.
    pub pad: u64,
}

impl Default for VoiceOptions {
    fn default() -> Self {
        Self { threshold: 0.5, min_speech: 25, min_silence: 200, pad: 40 }
    }
}

/// What comes out, in the order of time.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// A span begins at this frame.
    Begin(u64),
    /// Its next frame.
    Go(Frame),
    /// It ends before this frame.
    End(u64),
    /// Somebody spoke here, with what was added.
    Voice(Range<u64>),
}

/// Speech that goes on.
#[derive(Clone, Copy)]
struct Voice {
    start: u64,
    /// Since when it is unlikely.
    quiet: Option<u64>,
}

/// A span that was begun.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    /// Where it ends, unless what comes next still lies in its window; none while somebody speaks.
    end: Option<u64>,
}

/// See the module. What it holds is a window of frames at most.
pub struct SpeechFinder {
    threshold: f32,
    release: f32,
    min_speech: u64,
    min_silence: u64,
    pad: u64,
    /// One past the last frame that came in.
    at: u64,
    /// No span begins before.
    floor: u64,
    /// Frames that were not given out, from this one on.
    held_from: u64,
    held: VecDeque<Frame>,
    voice: Option<Voice>,
    span: Option<Span>,
}

impl SpeechFinder {
    /// For frames from `start` on.
    pub fn new(options: &VoiceOptions, start: u64) -> Self {
        Self {
            threshold: options.threshold,
            release: (options.threshold - HYSTERESIS).max(LOWEST),
            min_speech: options.min_speech.max(1),
            // Silence that is all added to the speech on either side is not left out.
            min_silence: options.min_silence.max(2 * options.pad + 1),
            pad: options.pad,
            at: start,
            floor: start,
            held_from: start,
            held: VecDeque::new(),
            voice: None,
            span: None,
        }
    }

    pub fn push(&mut self, frame: Frame, out: &mut Vec<Step>) {
        self.held.push_back(frame);
        match &mut self.voice {
            None if frame.speech >= self.threshold => {
                self.voice = Some(Voice { start: self.at, quiet: None });
            }
            Some(voice) if frame.speech >= self.threshold => voice.quiet = None,
            Some(voice) if frame.speech < self.release => {
                voice.quiet.get_or_insert(self.at);
            }
            _ => {}
        }
        self.at += 1;
        self.settle(out);
        self.give(out);
    }

    /// The audio or the clip ends here: speech is kept to its very end.
    pub fn finish(&mut self, out: &mut Vec<Step>) {
        if let Some(voice) = self.voice.take().filter(|voice| self.is_speech(voice)) {
            let start = self.padded_start(voice.start);
            self.go_on(start, self.at, out);
            out.push(Step::Voice(start..self.at));
            self.close(self.at, out);
        }
        if let Some(Span { end: Some(end), .. }) = self.span {
            self.close(end, out);
        }
    }

    /// The first frame that may still be in a span; none while one is open.
    pub fn keep_from(&self) -> Option<u64> {
        let start = self.voice.map_or(self.at, |voice| voice.start);
        self.span.is_none().then(|| self.padded_start(start))
    }

    fn padded_start(&self, start: u64) -> u64 {
        start.saturating_sub(self.pad).max(self.floor)
    }

    fn is_speech(&self, voice: &Voice) -> bool {
        voice.quiet.unwrap_or(self.at) - voice.start >= self.min_speech
    }

    /// What the last frame decides.
    fn settle(&mut self, out: &mut Vec<Step>) {
        let Some(voice) = self.voice else { return self.wait(out) };
        let end = voice.quiet.unwrap_or(self.at);
        let is_over = self.at - end >= self.min_silence;
        if is_over {
            self.voice = None;
        }
        if !self.is_speech(&voice) {
            return self.wait(out);
        }
        let (start, end) = (self.padded_start(voice.start), end + self.pad);
        let may_fit = self.span.is_some_and(|span| span.end.is_some() && end <= span.start + WINDOW);
        if may_fit && !is_over {
            return;
        }
        self.go_on(start, end, out);
        if is_over {
            out.push(Step::Voice(start..end));
            self.span.iter_mut().for_each(|span| span.end = Some(end));
        }
    }

    /// Speech from `start` to at least `end`: in the open span if it goes on or all lies in one window.
    fn go_on(&mut self, start: u64, end: u64, out: &mut Vec<Step>) {
        match self.span {
            Some(Span { start: first, end: Some(before) }) if end > first + WINDOW => {
                self.close(before, out);
                self.begin(start, out);
            }
            Some(_) => {}
            None => self.begin(start, out),
        }
        self.span.iter_mut().for_each(|span| span.end = None);
    }

    /// Nobody speaks: whether anything to come could still belong to the span.
    fn wait(&mut self, out: &mut Vec<Step>) {
        let Some(Span { start, end: Some(end) }) = self.span else { return };
        let next = self.voice.map_or(self.at, |voice| voice.start).saturating_sub(self.pad);
        if next > end + KEPT_SILENCE * self.min_silence || self.at > start + WINDOW {
            self.close(end, out);
        }
    }

    fn begin(&mut self, start: u64, out: &mut Vec<Step>) {
        self.drop_until(start);
        self.span = Some(Span { start, end: None });
        out.push(Step::Begin(start));
    }

    fn close(&mut self, end: u64, out: &mut Vec<Step>) {
        self.give_until(end, out);
        self.span = None;
        self.floor = end;
        out.push(Step::End(end));
    }

    /// Gives out what surely is in the span, and lets go of what never will be in one.
    fn give(&mut self, out: &mut Vec<Step>) {
        match (self.span, self.voice) {
            (Some(Span { end: Some(end), .. }), _) => self.give_until(end, out),
            (Some(_), Some(Voice { quiet: Some(quiet), .. })) => {
                self.give_until(self.at.min(quiet + self.pad), out);
            }
            (Some(_), _) => self.give_until(self.at, out),
            (None, _) => self.drop_until(self.keep_from().unwrap_or(self.at)),
        }
    }

    fn give_until(&mut self, end: u64, out: &mut Vec<Step>) {
        let count = end.saturating_sub(self.held_from).min(self.held.len() as u64);
        out.extend(self.held.drain(..count as usize).map(Step::Go));
        self.held_from += count;
    }

    fn drop_until(&mut self, end: u64) {
        let count = end.saturating_sub(self.held_from).min(self.held.len() as u64);
        self.held.drain(..count as usize);
        self.held_from += count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(options: &VoiceOptions, start: u64, speech: &[f32]) -> Vec<Step> {
        let (mut finder, mut out) = (SpeechFinder::new(options, start), Vec::new());
        for (power, speech) in speech.iter().enumerate() {
            finder.push(Frame { speech: *speech, power: power as f32 }, &mut out);
            assert!(finder.held.len() <= WINDOW_FRAMES + 2 * 200 + 1_000, "{}", finder.held.len());
        }
        finder.finish(&mut out);
        out
    }

    /// Spans, each checked to hold all of its frames once.
    fn spans(options: &VoiceOptions, start: u64, speech: &[f32]) -> Vec<(u64, u64)> {
        let (mut spans, mut next) = (Vec::new(), None);
        for step in steps(options, start, speech) {
            match step {
                Step::Begin(at) => assert!(next.replace(at).is_none()),
                Step::Go(frame) => {
                    let at = next.as_mut().unwrap();
                    assert_eq!(frame.power as u64 + start, *at);
                    *at += 1;
                }
                Step::End(at) => {
                    assert_eq!(next.take(), Some(at));
                    spans.push((0, at));
                }
                Step::Voice(_) => {}
            }
        }
        assert!(next.is_none());
        let begins = steps(options, start, speech);
        let begins = begins.iter().filter_map(|s| if let Step::Begin(at) = s { Some(*at) } else { None });
        spans.iter_mut().zip(begins).for_each(|(span, begin)| span.0 = begin);
        spans
    }

    fn sound(parts: &[(f32, usize)]) -> Vec<f32> {
        parts.iter().flat_map(|(speech, frames)| vec![*speech; *frames]).collect()
    }

    #[test]
    fn long_silence_is_left_out_and_short_one_is_not() {
        let options = VoiceOptions::default();
        let speech =
            sound(&[(0.0, 500), (0.9, 300), (0.0, 150), (0.9, 100), (0.0, 2_000), (0.9, 100), (0.0, 90)]);
        assert_eq!(spans(&options, 0, &speech), [(460, 1_090), (3_010, 3_240)]);
        // It counts from the clip's beginning, and nothing is added before it.
        let speech = sound(&[(0.9, 300), (0.0, 4_000)]);
        assert_eq!(spans(&options, 700, &speech), [(700, 1_040)]);
        assert_eq!(spans(&options, 0, &sound(&[(0.1, 5_000)])), []);
    }

    #[test]
    fn what_lies_in_one_window_is_one_span() {
        let options = VoiceOptions::default();
        let speech = sound(&[(0.9, 300), (0.0, 900), (0.9, 1_000), (0.0, 300), (0.9, 1_000), (0.0, 800)]);
        assert_eq!(spans(&options, 0, &speech), [(0, 2_240), (2_460, 3_540)]);
        // Beyond five times the silence that ends a span, it is left out all the same.
        let speech = sound(&[(0.9, 300), (0.0, 1_100), (0.9, 300), (0.0, 800)]);
        assert_eq!(spans(&options, 0, &speech), [(0, 340), (1_360, 1_740)]);
        // Speech that fills a window does not take what follows.
        let speech = sound(&[(0.9, 4_000), (0.0, 300), (0.9, 100), (0.0, 800)]);
        assert_eq!(spans(&options, 0, &speech), [(0, 4_040), (4_260, 4_440)]);
    }

    #[test]
    fn what_is_too_short_is_no_speech_and_doubt_keeps_it_going() {
        let options = VoiceOptions::default();
        let speech =
            sound(&[(0.0, 500), (0.9, 20), (0.0, 3_000), (0.9, 30), (0.4, 500), (0.9, 10), (0.2, 500)]);
        assert_eq!(spans(&options, 0, &speech), [(3_480, 4_100)]);
    }

    proptest! {
        #[test]
        fn speech_is_never_left_out_and_long_silence_always_is(
            parts in proptest::collection::vec((prop_oneof![Just(0.0_f32), Just(0.4), Just(0.9)], 1_usize..2_500), 0..12),
            min_silence in 1_u64..400,
            pad in 0_u64..60,
            start in 0_u64..5_000,
        ) {
            let options = VoiceOptions { min_speech: 0, min_silence, pad, ..VoiceOptions::default() };
            let speech = sound(&parts);
            let spans = spans(&options, start, &speech);
            prop_assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "{spans:?}");
            let end = start + speech.len() as u64;
            prop_assert!(spans.iter().all(|span| span.0 >= start && span.1 <= end && span.0 < span.1));
            let is_in = |at: u64| spans.iter().any(|span| (span.0..span.1).contains(&at));
            for (at, speech) in speech.iter().enumerate() {
                prop_assert!(*speech < 0.5 || is_in(start + at as u64), "{at} in {spans:?}");
            }
            let longest = KEPT_SILENCE * min_silence.max(2 * pad + 1) + 2 * pad;
            let mut at = start;
            for (speech, frames) in parts {
                let middle = at + frames as u64 / 2;
                if speech == 0.0 && frames as u64 > 2 * longest.max(min_silence + 2 * pad) {
                    prop_assert!(!is_in(middle), "{middle} in {spans:?}");
                }
                at += frames as u64;
            }
        }
    }
}
