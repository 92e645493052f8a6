//! Samples → chunks of log-mel frames, each with all frames that its windows may see.
//!
//! Where chunks begin and end is decided by [`AudioSplitter`].

use std::collections::VecDeque;

use super::features::ChunkFeatures;
use super::scale::SILENCE;
use super::stream::MelStream;
use crate::chunking::{
    AudioSplitter, Boundary, ChunkSpan, CutKind, CutPoint, CutPolicy, SEAM_DISTANCE, Selection, SpeechMap,
    SplitReport,
};
use crate::time::{HOP, WINDOW_FRAMES};

/// How a recording is split into chunks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChunkMode {
    /// At pauses, into sections of about this many seconds. Values are scaled relative to the loudest one up to the end of
    /// their section.
    AtPauses { seconds: f64 },
    /// At seams only, so that each chunk continues the one before it as openai/whisper continues through a file. Values
    /// are scaled relative to the loudest one of the recording.
    Seamless { loudest: f32 },
}

/// A chunk, ready for the engine.
pub struct MelChunk {
    pub index: usize,
    pub span: ChunkSpan,
    /// Whether it belongs to the same section as the chunk before it.
    pub in_section: bool,
    pub features: ChunkFeatures,
    /// Where somebody speaks; none if the recording is kept in one piece, as openai/whisper does.
    pub speech: Option<SpeechMap>,
}

impl MelChunk {
    fn with_bounds(mut self, visible: usize, limit: Option<usize>) -> Self {
        (self.span.visible, self.span.limit) = (visible, limit);
        self
    }
}

/// Builds chunks as a stream. Buffers little more than one section.
pub struct MelChunker {
    stream: MelStream,
    bins: usize,
    mode: ChunkMode,
    splitter: AudioSplitter,
    boundaries: VecDeque<Boundary>,
    new_boundaries: Vec<Boundary>,
    /// Whether a span has begun and not ended.
    in_span: bool,
    /// Whether segments may not reach beyond the end of their span; otherwise times stay as the network predicts them.
    is_bounded: bool,
    samples: u64,
    /// Raw values from frame `first` on, where the next chunk begins, or the context that it hears.
    raw: Vec<f32>,
    /// Speech probabilities from frame `speech_first` on, which may be a few frames behind the values.
    speech: Vec<f32>,
    speech_first: usize,
    first: usize,
    index: usize,
    follows: bool,
    in_section: bool,
    /// Where the next chunk begins, if it hears context before.
    begin: Option<usize>,
    loudest: f32,
    /// The frame up to which `loudest` is known.
    measured: usize,
}

impl MelChunker {
    /// Creates a chunker for a whole recording.
    pub fn new(bins: usize, mode: ChunkMode) -> Self {
        Self::with_selection(bins, mode, &Selection::default())
    }

    /// Creates a chunker for parts of a recording.
    pub fn with_selection(bins: usize, mode: ChunkMode, selection: &Selection) -> Self {
        let (policy, loudest) = match mode {
            ChunkMode::AtPauses { seconds } => (CutPolicy::AtPauses(seconds), SILENCE),
            ChunkMode::Seamless { loudest } => (CutPolicy::Every(SEAM_DISTANCE as u64), loudest),
        };
        Self {
            stream: MelStream::new(bins),
            bins,
            mode,
            splitter: AudioSplitter::new(policy, selection),
            boundaries: VecDeque::new(),
            new_boundaries: Vec::new(),
            in_span: false,
            is_bounded: selection.vad.is_some() || matches!(mode, ChunkMode::AtPauses { .. }),
            samples: 0,
            raw: Vec::new(),
            speech: Vec::new(),
            speech_first: 0,
            first: 0,
            index: 0,
            follows: false,
            in_section: false,
            begin: None,
            loudest,
            measured: 0,
        }
    }

