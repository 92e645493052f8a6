//! The best frame to cut at: in a pause if there is one, else where it is quietest.

use std::ops::Range;

use crate::vad::VadFrame;

/// Frames with a lower speech probability belong to a pause.
const PAUSE: f32 = 0.4;
/// Frames with a higher speech probability are certainly speech; its loudness is measured on them.
const SPEECH: f32 = 0.7;
/// Minimum number of certain speech frames for a measurement of loudness.
const MIN_SPEECH_FRAMES: usize = 50;

/// Alternative criteria for a pause: a minimum length in frames with a maximum power, relative to the power of the
/// speech around it. Speech that the network misses is hardly quieter than the rest. Pauses appear up to 0.1 s
/// shorter than they are.
type PauseCriteria = [(usize, f32); 2];
/// Met by pauses that are certainly between words.
const GOOD: PauseCriteria = [(20, DB_10), (40, DB_6)];
/// Also met by the closure of a consonant, or by a weak word in noise.
const FAIR: PauseCriteria = [(12, DB_10), (60, DB_3)];
const DB_3: f32 = 0.5;
const DB_6: f32 = 0.25;
const DB_10: f32 = 0.1;

/// Maximum distance of a cut from the edges of its pause, in frames; in short pauses it is two fifths of the pause.
const MARGIN: usize = 50;
/// In a long pause, only the last allowed frames are considered.
const LATE: usize = 100;
/// Width of the moving average that finds the quietest frame.
const QUIET: usize = 15;
/// How much earlier a longer pause may be, as a fraction of the target per second of length.
const LENGTH_BONUS: f64 = 0.25;
/// Beyond this many frames, the length earns no more.
const MAX_LENGTH_BONUS: usize = 100;

/// A run of frames without speech.
struct Pause {
    frames: Range<usize>,
    /// The mean power, relative to that of the speech around it.
    power: f32,
}

impl Pause {
    fn meets(&self, criteria: &PauseCriteria) -> bool {
        criteria.iter().any(|(frames, power)| self.frames.len() >= *frames && self.power <= *power)
    }

    /// Returns the frame to cut at: the quietest near the middle, or late in a long pause.
    fn cut_point(&self, frames: &[VadFrame], within: &Range<usize>) -> Option<usize> {
        let margin = (self.frames.len() * 2 / 5).min(MARGIN);
        let end = (self.frames.end - margin).min(within.end);
        let start = (self.frames.start + margin).max(within.start).max(end.saturating_sub(LATE));
        (start <= end).then(|| quietest(frames, start..end))
    }
}

/// Returns a cut in the best good pause within `now`, else in the first good one within `later`, else in the best fair
/// one within either. The ranges include their ends.
pub fn in_pause(frames: &[VadFrame], now: Range<usize>, later: Range<usize>) -> Option<usize> {
    let pauses = pauses(frames);
    let good: Vec<&Pause> = pauses.iter().filter(|pause| pause.meets(&GOOD)).collect();
    let fair: Vec<&Pause> = pauses.iter().filter(|pause| pause.meets(&FAIR)).collect();
    best(frames, &good, &now)
        .or_else(|| good.iter().find_map(|pause| pause.cut_point(frames, &later)))
        .or_else(|| best(frames, &fair, &(now.start..later.end)))
}

/// Returns a cut in the pause with the highest score: late in the range, and long.
fn best(frames: &[VadFrame], pauses: &[&Pause], within: &Range<usize>) -> Option<usize> {
    let score = |pause: &Pause, cut: usize| {
        let seconds = pause.frames.len().min(MAX_LENGTH_BONUS) as f64 / 100.0;
        cut as f64 / within.end as f64 + LENGTH_BONUS * seconds
    };
    pauses
        .iter()
        .filter_map(|pause| pause.cut_point(frames, within).map(|cut| (score(pause, cut), cut)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, cut)| cut)
}

