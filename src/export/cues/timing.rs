//! When cues appear and vanish.

use super::readable::reading_time;
use crate::export::options::Limits;

/// Shorter, a cue is not seen at all: the next one waits.
const SEEN: i64 = 100;

/// When a text is spoken, and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub start: i64,
    pub end: i64,
    pub columns: usize,
}

/// The beginning and the end of each cue: it begins with its first word, and stays after its last one as long as
/// it takes to read, if the next one leaves the time. None overlaps another or is without length, whatever the
/// wishes are, as long as they are in order.
pub fn place(wishes: &[Wish], limits: &Limits) -> Vec<(i64, i64)> {
    let mut free = 0;
    let place_one = |(i, wish): (usize, &Wish)| {
        let start = wish.start.max(free);
        let longest = limits.max_duration.max(1);
        let needed = reading_time(wish.columns, limits).max(limits.min_duration).clamp(1, longest);
        let wanted = wish.end.clamp(start + needed, start + longest);
        let end = match wishes.get(i + 1).map(|next| next.start) {
            None => wanted,
            Some(next) if next - limits.min_gap >= start + SEEN => wanted.min(next - limits.min_gap),
            // No room for a gap, or for the cue.
            Some(next) => wanted.min(next.max(start + SEEN)),
        };
        free = end;
        (start, end)
    };
    wishes.iter().enumerate().map(place_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(wishes: &[(i64, i64, usize)]) -> Vec<(i64, i64)> {
        let wishes: Vec<Wish> =
            wishes.iter().map(|&(start, end, columns)| Wish { start, end, columns }).collect();
        place(&wishes, &Limits::default())
    }

    #[test]
    fn a_cue_stays_until_it_is_read_or_the_next_one_comes() {
        // To be read in two seconds; at least five sixths of one; at most seven.
        assert_eq!(placed(&[(0, 500, 34)]), [(0, 2_000)]);
        assert_eq!(placed(&[(0, 100, 1)]), [(0, 833)]);
        assert_eq!(placed(&[(0, 9_000, 10)]), [(0, 7_000)]);
        assert_eq!(placed(&[(0, 1_000, 34), (1_500, 2_000, 1)]), [(0, 1_417), (1_500, 2_333)]);
        // What is spoken to the end gives way for the gap.
        assert_eq!(placed(&[(0, 1_500, 10), (1_500, 2_500, 1)])[0], (0, 1_417));
    }

    #[test]
    fn nothing_overlaps_though_all_begins_at_once() {
        assert_eq!(placed(&[(5, 5, 9), (5, 5, 9), (150, 200, 9)]), [(5, 105), (105, 205), (205, 833 + 205)]);
    }
}
