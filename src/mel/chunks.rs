//! Samples → chunks of log-mel frames, cut where the cutter says, each with all that its windows may see.

use std::collections::VecDeque;

use super::features::ChunkFeatures;
use super::scale::SILENCE;
use super::stream::MelStream;
use crate::chunk::{Cut, Cutter};
use crate::time::{HOP, WINDOW_FRAMES};

/// Frames from seam to seam of a recording that is not really cut: two minutes.
const PIECE: u64 = 12_000;

/// How a recording is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Division {
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
    pub first: usize,
    /// One past the last frame that is its own.
    pub end: usize,
    /// One past the last frame of audio that its windows may see: the next chunk's beginning is in sight if there
    /// is no pause between the two.
    pub visible: usize,
    /// It begins where the last window of the chunk before ended, for want of a pause.
    pub follows: bool,
    /// What it says ends here at the latest: at the pause, or at the end of the audio. None if the next chunk goes
    /// on with it, and in a recording that is not cut, where times are left as the network says them.
    pub limit: Option<usize>,
    pub features: ChunkFeatures,
}

/// See the module.
pub struct ChunkMaker {
    stream: MelStream,
    bins: usize,
    division: Division,
    cutter: Option<Cutter>,
    cuts: VecDeque<Cut>,
    fresh_cuts: Vec<Cut>,
    samples: u64,
    /// Frames from the first of the next chunk on.
    raw: Vec<f32>,
    first: usize,
    index: usize,
    follows: bool,
    loudest: f32,
}

impl ChunkMaker {
    pub fn new(bins: usize, division: Division) -> Self {
        let (cutter, loudest) = match division {
            Division::AtPauses { seconds } => (Some(Cutter::new(seconds)), SILENCE),
            Division::Seamless { loudest } => (None, loudest),
        };
        Self {
            stream: MelStream::new(bins),
            bins,
            division,
            cutter,
            cuts: VecDeque::new(),
            fresh_cuts: Vec::new(),
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
        match &mut self.cutter {
            Some(cutter) => cutter.push(samples, &mut self.fresh_cuts),
            None => self.divide_evenly(),
        }
        self.cuts.extend(self.fresh_cuts.drain(..));
        while let Some(&cut) = self.cuts.front() {
            let needed = cut.frame as usize + if cut.silent { 0 } else { WINDOW_FRAMES };
            if self.frames_end() < needed {
                break;
            }
            self.cuts.pop_front();
            let visible = if cut.silent { cut.frame as usize } else { needed };
            out.push(self.take(cut.frame as usize, visible, cut.silent));
        }
    }

    /// Appends the rest; at least one chunk has come in the end, even of nothing. Tells how many samples there
    /// were.
    pub fn finish(mut self, out: &mut Vec<MelChunk>) -> u64 {
        if let Some(cutter) = &mut self.cutter {
            cutter.finish(&mut self.fresh_cuts);
            self.cuts.extend(self.fresh_cuts.drain(..));
        }
        let stream = std::mem::replace(&mut self.stream, MelStream::new(self.bins));
        stream.finish(&mut self.raw);
        let end = (self.samples / HOP as u64) as usize;
        while let Some(cut) = self.cuts.pop_front() {
            let at = cut.frame as usize;
            if at < end {
                let visible = if cut.silent { at } else { end.min(at + WINDOW_FRAMES) };
                out.push(self.take(at, visible, cut.silent));
            }
        }
        if end > self.first || self.index == 0 {
            // All frames that touch audio, a few more than hold it: the loudest value may be there.
            let mut last = self.take(end, self.frames_end(), false);
            last.visible = end;
            last.limit = self.cutter.is_some().then_some(end);
            out.push(last);
        }
        self.samples
    }

    /// The seams of a recording that is not cut, known once there is audio behind them.
    fn divide_evenly(&mut self) {
        let mut next = self.cuts.back().map_or(self.first as u64, |cut| cut.frame) + PIECE;
        while self.samples / HOP as u64 > next {
            self.fresh_cuts.push(Cut { frame: next, silent: false });
            next += PIECE;
        }
    }

    fn frames_end(&self) -> usize {
        self.first + self.raw.len() / self.bins
    }

    fn take(&mut self, end: usize, visible: usize, pauses: bool) -> MelChunk {
        let seen = (visible - self.first) * self.bins;
        let kept = self.raw[..seen].to_vec();
        if matches!(self.division, Division::AtPauses { .. }) {
            self.loudest = kept.iter().copied().fold(self.loudest, f32::max);
        }
        let chunk = MelChunk {
            index: self.index,
            first: self.first,
            end,
            visible,
            follows: self.follows,
            limit: pauses.then_some(end),
            features: ChunkFeatures::new(self.bins, self.first, kept, self.loudest),
        };
        self.raw.drain(..(end - self.first) * self.bins);
        self.first = end;
        self.index += 1;
        self.follows = !pauses;
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

    fn chunks(audio: &[f32], division: Division, block: usize) -> Vec<MelChunk> {
        let mut maker = ChunkMaker::new(80, division);
        let mut out = Vec::new();
        audio.chunks(block).for_each(|block| maker.push(block, &mut out));
        assert_eq!(maker.finish(&mut out), audio.len() as u64);
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
        let divisions = [
            Division::AtPauses { seconds: 30.0 },
            Division::AtPauses { seconds: 1e6 },
            Division::Seamless { loudest: 1.0 },
        ];
        for division in divisions {
            let chunks = chunks(&audio, division, 9_000);
            let mut end = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                assert_eq!((chunk.index, chunk.first), (index, end));
                assert!(chunk.end > chunk.first && chunk.visible >= chunk.end);
                assert_eq!(chunk.follows, index > 0 && chunks[index - 1].limit.is_none());
                end = chunk.end;
            }
            assert_eq!(end, 40_000, "{division:?}");
        }
    }

    #[test]
    fn a_seamless_chunk_sees_a_whole_window_past_its_end() {
        let audio = noise(16_000 * 300);
        let chunks = chunks(&audio, Division::Seamless { loudest: 1.0 }, 16_000);
        let spans: Vec<_> = chunks.iter().map(|c| (c.first, c.end, c.visible, c.follows)).collect();
        assert_eq!(
            spans,
            [(0, 12_000, 15_000, false), (12_000, 24_000, 27_000, true), (24_000, 30_000, 30_000, true)]
        );
    }

    #[test]
    fn windows_do_not_depend_on_the_division_nor_on_the_blocks() {
        let audio = noise(16_000 * 290);
        let whole_max = loudest(&audio);
        let mut whole = chunks(&audio, Division::AtPauses { seconds: 1e6 }, 1_000_000);
        assert_eq!(whole.len(), 1);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for block in [4_000, 77_777] {
            for mut chunk in chunks(&audio, Division::Seamless { loudest: whole_max }, block) {
                for seek in [chunk.first, (chunk.first + chunk.end) / 2, chunk.end - 1] {
                    let frames = (chunk.visible - seek).min(3_000);
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
            let chunks = chunks(&noise(samples), Division::AtPauses { seconds: 30.0 }, 10);
            assert_eq!((chunks.len(), chunks[0].end), (1, 0));
        }
    }

    #[test]
    fn little_more_than_a_chunk_is_held() {
        let mut maker = ChunkMaker::new(80, Division::AtPauses { seconds: 30.0 });
        let (mut out, block, mut most) = (Vec::new(), noise(16_000), 0);
        for _ in 0..1_000 {
            maker.push(&block, &mut out);
            out.clear();
            most = most.max(maker.raw.len() / 80);
        }
        assert!(most < 4 * 3_000 + 3_000, "{most} frames");
    }
}
