//! Matrix products with a weight `[out, in]`: many rows through the gemm crate, few rows by dot products.

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;

/// `y = x · wᵀ + bias` for a whole window of rows at once.
pub fn matrix(x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32], shape: (usize, usize, usize)) {
    let (rows, width, out) = shape;
    if let Some(bias) = bias {
        y.chunks_exact_mut(out).for_each(|row| row.copy_from_slice(bias));
    }
    product(x, (width, 1), w, (1, width), y, (rows, width, out), bias.is_some(), Parallelism::Rayon(0));
}

/// `y (+)= a · b` where `a` is `[m, k]` and `b` is `[k, n]`, each with its (row, column) strides; `y` is dense.
#[expect(clippy::too_many_arguments, reason = "the operands of a matrix product")]
fn product(
    a: &[f32],
    a_strides: (usize, usize),
    b: &[f32],
    b_strides: (usize, usize),
    y: &mut [f32],
    (m, k, n): (usize, usize, usize),
    accumulate: bool,
    parallelism: Parallelism,
) {
    strided_product(a, a_strides, b, b_strides, y, n, (m, k, n), accumulate, 1.0, parallelism);
}

/// As [`product`], times `factor`, into rows of `y` that lie `y_stride` apart.
#[expect(clippy::too_many_arguments, reason = "the operands of a matrix product")]
pub fn strided_product(
    a: &[f32],
    a_strides: (usize, usize),
    b: &[f32],
    b_strides: (usize, usize),
    y: &mut [f32],
    y_stride: usize,
    (m, k, n): (usize, usize, usize),
    accumulate: bool,
    factor: f32,
    parallelism: Parallelism,
) {
    if m == 0 || n == 0 {
        return;
    }
    let reach = |rows: usize, columns: usize, (r, c): (usize, usize)| {
        if rows == 0 || columns == 0 { 0 } else { (rows - 1) * r + (columns - 1) * c + 1 }
    };
    assert!(a.len() >= reach(m, k, a_strides), "the left matrix of a product is too small");
    assert!(b.len() >= reach(k, n, b_strides), "the right matrix of a product is too small");
    assert!(y.len() >= reach(m, n, (y_stride, 1)), "the result of a product is too small");
    // SAFETY: the asserts above keep every index that the strides can reach inside the three slices, and
    // the borrow checker keeps `y` apart from the other two.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            y_stride as isize,
            accumulate,
            a.as_ptr(),
            a_strides.1 as isize,
            a_strides.0 as isize,
            b.as_ptr(),
            b_strides.1 as isize,
            b_strides.0 as isize,
            1.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `y = x · wᵀ + bias` for few rows: reads the weight once, and gives each row the same bits whatever the
/// rows beside it, because every value is one dot product summed in one fixed order.
pub fn rows(x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32], width: usize, out: usize) {
    let arch = Arch::new();
    let count = x.len() / width;
    if count == 0 {
        return;
    }
    // Threads share the outputs. Each writes columns of every row, so it fills a block of its own first.
    let threads = if count * width * out <= SERIAL_WORK { 1 } else { rayon::current_num_threads() };
    let piece = out.div_ceil(threads * 4).next_multiple_of(OUT_TILE).max(OUT_TILE);
    if threads == 1 || count == 1 {
        let fill = |(index, y): (usize, &mut [f32])| {
            let first = index * piece;
            let w = &w[first * width..(first + y.len() / count) * width];
            let bias = bias.map(|b| &b[first..first + y.len() / count]);
            arch.dispatch(Rows { x, w, bias, y, width });
        };
        match threads {
            1 => arch.dispatch(Rows { x, w, bias, y, width }),
            _ => y.par_chunks_mut(piece).enumerate().for_each(fill),
        }
        return;
    }
    let blocks: Vec<(usize, Vec<f32>)> = (0..out.div_ceil(piece))
        .into_par_iter()
        .map(|index| {
            let (first, last) = (index * piece, out.min((index + 1) * piece));
            let mut block = vec![0f32; count * (last - first)];
            let w = &w[first * width..last * width];
            arch.dispatch(Rows { x, w, bias: bias.map(|b| &b[first..last]), y: &mut block, width });
            (first, block)
        })
        .collect();
    for (first, block) in blocks {
        let columns = block.len() / count;
        for (row, values) in block.chunks_exact(columns).enumerate() {
            y[row * out + first..row * out + first + columns].copy_from_slice(values);
        }
    }
}

