//! Products in 8-bit integers.
//!
//! Each output of a weight is quantized symmetrically to s8 when it is packed. Each row of activations is quantized to u8
//! when it is multiplied, with a zero point, so that the one-sided values after a GELU use all 256 levels and zero stays
//! zero. An input that is much larger than the others, or that is multiplied with much larger weights, would leave the
//! others few levels. Where the magnitudes of the inputs are known, they are equalized: each input is divided by a number
//! that its weights are multiplied with before both are quantized.
//!
//! The sums of the products are exact; what follows them is computed for each value on its own, in the same
//! operations whatever the instructions. So all processors give the same bits.

mod dot;

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use self::dot::{ActivationLayout, DotKernel, MAX_PANEL, MAX_ROWS};
use super::SERIAL_WORK;
use super::level::SimdLevel;
use super::memory::{Aligned, SharedSlice, with_byte_scratch};
use super::pointwise::gelu;
use crate::device::kernels::Epilogue;

/// The largest weight; its negative is the smallest.
const MAX_WEIGHT: f32 = 127.0;
/// The largest activation; the smallest is zero.
const MAX_ACTIVATION: f32 = 255.0;
/// Adding this rounds to an integer, which is then in the low bits of the sum. Calling a function for each value would
/// take longer than all else of loading.
const ROUND: f32 = 12_582_912.0;
/// The least magnitude of an input that counts: those of normalized rows are about 3.
const MIN_MAGNITUDE: f32 = 1e-3;
/// Steps that rows are padded to a multiple of.
const PADDED: usize = 4;
/// Rows that a task quantizes.
const QUANTIZED_ROWS: usize = 32;
/// Bytes of activations in a block: as many as stay in the L2 cache beside a panel.
const BLOCK_BYTES: usize = 256 << 10;

/// A weight `[out, in]` in s8.
#[derive(Debug)]
pub struct QuantizedWeight {
    /// `[panels, groups of inputs, outputs of the panel, inputs of the group]`, zero beyond the last output and input.
    values: Aligned<i8>,
    /// What each output is multiplied with; padded to whole panels as all the following.
    scales: Vec<f32>,
    /// The sum of each output's values.
    totals: Vec<i32>,
    /// What each input is multiplied with before it is quantized; empty if with nothing.
    input_scales: Vec<f32>,
    kernel: DotKernel,
    pub width: usize,
    pub out: usize,
}

impl QuantizedWeight {
    /// Packs a weight. If it is known how large its inputs are, about, they are equalized.
    pub fn pack(weight: &[f32], width: usize, magnitudes: Option<&[f32]>, level: SimdLevel) -> Self {
        Self::pack_for(weight, width, magnitudes, DotKernel::of(level))
    }

    fn pack_for(weight: &[f32], width: usize, magnitudes: Option<&[f32]>, kernel: DotKernel) -> Self {
        let divisors = magnitudes.map_or(vec![1.0; width], |magnitudes| input_divisors(weight, magnitudes));
        let (out, panel, group) = (weight.len() / width, kernel.panel, kernel.group);
        let panels = out.div_ceil(panel);
        let panel_len = width.next_multiple_of(PADDED) * panel;
        let mut values = Aligned::zeros(panels * panel_len);
        let (mut scales, mut totals) = (vec![0f32; panels * panel], vec![0i32; panels * panel]);
        let outputs = scales.par_chunks_exact_mut(panel).zip(totals.par_chunks_exact_mut(panel));
        values.par_chunks_exact_mut(panel_len).zip(outputs).zip(weight.par_chunks(width * panel)).for_each(
            |((values, (scales, totals)), weight)| {
                let mut row = vec![0f32; width];
                for (lane, weight) in weight.chunks_exact(width).enumerate() {
                    let equalized = weight.iter().zip(&divisors).map(|(value, divisor)| value * divisor);
                    row.iter_mut().zip(equalized).for_each(|(to, value)| *to = value);
                    let max = row.iter().fold(0f32, |max, value| max.max(value.abs()));
                    let inverse = if max > 0.0 { MAX_WEIGHT / max } else { 0.0 };
                    scales[lane] = max / MAX_WEIGHT;
                    for (steps, row) in values.chunks_exact_mut(panel * group).zip(row.chunks(group)) {
                        for (to, &value) in steps[lane * group..].iter_mut().zip(row) {
                            *to = (value * inverse + ROUND).to_bits() as i8;
                            totals[lane] += i32::from(*to);
                        }
                    }
                }
            },
        );
        let input_scales = match magnitudes {
            Some(_) => divisors.iter().map(|divisor| divisor.recip()).collect(),
            None => Vec::new(),
        };
        QuantizedWeight { values, scales, totals, input_scales, kernel, width, out }
    }

