//! The spans of the audio to transcribe and where they are cut, as a stream of boundaries.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use super::clips::{Clip, Clips};
use super::cutter::{CutKind, CutPoint, PauseCutter};
use crate::time::HOP;
use crate::vad::{FrameAnalyzer, RegionDetector, RegionEvent, VadFrame, VoiceOptions};

/// The part of a recording to transcribe; all of it by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    pub clips: Clips,
    /// Skips silence, with these options.
    pub vad: Option<VoiceOptions>,
    /// Whether speech regions are reported even if silence is not skipped.
    pub report_speech: bool,
}

/// Where a span is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CutPolicy {
    /// At pauses, aiming at chunks of this many seconds.
    AtPauses(f64),
    /// Every so many frames.
    Every(u64),
}

/// A position in the audio. Boundaries are in chronological order: a span begins, is cut any number of times, and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    Begin(u64),
    Cut(CutPoint),
    /// One past the last frame of the span.
    End(u64),
}

/// Why frames are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipCause {
    OutsideClips,
    Silence,
}

/// What was found and what was skipped, in frames.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SplitReport {
    /// Speech regions; empty unless `speech_detected`.
    pub speech: Vec<Range<u64>>,
    /// Whether voice activity detection ran.
    pub speech_detected: bool,
    pub skipped: Vec<(Range<u64>, SkipCause)>,
    /// Clips that begin after the end of the audio.
    pub missed_clips: Vec<Clip>,
}

impl SplitReport {
    /// Returns the number of skipped frames.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped.iter().map(|(frames, _)| frames.end - frames.start).sum()
    }
}

/// A [`CutPolicy`] applied to one span.
enum SpanCutter {
    AtPauses(PauseCutter),
    Every { length: u64, position: u64, next: u64 },
}

impl SpanCutter {
    fn new(policy: CutPolicy, start: u64) -> Self {
        match policy {
            CutPolicy::AtPauses(seconds) => SpanCutter::AtPauses(PauseCutter::new(seconds, start)),
            CutPolicy::Every(length) => SpanCutter::Every { length, position: start, next: start + length },
        }
    }

    fn push(&mut self, frame: VadFrame, cuts: &mut Vec<CutPoint>) {
        match self {
            SpanCutter::AtPauses(cutter) => cutter.push(frame, cuts),
            // A seam is certain only once a frame follows it.
            SpanCutter::Every { length, position, next } => {
                if position == next {
                    cuts.push(CutPoint { frame: *next, kind: CutKind::NoPause });
                    *next += *length;
                }
                *position += 1;
            }
        }
    }

    fn finish(&mut self, cuts: &mut Vec<CutPoint>) {
        if let SpanCutter::AtPauses(cutter) = self {
            cutter.finish(cuts);
        }
    }
}

/// Splits samples into spans and chunks by a selection and a cut policy, as a stream.
pub struct AudioSplitter {
    policy: CutPolicy,
    vad: Option<VoiceOptions>,
    /// `None` if nothing depends on the content of the frames.
    analyzer: Option<FrameAnalyzer>,
    frames: Vec<VadFrame>,
    /// Speech probabilities since the last [`take_speech`](Self::take_speech), if recordings are cut at pauses.
    speech: Vec<f32>,
    samples: u64,
    /// One past the last frame processed.
    position: u64,
    /// Clips that have not ended.
    clips: VecDeque<Clip>,
    /// Whether the first of them has begun.
    in_clip: bool,
    /// Chooses the spans of the current clip, if silence is skipped.
    detector: Option<RegionDetector>,
    /// Only reports the speech of the current clip, if silence is not skipped.
    reporter: Option<RegionDetector>,
    events: Vec<RegionEvent>,
    /// Cuts the current span.
    cutter: Option<SpanCutter>,
    cuts: Vec<CutPoint>,
    /// The frame up to which all are either in spans or reported as skipped.
    accounted: u64,
    report: SplitReport,
}

impl AudioSplitter {
    pub fn new(policy: CutPolicy, selection: &Selection) -> Self {
        let analyzes =
            selection.report_speech || selection.vad.is_some() || matches!(policy, CutPolicy::AtPauses(_));
        Self {
            policy,
            vad: selection.vad,
            analyzer: analyzes.then(FrameAnalyzer::new),
            frames: Vec::new(),
            speech: Vec::new(),
            samples: 0,
            position: 0,
            clips: selection.clips.iter().collect(),
            in_clip: false,
            detector: None,
            reporter: None,
            events: Vec::new(),
            cutter: None,
            cuts: Vec::new(),
            accounted: 0,
            report: SplitReport { speech_detected: analyzes, ..SplitReport::default() },
        }
    }

