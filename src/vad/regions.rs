//! Speech regions, detected as a stream, and the spans of frames to keep when silence is skipped.
//!
//! A region opens where speech becomes likely and closes after it has been unlikely for long enough. A span is one
//! region, or several with the silence between them. Each span costs the network at least one window of 30 s, however
//! short it is, so regions that fit into one window are merged into one span unless the silence between them is very
//! long.

use std::collections::VecDeque;
use std::ops::Range;

use super::VadFrame;
use crate::time::WINDOW_FRAMES;

/// A region stays open until the probability is this much below the one that opens it.
const HYSTERESIS: f32 = 0.15;
/// The lowest probability that keeps a region open.
const MIN_RELEASE: f32 = 0.01;
/// The longest silence kept inside a window, as a multiple of the one that closes a region.
const MAX_MERGED_SILENCE: u64 = 5;
const WINDOW: u64 = WINDOW_FRAMES as u64;

/// Parameters of the detection. Lengths are in frames.
///
/// The fingerprint of a run contains the `Debug` form, so a renamed field makes earlier results outdated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceOptions {
    /// The speech probability that opens a region.
    pub threshold: f32,
    /// Minimum length of a region; shorter ones are dropped.
    pub min_speech: u64,
    /// Minimum silence that closes a region.
    pub min_silence: u64,
    /// Padding added on either side.
    pub pad: u64,
}

impl Default for VoiceOptions {
    fn default() -> Self {
        Self { threshold: 0.5, min_speech: 25, min_silence: 200, pad: 40 }
    }
}

/// An event of the stream; all are in chronological order.
#[derive(Debug, PartialEq)]
pub enum RegionEvent {
    /// A span begins at this frame.
    Begin(u64),
    /// The next frame of the span.
    Frame(VadFrame),
    /// The span ends before this frame.
    End(u64),
    /// A speech region, padding included.
    Speech(Range<u64>),
}

/// A region that has not been closed.
#[derive(Clone, Copy)]
struct OpenRegion {
    start: u64,
    /// The frame since which speech has been unlikely.
    quiet_since: Option<u64>,
}

/// A span that has not been closed.
#[derive(Clone, Copy)]
struct OpenSpan {
    start: u64,
    /// Where it ends unless the next region still fits into its window; `None` inside a region.
    end: Option<u64>,
}

/// Detects speech regions and spans. Buffers about a window of frames at most.
pub struct RegionDetector {
    threshold: f32,
    release: f32,
    min_speech: u64,
    min_silence: u64,
    pad: u64,
    /// One past the last frame received.
    position: u64,
    /// The first frame at which a span may begin.
    floor: u64,
    /// Index of the first buffered frame.
    buffer_start: u64,
    /// Frames that have been neither emitted nor dropped.
    buffer: VecDeque<VadFrame>,
    region: Option<OpenRegion>,
    span: Option<OpenSpan>,
}

impl RegionDetector {
    /// Creates a detector for the frames from `start` on.
    pub fn new(options: &VoiceOptions, start: u64) -> Self {
        Self {
            threshold: options.threshold,
            release: (options.threshold - HYSTERESIS).max(MIN_RELEASE),
            min_speech: options.min_speech.max(1),
            // Silence that the padding of its neighbours covers completely is not skipped.
            min_silence: options.min_silence.max(2 * options.pad + 1),
            pad: options.pad,
            position: start,
            floor: start,
            buffer_start: start,
            buffer: VecDeque::new(),
            region: None,
            span: None,
        }
    }

    pub fn push(&mut self, frame: VadFrame, out: &mut Vec<RegionEvent>) {
        self.buffer.push_back(frame);
        match &mut self.region {
            None if frame.speech >= self.threshold => {
                self.region = Some(OpenRegion { start: self.position, quiet_since: None });
            }
            Some(region) if frame.speech >= self.threshold => region.quiet_since = None,
            Some(region) if frame.speech < self.release => {
                region.quiet_since.get_or_insert(self.position);
            }
            _ => {}
        }
        self.position += 1;
        self.update(out);
        self.emit(out);
    }

