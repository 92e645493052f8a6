//! The table of edit distances, column by column: the reference goes down, 64 rows in a word of bits, and the
//! hypothesis to the right. Only a band along the diagonal is computed.

use std::collections::HashMap;

/// Rows in one word of bits.
const ROWS: usize = 64;

/// The differences of 64 distances to the one above each: `more` by one, `less` by one.
#[derive(Debug, Clone, Copy)]
pub struct BitBlock {
    pub more: u64,
    pub less: u64,
}

/// To the right of nothing: one deletion more with every row.
const FRESH: BitBlock = BitBlock { more: u64::MAX, less: 0 };

impl BitBlock {
    /// The next column: `equal` are the rows that match; `over` tells whether the distance over the block grows by one
    /// or falls by one. Returns the same of the one at its bottom.
    #[inline]
    fn advance(&mut self, equal: u64, over: [u64; 2]) -> [u64; 2] {
        let BitBlock { more, less } = *self;
        let [grows, falls] = over;
        let vertical = equal | less;
        let equal = equal | falls;
        let horizontal = ((equal & more).wrapping_add(more) ^ more) | equal;
        let right_more = less | !(horizontal | more);
        let right_less = more & horizontal;
        let below = [right_more >> (ROWS - 1), right_less >> (ROWS - 1)];
        let (right_more, right_less) = ((right_more << 1) | grows, (right_less << 1) | falls);
        self.more = right_less | !(vertical | right_more);
        self.less = right_more & vertical;
        below
    }
}

/// Which cells a way of at most so many errors can pass.
#[derive(Debug, Clone, Copy)]
pub struct Band {
    pub rows: usize,
    pub columns: usize,
    /// Rows above the diagonal, and below it.
    above: usize,
    below: usize,
}

impl Band {
    /// `errors` cover at least the difference of the lengths.
    pub fn new(rows: usize, columns: usize, errors: usize) -> Self {
        // Insertions less deletions make up the difference.
        let above = (errors + columns).saturating_sub(rows) / 2;
        let below = (errors + rows).saturating_sub(columns) / 2;
        Self { rows, columns, above, below }
    }

    /// The first block of a column, from 1.
    pub fn first(&self, column: usize) -> usize {
        (column.saturating_sub(self.above).max(1) - 1) / ROWS
    }

    pub fn last(&self, column: usize) -> usize {
        ((column + self.below).clamp(1, self.rows) - 1) / ROWS
    }

    /// Blocks that a column can have.
    pub fn width(&self) -> usize {
        ((self.above + self.below) / ROWS + 2).min(self.rows.div_ceil(ROWS))
    }
}

/// For each symbol of the reference, in which rows it stands: blocks that have it, in order.
struct SymbolPositions(HashMap<u32, Vec<(usize, u64)>>);

impl SymbolPositions {
    fn new(reference: impl Iterator<Item = u32>) -> Self {
        let mut places: HashMap<u32, Vec<(usize, u64)>> = HashMap::new();
        for (row, symbol) in reference.enumerate() {
            let (block, bit) = (row / ROWS, 1 << (row % ROWS));
            let list = places.entry(symbol).or_default();
            match list.last_mut() {
                Some((last, bits)) if *last == block => *bits |= bit,
                _ => list.push((block, bit)),
            }
        }
        Self(places)
    }

    fn from(&self, symbol: u32, block: usize) -> &[(usize, u64)] {
        let list = self.0.get(&symbol).map(Vec::as_slice).unwrap_or_default();
        &list[list.partition_point(|(at, _)| *at < block)..]
    }
}

/// One column of the table.
pub struct BandColumn<'b> {
    band: &'b Band,
    places: SymbolPositions,
    blocks: Vec<BitBlock>,
    number: usize,
    last: usize,
    /// The distance at the bottom of the last block.
    bottom: usize,
}

impl<'b> BandColumn<'b> {
    /// Left of all.
    pub fn new(reference: impl Iterator<Item = u32>, band: &'b Band) -> Self {
        let last = band.last(0);
        let blocks = vec![FRESH; band.rows.div_ceil(ROWS)];
        Self {
            band,
            places: SymbolPositions::new(reference),
            blocks,
            number: 0,
            last,
            bottom: (last + 1) * ROWS,
        }
    }

    /// Right of these symbols.
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

    /// On to the next one; returns its blocks inside the band.
    ///
    /// What lies outside is taken for as bad as it can be, so no distance is too small, and those of the ways inside
    /// are right.
    pub fn advance(&mut self, symbol: u32) -> &[BitBlock] {
        self.number += 1;
        let last = self.band.last(self.number);
        // Never reached before, these are fresh.
        self.bottom += (last - self.last) * ROWS;
        self.last = last;
        let first = self.band.first(self.number);
        let mut places = self.places.from(symbol, first).iter().peekable();
        let mut change = [1, 0];
        for (number, block) in self.blocks[first..=last].iter_mut().enumerate() {
            let equal = places.next_if(|(at, _)| *at == first + number).map_or(0, |(_, bits)| *bits);
            change = block.advance(equal, change);
        }
        self.bottom = self.bottom + change[0] as usize - change[1] as usize;
        &self.blocks[first..=last]
    }

    /// Calls back with each row inside the band, from the last one up, and its distance.
    fn each(&self, mut row_distance: impl FnMut(usize, usize)) {
        let first = if self.number == 0 { 0 } else { self.band.first(self.number) };
        let mut distance = self.bottom;
        for row in (first * ROWS + 1..=(self.last + 1) * ROWS).rev() {
            if row <= self.band.rows {
                row_distance(row, distance);
            }
            let (block, bit) = (&self.blocks[(row - 1) / ROWS], 1 << ((row - 1) % ROWS));
            distance += usize::from(block.less & bit != 0);
            distance -= usize::from(block.more & bit != 0);
        }
        row_distance(first * ROWS, distance);
    }
}

/// As [`meet`] when nobody knows how many errors there are.
pub fn meet_unknown(reference: &[u32], hypothesis: &[u32], middle: usize) -> (usize, usize, usize) {
    let (rows, columns) = (reference.len(), hypothesis.len());
    // A band too narrow finds a way too long; then a wider one.
    let mut limit = rows.abs_diff(columns) + ROWS.max(rows / 32);
    loop {
        let found = meet(reference, hypothesis, middle, &Band::new(rows, columns, limit));
        let errors = found.1.saturating_add(found.2);
        if errors <= limit {
            return found;
        }
        limit = errors.min(limit * 2);
    }
}

/// The row in which a shortest way crosses a column, with the errors before it and after it.
pub fn meet(reference: &[u32], hypothesis: &[u32], middle: usize, band: &Band) -> (usize, usize, usize) {
    // The second half from its end, where the same band is as wide.
    let (before, after) = rayon::join(
        || BandColumn::after(reference.iter().copied(), hypothesis[..middle].iter(), band),
        || BandColumn::after(reference.iter().rev().copied(), hypothesis[middle..].iter().rev(), band),
    );
    let mut left = vec![usize::MAX; band.rows + 1];
    before.each(|row, distance| left[row] = distance);
    let mut best = (0, usize::MAX, 0);
    after.each(|from_end, right| {
        let row = band.rows - from_end;
        if left[row].saturating_add(right) < best.1.saturating_add(best.2) {
            best = (row, left[row], right);
        }
    });
    best
}
