//! Matrix products with a weight `[out, in]`: many rows through the gemm crate, few rows by dot products.

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;

/// `y = x · wᵀ + bias` for a whole window of rows at once; the shape is (rows, width, out).
pub fn matrix(x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32], shape: (usize, usize, usize)) {
    let (rows, width, out) = shape;
    assert!(x.len() == rows * width && w.len() == out * width && y.len() == rows * out, "a product's shapes");
    if let Some(bias) = bias {
        y.chunks_exact_mut(out).for_each(|row| row.copy_from_slice(bias));
    }
    // SAFETY: the assert above says that the three dense matrices lie inside their slices, and the borrow
    // checker keeps `y` apart from the other two.
    unsafe {
        gemm::gemm(
            rows,
            out,
            width,
            y.as_mut_ptr(),
            1,
            out as isize,
            bias.is_some(),
            x.as_ptr(),
            1,
            width as isize,
            w.as_ptr(),
            width as isize,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
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
        let mut put = |row: usize, column: usize, sum: f32| {
            y[row * out + column] = sum + bias.map_or(0.0, |b| b[column]);
        };
        if count == 1 {
            let wide = out / WIDE_TILE * WIDE_TILE;
            for o in (0..wide).step_by(WIDE_TILE) {
                one_row::<S, WIDE_TILE>(simd, x, &w[o * width..], width, |c, sum| put(0, o + c, sum));
            }
            for o in wide..out {
                one_row::<S, 1>(simd, x, &w[o * width..], width, |_, sum| put(0, o, sum));
            }
            return;
        }
        let tiles: Vec<Tile<'_, S>> = (0..count)
            .step_by(ROW_TILE)
            .map(|r| Tile::new(simd, x, width, r, ROW_TILE.min(count - r)))
            .collect();
        let whole = out / OUT_TILE * OUT_TILE;
        for o in (0..whole).step_by(OUT_TILE) {
            for tile in &tiles {
                tile.dots(simd, &w[o * width..], width, |r, c, sum| put(tile.first + r, o + c, sum));
            }
        }
        for o in whole..out {
            for r in 0..count {
                let x = &x[r * width..(r + 1) * width];
                one_row::<S, 1>(simd, x, &w[o * width..], width, |_, sum| put(r, o, sum));
            }
        }
    }
}

/// Up to `ROW_TILE` rows, their vectors side by side.
struct Tile<'a, S: Simd> {
    first: usize,
    count: usize,
    vectors: Vec<[S::f32s; ROW_TILE]>,
    tails: [&'a [f32]; ROW_TILE],
}

impl<'a, S: Simd> Tile<'a, S> {
    #[inline(always)]
    fn new(simd: S, x: &'a [f32], width: usize, first: usize, count: usize) -> Self {
        let mut vectors = vec![[simd.splat_f32s(0.0); ROW_TILE]; width / S::F32_LANES];
        let mut tails: [&[f32]; ROW_TILE] = [&[]; ROW_TILE];
        for r in 0..count {
            let (row, tail) = S::as_simd_f32s(&x[(first + r) * width..(first + r + 1) * width]);
            vectors.iter_mut().zip(row).for_each(|(to, &value)| to[r] = value);
            tails[r] = tail;
        }
        Tile { first, count, vectors, tails }
    }

    /// The dot products of the rows with `OUT_TILE` rows of `w`. Each has an accumulator of its own that runs
    /// through the width in order, as in [`one_row`], so which tile a row is in does not show in its results.
    #[inline(always)]
    fn dots(&self, simd: S, w: &[f32], width: usize, mut put: impl FnMut(usize, usize, f32)) {
        let row = |c: usize| S::as_simd_f32s(&w[c * width..(c + 1) * width]);
        let ((w0, t0), (w1, t1), (w2, t2), (w3, t3)) = (row(0), row(1), row(2), row(3));
        let mut sums = [[simd.splat_f32s(0.0); OUT_TILE]; ROW_TILE];
        for ((((x, &a), &b), &c), &d) in self.vectors.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
            for (sums, &x) in sums.iter_mut().zip(x) {
                sums[0] = simd.mul_add_f32s(x, a, sums[0]);
                sums[1] = simd.mul_add_f32s(x, b, sums[1]);
                sums[2] = simd.mul_add_f32s(x, c, sums[2]);
                sums[3] = simd.mul_add_f32s(x, d, sums[3]);
            }
        }
        for (r, sums) in sums.into_iter().enumerate().take(self.count) {
            for (c, (sum, tail)) in sums.into_iter().zip([t0, t1, t2, t3]).enumerate() {
                put(r, c, simd.reduce_sum_f32s(sum) + dot(self.tails[r], tail));
            }
        }
    }
}

/// The dot products of one row with `C` rows of `w`.
#[inline(always)]
fn one_row<S: Simd, const C: usize>(
    simd: S,
    x: &[f32],
    w: &[f32],
    width: usize,
    mut put: impl FnMut(usize, f32),
) {
    let (x, x_tail) = S::as_simd_f32s(x);
    let ws: [_; C] = std::array::from_fn(|c| S::as_simd_f32s(&w[c * width..(c + 1) * width]));
    let mut sums = [simd.splat_f32s(0.0); C];
    for (i, &x) in x.iter().enumerate() {
        for c in 0..C {
            sums[c] = simd.mul_add_f32s(x, ws[c].0[i], sums[c]);
        }
    }
    for (c, sum) in sums.into_iter().enumerate() {
        put(c, simd.reduce_sum_f32s(sum) + dot(x_tail, ws[c].1));
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
