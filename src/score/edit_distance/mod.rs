//! The fewest insertions, deletions and substitutions that make one sequence of another, and which.
//!
//! Exact for any length in little memory: bits of 64 rows at a time (Myers 1999, Hyyrö 2003), only the diagonals that
//! can matter (Ukkonen 1985), and halves of halves (Hirschberg 1975) until what has to be remembered is small. Of equally
//! short ways it takes the one that rapidfuzz, and so jiwer, takes, unless the texts are very long.

mod band;
mod trace;

use std::collections::HashMap;
use std::hash::Hash;

use band::Band;

/// What became of a piece of the reference, or came in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditOp {
    Hit,
    Substitution,
    Insertion,
    Deletion,
}

/// Bytes to remember the way in; longer texts are halved first.
const MEMORY: usize = 32 << 20;

/// The steps from a reference to a hypothesis, in order.
pub fn align<T: Eq + Hash>(reference: &[T], hypothesis: &[T]) -> Vec<EditOp> {
    align_within(reference, hypothesis, MEMORY)
}

fn align_within<T: Eq + Hash>(reference: &[T], hypothesis: &[T], memory: usize) -> Vec<EditOp> {
    let mut numbers = HashMap::new();
    let mut number = |item| {
        let next = numbers.len() as u32;
        *numbers.entry(item).or_insert(next)
    };
    let reference: Vec<u32> = reference.iter().map(&mut number).collect();
    let hypothesis: Vec<u32> = hypothesis.iter().map(&mut number).collect();
    let mut steps = Vec::with_capacity(reference.len().max(hypothesis.len()));
    solve(&reference, &hypothesis, None, memory, &mut steps);
    steps
}

/// Appends the steps; `distance` is how many of them are errors, if that is known.
fn solve(
    reference: &[u32],
    hypothesis: &[u32],
    distance: Option<usize>,
    memory: usize,
    steps: &mut Vec<EditOp>,
) {
    let same = |(a, b): &(&u32, &u32)| a == b;
    let before = reference.iter().zip(hypothesis).take_while(same).count();
    let (reference, hypothesis) = (&reference[before..], &hypothesis[before..]);
    let after = reference.iter().rev().zip(hypothesis.iter().rev()).take_while(same).count();
    let reference = &reference[..reference.len() - after];
    let hypothesis = &hypothesis[..hypothesis.len() - after];

    steps.extend(std::iter::repeat_n(EditOp::Hit, before));
    if reference.is_empty() || hypothesis.is_empty() {
        steps.extend(reference.iter().map(|_| EditOp::Deletion));
        steps.extend(hypothesis.iter().map(|_| EditOp::Insertion));
    } else {
        between(reference, hypothesis, distance, memory, steps);
    }
    steps.extend(std::iter::repeat_n(EditOp::Hit, after));
}

/// The same for two sequences that share neither their first nor their last piece, and of which none is empty.
fn between(
    reference: &[u32],
    hypothesis: &[u32],
    distance: Option<usize>,
    memory: usize,
    steps: &mut Vec<EditOp>,
) {
    let (rows, columns) = (reference.len(), hypothesis.len());
    let band = Band::new(rows, columns, distance.unwrap_or(rows.max(columns)));
    // A single column has no halves.
    if trace::bytes(&band) <= memory || columns < 2 {
        return trace::trace(reference, hypothesis, &band, steps);
    }
    let middle = columns / 2;
    let (row, left, right) = match distance {
        Some(_) => band::meet(reference, hypothesis, middle, &band),
        None => band::meet_unknown(reference, hypothesis, middle),
    };
    let mut rest = Vec::new();
    rayon::join(
        || solve(&reference[..row], &hypothesis[..middle], Some(left), memory, steps),
        || solve(&reference[row..], &hypothesis[middle..], Some(right), memory, &mut rest),
    );
    steps.append(&mut rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn errors(steps: &[EditOp]) -> usize {
        steps.iter().filter(|step| **step != EditOp::Hit).count()
    }

    /// By the textbook.
    fn plain_distance(a: &[u8], b: &[u8]) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], best);
            }
        }
        row[b.len()]
    }

    /// Whether the steps lead from one to the other.
    fn lead(steps: &[EditOp], a: &[u8], b: &[u8]) -> bool {
        let (mut i, mut j) = (0, 0);
        for step in steps {
            let fits = match step {
                EditOp::Hit => a.get(i).is_some() && a.get(i) == b.get(j),
                EditOp::Substitution => i < a.len() && j < b.len() && a[i] != b[j],
                EditOp::Insertion | EditOp::Deletion => true,
            };
            if !fits {
                return false;
            }
            i += usize::from(*step != EditOp::Insertion);
            j += usize::from(*step != EditOp::Deletion);
        }
        (i, j) == (a.len(), b.len())
    }

    /// A text and what errors make of it.
    fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let edit = (any::<u8>(), 0..600_usize, 0..4_u8);
        (1..20_u8, prop::collection::vec(any::<u8>(), 0..500), prop::collection::vec(edit, 0..120)).prop_map(
            |(letters, mut text, edits)| {
                text.iter_mut().for_each(|letter| *letter %= letters);
                let mut other = text.clone();
                for (letter, at, kind) in edits {
                    let at = at % (other.len() + 1);
                    match kind {
                        0 => other.insert(at, letter % letters),
                        1 if at < other.len() => drop(other.remove(at)),
                        2 if at < other.len() => other[at] = letter % letters,
                        _ => other.truncate(other.len().saturating_sub(3)),
                    }
                }
                (text, other)
            },
        )
    }

    proptest! {
        #[test]
        fn no_way_is_shorter((a, b) in pair(), memory in 0..40_000_usize) {
            let expected = plain_distance(&a, &b);
            for steps in [align(&a, &b), align_within(&a, &b, memory)] {
                prop_assert_eq!(errors(&steps), expected);
                prop_assert!(lead(&steps, &a, &b));
            }
        }

        #[test]
        fn strangers_align((a, _) in pair(), (_, b) in pair()) {
            let steps = align_within(&a, &b, 5_000);
            prop_assert_eq!(errors(&steps), plain_distance(&a, &b));
            prop_assert!(lead(&steps, &a, &b));
        }
    }
}
