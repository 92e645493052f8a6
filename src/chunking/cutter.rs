//! Cuts for a target length: buffers the frames since the last cut and cuts again once enough of them are known.

use super::cut_point;
use crate::time::{HOP, SAMPLE_RATE, WINDOW_FRAMES};
use crate::vad::VadFrame;

/// The minimum and the maximum target, in seconds.
const TARGET_RANGE: (f64, f64) = (1.0, 1e7);
/// Distance of the seams in frames: two minutes. What is finished at a seam is not lost if the run is interrupted.
pub const SEAM_DISTANCE: usize = 12_000;
/// From this target on, in frames, the audio before a cut is heard again as context: a window for at least eight of the
/// section.
const CONTEXT_TARGET: usize = 48_000;
/// The least and the most frames of context.
const CONTEXT: (usize, usize) = (WINDOW_FRAMES / 2, WINDOW_FRAMES);

/// The end of one chunk and the start of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutPoint {
    /// One past the last frame of the chunk, counted from the start of the audio.
    pub frame: u64,
    pub kind: CutKind,
}

/// What the chunk behind a cut knows of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutKind {
    /// It lies in a pause: the next chunk begins a new section, which is decoded on its own.
    Pause {
        /// The frame from which the next chunk hears the audio before the cut as context; the cut itself for none.
        context: u64,
    },
    /// There is no pause: it is at the quietest frame, and the next chunk continues this one.
    NoPause,
    /// It divides a section for the sake of the journal: the next chunk continues this one.
    Seam,
}

/// Chooses cuts for a target length, as a stream of frames that may begin anywhere in the audio.
///
/// A section ends in the second half of its target, or in the half target after it if only there is a good pause. So
/// no section is longer than 1.5 targets, and none is shorter than half a target, except the last one, which is at least
/// a quarter. Audio up to the target is not cut. Seams divide long sections into chunks. The cuts do not depend on block
/// sizes, and the buffer is 8 bytes per frame of less than two targets.
pub struct PauseCutter {
    /// The target in frames.
    target: usize,
    /// The frames since the last cut.
    frames: Vec<VadFrame>,
    /// The last cut, or the first frame.
    start: u64,
}

impl PauseCutter {
    /// Targets below one second count as one second.
    pub fn new(target_seconds: f64, start: u64) -> Self {
        let (min, max) = TARGET_RANGE;
        let seconds = target_seconds.max(min).min(max);
        let target = (seconds * f64::from(SAMPLE_RATE) / HOP as f64) as usize;
        Self { target, frames: Vec::new(), start }
    }

    /// The maximum length of a section in frames.
    fn max_length(&self) -> u64 {
        (self.target + self.target / 2) as u64
    }

    /// Appends the cut that the frame settles, if any: 1.75 targets after the cut before it.
    pub fn push(&mut self, frame: VadFrame, cuts: &mut Vec<CutPoint>) {
        self.frames.push(frame);
        if self.frames.len() >= self.lookahead() {
            let (frame, is_pause) = self.choose(self.lookahead());
            self.cut(frame, is_pause, cuts);
        }
    }

    /// Appends the cuts that only the end of the audio settles, never one at the end itself.
    pub fn finish(&mut self, cuts: &mut Vec<CutPoint>) {
        while self.frames.len() > self.target {
            let (frame, is_pause) = self.choose(self.frames.len());
            if !is_pause && self.frames.len() as u64 <= self.max_length() {
                break;
            }
            self.cut(frame, is_pause, cuts);
        }
        self.seams(self.frames.len(), cuts);
    }

    /// The number of frames that are known when a cut is chosen. A quarter of the target is left for the next section,
    /// even if the audio ends there.
    fn lookahead(&self) -> usize {
        self.target + self.target / 2 + self.target / 4
    }

    /// Chooses a cut, given the first `known` frames, and returns whether it lies in a pause.
    fn choose(&self, known: usize) -> (usize, bool) {
        let frames = &self.frames[..known];
        let last = known - self.target / 4;
        let now = self.target / 2..self.target.min(last);
        let later = now.end..last.min(self.target + self.target / 2);
        match cut_point::in_pause(frames, now.clone(), later) {
            Some(frame) => (frame, true),
            None => (cut_point::quietest(frames, now), false),
        }
    }

    fn cut(&mut self, frame: usize, is_pause: bool, cuts: &mut Vec<CutPoint>) {
        self.seams(frame, cuts);
        let kind = match is_pause {
            true => CutKind::Pause { context: self.start + self.context(frame) as u64 },
            false => CutKind::NoPause,
        };
        self.frames.drain(..frame);
        self.start += frame as u64;
        cuts.push(CutPoint { frame: self.start, kind });
    }

