//! Computes the table of edit distances column by column: reference symbols are rows, 64 per machine word, hypothesis
//! symbols are columns. Only a band along the diagonal is computed.

use std::collections::HashMap;

/// Rows per machine word.
const ROWS: usize = 64;

/// The differences of 64 vertically adjacent distances: bits in `plus` are +1, bits in `minus` are -1.
#[derive(Debug, Clone, Copy)]
pub struct BitBlock {
    pub plus: u64,
    pub minus: u64,
}

/// The first column: one more deletion with every row.
const FIRST_COLUMN: BitBlock = BitBlock { plus: u64::MAX, minus: 0 };

impl BitBlock {
    /// Advances to the next column. `equal` are the rows that match; `above` says whether the distance above the block
    /// grows or falls by one. Returns the same for its last row.
    #[inline]
    fn advance(&mut self, equal: u64, above: [u64; 2]) -> [u64; 2] {
        let BitBlock { plus, minus } = *self;
        let [grows, falls] = above;
        let vertical = equal | minus;
        let equal = equal | falls;
        let horizontal = ((equal & plus).wrapping_add(plus) ^ plus) | equal;
        let right_plus = minus | !(horizontal | plus);
        let right_minus = plus & horizontal;
        let below = [right_plus >> (ROWS - 1), right_minus >> (ROWS - 1)];
        let (right_plus, right_minus) = ((right_plus << 1) | grows, (right_minus << 1) | falls);
        self.plus = right_minus | !(vertical | right_plus);
        self.minus = right_plus & vertical;
        below
    }
}

/// The cells that an alignment with a limited number of errors can pass.
#[derive(Debug, Clone, Copy)]
pub struct Band {
    pub rows: usize,
    pub columns: usize,
    /// Rows above the diagonal.
    above: usize,
    /// Rows below the diagonal.
    below: usize,
}

impl Band {
    /// `errors` must be at least the difference of the lengths.
    pub fn new(rows: usize, columns: usize, errors: usize) -> Self {
        // Insertions minus deletions equal the difference of the lengths.
        let above = (errors + columns).saturating_sub(rows) / 2;
        let below = (errors + rows).saturating_sub(columns) / 2;
        Self { rows, columns, above, below }
    }

    /// Returns the first block of a column; columns count from 1.
    pub fn first(&self, column: usize) -> usize {
        (column.saturating_sub(self.above).max(1) - 1) / ROWS
    }

    /// Returns the last block of a column.
    pub fn last(&self, column: usize) -> usize {
        ((column + self.below).clamp(1, self.rows) - 1) / ROWS
    }

    /// Returns the maximum number of blocks of a column.
    pub fn width(&self) -> usize {
        ((self.above + self.below) / ROWS + 2).min(self.rows.div_ceil(ROWS))
    }
}

/// The rows of each symbol of the reference, as blocks with bits, in order.
struct SymbolPositions(HashMap<u32, Vec<(usize, u64)>>);

impl SymbolPositions {
    fn new(reference: impl Iterator<Item = u32>) -> Self {
        let mut positions: HashMap<u32, Vec<(usize, u64)>> = HashMap::new();
        for (row, symbol) in reference.enumerate() {
            let (block, bit) = (row / ROWS, 1 << (row % ROWS));
            let list = positions.entry(symbol).or_default();
            match list.last_mut() {
                Some((last, bits)) if *last == block => *bits |= bit,
                _ => list.push((block, bit)),
            }
        }
        Self(positions)
    }

    /// Returns the blocks with `symbol`, starting at `block`.
    fn from(&self, symbol: u32, block: usize) -> &[(usize, u64)] {
        let list = self.0.get(&symbol).map(Vec::as_slice).unwrap_or_default();
        &list[list.partition_point(|(index, _)| *index < block)..]
    }
}

/// One column of the table.
pub struct BandColumn<'b> {
    band: &'b Band,
    positions: SymbolPositions,
    blocks: Vec<BitBlock>,
    number: usize,
    /// The last block inside the band.
    last: usize,
    /// The distance at the last row of that block.
    bottom: usize,
}

