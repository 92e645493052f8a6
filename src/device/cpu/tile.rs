//! The innermost loop of every product: a few rows against one panel.
//!
//! A *panel* holds `P` columns of a matrix: `P` values for the first step of the sum, then `P` for the next. Each sum of
//! a tile adds its terms in order and on its own. Its bits therefore depend neither on the rows beside it, nor on the
//! number of threads, nor on where a long sum is split.

use pulp::{Simd, WithSimd};

/// The largest number of rows in a tile. With three vectors of a panel, the sums fit the 32 registers of AVX-512 and NEON.
pub const ROWS: usize = 8;

/// Bytes ahead of its use that a panel is prefetched from memory to the L2 cache.
const L2_DISTANCE: usize = 8192;
/// Bytes ahead of its use that a panel is prefetched from the L2 to the L1 cache.
const L1_DISTANCE: usize = 1536;

/// Computes `sums = x · w` if `fresh`, otherwise `sums += x · w`. `x` has `rows` rows, each `stride` after the other and
/// at least as long as the panel has steps; there are always [`ROWS`] rows of `P` sums.
pub struct PanelTile<'a, const P: usize> {
    pub x: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub w: &'a [f32],
    pub sums: &'a mut [f32],
    pub sums_stride: usize,
    pub fresh: bool,
}

impl<const P: usize> PanelTile<'_, P> {
    #[inline(always)]
    pub fn add<S: Simd>(self, simd: S) {
        match self.rows {
            1 => self.fixed::<S, 1>(simd),
            2 => self.fixed::<S, 2>(simd),
            3..=4 => self.fixed::<S, 4>(simd),
            _ => self.fixed::<S, ROWS>(simd),
        }
    }

    /// Computes `R` rows. Rows beyond the last one repeat it, and their sums are not used.
    #[inline(always)]
    fn fixed<S: Simd, const R: usize>(self, simd: S) {
        let PanelTile { x, stride, rows, w, sums, sums_stride, fresh } = self;
        let steps = w.len() / P;
        let x: [&[f32]; R] = std::array::from_fn(|r| &x[r.min(rows - 1) * stride..][..steps]);
        // The second parameter is the number of the panel's vectors that are summed in one pass.
        match (S::F32_LANES, P / 16) {
            (4 | 16, 3) => simd.vectorize(FixedTile::<R, 3, P> { x, w, sums, sums_stride, fresh }),
            (4 | 16, 2) => simd.vectorize(FixedTile::<R, 2, P> { x, w, sums, sums_stride, fresh }),
            _ => simd.vectorize(FixedTile::<R, 1, P> { x, w, sums, sums_stride, fresh }),
        }
    }
}

struct FixedTile<'a, const R: usize, const V: usize, const P: usize> {
    x: [&'a [f32]; R],
    w: &'a [f32],
    sums: &'a mut [f32],
    sums_stride: usize,
    fresh: bool,
}

impl<const R: usize, const V: usize, const P: usize> WithSimd for FixedTile<'_, R, V, P> {
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
                let w: [S::f32s; V] =
                    std::array::from_fn(|v| S::as_simd_f32s(&w[first + v * lanes..][..lanes]).0[0]);
                for r in 0..R {
                    // SAFETY: `k` is less than `steps`, and each row was cut to that length.
                    let x = simd.splat_f32s(unsafe { *x[r].add(k) });
                    for v in 0..V {
                        acc[r][v] = simd.mul_add_f32s(x, w[v], acc[r][v]);
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
fn prefetch<const P: usize>(w: &[f32; P]) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..P / 16 {
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
