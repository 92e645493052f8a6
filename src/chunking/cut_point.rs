//! The best place to cut a stretch of frames.

use std::ops::Range;

use crate::vad::Frame;

/// Below this probability of speech a frame belongs to a pause.
const PAUSE: f32 = 0.4;
/// Above this one it surely is speech, by which loudness is measured.
const SPEECH: f32 = 0.7;
/// Frames of sure speech that make a measure of loudness.
const SPEECH_FRAMES: usize = 50;

/// How long a pause must be at least, in frames, and how quiet at most, as a share of the power of the speech
/// around it: speech that the network does not know as such is hardly quieter. A pause seems up to 0.1 s shorter
/// than it is.
type Bar = [(usize, f32); 2];
/// What surely lies between words.
const GOOD: Bar = [(20, DB_10), (40, DB_6)];
/// What may as well be the closure of a consonant, or a weak word in noise.
const FAIR: Bar = [(12, DB_10), (60, DB_3)];
const DB_3: f32 = 0.5;
const DB_6: f32 = 0.25;
const DB_10: f32 = 0.1;

/// A cut leaves two fifths of the pause on either side, or so many frames.
const MARGIN: usize = 50;
/// In a long pause it lies among the last frames that may be.
const LATE: usize = 100;
/// Frames over which the quietest place is sought.
const QUIET: usize = 15;
/// A pause may lie by so much of the target earlier for each second that it is longer.
const WORTH: f64 = 0.25;
/// Longer than so many frames is not better.
const ENOUGH: usize = 100;

/// A stretch without speech.
struct Pause {
    frames: Range<usize>,
    /// As a share of the power of the speech around it.
    power: f32,
}

impl Pause {
    fn clears(&self, bar: &Bar) -> bool {
        bar.iter().any(|(frames, power)| self.frames.len() >= *frames && self.power <= *power)
    }

    /// Where to cut it: near the middle, late in a long one, where it is quietest.
    fn cut(&self, frames: &[Frame], within: &Range<usize>) -> Option<usize> {
        let margin = (self.frames.len() * 2 / 5).min(MARGIN);
        let end = (self.frames.end - margin).min(within.end);
        let start = (self.frames.start + margin).max(within.start).max(end.saturating_sub(LATE));
        (start <= end).then(|| quietest(frames, start..end))
    }
}

/// The best good pause that can be cut in `now`, else the nearest in `later`, else the best fair one in either.
/// The ends of ranges belong to them.
pub(super) fn pause(frames: &[Frame], now: Range<usize>, later: Range<usize>) -> Option<usize> {
    let pauses = pauses(frames);
    let good: Vec<&Pause> = pauses.iter().filter(|pause| pause.clears(&GOOD)).collect();
    let fair: Vec<&Pause> = pauses.iter().filter(|pause| pause.clears(&FAIR)).collect();
    best(frames, &good, &now)
        .or_else(|| good.iter().find_map(|pause| pause.cut(frames, &later)))
        .or_else(|| best(frames, &fair, &(now.start..later.end)))
}

/// The longest and latest pause.
fn best(frames: &[Frame], pauses: &[&Pause], within: &Range<usize>) -> Option<usize> {
    let worth = |pause: &Pause, cut: usize| {
        let seconds = pause.frames.len().min(ENOUGH) as f64 / 100.0;
        cut as f64 / within.end as f64 + WORTH * seconds
    };
    pauses
        .iter()
        .filter_map(|pause| pause.cut(frames, within).map(|cut| (worth(pause, cut), cut)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, cut)| cut)
}

/// All stretches without speech.
fn pauses(frames: &[Frame]) -> Vec<Pause> {
    let speech = speech_power(frames);
    let mut pauses = Vec::new();
    let mut start = 0;
    for run in frames.chunk_by(|a, b| (a.speech < PAUSE) == (b.speech < PAUSE)) {
        let end = start + run.len();
        if run[0].speech < PAUSE {
            let power = run.iter().map(|f| f.power).sum::<f32>() / run.len() as f32;
            pauses.push(Pause { frames: start..end, power: power / speech });
        }
        start = end;
    }
    pauses
}