    /// Appends the seams of a section that ends after so many frames: none within a window of its end, so that windows that
    /// begin before a seam are whole.
    fn seams(&self, end: usize, cuts: &mut Vec<CutPoint>) {
        let seams = (SEAM_DISTANCE..(end + 1).saturating_sub(WINDOW_FRAMES)).step_by(SEAM_DISTANCE);
        cuts.extend(seams.map(|at| CutPoint { frame: self.start + at as u64, kind: CutKind::Seam }));
    }

    /// Returns where the context of a cut begins: in a pause, if there is one at the right distance.
    fn context(&self, cut: usize) -> usize {
        if self.target < CONTEXT_TARGET {
            return cut;
        }
        let (least, most) = CONTEXT;
        let within = cut.saturating_sub(most)..cut.saturating_sub(least);
        let nothing = within.end..within.end;
        cut_point::in_pause(&self.frames[..cut], within.clone(), nothing).unwrap_or(within.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vad::FrameAnalyzer;

    /// Cuts samples.
    struct SampleCutter {
        analyzer: FrameAnalyzer,
        frames: Vec<VadFrame>,
        cutter: PauseCutter,
    }

    impl SampleCutter {
        fn new(target: f64) -> Self {
            let cutter = PauseCutter::new(target, 0);
            Self { analyzer: FrameAnalyzer::new(), frames: Vec::new(), cutter }
        }

        fn push(&mut self, samples: &[f32], cuts: &mut Vec<CutPoint>) {
            for second in samples.chunks(SAMPLE_RATE as usize) {
                self.analyzer.push(second, &mut self.frames);
                self.frames.drain(..).for_each(|frame| self.cutter.push(frame, cuts));
            }
        }

        fn finish(&mut self, cuts: &mut Vec<CutPoint>) {
            self.analyzer.finish(&mut self.frames);
            self.frames.drain(..).for_each(|frame| self.cutter.push(frame, cuts));
            self.cutter.finish(cuts);
        }
    }

    fn cuts<'a>(target: f64, blocks: impl Iterator<Item = &'a [f32]>) -> Vec<CutPoint> {
        let (mut cutter, mut cuts) = (SampleCutter::new(target), Vec::new());
        blocks.for_each(|block| cutter.push(block, &mut cuts));
        cutter.finish(&mut cuts);
        cuts
    }

    /// Pseudo-random noise, the same on every platform.
    fn noise(seed: &mut u32) -> f32 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 8) as f32 / 8_388_608.0 - 1.0
    }

    /// Returns frames of one kind of sound, or of damage.
    fn sound(kind: u8, frames: usize, level: f32) -> Vec<f32> {
        let mut seed = u32::from(kind);
        let sample = |i: usize| match kind {
            0 => 0.0,
            1 => level * noise(&mut seed),
            2 => level * (i as f32 * 0.07).sin() * (i as f32 * 0.0013).sin(),
            3 => level,
            4 => f32::NAN,
            5 => f32::INFINITY,
            6 => f32::MAX * noise(&mut seed),
            // A buzz in syllables.
            _ => level * ((i % 133) as f32 / 133.0 - 0.5) * (i as f32 * 0.001).sin(),
        };
        (0..frames * HOP).map(sample).collect()
    }

    fn audio() -> impl Strategy<Value = Vec<f32>> {
        let part = (0_u8..8, 0_usize..400, prop_oneof![Just(1e-4_f32), Just(0.1), Just(1.0), Just(40.0)]);
        (proptest::collection::vec(part, 0..8), 0..HOP).prop_map(|(parts, odd)| {
            let mut audio: Vec<f32> =
                parts.into_iter().flat_map(|(k, frames, l)| sound(k, frames, l)).collect();
            audio.resize(audio.len() + odd, 0.1);
            audio
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn chunk_lengths_stay_within_their_bounds(
            audio in audio(),
            target in prop_oneof![Just(0.0), Just(1.0), 1.0..8.0, Just(30.0), Just(f64::INFINITY), Just(f64::NAN)],
            blocks in proptest::collection::vec(1_usize..20_000, 1..20),
        ) {
            let cutter = PauseCutter::new(target, 0);
            let (max_length, target_frames) = (cutter.max_length(), cutter.target as u64);
            let end = (audio.len() / HOP) as u64;
            let at_once = cuts(target, std::iter::once(&audio[..]));

            let mut start = 0;
            for cut in at_once.iter().filter(|cut| cut.kind != CutKind::Seam) {
                prop_assert!(cut.frame >= start + target_frames / 2, "{at_once:?}");
                prop_assert!(cut.frame <= start + max_length, "{at_once:?}");
                prop_assert!(cut.kind != CutKind::NoPause || cut.frame <= start + target_frames, "{at_once:?}");
                start = cut.frame;
            }
            prop_assert!(end - start <= max_length, "{at_once:?} of {end}");
            prop_assert!(start == 0 || end - start >= target_frames / 4, "{at_once:?} of {end}");
            prop_assert!(end > target_frames || start == 0);
            let mut chunk_start = 0;
            for frame in at_once.iter().map(|cut| cut.frame) {
                prop_assert!(frame > chunk_start, "{at_once:?}");
                chunk_start = frame;
            }

            let mut rest = &audio[..];
            let blocks = blocks.iter().cycle().map_while(|size| {
                let (block, later) = rest.split_at(rest.len().min(*size));
                rest = later;
                (!block.is_empty()).then_some(block)
            });
            prop_assert_eq!(&cuts(target, blocks), &at_once);
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_audio() {
        let sounds: Vec<f32> = [1, 7, 0, 2, 7].iter().flat_map(|kind| sound(*kind, 450, 0.2)).collect();
        let (mut cutter, mut cuts) = (SampleCutter::new(4.0), Vec::new());
        let mut seconds = 0;
        let mut after_a_minute = None;
        while seconds < 2 * 3600 {
            for block in sounds.chunks(7_001) {
                cutter.push(block, &mut cuts);
                let bytes = 8 * (cutter.cutter.frames.capacity() + cutter.frames.capacity())
                    + cutter.analyzer.bytes();
                if seconds >= 60 {
                    assert!(bytes <= *after_a_minute.get_or_insert(bytes));
                }
                assert!(bytes < 2 * 8 * 2 * 400 + 6_000, "{bytes}");
            }
            seconds += sounds.len() / SAMPLE_RATE as usize;
        }
        assert!(cuts.len() > seconds / 6, "{} cuts", cuts.len());
    }

    #[test]
    fn cuts_long_silence_into_targets() {
        let cuts = cuts(10.0, vec![0.0; 45 * 16_000].chunks(4_000));
        assert!(
            cuts.iter().all(|cut| matches!(cut.kind, CutKind::Pause { context } if context == cut.frame))
        );
        assert_eq!(cuts.iter().map(|cut| cut.frame).collect::<Vec<_>>(), [950, 1900, 2850, 3800]);
    }

    #[test]
    fn seams_divide_long_sections_and_cuts_have_context() {
        let pause = VadFrame { speech: 0.1, power: 0.0 };
        let frames = (0..150_000_u64).map(|at| match at % 500 {
            0..60 => pause,
            _ => VadFrame { speech: 0.9, power: 1.0 },
        });
        let (mut cutter, mut cuts) = (PauseCutter::new(600.0, 100), Vec::new());
        frames.for_each(|frame| cutter.push(frame, &mut cuts));
        cutter.finish(&mut cuts);
        let sections: Vec<(u64, u64)> = cuts
            .iter()
            .filter_map(|cut| match cut.kind {
                CutKind::Pause { context } => Some((cut.frame, context)),
                _ => None,
            })
            .collect();
        assert_eq!(sections.len(), 2, "{cuts:?}");
        for (cut, context) in &sections {
            assert!((1_500..=3_000).contains(&(cut - context)) && (context - 100) % 500 < 60, "{sections:?}");
        }
        let (first, second) = (sections[0].0, sections[1].0);
        let seams: Vec<u64> =
            cuts.iter().filter(|cut| cut.kind == CutKind::Seam).map(|cut| cut.frame).collect();
        let expected =
            [(100, first), (first, second), (second, 150_100)].into_iter().flat_map(|(start, end)| {
                (1..).map(move |n| start + n * 12_000).take_while(move |at| at + 3_000 <= end)
            });
        assert_eq!(seams, expected.collect::<Vec<_>>());
    }

    /// Up to 1.5 targets are not cut outside a pause.
    #[test]
    fn avoids_a_hard_cut_near_the_end() {
        let (mut cutter, mut cuts) = (PauseCutter::new(1.0, 0), Vec::new());
        (0..140).for_each(|_| cutter.push(VadFrame { speech: 0.9, power: 1.0 }, &mut cuts));
        cutter.finish(&mut cuts);
        assert_eq!(cuts, []);
    }
}
