//! Products with a weight, for a single row as for a whole window of them.
//!
//! A weight `[out, in]` is kept as panels of [`PANEL`] outputs: what a step of a sum needs lies together, for
//! any number of rows, and one row reads the whole of it front to back.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;
use super::memory::Shared;
use super::pointwise::gelu;
use super::tile::{ROWS, Tile};
use crate::device::kernels::Then;

/// Outputs of a panel.
pub const PANEL: usize = 48;

/// Steps of a sum after which the next panel's turn comes, and values of `x` that are used together: as much as
/// stays in the second cache beside a panel.
const STEPS: usize = 768;
const BLOCK: usize = 200 << 10;

/// Rows up to which the weight's way from the memory counts more than the arithmetic.
const FEW: usize = 2 * ROWS;

pub fn packed_len(width: usize, out: usize) -> usize {
    out.div_ceil(PANEL) * width * PANEL
}

/// `[out, in]` → `[panels, in, PANEL]`, zeros beyond the last output.
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

/// Rows of `width` values, each `stride` after the other, against a packed weight and a bias.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    pub x: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub width: usize,
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub out: usize,
    pub then: Then,
}

impl Product<'_> {
    /// Into `y`, `[rows, out]`.
    pub fn run(&self, y: &mut [f32]) {
        let Product { x, stride, rows, width, weight, bias, out, .. } = *self;
        if rows == 0 {
            return;
        }
        assert!(
            x.len() >= (rows - 1) * stride + width
                && weight.len() == packed_len(width, out)
                && bias.is_none_or(|bias| bias.len() == out)
                && y.len() == rows * out,
            "the shapes of a product"
        );
        let arch = Arch::new();
        let y = Shared::new(y);
        let panels = out.div_ceil(PANEL);
        if rows * width * out <= SERIAL_WORK {
            return arch.dispatch(Block { product: self, y, rows: 0..rows, panels: 0..panels });
        }
        // Blocks of rows, cut evenly, and as many groups of panels as keep all threads busy to the end.
        let most = if rows <= FEW { rows } else { (BLOCK / width.min(STEPS)).max(ROWS) };
        let row_blocks = rows.div_ceil(most);
        let height = rows.div_ceil(row_blocks).next_multiple_of(ROWS);
        let groups = (4 * rayon::current_num_threads()).div_ceil(row_blocks).min(panels);
        (0..row_blocks * groups).into_par_iter().with_max_len(1).for_each(|task| {
            let (block, group) = (task / groups, task % groups);
            let rows = block * height..rows.min((block + 1) * height);
            let panels = group * panels / groups..(group + 1) * panels / groups;
            if !rows.is_empty() {
                arch.dispatch(Block { product: self, y, rows, panels });
            }
        });
    }
}

/// The rectangle of some rows and some panels.
struct Block<'a> {
    product: &'a Product<'a>,
    /// All of it: every block has a rectangle of its own.
    y: Shared<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Product { x, stride, width, weight, .. } = *self.product;
        // A few rows lie in the nearest cache whole: nothing is gained by cutting their sums.
        let pieces = if self.rows.len() <= FEW { 1 } else { width.div_ceil(STEPS) };
        let mut sums = [[0f32; PANEL]; ROWS];
        for piece in 0..pieces {
            let steps = piece * width / pieces..(piece + 1) * width / pieces;
            for panel in self.panels.clone() {
                let w = &weight[(panel * width + steps.start) * PANEL..][..steps.len() * PANEL];
                for first in self.rows.clone().step_by(ROWS) {
                    let rows = ROWS.min(self.rows.end - first);
                    self.begin(first, rows, panel, piece == 0, &mut sums);
                    let x = &x[first * stride + steps.start..];
                    let (sums_stride, fresh) = (PANEL, false);
                    let to = sums.as_flattened_mut();
                    Tile::<PANEL> { x, stride, rows, w, sums: to, sums_stride, fresh }.add(simd);
                    self.end(simd, first, rows, panel, piece + 1 == pieces, &mut sums);
                }
            }
        }
    }
}

impl Block<'_> {
    /// Where in `y` a row's part in a panel is, and its length.
    #[inline(always)]
    fn place(&self, row: usize, panel: usize) -> (usize, usize) {
        let (out, first) = (self.product.out, panel * PANEL);
        debug_assert!(self.rows.contains(&row) && self.panels.contains(&panel));
        (row * out + first, PANEL.min(out - first))
    }

    /// What the sums start from: the bias and what they are added to, or where the last piece of them ended.
    #[inline(always)]
    fn begin(&self, first: usize, rows: usize, panel: usize, fresh: bool, sums: &mut [[f32; PANEL]; ROWS]) {
        let Product { bias, then, .. } = *self.product;
        for (row, sums) in (first..first + rows).zip(sums) {
            if !fresh || then == Then::Add {
                let (at, len) = self.place(row, panel);
                // SAFETY: this block alone uses these rows in these panels, one such slice at a time.
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
    fn end<S: Simd>(
        &self,
        simd: S,
        first: usize,
        rows: usize,
        panel: usize,
        last: bool,
        sums: &mut [[f32; PANEL]; ROWS],
    ) {
        for (row, sums) in (first..first + rows).zip(sums) {
            if last && self.product.then == Then::Gelu {
                gelu(simd, sums);
            }
            let (at, len) = self.place(row, panel);
            // SAFETY: as in `begin`.
            copy(sums, unsafe { self.y.slice(at, len) });
        }
    }
}

/// As much as both have. Nearly always a whole panel, for which a few vectors do.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    match (<&[f32; PANEL]>::try_from(from), <&mut [f32; PANEL]>::try_from(&mut *to)) {
        (Ok(from), Ok(to)) => *to = *from,
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}
