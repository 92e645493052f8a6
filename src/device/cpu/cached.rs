//! Key and value caches: each head of each slot in the panels of [`super::attention`].

use std::ops::Range;

use candle_core::{Result, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;
use super::attention::{HeadLayout, QueryGroup, scratch_len};
use super::level::SimdLevel;
use super::memory::{SharedSlice, with_scratch};
use super::stored::Stored;
use super::tile::tile_height;
use crate::device::kernels::{CachePosition, CachePrefix, CacheShape};

/// Stores row `i` of `x`, from a column on, at `positions[i]` of the keys or the values. `x` comes with the number of its
/// columns and with the first one to store.
pub fn store<T: Stored>(
    cache: &mut [T],
    layout: HeadLayout,
    shape: CacheShape,
    (x, columns, column): (&[f32], usize, usize),
    positions: &[CachePosition],
) -> Result<()> {
    let CacheShape { slots, heads, len, head_dim } = shape;
    if x.len() != positions.len() * columns || column + heads * head_dim > columns {
        bail!("store: {} values at {} positions from column {column}", x.len(), positions.len());
    }
    if let Some(position) = positions.iter().find(|&&(slot, at)| slot >= slots || at >= len) {
        bail!("store: position {position:?} in {slots} slots of {len}");
    }
    let store_head = |(index, cache): (usize, &mut [T])| {
        let (slot, head) = (index / heads, index % heads);
        for (row, &(_, at)) in x.chunks_exact(columns).zip(positions).filter(|(_, to)| to.0 == slot) {
            layout.write(cache, at, &row[column + head * head_dim..][..head_dim]);
        }
    };
    if x.len() <= SERIAL_WORK {
        cache.chunks_exact_mut(layout.size()).enumerate().for_each(store_head);
    } else {
        cache.par_chunks_exact_mut(layout.size()).enumerate().for_each(store_head);
    }
    Ok(())
}

/// Copies entries of a slot to the same positions of another one.
pub fn copy<T: Stored>(
    cache: &mut [T],
    layout: HeadLayout,
    shape: CacheShape,
    (from, to): (usize, usize),
    entries: &Range<usize>,
) -> Result<()> {
    let CacheShape { slots, heads, len, .. } = shape;
    if from >= slots || to >= slots || entries.end > len {
        bail!("copy_entries: entries {entries:?} from slot {from} to {to} of {shape:?}");
    }
    (0..heads).for_each(|head| layout.copy(cache, from * heads + head, to * heads + head, entries));
    Ok(())
}

/// Computes the attention of row `i` of `q` (rows of `columns` values, the first `heads × head_dim` of them the query) to
/// the entries of `prefixes[i]`. Neighbouring rows with the same prefix are computed together.
pub fn attend<T: Stored>(
    level: SimdLevel,
    (q, columns): (&[f32], usize),
    keys: &[T],
    values: &[T],
    shape: CacheShape,
    prefixes: &[CachePrefix],
    y: &mut [f32],
) -> Result<()> {
    let CacheShape { slots, heads, len, head_dim } = shape;
    let width = heads * head_dim;
    if q.len() != prefixes.len() * columns || y.len() != prefixes.len() * width || columns < width {
        bail!("cached attention: {} values for {} rows of {columns}", q.len(), prefixes.len());
    }
    let is_outside = |&&(slot, attended): &&CachePrefix| slot >= slots || attended == 0 || attended > len;
    if let Some(prefix) = prefixes.iter().find(is_outside) {
        bail!("cached attention: {prefix:?} in {slots} slots of {len}");
    }
    let target = SharedSlice::new(y);
    let (key_len, value_len) =
        (HeadLayout::keys(level, shape).size(), HeadLayout::values(level, shape).size());
    let attend_piece = |first: usize, rows: usize, head: usize| {
        let (slot, attended) = prefixes[first];
        with_scratch(scratch_len(level, attended, head_dim), |scratch| {
            let group = QueryGroup {
                q: &q[first * columns + head * head_dim..],
                stride: columns,
                rows,
                head_dim,
                keys: &keys[(slot * heads + head) * key_len..][..key_len],
                values: &values[(slot * heads + head) * value_len..][..value_len],
                len,
                attended,
                scratch,
            };
            level.dispatch(CachedGroup { group, target, first, width, column: head * head_dim });
        });
    };
    let groups = prefixes.chunk_by(|a, b| a == b).scan(0, |at, same| {
        let first = *at;
        *at += same.len();
        Some((first, same.len()))
    });
    let pieces = groups.flat_map(|(first, count)| {
        let tile = tile_height(level.lanes(), count);
        (first..first + count).step_by(tile).map(move |row| (row, tile.min(first + count - row)))
    });
    let total: usize = prefixes.iter().map(|&(_, attended)| attended * width).sum();
    if total <= SERIAL_WORK {
        pieces.for_each(|(row, rows)| (0..heads).for_each(|head| attend_piece(row, rows, head)));
    } else {
        // Pieces of one head are neighbours, because they share its keys and values.
        let pieces: Vec<_> = pieces.collect();
        (0..heads * pieces.len()).into_par_iter().for_each(|task| {
            let (row, rows) = pieces[task % pieces.len()];
            attend_piece(row, rows, task / pieces.len());
        });
    }
    Ok(())
}

/// Computes the attention weights of the rows of `q` (of `columns` values, the first `heads × head_dim` of them the query)
/// for the first entries of a slot and for the selected heads, into `y`, `[heads, rows, entries]`.
pub fn weigh<T: Stored>(
    level: SimdLevel,
    (q, columns): (&[f32], usize),
    keys: &[T],
    shape: CacheShape,
    selected: &[usize],
    (slot, attended): CachePrefix,
    y: &mut [f32],
) -> Result<()> {
    let CacheShape { slots, heads, len, head_dim } = shape;
    let rows = q.len() / columns.max(1);
    let fits = slot < slots && (1..=len).contains(&attended) && selected.iter().all(|head| *head < heads);
    if !fits || columns < heads * head_dim || y.len() != selected.len() * rows * attended {
        bail!("cached weights: {attended} entries of slot {slot}, heads {selected:?} of {shape:?}");
    }
    let tile = tile_height(level.lanes(), rows);
    let pieces = rows.div_ceil(tile);
    let target = SharedSlice::new(y);
    let key_len = HeadLayout::keys(level, shape).size();
    (0..selected.len() * pieces).into_par_iter().for_each(|task| {
        let (index, first) = (task / pieces, task % pieces * tile);
        let (head, count) = (selected[index], tile.min(rows - first));
        with_scratch(scratch_len(level, attended, head_dim), |scratch| {
            let group = QueryGroup {
                q: &q[first * columns + head * head_dim..],
                stride: columns,
                rows: count,
                head_dim,
                keys: &keys[(slot * heads + head) * key_len..][..key_len],
                values: &[],
                len,
                attended,
                scratch,
            };
            level.dispatch(CachedWeights { group, target, first: (index * rows + first) * attended });
        });
    });
    Ok(())
}

struct CachedWeights<'a, T> {
    group: QueryGroup<'a, T>,
    target: SharedSlice<'a>,
    /// The index in the target of the first row's weights.
    first: usize,
}

impl<T: Stored> WithSimd for CachedWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let CachedWeights { group, target, first } = self;
        group.weights(simd, |row, weights| {
            // SAFETY: only this piece writes these rows of this head.
            let to = unsafe { target.slice(first + row * weights.len(), weights.len()) };
            to.copy_from_slice(weights);
        });
    }
}

struct CachedGroup<'a, T> {
    group: QueryGroup<'a, T>,
    target: SharedSlice<'a>,
    first: usize,
    width: usize,
    column: usize,
}

impl<T: Stored> WithSimd for CachedGroup<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let CachedGroup { group, target, first, width, column } = self;
        group.attend(simd, |row, dimension, attended| {
            let at = (first + row) * width + column + dimension;
            // SAFETY: only this group writes these rows in this head's columns.
            let to = unsafe { target.slice(at, attended.len()) };
            to.copy_from_slice(attended);
        });
    }
}
