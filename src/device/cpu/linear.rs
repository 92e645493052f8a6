//! Products with a weight matrix, for a single row as for a whole window of rows.
//!
//! A weight `[out, in]` is packed in panels of [`PANEL`] outputs. The values of one step of a sum are contiguous, for any
//! number of rows, and a single row reads the matrix from front to back.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;
use super::memory::SharedSlice;
use super::pointwise::gelu;
use super::tile::{PanelTile, ROWS};
use crate::device::kernels::Epilogue;

/// Outputs in a panel.
pub const PANEL: usize = 48;

/// Steps of a sum before the loop moves on to the next panel.
const STEPS: usize = 768;
/// Values of `x` in a block: as many as stay in the L2 cache beside a panel.
const BLOCK_VALUES: usize = 200 << 10;

/// Rows up to which loading the weight costs more than the arithmetic.
const FEW_ROWS: usize = 2 * ROWS;

pub fn packed_len(width: usize, out: usize) -> usize {
    out.div_ceil(PANEL) * width * PANEL
}

/// Packs `[out, in]` into `[panels, in, PANEL]`, which is zero beyond the last output.
pub fn pack(weight: &[f32], width: usize, packed: &mut [f32]) {
    packed.par_chunks_exact_mut(width * PANEL).zip(weight.par_chunks(width * PANEL)).for_each(
        |(to, from)| {
            for (lane, row) in from.chunks_exact(width).enumerate() {
                for (to, &value) in to[lane..].iter_mut().step_by(PANEL).zip(row) {
                    *to = value;
                }
            }
        },
    );
}

/// A product of rows of `width` values, each `stride` after the other, with a packed weight and a bias.
#[derive(Clone, Copy)]
pub struct PackedProduct<'a> {
    pub x: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub width: usize,
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub out: usize,
    pub epilogue: Epilogue,
}

impl PackedProduct<'_> {
    /// Computes the product into `y`, `[rows, out]`.
    pub fn run(&self, y: &mut [f32]) {
        let PackedProduct { x, stride, rows, width, weight, bias, out, .. } = *self;
        if rows == 0 {
            return;
        }
        assert!(
            x.len() >= (rows - 1) * stride + width
                && weight.len() == packed_len(width, out)
                && bias.is_none_or(|bias| bias.len() == out)
                && y.len() == rows * out,
            "product: shapes do not match"
        );
        let arch = Arch::new();
        let y = SharedSlice::new(y);
        let panels = out.div_ceil(PANEL);
        if rows * width * out <= SERIAL_WORK {
            return arch.dispatch(ProductBlock { product: self, y, rows: 0..rows, panels: 0..panels });
        }
        // Blocks of rows of even height, and as many groups of panels as keep all threads busy to the end.
        let max_height = if rows <= FEW_ROWS { rows } else { (BLOCK_VALUES / width.min(STEPS)).max(ROWS) };
        let row_blocks = rows.div_ceil(max_height);
        let height = rows.div_ceil(row_blocks).next_multiple_of(ROWS);
        let groups = (4 * rayon::current_num_threads()).div_ceil(row_blocks).min(panels);
        (0..row_blocks * groups).into_par_iter().with_max_len(1).for_each(|task| {
            let (block, group) = (task / groups, task % groups);
            let rows = block * height..rows.min((block + 1) * height);
            let panels = group * panels / groups..(group + 1) * panels / groups;
            if !rows.is_empty() {
                arch.dispatch(ProductBlock { product: self, y, rows, panels });
            }
        });
    }
}

/// The part of a product with these rows and panels.
struct ProductBlock<'a> {
    product: &'a PackedProduct<'a>,
    /// All of `y`. The blocks write disjoint parts of it.
    y: SharedSlice<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl WithSimd for ProductBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let PackedProduct { x, stride, width, weight, .. } = *self.product;
        // A few rows fit in the L1 cache, so that splitting their sums gains nothing.
        let pieces = if self.rows.len() <= FEW_ROWS { 1 } else { width.div_ceil(STEPS) };
        let mut sums = [[0f32; PANEL]; ROWS];
        for piece in 0..pieces {
            let steps = piece * width / pieces..(piece + 1) * width / pieces;
            for panel in self.panels.clone() {
                let w = &weight[(panel * width + steps.start) * PANEL..][..steps.len() * PANEL];
                for first in self.rows.clone().step_by(ROWS) {
                    let rows = ROWS.min(self.rows.end - first);
                    self.load_sums(first, rows, panel, piece == 0, &mut sums);
                    let x = &x[first * stride + steps.start..];
                    let (sums_stride, fresh) = (PANEL, false);
                    let to = sums.as_flattened_mut();
                    PanelTile::<PANEL> { x, stride, rows, w, sums: to, sums_stride, fresh }.add(simd);
                    self.store_sums(simd, first, rows, panel, piece + 1 == pieces, &mut sums);
                }
            }
        }
    }
}

impl ProductBlock<'_> {
    /// Returns the start and the length of a row's part of a panel in `y`.
    #[inline(always)]
    fn output_range(&self, row: usize, panel: usize) -> (usize, usize) {
        let (out, first) = (self.product.out, panel * PANEL);
        debug_assert!(self.rows.contains(&row) && self.panels.contains(&panel));
        (row * out + first, PANEL.min(out - first))
    }

    /// Initializes the sums: with the bias and what `y` holds if they are added to it, or with the previous piece's sums.
    #[inline(always)]
    fn load_sums(
        &self,
        first: usize,
        rows: usize,
        panel: usize,
        fresh: bool,
        sums: &mut [[f32; PANEL]; ROWS],
    ) {
        let PackedProduct { bias, epilogue, .. } = *self.product;
        for (row, sums) in (first..first + rows).zip(sums) {
            if !fresh || epilogue == Epilogue::Add {
                let (at, len) = self.output_range(row, panel);
                // SAFETY: only this block uses these rows in these panels, one such slice at a time.
                copy(unsafe { self.y.slice(at, len) }, sums);
            } else {
                *sums = [0.0; PANEL];
            }
            if let (true, Some(bias)) = (fresh, bias) {
                sums.iter_mut().zip(&bias[panel * PANEL..]).for_each(|(sum, bias)| *sum += bias);
            }
        }
    }

    #[inline(always)]
    fn store_sums<S: Simd>(
        &self,
        simd: S,
        first: usize,
        rows: usize,
        panel: usize,
        last: bool,
        sums: &mut [[f32; PANEL]; ROWS],
    ) {
        for (row, sums) in (first..first + rows).zip(sums) {
            if last && self.product.epilogue == Epilogue::Gelu {
                gelu(simd, sums);
            }
            let (at, len) = self.output_range(row, panel);
            // SAFETY: as in `load_sums`.
            copy(sums, unsafe { self.y.slice(at, len) });
        }
    }
}

/// Copies as much as both hold. It is nearly always a whole panel, which the compiler copies with a few vectors.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    match (<&[f32; PANEL]>::try_from(from), <&mut [f32; PANEL]>::try_from(&mut *to)) {
        (Ok(from), Ok(to)) => *to = *from,
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}