    /// Returns the values of one output, as they are multiplied with.
    pub fn row(&self, index: usize) -> impl Iterator<Item = f32> {
        let DotKernel { panel, group, .. } = self.kernel;
        let (lane, scale) = (index % panel, self.scales[index]);
        let values = &self.values[index / panel * self.panel_len()..];
        let values =
            values.chunks_exact(panel * group).flat_map(move |steps| &steps[lane * group..][..group]);
        let values = values.map(move |value| f32::from(*value) * scale).take(self.width);
        values
            .zip(self.input_scales.iter().chain(std::iter::repeat(&1.0)))
            .map(|(value, scale)| value * scale)
    }

    fn panel_len(&self) -> usize {
        self.width.next_multiple_of(PADDED) * self.kernel.panel
    }

    pub fn bytes(&self) -> usize {
        self.values.len()
            + size_of_val(&self.scales[..])
            + size_of_val(&self.totals[..])
            + size_of_val(&self.input_scales[..])
    }
}

/// Returns what to divide inputs of these magnitudes by, and to multiply their weights with.
fn input_divisors(weight: &[f32], magnitudes: &[f32]) -> Vec<f32> {
    let mut largest = vec![0f32; magnitudes.len()];
    for row in weight.chunks_exact(magnitudes.len()) {
        largest.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
    }
    // Divided by the root of their quotient, an input becomes as large as its largest weight multiplied with it.
    let divisor = |(magnitude, largest): (&f32, &f32)| {
        let root = (magnitude.max(MIN_MAGNITUDE) / largest).sqrt();
        if root.is_normal() { root } else { 1.0 }
    };
    magnitudes.iter().zip(&largest).map(divisor).collect()
}

/// How a row was quantized: `value = scale · (quantized − zero)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RowScale {
    scale: f32,
    zero: i32,
}

impl RowScale {
    /// Returns how to quantize the range of these values and zero.
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: &[f32]) -> Self {
        let (vectors, tail) = S::as_simd_f32s(x);
        let zero = simd.splat_f32s(0.0);
        let (low, high) = vectors.iter().fold((zero, zero), |(low, high), &values| {
            (simd.min_f32s(low, values), simd.max_f32s(high, values))
        });
        let low = tail.iter().fold(simd.reduce_min_f32s(low), |low, &value| low.min(value));
        let high = tail.iter().fold(simd.reduce_max_f32s(high), |high, &value| high.max(value));
        let scale = (high - low) / MAX_ACTIVATION;
        RowScale { scale, zero: (-low * Self::inverse(scale)).round_ties_even() as i32 }
    }

    fn inverse(scale: f32) -> f32 {
        // Neither infinite nor, for a range of zero, NaN.
        if scale > f32::MIN_POSITIVE { scale.recip() } else { 0.0 }
    }

    /// Quantizes values, and calls `put` with the index of each and what it becomes.
    #[inline(always)]
    fn quantize(self, x: &[f32], mut put: impl FnMut(usize, u8)) {
        let (inverse, zero) = (Self::inverse(self.scale), self.zero as f32);
        for (at, &value) in x.iter().enumerate() {
            let level = (value * inverse + zero).clamp(0.0, MAX_ACTIVATION);
            put(at, (level + ROUND).to_bits() as u8);
        }
    }
}

