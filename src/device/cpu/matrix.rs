//! A weight matrix in the layout and number format of its kernels.

use candle_core::{DType, Result, bail};
use half::{bf16, f16};

use super::int8::{QuantizedProduct, QuantizedWeight};
use super::level::SimdLevel;
use super::linear::{PackedProduct, PackedWeight};
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
    /// Packs `[out, width]`.
    pub fn pack(weight: &[f32], width: usize, format: MatrixFormat, level: SimdLevel) -> Result<Self> {
        match format {
            MatrixFormat::Float(DType::F32) => Ok(Self::F32(PackedWeight::pack(weight, width, level))),
            MatrixFormat::Float(DType::F16) => Ok(Self::F16(PackedWeight::pack(weight, width, level))),
            MatrixFormat::Float(DType::BF16) => Ok(Self::BF16(PackedWeight::pack(weight, width, level))),
            MatrixFormat::Int8 => Ok(Self::Int8(QuantizedWeight::pack(weight, width, level))),
            MatrixFormat::Float(dtype) => bail!("the CPU kernels take no weights in {dtype:?}"),
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
