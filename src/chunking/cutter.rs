//! The frames since the last cut, and when enough of them are known to cut again.

use super::cut_point;
use crate::time::{HOP, SAMPLE_RATE};
use crate::vad::Frame;
use crate::vad::Listener;

/// The shortest and the longest target in seconds.
const TARGETS: (f64, f64) = (1.0, 1e7);

/// Where one chunk ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// One past the last frame of the chunk, counted from the start of the audio.
    pub frame: u64,
    /// Whether it lies in a pause. Where there is none, it lies at the quietest place.
    pub silent: bool,
}

/// Chooses cuts for a target length, as a stream.
///
/// A chunk ends in the second half of its target, and only where a good pause follows within half a target more,
/// there. So none is longer than [`Cutter::longest`]; none is shorter than half the target, but the last one,
/// which is a quarter at least. Audio up to the target is not cut. The cuts do not depend on how the audio is
/// dealt out, and what is kept of it is 8 bytes per frame of not quite two targets.
pub struct Cutter {
    listener: Listener,
    frames: Vec<Frame>,
    cutting: Cutting,
}

impl Cutter {
    /// Targets below one second count as one second.
    pub fn new(target_seconds: f64) -> Self {
        Self { listener: Listener::new(), frames: Vec::new(), cutting: Cutting::new(target_seconds, 0) }
    }

    /// Frames of a chunk at most.
    pub fn longest(&self) -> u64 {
        self.cutting.longest()
    }

    /// Takes 16 kHz mono samples and appends the cuts that are settled: each 1.75 targets after the one before it
    /// has passed.
    pub fn push(&mut self, samples: &[f32], cuts: &mut Vec<Cut>) {
        for second in samples.chunks(SAMPLE_RATE as usize) {
            self.listener.push(second, &mut self.frames);
            self.frames.drain(..).for_each(|frame| self.cutting.push(frame, cuts));
        }
    }

    /// Appends the cuts that only the end of the audio settles, never one at the end itself.
    pub fn finish(&mut self, cuts: &mut Vec<Cut>) {
        self.listener.finish(&mut self.frames);
        self.frames.drain(..).for_each(|frame| self.cutting.push(frame, cuts));
        self.cutting.finish(cuts);
    }
}

/// The part of [`Cutter`] that only looks at frames: they may begin anywhere in the audio.
pub(super) struct Cutting {
    /// In frames.
    target: usize,
    /// The frames since the last cut.
    stretch: Vec<Frame>,
    /// The last cut, or the beginning.
    start: u64,
}

impl Cutting {
    pub(super) fn new(target_seconds: f64, start: u64) -> Self {
        let (shortest, longest) = TARGETS;
        let seconds = target_seconds.max(shortest).min(longest);
        let target = (seconds * f64::from(SAMPLE_RATE) / HOP as f64) as usize;
        Self { target, stretch: Vec::new(), start }
    }

    fn longest(&self) -> u64 {
        (self.target + self.target / 2) as u64
    }

    pub(super) fn push(&mut self, frame: Frame, cuts: &mut Vec<Cut>) {
        self.stretch.push(frame);
        if self.stretch.len() >= self.look_ahead() {
            let (frame, silent) = self.place(self.look_ahead());
            self.cut(frame, silent, cuts);
        }
    }

    pub(super) fn finish(&mut self, cuts: &mut Vec<Cut>) {
        while self.stretch.len() > self.target {
            let (frame, silent) = self.place(self.stretch.len());
            if !silent && self.stretch.len() as u64 <= self.longest() {
                break;
            }
            self.cut(frame, silent, cuts);
        }
    }

    /// Frames that are known when a cut is chosen. A quarter of the target is left for the chunk after it, even
    /// if the audio ends there.
    fn look_ahead(&self) -> usize {
        self.target + self.target / 2 + self.target / 4
    }