    /// Takes samples and appends the chunks that they complete.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<MelChunk>) {
        self.samples += samples.len() as u64;
        self.stream.push(samples, &mut self.raw);
        self.splitter.push(samples, &mut self.new_boundaries);
        self.splitter.take_speech(&mut self.speech);
        self.boundaries.extend(self.new_boundaries.drain(..));
        self.build(None, out);
        if self.boundaries.is_empty()
            && let (false, Some(frame)) = (self.in_span, self.splitter.keep_from())
        {
            self.skip_to(frame as usize);
        }
    }

    /// Whether all requested chunks are built, so that further samples have no effect.
    pub fn is_done(&self) -> bool {
        self.splitter.is_done() && self.boundaries.is_empty()
    }

    /// Returns the report on the samples processed so far.
    pub fn report(&self) -> &SplitReport {
        self.splitter.report()
    }

    /// Appends the remaining chunks, so that there is at least one, even if it is empty. Returns the number of samples and
    /// the report on them.
    pub fn finish(mut self, out: &mut Vec<MelChunk>) -> (u64, SplitReport) {
        let splitter = std::mem::replace(
            &mut self.splitter,
            AudioSplitter::new(CutPolicy::Every(1), &Selection::default()),
        );
        let report = splitter.finish(&mut self.new_boundaries, &mut self.speech);
        self.boundaries.extend(self.new_boundaries.drain(..));
        let stream = std::mem::replace(&mut self.stream, MelStream::new(self.bins));
        stream.finish(&mut self.raw);
        let end = (self.samples / HOP as u64) as usize;
        self.build(Some(end), out);
        if self.index == 0 {
            self.skip_to(end);
            let empty = self.take(end, self.frames_end(), end);
            out.push(empty.with_bounds(end, self.is_bounded.then_some(end)));
        }
        (self.samples, report)
    }

    /// Appends the chunks whose boundaries and frames are complete. `end_of_audio` is known only at the end.
    fn build(&mut self, end_of_audio: Option<usize>, out: &mut Vec<MelChunk>) {
        while let Some(&boundary) = self.boundaries.front() {
            let chunk = match boundary {
                Boundary::Begin(frame) if self.skip_to(frame as usize) => {
                    self.in_span = true;
                    self.in_section = false;
                    None
                }
                Boundary::Begin(_) => return,
                Boundary::Cut(_) | Boundary::End(_) if !self.measure_section(end_of_audio) => return,
                Boundary::Cut(cut) => match self.cut(cut, end_of_audio) {
                    Some(chunk) => Some(chunk),
                    None => return,
                },
                Boundary::End(frame) if self.frames_end() < frame as usize => return,
                Boundary::End(frame) => Some(self.end(frame as usize, end_of_audio)),
            };
            self.boundaries.pop_front();
            out.extend(chunk);
        }
    }

    /// Finds the loudest value of the section that the next chunk belongs to. Returns whether all of the section is known.
    fn measure_section(&mut self, end_of_audio: Option<usize>) -> bool {
        if matches!(self.mode, ChunkMode::Seamless { .. }) {
            return true;
        }
        let end = self.boundaries.iter().find_map(|boundary| match boundary {
            Boundary::Cut(CutPoint { kind: CutKind::Seam, .. }) | Boundary::Begin(_) => None,
            Boundary::Cut(CutPoint { kind: CutKind::Pause { .. }, frame }) => Some(*frame as usize),
            Boundary::Cut(CutPoint { kind: CutKind::NoPause, frame }) => {
                Some(self.visible_from(*frame as usize, end_of_audio))
            }
            Boundary::End(frame) => Some(self.heard_to(*frame as usize, end_of_audio)),
        });
        let Some(end) = end else { return false };
        let speech_end = self.speech_first + self.speech.len();
        if self.frames_end() < end || (end_of_audio.is_none() && speech_end < end) {
            return false;
        }
        if end > self.measured {
            let from = self.measured.max(self.first);
            let values = &self.raw[(from - self.first) * self.bins..(end - self.first) * self.bins];
            self.loudest = values.iter().copied().fold(self.loudest, f32::max);
            self.measured = end;
        }
        true
    }

    /// Returns the chunk before a cut once it has enough frames.
    fn cut(&mut self, CutPoint { frame, kind }: CutPoint, end_of_audio: Option<usize>) -> Option<MelChunk> {
        let end = frame as usize;
        if let CutKind::Pause { context } = kind {
            let context = context as usize;
            let chunk = (self.frames_end() >= end).then(|| self.take(end, end, context))?;
            self.in_section = false;
            self.begin = (context < end).then_some(end);
            return Some(chunk.with_bounds(end, Some(end)));
        }
        let visible = self.visible_from(end, end_of_audio);
        if self.frames_end() < visible {
            return None;
        }
        let chunk = self.take(end, visible, end);
        self.follows = true;
        self.in_section = kind == CutKind::Seam;
        let bound = self.bound(end_of_audio);
        Some(chunk.with_bounds(visible, (self.is_bounded && visible == bound).then_some(bound)))
    }

    /// Returns the last chunk of a span.
    fn end(&mut self, end: usize, end_of_audio: Option<usize>) -> MelChunk {
        let chunk = self.take(end, self.heard_to(end, end_of_audio), end);
        self.in_span = false;
        self.in_section = false;
        // The text before a gap is the prompt after it, as if there were none.
        self.follows = matches!(self.mode, ChunkMode::Seamless { .. });
        chunk.with_bounds(end, self.is_bounded.then_some(end))
    }

    /// Returns the end of the current span, as far as it is known.
    fn bound(&self, end_of_audio: Option<usize>) -> usize {
        let span_end = self.boundaries.iter().find_map(|boundary| match boundary {
            Boundary::End(frame) => Some(*frame as usize),
            _ => None,
        });
        span_end.or(end_of_audio).unwrap_or(usize::MAX)
    }

    /// Returns how far the windows before a seam see.
    fn visible_from(&self, seam: usize, end_of_audio: Option<usize>) -> usize {
        self.bound(end_of_audio).min(seam + WINDOW_FRAMES)
    }

    /// Returns how many frames of a span's last chunk count for its loudness: at the end of the audio, a few more overlap it
    /// than begin in it, and the loudest value may be among them.
    fn heard_to(&self, end: usize, end_of_audio: Option<usize>) -> usize {
        if end_of_audio == Some(end) { self.frames_end() } else { end }
    }

    fn frames_end(&self) -> usize {
        self.first + self.raw.len() / self.bins
    }

    /// Drops the frames before this one. Returns `false` if it has not been computed yet.
    fn skip_to(&mut self, frame: usize) -> bool {
        let next = frame.min(self.frames_end()).max(self.first);
        self.raw.drain(..(next - self.first) * self.bins);
        let passed = self.speech.len().min(next.saturating_sub(self.speech_first));
        self.speech.drain(..passed);
        self.speech_first += passed;
        self.first = next;
        next >= frame
    }

    /// Returns a chunk up to `end` with the frames up to `seen`, bounded as if no other chunk followed. Keeps the frames from
    /// `kept_from` on for the next one.
    fn take(&mut self, end: usize, seen: usize, kept_from: usize) -> MelChunk {
        let values = self.raw[..(seen - self.first) * self.bins].to_vec();
        let known = self.speech.len().min(seen.saturating_sub(self.speech_first));
        let speech = || SpeechMap::new(self.speech_first, self.speech[..known].to_vec());
        let begin = self.begin.take();
        let chunk = MelChunk {
            index: self.index,
            span: ChunkSpan {
                first: begin.unwrap_or(self.first),
                end,
                visible: seen,
                context: begin.map(|_| self.first),
                limit: None,
                follows: std::mem::take(&mut self.follows),
            },
            in_section: self.in_section,
            features: ChunkFeatures::new(self.bins, self.first, values, self.loudest),
            speech: matches!(self.mode, ChunkMode::AtPauses { .. }).then(speech),
        };
        self.skip_to(kept_from);
        self.index += 1;
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mel::{Features, MelMeter};

    fn noise(samples: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        // Alternates loud and quiet parts, so that there are places to cut at.
        (0..samples).map(|i| next() * if i / 8_000 % 5 == 4 { 1e-4 } else { 0.3 }).collect()
    }

    fn chunks(audio: &[f32], mode: ChunkMode, block: usize) -> Vec<MelChunk> {
        let mut chunker = MelChunker::new(80, mode);
        let mut out = Vec::new();
        audio.chunks(block).for_each(|block| chunker.push(block, &mut out));
        assert_eq!(chunker.finish(&mut out).0, audio.len() as u64);
        out
    }

    fn chunk_at(chunks: &mut [MelChunk], frame: usize) -> &mut MelChunk {
        chunks.iter_mut().find(|chunk| (chunk.span.first..chunk.span.end).contains(&frame)).unwrap()
    }

    fn loudest(audio: &[f32]) -> f32 {
        let mut meter = MelMeter::new(80);
        meter.push(audio);
        meter.finish().max
    }

    #[test]
    fn chunks_have_no_gaps_between_them() {
        let audio = noise(16_000 * 400 + 77);
        let modes = [
            ChunkMode::AtPauses { seconds: 30.0 },
            ChunkMode::AtPauses { seconds: 1e6 },
            ChunkMode::Seamless { loudest: 1.0 },
        ];
        for mode in modes {
            let chunks = chunks(&audio, mode, 9_000);
            let mut end = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                assert_eq!((chunk.index, chunk.span.first), (index, end));
                assert!(chunk.span.end > chunk.span.first && chunk.span.visible >= chunk.span.end);
                assert_eq!(chunk.span.follows, index > 0 && chunks[index - 1].span.limit.is_none());
                end = chunk.span.end;
            }
            assert_eq!(end, 40_000, "{mode:?}");
        }
    }

    #[test]
    fn a_seamless_chunk_sees_a_whole_window_past_its_end() {
        let audio = noise(16_000 * 300);
        let chunks = chunks(&audio, ChunkMode::Seamless { loudest: 1.0 }, 16_000);
        let spans: Vec<_> =
            chunks.iter().map(|c| (c.span.first, c.span.end, c.span.visible, c.span.follows)).collect();
        assert_eq!(
            spans,
            [(0, 12_000, 15_000, false), (12_000, 24_000, 27_000, true), (24_000, 30_000, 30_000, true)]
        );
    }

    #[test]
    fn windows_are_independent_of_chunks_and_blocks() {
        let audio = noise(16_000 * 290);
        let whole_max = loudest(&audio);
        let mut whole = chunks(&audio, ChunkMode::AtPauses { seconds: 1e6 }, 1_000_000);
        assert_eq!(whole.len(), 3);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for block in [4_000, 77_777] {
            for mut chunk in chunks(&audio, ChunkMode::Seamless { loudest: whole_max }, block) {
                for seek in [chunk.span.first, (chunk.span.first + chunk.span.end) / 2, chunk.span.end - 1] {
                    let frames = (chunk.span.visible - seek).min(3_000);
                    chunk.features.window(seek, frames, &mut one).unwrap();
                    chunk_at(&mut whole, seek).features.window(seek, frames, &mut other).unwrap();
                    assert!(one == other, "at {seek}");
                }
            }
        }
    }

    #[test]
    fn sections_share_their_loudness_and_hear_what_was_said_before() {
        let mut audio = noise(16_000 * 1_300);
        // The loudest sound of all, near the end of the first section.
        audio[16_000 * 290..16_000 * 291].iter_mut().for_each(|sample| *sample *= 3.0);
        let mode = ChunkMode::AtPauses { seconds: 600.0 };
        let chunks = chunks(&audio, mode, 8_000);
        let sections: Vec<_> = chunks.iter().filter(|chunk| !chunk.in_section).collect();
        assert!(sections.len() > 1 && chunks.len() > 2 * sections.len(), "{}", chunks.len());
        for (index, section) in sections.iter().enumerate() {
            assert_eq!(
                section.span.context.is_some(),
                index > 0 && !section.span.follows,
                "{:?}",
                section.span
            );
            assert!(section.span.first - section.span.heard_from() <= 3_000);
        }
        let mut at_once = self::chunks(&audio, mode, audio.len());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for mut chunk in chunks {
            let same = chunk_at(&mut at_once, chunk.span.first);
            assert_eq!((chunk.span, chunk.in_section), (same.span, same.in_section));
            assert_eq!(chunk.speech, same.speech);
            let from = chunk.span.heard_from();
            chunk.features.window(from, 100, &mut one).unwrap();
            same.features.window(from, 100, &mut other).unwrap();
            assert!(one == other, "at {from}");
        }
    }

    #[test]
    fn empty_audio_is_one_empty_chunk() {
        for samples in [0, 100] {
            let chunks = chunks(&noise(samples), ChunkMode::AtPauses { seconds: 30.0 }, 10);
            assert_eq!((chunks.len(), chunks[0].span.end), (1, 0));
        }
    }

    #[test]
    fn buffers_little_more_than_a_chunk() {
        let mut chunker = MelChunker::new(80, ChunkMode::AtPauses { seconds: 30.0 });
        let (mut out, block, mut most) = (Vec::new(), noise(16_000), 0);
        for _ in 0..1_000 {
            chunker.push(&block, &mut out);
            out.clear();
            most = most.max(chunker.raw.len() / 80);
        }
        assert!(most < 4 * 3_000 + 3_000, "{most} frames");
    }

    #[test]
    fn builds_only_the_selected_clips() {
        let audio = noise(16_000 * 400);
        let selection = Selection { clips: "10,200,200,215.5,300".parse().unwrap(), ..Selection::default() };
        let mut whole = chunks(&audio, ChunkMode::AtPauses { seconds: 1e6 }, 16_000);
        for block in [5_000, 160_000] {
            let mut chunker =
                MelChunker::with_selection(80, ChunkMode::Seamless { loudest: loudest(&audio) }, &selection);
            let mut out = Vec::new();
            audio.chunks(block).for_each(|block| chunker.push(block, &mut out));
            let (_, report) = chunker.finish(&mut out);
            let spans: Vec<_> =
                out.iter().map(|c| (c.span.first, c.span.end, c.span.visible, c.span.follows)).collect();
            let expected = [
                (1_000, 13_000, 16_000, false),
                (13_000, 20_000, 20_000, true),
                (20_000, 21_550, 21_550, true),
                (30_000, 40_000, 40_000, true),
            ];
            assert_eq!(spans, expected);
            assert_eq!(report.skipped_frames(), 1_000 + 8_450);
            let (mut one, mut other) = (Vec::new(), Vec::new());
            for mut chunk in out {
                for seek in [chunk.span.first, chunk.span.end - 1] {
                    let frames = (chunk.span.visible - seek).min(3_000);
                    chunk.features.window(seek, frames, &mut one).unwrap();
                    chunk_at(&mut whole, seek).features.window(seek, frames, &mut other).unwrap();
                    assert!(one == other, "at {seek}");
                }
            }
        }
    }

    #[test]
    fn buffers_little_between_clips() {
        let selection = Selection { clips: "500,510,3000".parse().unwrap(), ..Selection::default() };
        let mut chunker = MelChunker::with_selection(80, ChunkMode::AtPauses { seconds: 30.0 }, &selection);
        let (mut out, block, mut most) = (Vec::new(), noise(16_000), 0);
        for _ in 0..2_000 {
            chunker.push(&block, &mut out);
            most = most.max(chunker.raw.len() / 80);
        }
        assert_eq!((out.len(), out[0].span.first, out[0].span.end), (1, 50_000, 51_000));
        assert!(most < 3_000, "{most} frames");
    }
}
