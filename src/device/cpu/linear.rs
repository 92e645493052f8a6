//! Products with a weight matrix, for a single row as for a whole window of rows.
//!
//! A weight `[out, in]` is packed in panels of as many outputs as a tile computes. The values of one step of a sum are
//! contiguous, for any number of rows, and a single row reads the matrix from front to back.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;
use super::level::SimdLevel;
use super::memory::{Aligned, SharedSlice, with_scratch};
use super::pointwise::gelu;
use super::stored::{Stored, Widen};
use super::tile::{MAX_ROWS, PanelTile, is_wide, tile_height};
use crate::device::kernels::Epilogue;

/// The largest number of outputs in a panel.
const MAX_PANEL: usize = 48;

/// Rows up to which loading the weight costs more than the arithmetic.
const FEW_ROWS: usize = 2 * MAX_ROWS;

/// How the loops of a product are cut to the registers and caches.
#[derive(Debug, Clone, Copy)]
pub struct Blocking {
    /// Outputs in a panel.
    pub panel: usize,
    /// Steps of a sum before the loop moves on to the next panel.
    steps: usize,
    /// Values of `x` in a block: as many as stay in the L2 cache beside a panel.
    block_values: usize,
}

impl Blocking {
    pub fn of(level: SimdLevel) -> Self {
        Self::with_lanes(level.lanes())
    }

    const fn with_lanes(lanes: usize) -> Self {
        match lanes {
            // Processors with AVX2 only have smaller caches. A piece of a panel takes 24 KB of the L1 cache.
            8 => Blocking { panel: 16, steps: 384, block_values: 64 << 10 },
            16 | 4 => Blocking { panel: MAX_PANEL, steps: 768, block_values: 200 << 10 },
            _ => Blocking { panel: 16, steps: 768, block_values: 64 << 10 },
        }
    }
}

/// A weight `[out, in]` in `[panels, in, panel]`, which is zero beyond the last output.
#[derive(Debug)]
pub struct PackedWeight<T: Stored> {
    values: Aligned<T>,
    blocking: Blocking,
    pub width: usize,
    pub out: usize,
}

impl<T: Stored> PackedWeight<T> {
    pub fn pack(weight: &[f32], width: usize, level: SimdLevel) -> Self {
        let (blocking, out) = (Blocking::of(level), weight.len() / width);
        let panel = blocking.panel;
        let mut values = Aligned::zeros(out.div_ceil(panel) * width * panel);
        values.par_chunks_exact_mut(width * panel).zip(weight.par_chunks(width * panel)).for_each(
            |(to, from)| {
                let mut narrow = vec![T::default(); width];
                for (lane, row) in from.chunks_exact(width).enumerate() {
                    T::narrow(row, &mut narrow);
                    for (to, &value) in to[lane..].iter_mut().step_by(panel).zip(&narrow) {
                        *to = value;
                    }
                }
            },
        );
        PackedWeight { values, blocking, width, out }
    }

    /// Returns the values of one output.
    pub fn row(&self, index: usize) -> impl Iterator<Item = f32> {
        let (panel, lane) = (index / self.blocking.panel, index % self.blocking.panel);
        let panel = &self.values[panel * self.width * self.blocking.panel..];
        panel[lane..].iter().step_by(self.blocking.panel).take(self.width).map(|value| value.widen())
    }
}

/// A product of rows of `x`, each `stride` after the other, with a packed weight and a bias.
pub struct PackedProduct<'a, T: Stored> {
    pub x: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub weight: &'a PackedWeight<T>,
    pub bias: Option<&'a [f32]>,
    pub epilogue: Epilogue,
}