/// Some rows to quantize.
struct QuantizeRows<'a> {
    x: &'a [f32],
    width: usize,
    input_scales: &'a [f32],
    layout: ActivationLayout,
    to: &'a mut [u8],
    scales: &'a mut [RowScale],
}

impl WithSimd for QuantizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let QuantizeRows { x, width, input_scales, layout, to, scales } = self;
        let stride = row_bytes(width, layout);
        let mut equalized = vec![0f32; input_scales.len()];
        for ((x, to), scale) in x.chunks(width).zip(to.chunks_exact_mut(stride)).zip(scales) {
            let x = if equalized.is_empty() {
                x
            } else {
                let inputs = x.iter().zip(input_scales);
                equalized.iter_mut().zip(inputs).for_each(|(to, (x, scale))| *to = x * scale);
                &equalized
            };
            *scale = RowScale::of(simd, x);
            // What is beyond the width is multiplied with zeros.
            match layout {
                ActivationLayout::U8 => scale.quantize(x, |at, value| to[at] = value),
                ActivationLayout::S8 => scale.quantize(x, |at, value| to[at] = value ^ 0x80),
                ActivationLayout::U16 => {
                    let (to, _) = to.as_chunks_mut::<2>();
                    scale.quantize(x, |at, value| to[at] = u16::from(value).to_ne_bytes());
                }
            }
        }
    }
}

fn row_bytes(width: usize, layout: ActivationLayout) -> usize {
    width.next_multiple_of(PADDED) * layout.bytes()
}

/// A product of rows of `x`, side by side, with a quantized weight and a bias.
#[derive(Clone, Copy)]
pub struct QuantizedProduct<'a> {
    pub x: &'a [f32],
    pub weight: &'a QuantizedWeight,
    pub bias: Option<&'a [f32]>,
    pub epilogue: Epilogue,
}

impl QuantizedProduct<'_> {
    /// Computes the product into `y`, `[rows, out]`.
    pub fn run(&self, level: SimdLevel, y: &mut [f32]) {
        let QuantizedProduct { x, weight, bias, .. } = *self;
        let (width, out, layout) = (weight.width, weight.out, weight.kernel.activations);
        let rows = x.len() / width;
        assert!(
            y.len() == rows * out && bias.is_none_or(|bias| bias.len() == out),
            "product: shapes do not match"
        );
        let input_scales = &weight.input_scales[..];
        let stride = row_bytes(width, layout);
        let is_small = rows * width * out <= 4 * SERIAL_WORK;
        with_byte_scratch(rows * stride, |quantized| {
            let mut scales = vec![RowScale { scale: 0.0, zero: 0 }; rows];
            if x.len() <= SERIAL_WORK {
                let scales = &mut scales[..];
                level.dispatch(QuantizeRows { x, width, input_scales, layout, to: quantized, scales });
            } else {
                let to = quantized.par_chunks_mut(QUANTIZED_ROWS * stride);
                let to = to.zip(scales.par_chunks_mut(QUANTIZED_ROWS));
                x.par_chunks(QUANTIZED_ROWS * width).zip(to).for_each(|(x, (to, scales))| {
                    level.dispatch(QuantizeRows { x, width, input_scales, layout, to, scales });
                });
            }
            let block = |y, rows, panels| QuantizedBlock {
                product: self,
                quantized,
                scales: &scales,
                y,
                rows,
                panels,
            };
            self.run_blocks(level, rows, is_small, SharedSlice::new(y), block);
        });
    }

    fn run_blocks<'b>(
        &self,
        level: SimdLevel,
        rows: usize,
        is_small: bool,
        y: SharedSlice<'b>,
        block: impl Fn(SharedSlice<'b>, Range<usize>, Range<usize>) -> QuantizedBlock<'b> + Sync,
    ) {
        let kernel = self.weight.kernel;
        let panels = self.weight.out.div_ceil(kernel.panel);
        if is_small {
            return level.dispatch(block(y, 0..rows, 0..panels));
        }
        let tile = tile_height(kernel, rows);
        let max_height = (BLOCK_BYTES / row_bytes(self.weight.width, kernel.activations)).max(2 * MAX_ROWS);
        let row_blocks = rows.div_ceil(max_height);
        let height = rows.div_ceil(row_blocks).next_multiple_of(tile);
        let groups = (4 * rayon::current_num_threads()).div_ceil(row_blocks).min(panels);
        (0..row_blocks * groups).into_par_iter().with_max_len(1).for_each(|task| {
            let (index, group) = (task / groups, task % groups);
            let rows = index * height..rows.min((index + 1) * height);
            let panels = group * panels / groups..(group + 1) * panels / groups;
            if !rows.is_empty() {
                level.dispatch(block(y, rows, panels));
            }
        });
    }
}