    /// Where to cut the stretch, of which so many frames may be looked at, and whether in a pause.
    fn place(&self, known: usize) -> (usize, bool) {
        let frames = &self.stretch[..known];
        let last = known - self.target / 4;
        let now = self.target / 2..self.target.min(last);
        let later = now.end..last.min(self.target + self.target / 2);
        match cut_point::pause(frames, now.clone(), later) {
            Some(frame) => (frame, true),
            None => (cut_point::quietest(frames, now), false),
        }
    }

    fn cut(&mut self, frame: usize, silent: bool, cuts: &mut Vec<Cut>) {
        self.stretch.drain(..frame);
        self.start += frame as u64;
        cuts.push(Cut { frame: self.start, silent });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cuts<'a>(target: f64, blocks: impl Iterator<Item = &'a [f32]>) -> Vec<Cut> {
        let (mut cutter, mut cuts) = (Cutter::new(target), Vec::new());
        blocks.for_each(|block| cutter.push(block, &mut cuts));
        cutter.finish(&mut cuts);
        cuts
    }

    /// Noise that is the same everywhere.
    fn noise(seed: &mut u32) -> f32 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 8) as f32 / 8_388_608.0 - 1.0
    }

    /// So many frames of one kind of sound, or of damage.
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
            // A buzz in syllables, which the network takes for a voice.
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
        fn chunks_cover_the_audio_within_their_bounds(
            audio in audio(),
            target in prop_oneof![Just(0.0), Just(1.0), 1.0..8.0, Just(30.0), Just(f64::INFINITY), Just(f64::NAN)],
            blocks in proptest::collection::vec(1_usize..20_000, 1..20),
        ) {
            let cutter = Cutter::new(target);
            let (longest, target_frames) = (cutter.longest(), cutter.cutting.target as u64);
            let end = (audio.len() / HOP) as u64;
            let at_once = cuts(target, std::iter::once(&audio[..]));

            let mut start = 0;
            for cut in &at_once {
                prop_assert!(cut.frame >= start + target_frames / 2, "{at_once:?}");
                prop_assert!(cut.frame <= start + longest, "{at_once:?}");
                prop_assert!(cut.silent || cut.frame <= start + target_frames, "{at_once:?}");
                start = cut.frame;
            }
            prop_assert!(end - start <= longest, "{at_once:?} of {end}");
            prop_assert!(at_once.is_empty() || end - start >= target_frames / 4, "{at_once:?} of {end}");
            prop_assert!(end > target_frames || at_once.is_empty());

            let mut rest = &audio[..];
            let dealt = blocks.iter().cycle().map_while(|size| {
                let (block, later) = rest.split_at(rest.len().min(*size));
                rest = later;
                (!block.is_empty()).then_some(block)
            });
            prop_assert_eq!(&cuts(target, dealt), &at_once);
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_audio() {
        let sounds: Vec<f32> = [1, 7, 0, 2, 7].iter().flat_map(|kind| sound(*kind, 450, 0.2)).collect();
        let (mut cutter, mut cuts) = (Cutter::new(4.0), Vec::new());
        let mut seconds = 0;
        let mut after_a_minute = None;
        while seconds < 2 * 3600 {
            for block in sounds.chunks(7_001) {
                cutter.push(block, &mut cuts);
                let bytes = 8 * (cutter.cutting.stretch.capacity() + cutter.frames.capacity())
                    + cutter.listener.bytes();
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
    fn a_long_silence_is_cut_into_targets() {
        let cuts = cuts(10.0, vec![0.0; 45 * 16_000].chunks(4_000));
        assert!(cuts.iter().all(|cut| cut.silent));
        assert_eq!(cuts.iter().map(|cut| cut.frame).collect::<Vec<_>>(), [950, 1900, 2850, 3800]);
    }

    /// Half a target more than one is no reason to cut where nothing is quiet.
    #[test]
    fn the_end_comes_before_a_hard_cut() {
        let voice = sound(7, 140, 0.3);
        assert_eq!(cuts(1.0, voice.chunks(1_000)), []);
    }
}
