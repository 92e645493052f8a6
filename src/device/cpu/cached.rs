//! Caches of keys and values, of every slot and head in the panels of [`super::attention`].

use std::ops::Range;

use candle_core::{Result, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::attention::{Few, Head, few_len};
use super::memory::{Shared, with_scratch};
use super::tile::ROWS;
use super::{Place, SERIAL_WORK};

#[derive(Debug, Clone, Copy)]
pub struct CacheShape {
    pub slots: usize,
    pub heads: usize,
    pub len: usize,
    pub head: usize,
}

impl CacheShape {
    pub fn keys(&self) -> Head {
        Head::Keys { len: self.len, head: self.head }
    }

    pub fn values(&self) -> Head {
        Head::Values { len: self.len, head: self.head }
    }
}

/// Row `i` of `x`, from a column on, to `places[i]` of the keys or the values. `x` comes with the number of
/// its columns and with the first one of what is to be stored.
pub fn store(
    cache: &mut [f32],
    layout: Head,
    shape: CacheShape,
    (x, columns, column): (&[f32], usize, usize),
    places: &[Place],
) -> Result<()> {
    let CacheShape { slots, heads, len, head } = shape;
    if x.len() != places.len() * columns || column + heads * head > columns {
        bail!("store: {} values into {} places from column {column}", x.len(), places.len());
    }
    if let Some(place) = places.iter().find(|&&(slot, at)| slot >= slots || at >= len) {
        bail!("store: place {place:?} in {slots} slots of {len}");
    }
    let one = |(index, cache): (usize, &mut [f32])| {
        let (slot, h) = (index / heads, index % heads);
        for (row, &(_, at)) in x.chunks_exact(columns).zip(places).filter(|(_, place)| place.0 == slot) {
            layout.put(cache, at, &row[column + h * head..][..head]);
        }
    };
    if x.len() <= SERIAL_WORK {
        cache.chunks_exact_mut(layout.size()).enumerate().for_each(one);
    } else {
        cache.par_chunks_exact_mut(layout.size()).enumerate().for_each(one);
    }
    Ok(())
}

/// Copies entries of a slot to the same places of another one.
pub fn copy(
    cache: &mut [f32],
    layout: Head,
    shape: CacheShape,
    (from, to): (usize, usize),
    entries: &Range<usize>,
) -> Result<()> {
    let CacheShape { slots, heads, len, .. } = shape;
    if from >= slots || to >= slots || entries.end > len {
        bail!("copy: entries {entries:?} from slot {from} to {to} of {shape:?}");
    }
    (0..heads).for_each(|h| layout.copy(cache, from * heads + h, to * heads + h, entries));
    Ok(())
}

/// Row `i` of `q` (rows of `columns` values, the first `heads × head` of them the query) sees the first
/// `reach[i].1` entries of slot `reach[i].0`. Rows in sequence that see the same are computed together.
pub fn attend(
    q: &[f32],
    columns: usize,
    keys: &[f32],
    values: &[f32],
    shape: CacheShape,
    reach: &[Place],
    y: &mut [f32],
) -> Result<()> {
    let CacheShape { slots, heads, len, head } = shape;
    let width = heads * head;
    if q.len() != reach.len() * columns || y.len() != reach.len() * width || columns < width {
        bail!("cached attention: {} values for {} rows of {columns}", q.len(), reach.len());
    }
    if let Some(place) = reach.iter().find(|&&(slot, seen)| slot >= slots || seen == 0 || seen > len) {
        bail!("cached attention: {place:?} in {slots} slots of {len}");
    }
    let arch = Arch::new();
    let target = Shared::new(y);
    let work = |first: usize, rows: usize, h: usize| {
        let (slot, seen) = reach[first];
        let (k, v) = (shape.keys().size(), shape.values().size());
        with_scratch(few_len(seen, head), |scratch| {
            let few = Few {
                q: &q[first * columns + h * head..],
                stride: columns,
                rows,
                head,
                keys: &keys[(slot * heads + h) * k..][..k],
                values: &values[(slot * heads + h) * v..][..v],
                len,
                seen,
                scratch,
            };
            arch.dispatch(Group { few, target, first, width, column: h * head });
        });
    };
    let groups = reach.chunk_by(|a, b| a == b).scan(0, |at, same| {
        let first = *at;
        *at += same.len();
        Some((first, same.len()))
    });
    let pieces = groups.flat_map(|(first, count)| {
        (first..first + count).step_by(ROWS).map(move |row| (row, ROWS.min(first + count - row)))
    });
    let total: usize = reach.iter().map(|&(_, seen)| seen * width).sum();
    if total <= SERIAL_WORK {
        pieces.for_each(|(row, rows)| (0..heads).for_each(|h| work(row, rows, h)));
    } else {
        // Pieces of one head follow one another: they share its keys and values.
        let pieces: Vec<_> = pieces.collect();
        (0..heads * pieces.len()).into_par_iter().for_each(|task| {
            let (row, rows) = pieces[task % pieces.len()];
            work(row, rows, task / pieces.len());
        });
    }
    Ok(())
}

/// How the rows of `q` (of `columns` values, the first `heads × head` of them the query) weigh the first `seen` entries
/// of a slot, for some of the heads; into `y`, `[heads, rows, seen]`.
pub fn weigh(
    q: &[f32],
    columns: usize,
    keys: &[f32],
    shape: CacheShape,
    chosen: &[usize],
    (slot, seen): Place,
    y: &mut [f32],
) -> Result<()> {
    let CacheShape { slots, heads, len, head } = shape;
    let rows = q.len() / columns.max(1);
    let fits = slot < slots && (1..=len).contains(&seen) && chosen.iter().all(|h| *h < heads);
    if !fits || columns < heads * head || y.len() != chosen.len() * rows * seen {
        bail!("cached weights: {seen} entries of slot {slot}, heads {chosen:?} of {shape:?}");
    }
    let arch = Arch::new();
    let pieces = rows.div_ceil(ROWS);
    let target = Shared::new(y);
    let size = shape.keys().size();
    (0..chosen.len() * pieces).into_par_iter().for_each(|task| {
        let (index, first) = (task / pieces, task % pieces * ROWS);
        let (h, count) = (chosen[index], ROWS.min(rows - first));
        with_scratch(few_len(seen, head), |scratch| {
            let few = Few {
                q: &q[first * columns + h * head..],
                stride: columns,
                rows: count,
                head,
                keys: &keys[(slot * heads + h) * size..][..size],
                values: &[],
                len,
                seen,
                scratch,
            };
            arch.dispatch(Weights { few, target, first: (index * rows + first) * seen });
        });
    });
    Ok(())
}

struct Weights<'a> {
    few: Few<'a>,
    target: Shared<'a>,
    /// Where in the target those of the first row go.
    first: usize,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Weights { few, target, first } = self;
        few.weights(simd, |row, weights| {
            // SAFETY: these rows of this head are this piece's own.
            let to = unsafe { target.slice(first + row * weights.len(), weights.len()) };
            to.copy_from_slice(weights);
        });
    }
}

struct Group<'a> {
    few: Few<'a>,
    target: Shared<'a>,
    first: usize,
    width: usize,
    column: usize,
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Group { few, target, first, width, column } = self;
        few.attend(simd, |row, dimension, heard| {
            let at = (first + row) * width + column + dimension;
            // SAFETY: these rows and this head's columns are this group's own.
            let to = unsafe { target.slice(at, heard.len()) };
            to.copy_from_slice(heard);
        });
    }
}