    /// Takes 16 kHz mono samples and appends the boundaries that are final.
    pub fn push(&mut self, samples: &[f32], boundaries: &mut Vec<Boundary>) {
        self.samples += samples.len() as u64;
        match &mut self.analyzer {
            Some(analyzer) => analyzer.push(samples, &mut self.frames),
            None => {
                let new = self.samples / HOP as u64 - self.position;
                self.frames.resize(new as usize, VadFrame { speech: 1.0, power: 0.0 });
            }
        }
        self.process(boundaries);
    }

    /// Appends the boundaries that only the end of the audio settles, and the last speech probabilities; an open span ends
    /// there.
    pub fn finish(mut self, boundaries: &mut Vec<Boundary>, speech: &mut Vec<f32>) -> SplitReport {
        if let Some(analyzer) = &mut self.analyzer {
            analyzer.finish(&mut self.frames);
        }
        self.process(boundaries);
        if self.in_clip {
            self.end_clip(boundaries);
        }
        self.report.missed_clips = mem::take(&mut self.clips).into_iter().collect();
        if !self.report.missed_clips.is_empty() {
            self.skip(self.position, SkipCause::OutsideClips);
        }
        self.take_speech(speech);
        self.report
    }

    /// Returns whether all clips have ended.
    pub fn is_done(&self) -> bool {
        self.clips.is_empty()
    }

    /// Returns the first frame that may still become part of a span; `None` inside a span.
    pub fn keep_from(&self) -> Option<u64> {
        match (&self.detector, self.clips.front()) {
            (Some(detector), _) => detector.keep_from(),
            (None, Some(clip)) => (!self.in_clip).then_some(clip.start),
            (None, None) => Some(self.position),
        }
    }

    /// Moves the speech probabilities of the frames processed since the last call to `out`; nothing unless recordings are
    /// cut at pauses.
    pub fn take_speech(&mut self, out: &mut Vec<f32>) {
        out.append(&mut self.speech);
    }

    /// Returns the report on the frames processed so far.
    pub fn report(&self) -> &SplitReport {
        &self.report
    }

    fn process(&mut self, boundaries: &mut Vec<Boundary>) {
        if matches!(self.policy, CutPolicy::AtPauses(_)) {
            self.speech.extend(self.frames.iter().map(|frame| frame.speech));
        }
        for frame in mem::take(&mut self.frames) {
            if !self.in_clip && self.clips.front().is_some_and(|clip| clip.start == self.position) {
                self.begin_clip(boundaries);
            }
            if self.in_clip {
                self.process_frame(frame, boundaries);
            }
            self.position += 1;
            if self.in_clip && self.clips.front().is_some_and(|clip| clip.end == Some(self.position)) {
                self.end_clip(boundaries);
            }
        }
    }

    fn begin_clip(&mut self, boundaries: &mut Vec<Boundary>) {
        self.skip(self.position, SkipCause::OutsideClips);
        self.in_clip = true;
        match &self.vad {
            Some(options) => self.detector = Some(RegionDetector::new(options, self.position)),
            None => {
                let reports = self.analyzer.is_some();
                self.reporter = reports.then(|| RegionDetector::new(&VoiceOptions::default(), self.position));
                self.apply(RegionEvent::Begin(self.position), boundaries);
            }
        }
    }

    fn process_frame(&mut self, frame: VadFrame, boundaries: &mut Vec<Boundary>) {
        match &mut self.detector {
            Some(detector) => {
                detector.push(frame, &mut self.events);
                self.apply_events(boundaries);
            }
            None => {
                if let Some(reporter) = &mut self.reporter {
                    reporter.push(frame, &mut self.events);
                    self.report_speech();
                }
                self.apply(RegionEvent::Frame(frame), boundaries);
            }
        }
    }

    fn end_clip(&mut self, boundaries: &mut Vec<Boundary>) {
        match self.detector.take() {
            Some(mut detector) => {
                detector.finish(&mut self.events);
                self.apply_events(boundaries);
                self.skip(self.position, SkipCause::Silence);
            }
            None => {
                if let Some(mut reporter) = self.reporter.take() {
                    reporter.finish(&mut self.events);
                    self.report_speech();
                }
                self.apply(RegionEvent::End(self.position), boundaries);
            }
        }
        self.in_clip = false;
        self.clips.pop_front();
    }

