//! The innermost loop of every product: a few rows against one panel.
//!
//! A *panel* holds `P` columns of a matrix: `P` values for the first step of the sum, then `P` for the next. Each sum of
//! a tile adds its terms in order and on its own. Its bits therefore depend neither on the rows beside it, nor on the
//! number of threads, nor on where a long sum is split.
//!
//! The shape of a tile follows the registers. The sums of 8 rows and 3 vectors fit the 32 registers of AVX-512 and NEON,
//! those of 6 rows and 2 vectors the 16 registers of AVX2. So a panel is as wide as a tile, or a multiple of it.

use pulp::{Simd, WithSimd};

use super::stored::Stored;

/// The largest number of rows in a tile.
pub const MAX_ROWS: usize = 8;

/// Bytes ahead of its use that a panel is prefetched from memory to the L2 cache.
const L2_DISTANCE: usize = 8192;
/// Bytes ahead of its use that a panel is prefetched from the L2 to the L1 cache.
const L1_DISTANCE: usize = 1536;

/// Returns whether the instructions with vectors of so many values have 32 registers, and so wide panels.
pub const fn is_wide(lanes: usize) -> bool {
    matches!(lanes, 4 | 16)
}

/// Returns the number of rows of each tile that `rows` rows are computed in. The last tile may have fewer.
pub fn tile_height(lanes: usize, rows: usize) -> usize {
    let highest = if lanes == 8 { 6 } else { MAX_ROWS };
    // Tiles of any height are compiled, so 9 rows are better tiles of 5 and 4 than of 8 and 1.
    rows.div_ceil(rows.div_ceil(highest).max(1)).max(1)
}

/// Computes `sums = x · w` if `fresh`, otherwise `sums += x · w`. `x` has `rows` rows, each `stride` after the other and
/// at least as long as the panel has steps; the sums of a row are `P` values.
pub struct PanelTile<'a, T, const P: usize> {
    pub x: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub w: &'a [T],
    pub sums: &'a mut [f32],
    pub sums_stride: usize,
    pub fresh: bool,
}

impl<T: Stored, const P: usize> PanelTile<'_, T, P> {
    #[inline(always)]
    pub fn add<S: Simd>(self, simd: S) {
        match self.rows {
            1 => self.fixed::<S, 1>(simd),
            2 => self.fixed::<S, 2>(simd),
            3 => self.fixed::<S, 3>(simd),
            4 => self.fixed::<S, 4>(simd),
            5 => self.fixed::<S, 5>(simd),
            6 => self.fixed::<S, 6>(simd),
            7 => self.fixed::<S, 7>(simd),
            _ => self.fixed::<S, MAX_ROWS>(simd),
        }
    }

    #[inline(always)]
    fn fixed<S: Simd, const R: usize>(self, simd: S) {
        let PanelTile { x, stride, rows, w, sums, sums_stride, fresh } = self;
        debug_assert_eq!(rows, R);
        let steps = w.len() / P;
        let x: [&[f32]; R] = std::array::from_fn(|r| &x[r * stride..][..steps]);
        // The number of the panel's vectors that are summed in one pass. Only the kernel that is used is compiled.
        if const { is_wide(S::F32_LANES) && P == 48 } {
            T::vectorize(simd, FixedTile::<T, R, 3, P> { x, w, sums, sums_stride, fresh });
        } else if const { S::F32_LANES == 8 || is_wide(S::F32_LANES) && P == 32 } {
            T::vectorize(simd, FixedTile::<T, R, 2, P> { x, w, sums, sums_stride, fresh });
        } else {
            T::vectorize(simd, FixedTile::<T, R, 1, P> { x, w, sums, sums_stride, fresh });
        }
    }
}

struct FixedTile<'a, T, const R: usize, const V: usize, const P: usize> {
    x: [&'a [f32]; R],
    w: &'a [T],
    sums: &'a mut [f32],
    sums_stride: usize,
    fresh: bool,
}

impl<T: Stored, const R: usize, const V: usize, const P: usize> WithSimd for FixedTile<'_, T, R, V, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let FixedTile { x, w, sums, sums_stride, fresh } = self;
        let (panel, _) = w.as_chunks::<P>();
        let steps = panel.len();
        let x = x.map(|row| row[..steps].as_ptr());
        let lanes = S::F32_LANES;
        for first in (0..P / (V * lanes)).map(|pass| pass * V * lanes) {
            let mut acc = [[simd.splat_f32s(0.0); V]; R];
            if !fresh {
                for (r, acc) in acc.iter_mut().enumerate() {
                    let sums = &sums[r * sums_stride + first..][..V * lanes];
                    acc.copy_from_slice(S::as_simd_f32s(sums).0);
                }
            }
            for (k, w) in panel.iter().enumerate() {
                prefetch(w);
                // A loop, because a closure would not be inlined here together with the instructions that it uses.
                let mut wide = [simd.splat_f32s(0.0); V];
                for (v, wide) in wide.iter_mut().enumerate() {
                    *wide = T::load(simd, &w[first + v * lanes..]);
                }
                for r in 0..R {
                    // SAFETY: `k` is less than `steps`, and each row was cut to that length.
                    let x = simd.splat_f32s(unsafe { *x[r].add(k) });
                    for v in 0..V {
                        acc[r][v] = simd.mul_add_f32s(x, wide[v], acc[r][v]);
                    }
                }
            }
            for (r, acc) in acc.iter().enumerate() {
                let sums = &mut sums[r * sums_stride + first..][..V * lanes];
                S::as_mut_simd_f32s(sums).0.copy_from_slice(acc);
            }
        }
    }
}

/// Prefetches later parts of a panel. The hardware prefetcher stops at page boundaries and does not run far enough ahead
/// of the arithmetic.
#[inline(always)]
fn prefetch<T, const P: usize>(w: &[T; P]) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..size_of_val(w).div_ceil(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let at = w.as_ptr().wrapping_byte_add(64 * line);
        // SAFETY: a prefetch never faults, whatever the address.
        unsafe {
            _mm_prefetch(at.wrapping_byte_add(L1_DISTANCE).cast(), _MM_HINT_T0);
            _mm_prefetch(at.wrapping_byte_add(L2_DISTANCE).cast(), _MM_HINT_T1);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (w, L1_DISTANCE, L2_DISTANCE);
}