/// Outputs and rows computed together, so that what is loaded once serves several sums.
const OUT_TILE: usize = 4;
const ROW_TILE: usize = 4;
/// Outputs at a time for a single row, where only the memory counts: more streams keep it busy.
const WIDE_TILE: usize = 8;

struct Rows<'a> {
    x: &'a [f32],
    w: &'a [f32],
    bias: Option<&'a [f32]>,
    y: &'a mut [f32],
    width: usize,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows { x, w, bias, y, width } = self;
        let (count, out) = (x.len() / width, w.len() / width);
        let mut o = 0;
        while o < out {
            let wide = count == 1 && o + WIDE_TILE <= out;
            let step = if wide { WIDE_TILE } else { OUT_TILE.min(out - o) };
            let tile = &w[o * width..(o + step) * width];
            let mut r = 0;
            while r < count {
                let rows = ROW_TILE.min(count - r);
                let x = &x[r * width..(r + rows) * width];
                let mut put = |row: usize, column: usize, sum: f32| {
                    y[(r + row) * out + o + column] = sum + bias.map_or(0.0, |b| b[o + column]);
                };
                match (rows, step) {
                    (4, 4) => dots::<S, 4, 4>(simd, x, tile, width, &mut put),
                    (3, 4) => dots::<S, 3, 4>(simd, x, tile, width, &mut put),
                    (2, 4) => dots::<S, 2, 4>(simd, x, tile, width, &mut put),
                    (1, 8) => dots::<S, 1, 8>(simd, x, tile, width, &mut put),
                    (1, 4) => dots::<S, 1, 4>(simd, x, tile, width, &mut put),
                    _ => {
                        for row in 0..rows {
                            for column in 0..step {
                                let x = &x[row * width..(row + 1) * width];
                                let w = &tile[column * width..(column + 1) * width];
                                dots::<S, 1, 1>(simd, x, w, width, |_, _, sum| put(row, column, sum));
                            }
                        }
                    }
                }
                r += rows;
            }
            o += step;
        }
    }
}

/// The dot products of `R` rows of `x` with `C` rows of `w`. Each sum has an accumulator of its own and runs
/// through the width in order, so the tile's size does not show in the result.
#[inline(always)]
fn dots<S: Simd, const R: usize, const C: usize>(
    simd: S,
    x: &[f32],
    w: &[f32],
    width: usize,
    mut put: impl FnMut(usize, usize, f32),
) {
    let xs: [_; R] = std::array::from_fn(|r| S::as_simd_f32s(&x[r * width..(r + 1) * width]));
    let ws: [_; C] = std::array::from_fn(|c| S::as_simd_f32s(&w[c * width..(c + 1) * width]));
    let vectors = xs[0].0.len();
    let xv: [&[S::f32s]; R] = std::array::from_fn(|r| &xs[r].0[..vectors]);
    let wv: [&[S::f32s]; C] = std::array::from_fn(|c| &ws[c].0[..vectors]);
    let mut sums = [[simd.splat_f32s(0.0); C]; R];
    for i in 0..vectors {
        for c in 0..C {
            let w = wv[c][i];
            for r in 0..R {
                sums[r][c] = simd.mul_add_f32s(xv[r][i], w, sums[r][c]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (c, sum) in sums.into_iter().enumerate() {
            let tail: f32 = xs[r].1.iter().zip(ws[c].1).map(|(x, w)| x * w).sum();
            put(r, c, simd.reduce_sum_f32s(sum) + tail);
        }
    }
}