fn tile_height(kernel: DotKernel, rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(kernel.rows()).max(1)).max(1)
}

/// The part of a product with these rows and panels.
struct QuantizedBlock<'a> {
    product: &'a QuantizedProduct<'a>,
    quantized: &'a [u8],
    scales: &'a [RowScale],
    /// All of `y`. The blocks write disjoint parts of it.
    y: SharedSlice<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl WithSimd for QuantizedBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let weight = self.product.weight;
        let (kernel, panel_len) = (weight.kernel, weight.panel_len());
        let stride = row_bytes(weight.width, kernel.activations);
        let tile = tile_height(kernel, self.rows.len());
        let mut sums = [0i32; MAX_ROWS * MAX_PANEL];
        for panel in self.panels.clone() {
            let w = &weight.values[panel * panel_len..][..panel_len];
            for first in self.rows.clone().step_by(tile) {
                let rows = tile.min(self.rows.end - first);
                kernel.sums(&self.quantized[first * stride..], stride, rows, w, &mut sums);
                for (row, sums) in (first..first + rows).zip(sums.chunks_exact(kernel.panel)) {
                    match kernel.panel {
                        MAX_PANEL => self.finish::<S, MAX_PANEL>(simd, row, panel, sums),
                        _ => self.finish::<S, 16>(simd, row, panel, sums),
                    }
                }
            }
        }
    }
}

impl QuantizedBlock<'_> {
    /// Turns the sums of a row with a panel into values, and applies the bias and the epilogue.
    #[inline(always)]
    fn finish<S: Simd, const P: usize>(&self, simd: S, row: usize, panel: usize, sums: &[i32]) {
        let QuantizedProduct { weight, bias, epilogue, .. } = *self.product;
        let RowScale { scale, zero } = self.scales[row];
        let zero = match weight.kernel.activations {
            ActivationLayout::S8 => zero - 128,
            _ => zero,
        };
        let (first, len) = (panel * P, P.min(weight.out - panel * P));
        let outputs = weight.scales[first..][..P].iter().zip(&weight.totals[first..][..P]);
        let mut values = [0f32; P];
        for ((value, sum), (weight_scale, total)) in values.iter_mut().zip(&sums[..P]).zip(outputs) {
            *value = sum.wrapping_sub(zero.wrapping_mul(*total)) as f32 * (scale * weight_scale);
        }
        if let Some(bias) = bias {
            values.iter_mut().zip(&bias[first..]).for_each(|(value, bias)| *value += bias);
        }
        if epilogue == Epilogue::Gelu {
            gelu(simd, &mut values);
        }
        // SAFETY: only this block uses these rows in these panels, one such slice at a time.
        let y = unsafe { self.y.slice(row * weight.out + first, len) };
        match (<&mut [f32; P]>::try_from(&mut *y), epilogue) {
            (Ok(y), Epilogue::Add) => y.iter_mut().zip(values).for_each(|(y, value)| *y += value),
            (Ok(y), _) => *y = values,
            (Err(_), Epilogue::Add) => y.iter_mut().zip(values).for_each(|(y, value)| *y += value),
            (Err(_), _) => y.copy_from_slice(&values[..len]),
        }
    }
}

#[cfg(test)]
mod tests;