    /// Ends the audio or the clip here; speech is kept up to the very end.
    pub fn finish(&mut self, out: &mut Vec<RegionEvent>) {
        if let Some(region) = self.region.take().filter(|region| self.is_long_enough(region)) {
            let start = self.padded_start(region.start);
            self.extend_span(start, self.position, out);
            out.push(RegionEvent::Speech(start..self.position));
            self.end_span(self.position, out);
        }
        if let Some(OpenSpan { end: Some(end), .. }) = self.span {
            self.end_span(end, out);
        }
    }

    /// Returns the first frame that may still become part of a span; `None` inside a span.
    pub fn keep_from(&self) -> Option<u64> {
        let start = self.region.map_or(self.position, |region| region.start);
        self.span.is_none().then(|| self.padded_start(start))
    }

    fn padded_start(&self, start: u64) -> u64 {
        start.saturating_sub(self.pad).max(self.floor)
    }

    fn is_long_enough(&self, region: &OpenRegion) -> bool {
        region.quiet_since.unwrap_or(self.position) - region.start >= self.min_speech
    }

    /// Applies what the last frame decides about the region and the span.
    fn update(&mut self, out: &mut Vec<RegionEvent>) {
        let Some(region) = self.region else { return self.end_span_if_final(out) };
        let end = region.quiet_since.unwrap_or(self.position);
        let is_over = self.position - end >= self.min_silence;
        if is_over {
            self.region = None;
        }
        if !self.is_long_enough(&region) {
            return self.end_span_if_final(out);
        }
        let (start, end) = (self.padded_start(region.start), end + self.pad);
        let may_fit = self.span.is_some_and(|span| span.end.is_some() && end <= span.start + WINDOW);
        if may_fit && !is_over {
            return;
        }
        self.extend_span(start, end, out);
        if is_over {
            out.push(RegionEvent::Speech(start..end));
            self.span.iter_mut().for_each(|span| span.end = Some(end));
        }
    }

    /// Adds a region from `start` to at least `end`: to the open span if that is inside a region or if both fit into
    /// one window, else to a new span.
    fn extend_span(&mut self, start: u64, end: u64, out: &mut Vec<RegionEvent>) {
        match self.span {
            Some(OpenSpan { start: first, end: Some(before) }) if end > first + WINDOW => {
                self.end_span(before, out);
                self.begin_span(start, out);
            }
            Some(_) => {}
            None => self.begin_span(start, out),
        }
        self.span.iter_mut().for_each(|span| span.end = None);
    }

    /// Ends the span once no later region can belong to it.
    fn end_span_if_final(&mut self, out: &mut Vec<RegionEvent>) {
        let Some(OpenSpan { start, end: Some(end) }) = self.span else { return };
        let next = self.region.map_or(self.position, |region| region.start).saturating_sub(self.pad);
        if next > end + MAX_MERGED_SILENCE * self.min_silence || self.position > start + WINDOW {
            self.end_span(end, out);
        }
    }

    fn begin_span(&mut self, start: u64, out: &mut Vec<RegionEvent>) {
        self.drop_until(start);
        self.span = Some(OpenSpan { start, end: None });
        out.push(RegionEvent::Begin(start));
    }

    fn end_span(&mut self, end: u64, out: &mut Vec<RegionEvent>) {
        self.emit_until(end, out);
        self.span = None;
        self.floor = end;
        out.push(RegionEvent::End(end));
    }

    /// Emits the frames that are certainly in the span and drops those that can no longer be in one.
    fn emit(&mut self, out: &mut Vec<RegionEvent>) {
        match (self.span, self.region) {
            (Some(OpenSpan { end: Some(end), .. }), _) => self.emit_until(end, out),
            (Some(_), Some(OpenRegion { quiet_since: Some(quiet), .. })) => {
                self.emit_until(self.position.min(quiet + self.pad), out);
            }
            (Some(_), _) => self.emit_until(self.position, out),
            (None, _) => self.drop_until(self.keep_from().unwrap_or(self.position)),
        }
    }

    fn emit_until(&mut self, end: u64, out: &mut Vec<RegionEvent>) {
        let count = end.saturating_sub(self.buffer_start).min(self.buffer.len() as u64);
        out.extend(self.buffer.drain(..count as usize).map(RegionEvent::Frame));
        self.buffer_start += count;
    }

