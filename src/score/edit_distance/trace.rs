//! Traces an alignment back through a table of all columns.

use super::EditOp;
use super::band::{Band, BandColumn, BitBlock};

const BITS: usize = u64::BITS as usize;

/// Returns the size of the table in bytes.
pub fn table_bytes(band: &Band) -> usize {
    band.columns.saturating_mul(band.width()).saturating_mul(size_of::<BitBlock>())
}

/// Appends the operations of a shortest alignment, which must lie inside the band.
pub fn trace(reference: &[u32], hypothesis: &[u32], band: &Band, ops: &mut Vec<EditOp>) {
    let width = band.width();
    let mut table = Vec::with_capacity(width * hypothesis.len());
    let mut column = BandColumn::new(reference.iter().copied(), band);
    for (number, symbol) in hypothesis.iter().enumerate() {
        table.extend_from_slice(column.advance(*symbol));
        table.resize(width * (number + 1), BitBlock { plus: 0, minus: 0 });
    }
    let block = |row: usize, column: usize| {
        let index = ((row - 1) / BITS).checked_sub(band.first(column)).filter(|index| *index < width)?;
        table.get(width * (column - 1) + index)
    };
    let bit = |row: usize| 1_u64 << ((row - 1) % BITS);

    let start = ops.len();
    let (mut row, mut column) = (reference.len(), hypothesis.len());
    while row > 0 && column > 0 {
        if block(row, column).is_some_and(|block| block.plus & bit(row) != 0) {
            row -= 1;
            ops.push(EditOp::Deletion);
            continue;
        }
        column -= 1;
        if column > 0 && block(row, column).is_some_and(|block| block.minus & bit(row) != 0) {
            ops.push(EditOp::Insertion);
        } else {
            row -= 1;
            let same = reference[row] == hypothesis[column];
            ops.push(if same { EditOp::Hit } else { EditOp::Substitution });
        }
    }
    ops.extend(std::iter::repeat_n(EditOp::Deletion, row));
    ops.extend(std::iter::repeat_n(EditOp::Insertion, column));
    ops[start..].reverse();
}