/// Mean power of the speech; infinite where there is too little to tell.
fn speech_power(frames: &[Frame]) -> f32 {
    let speech = || frames.iter().filter(|f| f.speech > SPEECH);
    match speech().count() {
        count if count >= SPEECH_FRAMES => speech().map(|f| f.power).sum::<f32>() / count as f32,
        _ => f32::INFINITY,
    }
}

/// Where in the range, its end included, it is quietest; of equals the one nearest to the middle.
pub(super) fn quietest(frames: &[Frame], within: Range<usize>) -> usize {
    let power = |at: usize| {
        let around = &frames[at.saturating_sub(QUIET / 2)..(at + QUIET.div_ceil(2)).min(frames.len())];
        around.iter().map(|f| f64::from(f.power)).sum::<f64>() / around.len().max(1) as f64
    };
    let middle = usize::midpoint(within.start, within.end);
    (within.start..=within.end)
        .map(|at| (power(at), at.abs_diff(middle), at))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .map_or(middle, |(_, _, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Range<usize> = 500..1000;
    const LATER: Range<usize> = 1000..1500;

    /// Loud speech with pauses: the first frame, the length and the power of each.
    fn stretch(pauses: &[(usize, usize, f32)]) -> Vec<Frame> {
        let mut frames = vec![Frame { speech: 0.9, power: 1.0 }; 1750];
        for (start, length, power) in pauses {
            frames[*start..start + length].fill(Frame { speech: 0.1, power: *power });
        }
        frames
    }

    fn cut(pauses: &[(usize, usize, f32)]) -> Option<usize> {
        pause(&stretch(pauses), NOW, LATER)
    }

    #[test]
    fn the_middle_of_a_pause() {
        assert_eq!(cut(&[(700, 40, 0.0)]), Some(720));
    }

    #[test]
    fn late_in_a_long_pause() {
        assert_eq!(cut(&[(300, 600, 0.0)]), Some(800));
        assert_eq!(cut(&[(300, 1300, 0.0)]), Some(950));
    }

    #[test]
    fn the_quietest_place_of_a_pause() {
        let mut frames = stretch(&[(700, 100, 0.01)]);
        frames[750..765].iter_mut().for_each(|f| f.power = 0.0);
        assert_eq!(pause(&frames, NOW, LATER), Some(757));
    }

    #[test]
    fn the_latest_of_equal_pauses_and_a_longer_one_near_by() {
        assert_eq!(cut(&[(600, 40, 0.0), (900, 40, 0.0), (1100, 40, 0.0)]), Some(920));
        assert_eq!(cut(&[(600, 100, 0.0), (900, 30, 0.0)]), Some(915));
        assert_eq!(cut(&[(800, 100, 0.0), (900 + 40, 30, 0.0)]), Some(850));
    }

    #[test]
    fn a_good_pause_later_rather_than_a_fair_one() {
        assert_eq!(cut(&[(700, 15, 0.0), (1100, 30, 0.0), (1300, 100, 0.0)]), Some(1115));
        assert_eq!(cut(&[(700, 15, 0.0)]), Some(707));
        assert_eq!(cut(&[(1300, 15, 0.0)]), Some(1307));
    }

    #[test]
    fn no_pause() {
        assert_eq!(cut(&[]), None);
        assert_eq!(cut(&[(700, 10, 0.0)]), None, "too short");
        assert_eq!(cut(&[(700, 30, 0.2)]), None, "too loud for its length");
        assert_eq!(cut(&[(700, 50, 0.2)]), Some(725));
        assert_eq!(cut(&[(700, 200, 0.9)]), None, "too loud for any length");
        assert_eq!(cut(&[(100, 200, 0.0), (1600, 100, 0.0)]), None, "out of reach");
    }

    #[test]
    fn without_speech_everything_is_a_pause() {
        let frames = vec![Frame { speech: 0.1, power: 1.0 }; 1750];
        assert_eq!(pause(&frames, NOW, LATER), Some(950));
    }

    #[test]
    fn the_quietest_place() {
        let mut frames = stretch(&[]);
        frames[777].power = 0.0;
        assert_eq!(
            quietest(&frames, NOW).abs_diff(777),
            7,
            "of all places around it the one nearest to the middle"
        );
        frames[770..785].iter_mut().for_each(|f| f.power = 0.5);
        assert_eq!(quietest(&frames, NOW), 777);
    }
}