/// Returns all runs of frames without speech.
fn pauses(frames: &[VadFrame]) -> Vec<Pause> {
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

/// Returns the mean power of the speech; infinity if there is too little to measure.
fn speech_power(frames: &[VadFrame]) -> f32 {
    let speech = || frames.iter().filter(|f| f.speech > SPEECH);
    match speech().count() {
        count if count >= MIN_SPEECH_FRAMES => speech().map(|f| f.power).sum::<f32>() / count as f32,
        _ => f32::INFINITY,
    }
}

/// Returns the quietest frame of the range, which includes its end; of equals, the one nearest to the middle.
pub fn quietest(frames: &[VadFrame], within: Range<usize>) -> usize {
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

    /// Returns loud speech with pauses, given as first frame, length and power.
    fn speech_with(pauses: &[(usize, usize, f32)]) -> Vec<VadFrame> {
        let mut frames = vec![VadFrame { speech: 0.9, power: 1.0 }; 1750];
        for (start, length, power) in pauses {
            frames[*start..start + length].fill(VadFrame { speech: 0.1, power: *power });
        }
        frames
    }

    fn cut(pauses: &[(usize, usize, f32)]) -> Option<usize> {
        in_pause(&speech_with(pauses), NOW, LATER)
    }

    #[test]
    fn cuts_in_the_middle_of_a_pause() {
        assert_eq!(cut(&[(700, 40, 0.0)]), Some(720));
    }

    #[test]
    fn cuts_late_in_a_long_pause() {
        assert_eq!(cut(&[(300, 600, 0.0)]), Some(800));
        assert_eq!(cut(&[(300, 1300, 0.0)]), Some(950));
    }

    #[test]
    fn cuts_at_the_quietest_frame_of_a_pause() {
        let mut frames = speech_with(&[(700, 100, 0.01)]);
        frames[750..765].iter_mut().for_each(|f| f.power = 0.0);
        assert_eq!(in_pause(&frames, NOW, LATER), Some(757));
    }

    #[test]
    fn prefers_later_and_longer_pauses() {
        assert_eq!(cut(&[(600, 40, 0.0), (900, 40, 0.0), (1100, 40, 0.0)]), Some(920));
        assert_eq!(cut(&[(600, 100, 0.0), (900, 30, 0.0)]), Some(915));
        assert_eq!(cut(&[(800, 100, 0.0), (900 + 40, 30, 0.0)]), Some(850));
    }

    #[test]
    fn prefers_a_later_good_pause_to_a_fair_one() {
        assert_eq!(cut(&[(700, 15, 0.0), (1100, 30, 0.0), (1300, 100, 0.0)]), Some(1115));
        assert_eq!(cut(&[(700, 15, 0.0)]), Some(707));
        assert_eq!(cut(&[(1300, 15, 0.0)]), Some(1307));
    }

    #[test]
    fn rejects_short_loud_and_distant_pauses() {
        assert_eq!(cut(&[]), None);
        assert_eq!(cut(&[(700, 10, 0.0)]), None, "too short");
        assert_eq!(cut(&[(700, 30, 0.2)]), None, "too loud for its length");
        assert_eq!(cut(&[(700, 50, 0.2)]), Some(725));
        assert_eq!(cut(&[(700, 200, 0.9)]), None, "too loud for any length");
        assert_eq!(cut(&[(100, 200, 0.0), (1600, 100, 0.0)]), None, "out of reach");
    }

    #[test]
    fn cuts_late_where_there_is_no_speech() {
        let frames = vec![VadFrame { speech: 0.1, power: 1.0 }; 1750];
        assert_eq!(in_pause(&frames, NOW, LATER), Some(950));
    }

    #[test]
    fn finds_the_quietest_frame() {
        let mut frames = speech_with(&[]);
        frames[777].power = 0.0;
        assert_eq!(
            quietest(&frames, NOW).abs_diff(777),
            7,
            "of all frames whose average includes it, the one nearest to the middle"
        );
        frames[770..785].iter_mut().for_each(|f| f.power = 0.5);
        assert_eq!(quietest(&frames, NOW), 777);
    }
}
