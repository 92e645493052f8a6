//! Samples → chunks of log-mel frames, begun and cut where the splitter says, each with all that its windows may see.

use std::collections::VecDeque;

use super::features::ChunkFeatures;
use super::scale::SILENCE;
use super::stream::MelStream;
use crate::chunking::{AudioSplitter, Boundary, ChunkSpan, CutPoint, CutPolicy, Selection, SplitReport};
use crate::time::{HOP, WINDOW_FRAMES};

/// Frames from seam to seam of a recording that is not really cut: two minutes.
const PIECE: u64 = 12_000;

/// How a recording is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ChunkMode {
    /// At pauses, about so many seconds long. Values are seen relative to the loudest one up to the chunk's end.
    AtPauses { seconds: f64 },
    /// Not at all: pieces that each go on where the one before left off, all seen relative to the loudest value
    /// of the recording. This is how openai/whisper hears it.
    Seamless { loudest: f32 },
}

/// A stretch of a recording, ready for the engine.
pub struct MelChunk {
    /// Counts from 0.
    pub index: usize,
    pub span: ChunkSpan,
    pub features: ChunkFeatures,
}

impl MelChunk {
    fn with_bounds(mut self, visible: usize, limit: Option<usize>) -> Self {
        (self.span.visible, self.span.limit) = (visible, limit);
        self
    }
}

/// See the module.
pub struct MelChunker {
    stream: MelStream,
    bins: usize,
    mode: ChunkMode,
    splitter: AudioSplitter,
    boundaries: VecDeque<Boundary>,
    new_boundaries: Vec<Boundary>,
    /// Between the boundary of a stretch's beginning and that of its end.
    is_open: bool,
    /// Times are not left as the network says them: stretches do not reach over their ends.
    is_bounded: bool,
    samples: u64,
    /// Frames from the first of the next chunk on.
    raw: Vec<f32>,
    first: usize,
    index: usize,
    follows: bool,
    loudest: f32,
}

impl MelChunker {
    /// For all of a recording.
    pub fn new(bins: usize, mode: ChunkMode) -> Self {
        Self::with_selection(bins, mode, &Selection::default())
    }

    /// For parts of a recording.
    pub fn with_selection(bins: usize, mode: ChunkMode, selection: &Selection) -> Self {
        let (policy, loudest) = match mode {
            ChunkMode::AtPauses { seconds } => (CutPolicy::AtPauses(seconds), SILENCE),
            ChunkMode::Seamless { loudest } => (CutPolicy::Every(PIECE), loudest),
        };
        Self {
            stream: MelStream::new(bins),
            bins,
            mode,
            splitter: AudioSplitter::new(policy, selection),
            boundaries: VecDeque::new(),
            new_boundaries: Vec::new(),
            is_open: false,
            is_bounded: selection.vad.is_some() || matches!(mode, ChunkMode::AtPauses { .. }),
            samples: 0,
            raw: Vec::new(),
            first: 0,
            index: 0,
            follows: false,
            loudest,
        }
    }

