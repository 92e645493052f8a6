//! Finds the fewest insertions, deletions and substitutions that turn one sequence into another.
//!
//! Exact for any length in little memory: bit-parallel over 64 rows (Myers 1999, Hyyrö 2003), restricted to the diagonals
//! that can matter (Ukkonen 1985), and divided in halves (Hirschberg 1975) until the traceback table is small. Among
//! equally short alignments it picks the one that rapidfuzz, and so jiwer, picks, unless the texts are very long.

mod band;
mod trace;

use std::collections::HashMap;
use std::hash::Hash;

use band::Band;

/// One operation of an alignment of a reference with a hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditOp {
    Hit,
    Substitution,
    Insertion,
    Deletion,
}

/// Maximum bytes of a traceback table; longer texts are halved first.
const MAX_TABLE_BYTES: usize = 32 << 20;

/// Returns the operations from a reference to a hypothesis, in order.
pub fn align<T: Eq + Hash>(reference: &[T], hypothesis: &[T]) -> Vec<EditOp> {
    align_within(reference, hypothesis, MAX_TABLE_BYTES)
}

fn align_within<T: Eq + Hash>(reference: &[T], hypothesis: &[T], max_table_bytes: usize) -> Vec<EditOp> {
    let mut numbers = HashMap::new();
    let mut number = |item| {
        let next = numbers.len() as u32;
        *numbers.entry(item).or_insert(next)
    };
    let reference: Vec<u32> = reference.iter().map(&mut number).collect();
    let hypothesis: Vec<u32> = hypothesis.iter().map(&mut number).collect();
    let mut ops = Vec::with_capacity(reference.len().max(hypothesis.len()));
    solve(&reference, &hypothesis, None, max_table_bytes, &mut ops);
    ops
}

/// Appends the operations; `distance` is the number of errors among them, if known.
fn solve(
    reference: &[u32],
    hypothesis: &[u32],
    distance: Option<usize>,
    max_table_bytes: usize,
    ops: &mut Vec<EditOp>,
) {
    let same = |(a, b): &(&u32, &u32)| a == b;
    let before = reference.iter().zip(hypothesis).take_while(same).count();
    let (reference, hypothesis) = (&reference[before..], &hypothesis[before..]);
    let after = reference.iter().rev().zip(hypothesis.iter().rev()).take_while(same).count();
    let reference = &reference[..reference.len() - after];
    let hypothesis = &hypothesis[..hypothesis.len() - after];

    ops.extend(std::iter::repeat_n(EditOp::Hit, before));
    if reference.is_empty() || hypothesis.is_empty() {
        ops.extend(reference.iter().map(|_| EditOp::Deletion));
        ops.extend(hypothesis.iter().map(|_| EditOp::Insertion));
    } else {
        solve_trimmed(reference, hypothesis, distance, max_table_bytes, ops);
    }
    ops.extend(std::iter::repeat_n(EditOp::Hit, after));
}

/// Like [`solve`], for two non-empty sequences that share neither their first nor their last element.
fn solve_trimmed(
    reference: &[u32],
    hypothesis: &[u32],
    distance: Option<usize>,
    max_table_bytes: usize,
    ops: &mut Vec<EditOp>,
) {
    let (rows, columns) = (reference.len(), hypothesis.len());
    let band = Band::new(rows, columns, distance.unwrap_or(rows.max(columns)));
    // A single column cannot be halved.
    if trace::table_bytes(&band) <= max_table_bytes || columns < 2 {
        return trace::trace(reference, hypothesis, &band, ops);
    }
    let middle = columns / 2;
    let (row, left, right) = match distance {
        Some(_) => band::split(reference, hypothesis, middle, &band),
        None => band::split_unknown(reference, hypothesis, middle),
    };
    let mut rest = Vec::new();
    rayon::join(
        || solve(&reference[..row], &hypothesis[..middle], Some(left), max_table_bytes, ops),
        || solve(&reference[row..], &hypothesis[middle..], Some(right), max_table_bytes, &mut rest),
    );
    ops.append(&mut rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn errors(ops: &[EditOp]) -> usize {
        ops.iter().filter(|op| **op != EditOp::Hit).count()
    }

    /// The textbook algorithm.
    fn reference_distance(a: &[u8], b: &[u8]) -> usize {
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

    /// Returns whether the operations turn `a` into `b`.
    fn is_alignment(ops: &[EditOp], a: &[u8], b: &[u8]) -> bool {
        let (mut i, mut j) = (0, 0);
        for op in ops {
            let fits = match op {
                EditOp::Hit => a.get(i).is_some() && a.get(i) == b.get(j),
                EditOp::Substitution => i < a.len() && j < b.len() && a[i] != b[j],
                EditOp::Insertion | EditOp::Deletion => true,
            };
            if !fits {
                return false;
            }
            i += usize::from(*op != EditOp::Insertion);
            j += usize::from(*op != EditOp::Deletion);
        }
        (i, j) == (a.len(), b.len())
    }

    /// Generates a text and a copy with errors.
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
        fn alignments_are_shortest((a, b) in pair(), max_table_bytes in 0..40_000_usize) {
            let expected = reference_distance(&a, &b);
            for ops in [align(&a, &b), align_within(&a, &b, max_table_bytes)] {
                prop_assert_eq!(errors(&ops), expected);
                prop_assert!(is_alignment(&ops, &a, &b));
            }
        }

        #[test]
        fn unrelated_texts_align((a, _) in pair(), (_, b) in pair()) {
            let ops = align_within(&a, &b, 5_000);
            prop_assert_eq!(errors(&ops), reference_distance(&a, &b));
            prop_assert!(is_alignment(&ops, &a, &b));
        }
    }
}