    fn drop_until(&mut self, end: u64) {
        let count = end.saturating_sub(self.buffer_start).min(self.buffer.len() as u64);
        self.buffer.drain(..count as usize);
        self.buffer_start += count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(options: &VoiceOptions, start: u64, speech: &[f32]) -> Vec<RegionEvent> {
        let (mut detector, mut out) = (RegionDetector::new(options, start), Vec::new());
        for (power, speech) in speech.iter().enumerate() {
            detector.push(VadFrame { speech: *speech, power: power as f32 }, &mut out);
            assert!(detector.buffer.len() <= WINDOW_FRAMES + 2 * 200 + 1_000, "{}", detector.buffer.len());
        }
        detector.finish(&mut out);
        out
    }

    /// Returns the spans, after checking that each one has all of its frames exactly once.
    fn spans(options: &VoiceOptions, start: u64, speech: &[f32]) -> Vec<(u64, u64)> {
        let (mut spans, mut next) = (Vec::new(), None);
        for event in events(options, start, speech) {
            match event {
                RegionEvent::Begin(at) => assert!(next.replace(at).is_none()),
                RegionEvent::Frame(frame) => {
                    let at = next.as_mut().unwrap();
                    assert_eq!(frame.power as u64 + start, *at);
                    *at += 1;
                }
                RegionEvent::End(at) => {
                    assert_eq!(next.take(), Some(at));
                    spans.push((0, at));
                }
                RegionEvent::Speech(_) => {}
            }
        }
        assert!(next.is_none());
        let begins = events(options, start, speech);
        let begins =
            begins.iter().filter_map(|s| if let RegionEvent::Begin(at) = s { Some(*at) } else { None });
        spans.iter_mut().zip(begins).for_each(|(span, begin)| span.0 = begin);
        spans
    }

    fn sound(parts: &[(f32, usize)]) -> Vec<f32> {
        parts.iter().flat_map(|(speech, frames)| vec![*speech; *frames]).collect()
    }

    #[test]
    fn skips_long_silence_and_keeps_short_silence() {
        let options = VoiceOptions::default();
        let speech =
            sound(&[(0.0, 500), (0.9, 300), (0.0, 150), (0.9, 100), (0.0, 2_000), (0.9, 100), (0.0, 90)]);
        assert_eq!(spans(&options, 0, &speech), [(460, 1_090), (3_010, 3_240)]);
        // Positions count from the start of the clip, and the padding does not reach before it.
        let speech = sound(&[(0.9, 300), (0.0, 4_000)]);
        assert_eq!(spans(&options, 700, &speech), [(700, 1_040)]);
        assert_eq!(spans(&options, 0, &sound(&[(0.1, 5_000)])), []);
    }

    #[test]
    fn merges_regions_within_one_window() {
        let options = VoiceOptions::default();
        let speech = sound(&[(0.9, 300), (0.0, 900), (0.9, 1_000), (0.0, 300), (0.9, 1_000), (0.0, 800)]);
        assert_eq!(spans(&options, 0, &speech), [(0, 2_240), (2_460, 3_540)]);
        // Silence longer than five times the one that closes a region is skipped all the same.
        let speech = sound(&[(0.9, 300), (0.0, 1_100), (0.9, 300), (0.0, 800)]);
        assert_eq!(spans(&options, 0, &speech), [(0, 340), (1_360, 1_740)]);
        // A region that fills a window is not merged with the next one.
        let speech = sound(&[(0.9, 4_000), (0.0, 300), (0.9, 100), (0.0, 800)]);
        assert_eq!(spans(&options, 0, &speech), [(0, 4_040), (4_260, 4_440)]);
    }

    #[test]
    fn drops_short_speech_and_applies_hysteresis() {
        let options = VoiceOptions::default();
        let speech =
            sound(&[(0.0, 500), (0.9, 20), (0.0, 3_000), (0.9, 30), (0.4, 500), (0.9, 10), (0.2, 500)]);
        assert_eq!(spans(&options, 0, &speech), [(3_480, 4_100)]);
    }

    proptest! {
        #[test]
        fn never_skips_speech_and_always_skips_long_silence(
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
            let longest = MAX_MERGED_SILENCE * min_silence.max(2 * pad + 1) + 2 * pad;
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
