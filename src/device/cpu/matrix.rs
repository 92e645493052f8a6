//! A weight matrix in the layout and number format of its kernels.

use candle_core::{DType, Result, bail};
use half::{bf16, f16};
use rayon::prelude::*;

use super::int8::{QuantizedProduct, QuantizedWeight};
use super::level::SimdLevel;
use super::linear::{PackedProduct, PackedWeight};
use super::stored::Stored;
use crate::device::MatrixFormat;
use crate::device::kernels::Epilogue;

#[derive(Debug)]
pub enum CpuMatrix {
    F32(PackedWeight<f32>),
    F16(PackedWeight<f16>),
    BF16(PackedWeight<bf16>),
    Int8(QuantizedWeight),
}

/// Rows to multiply, each `stride` values after the other.
#[derive(Clone, Copy)]
pub struct InputRows<'a> {
    pub x: &'a [f32],
    pub stride: usize,
    pub rows: usize,
}

impl CpuMatrix {
    /// Packs `[out, width]`, whose inputs are about so large, if that is known.
    pub fn pack(
        weight: &[f32],
        width: usize,
        format: MatrixFormat,
        magnitudes: Option<&[f32]>,
        level: SimdLevel,
    ) -> Result<Self> {
        match format {
            MatrixFormat::Float(DType::F32) => Ok(Self::pack_losslessly(weight, width, level)),
            MatrixFormat::Float(DType::F16) => Ok(Self::F16(PackedWeight::pack(weight, width, level))),
            MatrixFormat::Float(DType::BF16) => Ok(Self::BF16(PackedWeight::pack(weight, width, level))),
            MatrixFormat::Int8 => Ok(Self::Int8(QuantizedWeight::pack(weight, width, magnitudes, level))),
            MatrixFormat::Float(dtype) => bail!("the CPU kernels take no weights in {dtype:?}"),
        }
    }

    /// Packs in as few bits as hold every value. Most checkpoints are published in 16 bits, and the kernels widen those
    /// to the same f32 values, so the products have the same bits and read half of the memory.
    fn pack_losslessly(weight: &[f32], width: usize, level: SimdLevel) -> Self {
        // Without vector instructions, widening is slow.
        let widens = level.lanes() > 1;
        if widens && holds::<f16>(weight) {
            Self::F16(PackedWeight::pack(weight, width, level))
        } else if widens && holds::<bf16>(weight) {
            Self::BF16(PackedWeight::pack(weight, width, level))
        } else {
            Self::F32(PackedWeight::pack(weight, width, level))
        }
    }

    /// Writes the sum of the values of one output and of `addend`.
    pub fn add_row(&self, index: usize, addend: &[f32], y: &mut [f32]) {
        fn add(row: impl Iterator<Item = f32>, addend: &[f32], y: &mut [f32]) {
            y.iter_mut().zip(addend).zip(row).for_each(|((y, addend), x)| *y = x + addend);
        }
        match self {
            Self::F32(weight) => add(weight.row(index), addend, y),
            Self::F16(weight) => add(weight.row(index), addend, y),
            Self::BF16(weight) => add(weight.row(index), addend, y),
            Self::Int8(weight) => add(weight.row(index), addend, y),
        }
    }

    /// Multiplies rows, adds the bias, and writes the result to `y`, `[rows, out]`.
    pub fn multiply(
        &self,
        level: SimdLevel,
        input: InputRows<'_>,
        bias: Option<&[f32]>,
        epilogue: Epilogue,
        y: &mut [f32],
    ) -> Result<()> {
        let InputRows { x, stride, rows } = input;
        match self {
            Self::F32(weight) => PackedProduct { x, stride, rows, weight, bias, epilogue }.run(level, y),
            Self::F16(weight) => PackedProduct { x, stride, rows, weight, bias, epilogue }.run(level, y),
            Self::BF16(weight) => PackedProduct { x, stride, rows, weight, bias, epilogue }.run(level, y),
            Self::Int8(weight) if rows * weight.width == x.len() => {
                QuantizedProduct { x, weight, bias, epilogue }.run(level, y);
            }
            Self::Int8(_) => bail!("the kernels for 8-bit integers take rows side by side"),
        }
        Ok(())
    }
}

/// Returns whether a number format holds these values exactly.
fn holds<T: Stored>(values: &[f32]) -> bool {
    const CHUNK: usize = 4096;
    values.par_chunks(CHUNK).all(|values| {
        let mut narrow = [T::default(); CHUNK];
        let narrow = &mut narrow[..values.len()];
        T::narrow(values, narrow);
        narrow.iter().zip(values).all(|(narrow, value)| narrow.widen().to_bits() == value.to_bits())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: MatrixFormat = MatrixFormat::Float(DType::F32);

    fn multiply(weight: &CpuMatrix, level: SimdLevel, x: &[f32], width: usize, out: usize) -> Vec<u32> {
        let rows = x.len() / width;
        let mut y = vec![0f32; rows * out];
        let input = InputRows { x, stride: width, rows };
        weight.multiply(level, input, None, Epilogue::Gelu, &mut y).unwrap();
        y.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn weights_that_fit_16_bits_take_no_more_and_give_the_bits_of_f32() {
        let (width, out) = (200, 50);
        let values =
            |seed: usize, len: usize| (0..len).map(move |i| ((i * 7919 + seed) % 977) as f32 / 977.0 - 0.5);
        let x: Vec<f32> = values(1, 40 * width).collect();
        let halves: Vec<f32> = values(2, width * out).map(|value| f16::from_f32(value).to_f32()).collect();
        // Beyond the range of f16.
        let brains: Vec<f32> =
            values(3, width * out).map(|value| bf16::from_f32(value * 1e9).to_f32()).collect();
        let neither: Vec<f32> = values(4, width * out).collect();
        for level in SimdLevel::all().into_iter().filter(|level| level.lanes() > 1) {
            let packed = |weight: &[f32]| CpuMatrix::pack(weight, width, F32, None, level).unwrap();
            assert!(matches!(packed(&halves), CpuMatrix::F16(_)));
            assert!(matches!(packed(&brains), CpuMatrix::BF16(_)));
            assert!(matches!(packed(&neither), CpuMatrix::F32(_)));
            for weight in [&halves, &brains] {
                let wide = CpuMatrix::F32(PackedWeight::pack(weight, width, level));
                // A row, a few, and so many that panels are widened first.
                for rows in [1, 7, 40] {
                    let x = &x[..rows * width];
                    let narrow = multiply(&packed(weight), level, x, width, out);
                    assert_eq!(narrow, multiply(&wide, level, x, width, out), "{level:?}, {rows} rows");
                }
            }
        }
    }
}