impl<T: Stored> PackedProduct<'_, T> {
    /// Computes the product into `y`, `[rows, out]`.
    pub fn run(&self, level: SimdLevel, y: &mut [f32]) {
        let PackedProduct { rows, weight, .. } = *self;
        let (width, out, blocking) = (weight.width, weight.out, weight.blocking);
        if rows == 0 {
            return;
        }
        self.check_shapes(level, y);
        let y = SharedSlice::new(y);
        let panels = out.div_ceil(blocking.panel);
        if rows * width * out <= SERIAL_WORK {
            return self.run_block(level, y, 0..rows, 0..panels);
        }
        // Blocks of rows of even height, and as many groups of panels as keep all threads busy to the end.
        let tile = tile_height(level.lanes(), rows);
        let max_height = match rows <= FEW_ROWS {
            true => rows,
            false => (blocking.block_values / width.min(blocking.steps)).max(tile),
        };
        let row_blocks = rows.div_ceil(max_height);
        let height = rows.div_ceil(row_blocks).next_multiple_of(tile);
        let groups = (4 * rayon::current_num_threads()).div_ceil(row_blocks).min(panels);
        (0..row_blocks * groups).into_par_iter().with_max_len(1).for_each(|task| {
            let (block, group) = (task / groups, task % groups);
            let rows = block * height..rows.min((block + 1) * height);
            let panels = group * panels / groups..(group + 1) * panels / groups;
            if !rows.is_empty() {
                self.run_block(level, y, rows, panels);
            }
        });
    }

    /// Computes the same bits without other threads.
    pub fn run_on_this_thread(&self, level: SimdLevel, y: &mut [f32]) {
        if self.rows > 0 {
            self.check_shapes(level, y);
            let panels = self.weight.out.div_ceil(self.weight.blocking.panel);
            self.run_block(level, SharedSlice::new(y), 0..self.rows, 0..panels);
        }
    }

    fn check_shapes(&self, level: SimdLevel, y: &[f32]) {
        let PackedProduct { x, stride, rows, weight, bias, .. } = *self;
        assert!(
            x.len() >= (rows - 1) * stride + weight.width
                && weight.blocking.panel == Blocking::of(level).panel
                && bias.is_none_or(|bias| bias.len() == weight.out)
                && y.len() == rows * weight.out,
            "product: shapes do not match"
        );
    }

    fn run_block(&self, level: SimdLevel, y: SharedSlice<'_>, rows: Range<usize>, panels: Range<usize>) {
        let Blocking { panel, steps, .. } = self.weight.blocking;
        let room =
            if ProductBlock::<T>::widens(rows.len()) { panel * steps.min(self.weight.width) } else { 0 };
        with_scratch(room, |wide| level.dispatch(ProductBlock { product: self, y, rows, panels, wide }));
    }
}

/// Some steps of a panel.
struct PanelPiece {
    panel: usize,
    steps: Range<usize>,
    /// The index of the piece, and the number of all.
    pieces: (usize, usize),
}

/// The part of a product with these rows and panels.
struct ProductBlock<'a, T: Stored> {
    product: &'a PackedProduct<'a, T>,
    /// All of `y`. The blocks write disjoint parts of it.
    y: SharedSlice<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    /// Room for a piece of a panel, if it is widened.
    wide: &'a mut [f32],
}

impl<T: Stored> WithSimd for ProductBlock<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if const { is_wide(S::F32_LANES) } {
            self.run::<S, MAX_PANEL>(simd);
        } else {
            self.run::<S, 16>(simd);
        }
    }
}

