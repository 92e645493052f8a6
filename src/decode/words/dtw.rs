//! Dynamic time warping: the cheapest monotonic path through a matrix.

/// The last step of the cheapest path to a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WarpStep {
    Both,
    Row,
    Column,
}

/// Returns the column at which the path enters each row. The path has the smallest sum of `-gain` (rows of `columns`
/// values) from the first cell to the last. Ties are broken as in openai/whisper: a step along both axes, or down the
/// rows, only where it is cheaper than all others.
pub fn first_columns(gain: &[f32], columns: usize) -> Vec<usize> {
    if columns == 0 {
        return Vec::new();
    }
    let rows = gain.len() / columns;
    let mut steps = Vec::with_capacity(rows * columns);
    // Costs of the row above, with a cell before the first column. In double precision as openai's: its array of ones is
    // single, but Numba makes it double when it is multiplied by infinity.
    let mut above = vec![f64::INFINITY; columns + 1];
    above[0] = 0.0;
    for row in gain.chunks_exact(columns) {
        let (mut diagonal, mut left) = (above[0], f64::INFINITY);
        above[0] = f64::INFINITY;
        for (cost, gain) in above[1..].iter_mut().zip(row) {
            let up = *cost;
            let (least, step) = if diagonal < up && diagonal < left {
                (diagonal, WarpStep::Both)
            } else if up < diagonal && up < left {
                (up, WarpStep::Row)
            } else {
                (left, WarpStep::Column)
            };
            *cost = least - f64::from(*gain);
            steps.push(step);
            (diagonal, left) = (up, *cost);
        }
    }
    backtrack(&steps, rows, columns)
}

fn backtrack(steps: &[WarpStep], rows: usize, columns: usize) -> Vec<usize> {
    let mut first = vec![0; rows];
    let (mut row, mut column) = (rows, columns);
    while row > 0 && column > 0 {
        first[row - 1] = column - 1;
        match steps[(row - 1) * columns + column - 1] {
            WarpStep::Both => (row, column) = (row - 1, column - 1),
            WarpStep::Row => row -= 1,
            WarpStep::Column => column -= 1,
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_the_largest_gains() {
        let gain = [9.0, 9.0, -1.0, -1.0, -1.0, -1.0, 9.0, -1.0, -1.0, -1.0, -1.0, 9.0];
        assert_eq!(first_columns(&gain, 4), [0, 2, 3]);
    }

    #[test]
    fn unusual_shapes_are_harmless() {
        assert!(first_columns(&[], 0).is_empty());
        assert!(first_columns(&[], 3).is_empty());
        assert_eq!(first_columns(&[1.0; 5], 1), [0; 5]);
        assert_eq!(first_columns(&[f32::NAN; 6], 3), [0; 2]);
    }

    proptest::proptest! {
        #[test]
        fn the_path_is_monotonic(
            gain in proptest::collection::vec(proptest::num::f32::ANY, 0..400),
            columns in 0_usize..40,
        ) {
            let first = first_columns(&gain, columns);
            assert_eq!(first.len(), gain.len().checked_div(columns).unwrap_or(0));
            assert!(first.is_sorted() && first.iter().all(|column| *column < columns));
            assert!(first.first().is_none_or(|column| *column == 0));
        }
    }
}
