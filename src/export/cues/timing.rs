//! Decides when cues appear and disappear.

use super::readable::reading_time;
use crate::export::options::CueLimits;

/// The shortest time a cue is shown, even if that delays the next one: shorter cues go unnoticed.
const SHORTEST: i64 = 100;

/// When the text of a cue is spoken, and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct SpokenText {
    pub start: i64,
    pub end: i64,
    pub columns: usize,
}

/// Returns the start and the end of each cue. Where there is room, a cue appears a little before its first word, and stays
/// a little after its last one and for as long as it takes to read. No cue overlaps another or has no duration, whatever
/// the times of the texts are, as long as they are in order.
pub fn schedule(texts: &[SpokenText], limits: &CueLimits) -> Vec<(i64, i64)> {
    let mut last_end = 0;
    let appears = |i: usize| {
        let text = texts.get(i)?;
        let before = i.checked_sub(1).and_then(|before| texts.get(before));
        let earliest = before.map_or(0, |before| before.end + limits.min_gap);
        Some((text.start - limits.lead_in).max(earliest.min(text.start)))
    };
    let schedule_one = |(i, text): (usize, &SpokenText)| {
        let start = appears(i).unwrap_or(text.start).max(last_end);
        let longest = limits.max_duration.max(1);
        let needed = reading_time(text.columns, limits).max(limits.min_duration).clamp(1, longest);
        let wanted = (text.end + limits.lag_out).clamp(start + needed, start + longest);
        let end = match appears(i + 1) {
            None => wanted,
            Some(next) if next - limits.min_gap >= start + SHORTEST => wanted.min(next - limits.min_gap),
            // There is no time for the gap, or not even for the cue.
            Some(next) => wanted.min(next.max(start + SHORTEST)),
        };
        last_end = end;
        (start, end)
    };
    texts.iter().enumerate().map(schedule_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduled(texts: &[(i64, i64, usize)], (lead_in, lag_out): (i64, i64)) -> Vec<(i64, i64)> {
        let texts: Vec<SpokenText> =
            texts.iter().map(|&(start, end, columns)| SpokenText { start, end, columns }).collect();
        schedule(&texts, &CueLimits { lead_in, lag_out, ..CueLimits::default() })
    }

    #[test]
    fn a_cue_appears_before_its_first_word_and_stays_after_its_last_where_there_is_room() {
        let around = (100, 500);
        assert_eq!(scheduled(&[(50, 2_000, 9)], around), [(0, 2_500)]);
        assert_eq!(
            scheduled(&[(1_000, 2_000, 9), (4_000, 5_000, 9)], around),
            [(900, 2_500), (3_900, 5_500)]
        );
        // The gap comes before the lag, and the lead comes before the lag but not before the gap.
        assert_eq!(scheduled(&[(1_000, 2_000, 9), (2_300, 3_300, 9)], around)[..1], [(900, 2_117)]);
        assert_eq!(
            scheduled(&[(1_000, 2_000, 9), (2_150, 3_300, 9)], around),
            [(900, 2_000), (2_083, 3_800)]
        );
        assert_eq!(
            scheduled(&[(1_000, 2_000, 9), (2_000, 3_300, 9)], around),
            [(900, 1_917), (2_000, 3_800)]
        );
    }

    #[test]
    fn a_cue_stays_until_it_can_be_read_or_the_next_one_starts() {
        // Read in two seconds; at least five sixths of a second; at most seven seconds.
        assert_eq!(scheduled(&[(0, 500, 34)], (0, 0)), [(0, 2_000)]);
        assert_eq!(scheduled(&[(0, 100, 1)], (0, 0)), [(0, 833)]);
        assert_eq!(scheduled(&[(0, 9_000, 10)], (0, 0)), [(0, 7_000)]);
        assert_eq!(scheduled(&[(0, 1_000, 34), (1_500, 2_000, 1)], (0, 0)), [(0, 1_417), (1_500, 2_333)]);
        // A cue that is spoken up to the next one is cut short by the gap.
        assert_eq!(scheduled(&[(0, 1_500, 10), (1_500, 2_500, 1)], (0, 0))[0], (0, 1_417));
    }

    #[test]
    fn cues_that_start_at_once_do_not_overlap() {
        assert_eq!(
            scheduled(&[(5, 5, 9), (5, 5, 9), (150, 200, 9)], (0, 0)),
            [(5, 105), (105, 205), (205, 833 + 205)]
        );
    }
}