impl<T: Stored> ProductBlock<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const P: usize>(self, simd: S) {
        let weight = self.product.weight;
        let (width, steps) = (weight.width, const { Blocking::with_lanes(S::F32_LANES).steps });
        // A few rows fit in the L1 cache, so that splitting their sums gains nothing.
        let pieces = if self.rows.len() <= FEW_ROWS { 1 } else { width.div_ceil(steps) };
        let widens = Self::widens(self.rows.len());
        for piece in 0..pieces {
            let steps = piece * width / pieces..(piece + 1) * width / pieces;
            for panel in self.panels.clone() {
                let w = &weight.values[(panel * width + steps.start) * P..][..steps.len() * P];
                let place = PanelPiece { panel, steps: steps.clone(), pieces: (piece, pieces) };
                if widens {
                    T::vectorize(simd, Widen { from: w, to: &mut self.wide[..w.len()] });
                    self.multiply::<S, f32, P>(simd, &place, &self.wide[..w.len()]);
                } else {
                    self.multiply::<S, T, P>(simd, &place, w);
                }
            }
        }
    }

    /// Returns whether a piece of a panel is used so often that it is better widened once.
    fn widens(rows: usize) -> bool {
        !T::IS_F32 && rows > FEW_ROWS
    }

    /// Adds the products of all rows with a piece of a panel.
    #[inline(always)]
    fn multiply<S: Simd, W: Stored, const P: usize>(&self, simd: S, place: &PanelPiece, w: &[W]) {
        let PackedProduct { x, stride, .. } = *self.product;
        let PanelPiece { panel, steps, pieces: (piece, pieces) } = place;
        let tile = tile_height(S::F32_LANES, self.rows.len());
        let mut sums = [[0f32; P]; MAX_ROWS];
        for first in self.rows.clone().step_by(tile) {
            let rows = tile.min(self.rows.end - first);
            self.load_sums(first, rows, *panel, *piece == 0, &mut sums);
            let x = &x[first * stride + steps.start..];
            let (sums_stride, fresh) = (P, false);
            let to = sums.as_flattened_mut();
            PanelTile::<W, P> { x, stride, rows, w, sums: to, sums_stride, fresh }.add(simd);
            self.store_sums(simd, first, rows, *panel, piece + 1 == *pieces, &mut sums);
        }
    }

    /// Returns the start and the length of a row's part of a panel in `y`.
    #[inline(always)]
    fn output_range<const P: usize>(&self, row: usize, panel: usize) -> (usize, usize) {
        let (out, first) = (self.product.weight.out, panel * P);
        debug_assert!(self.rows.contains(&row) && self.panels.contains(&panel));
        (row * out + first, P.min(out - first))
    }

    /// Initializes the sums: with the bias and what `y` holds if they are added to it, or with the previous piece's sums.
    #[inline(always)]
    fn load_sums<const P: usize>(
        &self,
        first: usize,
        rows: usize,
        panel: usize,
        fresh: bool,
        sums: &mut [[f32; P]; MAX_ROWS],
    ) {
        let PackedProduct { bias, epilogue, .. } = *self.product;
        for (row, sums) in (first..first + rows).zip(sums) {
            if !fresh || epilogue == Epilogue::Add {
                let (at, len) = self.output_range::<P>(row, panel);
                // SAFETY: only this block uses these rows in these panels, one such slice at a time.
                copy::<P>(unsafe { self.y.slice(at, len) }, sums);
            } else {
                *sums = [0.0; P];
            }
            if let (true, Some(bias)) = (fresh, bias) {
                sums.iter_mut().zip(&bias[panel * P..]).for_each(|(sum, bias)| *sum += bias);
            }
        }
    }

    #[inline(always)]
    fn store_sums<S: Simd, const P: usize>(
        &self,
        simd: S,
        first: usize,
        rows: usize,
        panel: usize,
        last: bool,
        sums: &mut [[f32; P]; MAX_ROWS],
    ) {
        for (row, sums) in (first..first + rows).zip(sums) {
            if last && self.product.epilogue == Epilogue::Gelu {
                gelu(simd, sums);
            }
            let (at, len) = self.output_range::<P>(row, panel);
            // SAFETY: as in `load_sums`.
            copy::<P>(sums, unsafe { self.y.slice(at, len) });
        }
    }
}

/// Copies as much as both hold. It is nearly always a whole panel, which the compiler copies with a few vectors.
#[inline(always)]
fn copy<const P: usize>(from: &[f32], to: &mut [f32]) {
    match (<&[f32; P]>::try_from(from), <&mut [f32; P]>::try_from(&mut *to)) {
        (Ok(from), Ok(to)) => *to = *from,
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}