    /// Moves the speech regions of the pending events into the report and drops the other events.
    fn report_speech(&mut self) {
        let speech = self.events.drain(..).filter_map(|event| match event {
            RegionEvent::Speech(frames) => Some(frames),
            _ => None,
        });
        self.report.speech.extend(speech);
    }

    fn apply_events(&mut self, boundaries: &mut Vec<Boundary>) {
        let mut events = mem::take(&mut self.events);
        events.drain(..).for_each(|event| self.apply(event, boundaries));
        self.events = events;
    }

    fn apply(&mut self, event: RegionEvent, boundaries: &mut Vec<Boundary>) {
        match event {
            RegionEvent::Begin(frame) => {
                self.skip(frame, SkipCause::Silence);
                self.cutter = Some(SpanCutter::new(self.policy, frame));
                boundaries.push(Boundary::Begin(frame));
            }
            RegionEvent::Frame(frame) => {
                if let Some(cutter) = &mut self.cutter {
                    cutter.push(frame, &mut self.cuts);
                    boundaries.extend(self.cuts.drain(..).map(Boundary::Cut));
                }
            }
            RegionEvent::End(frame) => {
                if let Some(mut cutter) = self.cutter.take() {
                    cutter.finish(&mut self.cuts);
                    boundaries.extend(self.cuts.drain(..).map(Boundary::Cut));
                }
                self.accounted = frame;
                boundaries.push(Boundary::End(frame));
            }
            RegionEvent::Speech(frames) => self.report.speech.push(frames),
        }
    }

    /// Reports the frames up to `end` that are not accounted for as skipped.
    fn skip(&mut self, end: u64, cause: SkipCause) {
        if end > self.accounted {
            self.report.skipped.push((self.accounted..end, cause));
            self.accounted = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(
        selection: &Selection,
        policy: CutPolicy,
        seconds: usize,
        block: usize,
    ) -> (Vec<Boundary>, SplitReport) {
        let (mut splitter, mut boundaries) = (AudioSplitter::new(policy, selection), Vec::new());
        let audio = vec![0.0; seconds * 16_000];
        audio.chunks(block).for_each(|block| splitter.push(block, &mut boundaries));
        let report = splitter.finish(&mut boundaries, &mut Vec::new());
        (boundaries, report)
    }

    fn clips(text: &str) -> Selection {
        Selection { clips: text.parse().unwrap(), ..Selection::default() }
    }

    #[test]
    fn spans_begin_and_end_with_their_clips() {
        let cut = |frame| Boundary::Cut(CutPoint { frame, kind: CutKind::NoPause });
        let expected = [
            Boundary::Begin(750),
            cut(1_750),
            Boundary::End(2_000),
            Boundary::Begin(2_000),
            Boundary::End(2_100),
            Boundary::Begin(3_000),
            Boundary::End(4_000),
        ];
        for block in [100, 8_000, 1_000_000] {
            let (boundaries, report) =
                split(&clips("7.5,20,20,21,30,50,60"), CutPolicy::Every(1_000), 40, block);
            assert_eq!(boundaries, expected);
            let skipped = [(0..750, SkipCause::OutsideClips), (2_100..3_000, SkipCause::OutsideClips)];
            assert_eq!(report.skipped, skipped);
            assert_eq!(report.missed_clips, [Clip { start: 6_000, end: None }]);
        }
    }

    #[test]
    fn skips_all_of_a_silent_clip() {
        let vad = Some(VoiceOptions::default());
        let selection = Selection { vad, ..clips("5,20") };
        let (boundaries, report) = split(&selection, CutPolicy::AtPauses(120.0), 40, 8_000);
        assert_eq!(boundaries, []);
        let skipped = [(0..500, SkipCause::OutsideClips), (500..2_000, SkipCause::Silence)];
        assert_eq!(report.skipped, skipped);
        assert_eq!(report.skipped_frames(), 2_000);
    }

    #[test]
    fn the_default_selection_is_one_span() {
        for seconds in [0, 3] {
            let (boundaries, report) =
                split(&Selection::default(), CutPolicy::AtPauses(120.0), seconds, 8_000);
            let expected = [Boundary::Begin(0), Boundary::End(300)];
            assert_eq!(boundaries, if seconds == 0 { &[][..] } else { &expected });
            assert_eq!(report.skipped, []);
        }
    }
}
