//! The way back through a table of which every column is remembered.

use super::EditOp;
use super::band::{Band, BandColumn, BitBlock};

const BITS: usize = u64::BITS as usize;

/// Bytes that remembering takes.
pub fn bytes(band: &Band) -> usize {
    band.columns.saturating_mul(band.width()).saturating_mul(size_of::<BitBlock>())
}

/// Appends the steps of a shortest way, which must lie inside the band.
pub fn trace(reference: &[u32], hypothesis: &[u32], band: &Band, steps: &mut Vec<EditOp>) {
    let width = band.width();
    let mut table = Vec::with_capacity(width * hypothesis.len());
    let mut column = BandColumn::new(reference.iter().copied(), band);
    for (number, symbol) in hypothesis.iter().enumerate() {
        table.extend_from_slice(column.advance(*symbol));
        table.resize(width * (number + 1), BitBlock { more: 0, less: 0 });
    }
    let block = |row: usize, column: usize| {
        let at = ((row - 1) / BITS).checked_sub(band.first(column)).filter(|at| *at < width)?;
        table.get(width * (column - 1) + at)
    };
    let bit = |row: usize| 1_u64 << ((row - 1) % BITS);

    let start = steps.len();
    let (mut row, mut column) = (reference.len(), hypothesis.len());
    while row > 0 && column > 0 {
        if block(row, column).is_some_and(|block| block.more & bit(row) != 0) {
            row -= 1;
            steps.push(EditOp::Deletion);
            continue;
        }
        column -= 1;
        if column > 0 && block(row, column).is_some_and(|block| block.less & bit(row) != 0) {
            steps.push(EditOp::Insertion);
        } else {
            row -= 1;
            let same = reference[row] == hypothesis[column];
            steps.push(if same { EditOp::Hit } else { EditOp::Substitution });
        }
    }
    steps.extend(std::iter::repeat_n(EditOp::Deletion, row));
    steps.extend(std::iter::repeat_n(EditOp::Insertion, column));
    steps[start..].reverse();
}