    /// Takes samples and appends the chunks that they complete.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<MelChunk>) {
        self.samples += samples.len() as u64;
        self.stream.push(samples, &mut self.raw);
        self.splitter.push(samples, &mut self.new_boundaries);
        self.boundaries.extend(self.new_boundaries.drain(..));
        self.make(None, out);
        if self.boundaries.is_empty()
            && let (false, Some(frame)) = (self.is_open, self.splitter.keep_from())
        {
            self.skip_to(frame as usize);
        }
    }

    /// All chunks that are asked for have been made: what comes now is for nobody.
    pub fn is_done(&self) -> bool {
        self.splitter.is_done() && self.boundaries.is_empty()
    }

    /// What was left out so far.
    pub fn report(&self) -> &SplitReport {
        self.splitter.report()
    }

    /// Appends the rest; at least one chunk has come in the end, even of nothing. Tells how many samples there
    /// were, and what was left out of them.
    pub fn finish(mut self, out: &mut Vec<MelChunk>) -> (u64, SplitReport) {
        let splitter = std::mem::replace(
            &mut self.splitter,
            AudioSplitter::new(CutPolicy::Every(1), &Selection::default()),
        );
        let report = splitter.finish(&mut self.new_boundaries);
        self.boundaries.extend(self.new_boundaries.drain(..));
        let stream = std::mem::replace(&mut self.stream, MelStream::new(self.bins));
        stream.finish(&mut self.raw);
        let end = (self.samples / HOP as u64) as usize;
        self.make(Some(end), out);
        if self.index == 0 {
            self.skip_to(end);
            let nothing = self.take(end, self.frames_end());
            out.push(nothing.with_bounds(end, self.is_bounded.then_some(end)));
        }
        (self.samples, report)
    }

    /// The chunks that the boundaries make of the frames that are there. Where the audio ends is known at its end.
    fn make(&mut self, end_of_audio: Option<usize>, out: &mut Vec<MelChunk>) {
        while let Some(&boundary) = self.boundaries.front() {
            let chunk = match boundary {
                Boundary::Begin(frame) if self.skip_to(frame as usize) => {
                    self.is_open = true;
                    None
                }
                Boundary::Begin(_) => return,
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

    /// The chunk before a cut, if enough frames are there.
    fn cut(&mut self, CutPoint { frame, silent }: CutPoint, end_of_audio: Option<usize>) -> Option<MelChunk> {
        let end = frame as usize;
        if silent {
            let chunk = (self.frames_end() >= end).then(|| self.take(end, end));
            return chunk.map(|chunk| chunk.with_bounds(end, Some(end)));
        }
        let stretch_end = self.boundaries.iter().find_map(|boundary| match boundary {
            Boundary::End(frame) => Some(*frame as usize),
            _ => None,
        });
        let bound = stretch_end.or(end_of_audio).unwrap_or(usize::MAX);
        let visible = bound.min(end + WINDOW_FRAMES);
        if self.frames_end() < visible {
            return None;
        }
        let chunk = self.take(end, visible);
        self.follows = true;
        Some(chunk.with_bounds(visible, (self.is_bounded && visible == bound).then_some(bound)))
    }

    /// The last chunk of a stretch.
    fn end(&mut self, end: usize, end_of_audio: Option<usize>) -> MelChunk {
        // At the end, all frames that touch audio, a few more than hold it: the loudest value may be there.
        let seen = if end_of_audio == Some(end) { self.frames_end() } else { end };
        let chunk = self.take(end, seen);
        self.is_open = false;
        // What was said goes on to be known, as if there were no gap.
        self.follows = matches!(self.mode, ChunkMode::Seamless { .. });
        chunk.with_bounds(end, self.is_bounded.then_some(end))
    }

    fn frames_end(&self) -> usize {
        self.first + self.raw.len() / self.bins
    }

    /// Lets go of the frames before this one; false if it is not there yet.
    fn skip_to(&mut self, frame: usize) -> bool {
        let next = frame.min(self.frames_end()).max(self.first);
        self.raw.drain(..(next - self.first) * self.bins);
        self.first = next;
        next >= frame
    }

    /// A chunk up to `end` of which frames up to `seen` are looked at. It is taken for one that stands alone.
    fn take(&mut self, end: usize, seen: usize) -> MelChunk {
        let kept = self.raw[..(seen - self.first) * self.bins].to_vec();
        if matches!(self.mode, ChunkMode::AtPauses { .. }) {
            self.loudest = kept.iter().copied().fold(self.loudest, f32::max);
        }
        let chunk = MelChunk {
            index: self.index,
            span: ChunkSpan {
                first: self.first,
                end,
                visible: seen,
                limit: None,
                follows: std::mem::take(&mut self.follows),
            },
            features: ChunkFeatures::new(self.bins, self.first, kept, self.loudest),
        };
        self.skip_to(end);
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
        // Loud and soft seconds in turn, so that there is something to cut at.
        (0..samples).map(|i| next() * if i / 8_000 % 5 == 4 { 1e-4 } else { 0.3 }).collect()
    }

    fn chunks(audio: &[f32], mode: ChunkMode, block: usize) -> Vec<MelChunk> {
        let mut chunker = MelChunker::new(80, mode);
        let mut out = Vec::new();
        audio.chunks(block).for_each(|block| chunker.push(block, &mut out));
        assert_eq!(chunker.finish(&mut out).0, audio.len() as u64);
        out
    }

    fn loudest(audio: &[f32]) -> f32 {
        let mut meter = MelMeter::new(80);
        meter.push(audio);
        meter.finish().max
    }

    #[test]
    fn chunks_follow_each_other_without_a_gap() {
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
    fn windows_do_not_depend_on_the_division_nor_on_the_blocks() {
        let audio = noise(16_000 * 290);
        let whole_max = loudest(&audio);
        let mut whole = chunks(&audio, ChunkMode::AtPauses { seconds: 1e6 }, 1_000_000);
        assert_eq!(whole.len(), 1);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for block in [4_000, 77_777] {
            for mut chunk in chunks(&audio, ChunkMode::Seamless { loudest: whole_max }, block) {
                for seek in [chunk.span.first, (chunk.span.first + chunk.span.end) / 2, chunk.span.end - 1] {
                    let frames = (chunk.span.visible - seek).min(3_000);
                    chunk.features.window(seek, frames, &mut one).unwrap();
                    whole[0].features.window(seek, frames, &mut other).unwrap();
                    assert!(one == other, "at {seek}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_one_empty_chunk() {
        for samples in [0, 100] {
            let chunks = chunks(&noise(samples), ChunkMode::AtPauses { seconds: 30.0 }, 10);
            assert_eq!((chunks.len(), chunks[0].span.end), (1, 0));
        }
    }

    #[test]
    fn little_more_than_a_chunk_is_held() {
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
    fn only_what_is_asked_for_is_made() {
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
                    whole[0].features.window(seek, frames, &mut other).unwrap();
                    assert!(one == other, "at {seek}");
                }
            }
        }
    }

    #[test]
    fn between_clips_little_is_held() {
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