impl<'b> BandColumn<'b> {
    /// Creates the column before the first symbol.
    pub fn new(reference: impl Iterator<Item = u32>, band: &'b Band) -> Self {
        let last = band.last(0);
        let blocks = vec![FIRST_COLUMN; band.rows.div_ceil(ROWS)];
        Self {
            band,
            positions: SymbolPositions::new(reference),
            blocks,
            number: 0,
            last,
            bottom: (last + 1) * ROWS,
        }
    }

    /// Returns the column after the given symbols.
    fn after<'s>(
        reference: impl Iterator<Item = u32>,
        symbols: impl Iterator<Item = &'s u32>,
        band: &'b Band,
    ) -> Self {
        let mut column = Self::new(reference, band);
        for symbol in symbols {
            column.advance(*symbol);
        }
        column
    }

    /// Advances to the next column and returns its blocks inside the band.
    ///
    /// Cells outside the band are assumed to be as bad as possible, so no distance is too small, and those of
    /// alignments inside the band are exact.
    pub fn advance(&mut self, symbol: u32) -> &[BitBlock] {
        self.number += 1;
        let last = self.band.last(self.number);
        // Blocks that enter the band still have the values of the first column.
        self.bottom += (last - self.last) * ROWS;
        self.last = last;
        let first = self.band.first(self.number);
        let mut positions = self.positions.from(symbol, first).iter().peekable();
        let mut change = [1, 0];
        for (number, block) in self.blocks[first..=last].iter_mut().enumerate() {
            let equal = positions.next_if(|(index, _)| *index == first + number).map_or(0, |(_, bits)| *bits);
            change = block.advance(equal, change);
        }
        self.bottom = self.bottom + change[0] as usize - change[1] as usize;
        &self.blocks[first..=last]
    }

    /// Calls back with each row inside the band and its distance, from the last row up.
    fn for_each_row(&self, mut row_distance: impl FnMut(usize, usize)) {
        let first = if self.number == 0 { 0 } else { self.band.first(self.number) };
        let mut distance = self.bottom;
        for row in (first * ROWS + 1..=(self.last + 1) * ROWS).rev() {
            if row <= self.band.rows {
                row_distance(row, distance);
            }
            let (block, bit) = (&self.blocks[(row - 1) / ROWS], 1 << ((row - 1) % ROWS));
            distance += usize::from(block.minus & bit != 0);
            distance -= usize::from(block.plus & bit != 0);
        }
        row_distance(first * ROWS, distance);
    }
}

/// Like [`split`], for an unknown number of errors.
pub fn split_unknown(reference: &[u32], hypothesis: &[u32], middle: usize) -> (usize, usize, usize) {
    let (rows, columns) = (reference.len(), hypothesis.len());
    // Too narrow a band finds too long an alignment; then a wider band is tried.
    let mut limit = rows.abs_diff(columns) + ROWS.max(rows / 32);
    loop {
        let found = split(reference, hypothesis, middle, &Band::new(rows, columns, limit));
        let errors = found.1.saturating_add(found.2);
        if errors <= limit {
            return found;
        }
        limit = errors.min(limit * 2);
    }
}

/// Returns the row in which a shortest alignment crosses column `middle`, and the errors before and after it.
pub fn split(reference: &[u32], hypothesis: &[u32], middle: usize, band: &Band) -> (usize, usize, usize) {
    // The second half runs backwards from its end; the band has the same width there.
    let (before, after) = rayon::join(
        || BandColumn::after(reference.iter().copied(), hypothesis[..middle].iter(), band),
        || BandColumn::after(reference.iter().rev().copied(), hypothesis[middle..].iter().rev(), band),
    );
    let mut left = vec![usize::MAX; band.rows + 1];
    before.for_each_row(|row, distance| left[row] = distance);
    let mut best = (0, usize::MAX, 0);
    after.for_each_row(|from_end, right| {
        let row = band.rows - from_end;
        if left[row].saturating_add(right) < best.1.saturating_add(best.2) {
            best = (row, left[row], right);
        }
    });
    best
}
