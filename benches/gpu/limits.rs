//! The limits of the device with the libraries that the network uses: large matrix products, and memory bandwidth. The
//! report of the check gives shares of these limits.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use transcribe::device::SelectedDevice;

use crate::{best_seconds, noise};

const SECONDS: f64 = 0.25;
/// Products per measurement, so that launches do not count.
const REPEATS: usize = 8;
/// Windows of a batch in the products at the encoder's sizes.
const WINDOWS: usize = 16;
/// The inner lengths and columns of large-v3's products: projections, and the two layers of a feed-forward.
const ENCODER: [(usize, usize); 3] = [(1280, 3840), (1280, 5120), (5120, 1280)];
const FRAMES: usize = 1500;

pub fn measure(device: &SelectedDevice) -> Result<Value> {
    let is_host = !device.is_accelerator();
    let side = if is_host { 512 } else { 8192 };
    let dtypes = [("bf16", DType::BF16), ("f16", DType::F16), ("f32", DType::F32)];
    let mut flops = serde_json::Map::new();
    for (name, dtype) in dtypes {
        flops.insert(name.into(), json!(product(device, dtype, (side, side, side))?));
    }
    let mut encoder = Vec::new();
    for (k, n) in ENCODER.into_iter().filter(|_| !is_host) {
        let size = (WINDOWS * FRAMES, k, n);
        let rate = product(device, DType::BF16, size)?;
        encoder.push(json!({"rows": size.0, "inner": k, "columns": n, "flops": rate}));
    }
    let bytes = if is_host { 1 << 26 } else { 1 << 32 };
    let copied = copy(device, bytes)?;
    let read: Vec<f64> = [1, 32].map(|rows| read(device, bytes, rows)).into_iter().collect::<Result<_>>()?;
    Ok(json!({
        "device": device.name,
        "flops": flops,
        "encoder_products": encoder,
        "bytes_per_second": {"copy": copied, "read_by_1_row": read[0], "read_by_32_rows": read[1]},
    }))
}

/// Returns operations per second.
fn product(device: &SelectedDevice, dtype: DType, (m, k, n): (usize, usize, usize)) -> Result<f64> {
    let a = noise("left", &[m, k], dtype, &device.device)?;
    let b = noise("right", &[k, n], dtype, &device.device)?;
    let seconds = best_seconds(device, SECONDS, || {
        for _ in 0..REPEATS {
            a.matmul(&b)?;
        }
        Ok(())
    })?;
    Ok((2 * m * k * n * REPEATS) as f64 / seconds)
}

/// Returns bytes read and written per second while copying one half of the memory to the other.
fn copy(device: &SelectedDevice, bytes: usize) -> Result<f64> {
    let half = bytes / 2;
    let seconds = match &device.device {
        Device::Cuda(cuda) => {
            let stream = cuda.cuda_stream();
            let (from, mut to) = (stream.alloc_zeros::<u8>(half)?, stream.alloc_zeros::<u8>(half)?);
            best_seconds(device, SECONDS, || {
                for _ in 0..REPEATS {
                    stream.memcpy_dtod(&from, &mut to)?;
                }
                Ok(())
            })?
        }
        other => {
            let [from, to] = [0u8, 1].map(|value| Tensor::full(value, half, other));
            let (from, to) = (from?, to?);
            best_seconds(device, SECONDS, || {
                for _ in 0..REPEATS {
                    to.slice_set(&from, 0, 0)?;
                }
                Ok(())
            })?
        }
    };
    Ok((2 * half * REPEATS) as f64 / seconds)
}

/// Returns bytes read per second by a product of a few rows with a matrix of this size, as in a decoder step.
fn read(device: &SelectedDevice, bytes: usize, rows: usize) -> Result<f64> {
    let width = 8192;
    let dtype = if device.is_accelerator() { DType::BF16 } else { DType::F32 };
    let out = bytes / width / dtype.size_in_bytes();
    let matrix = Tensor::zeros((out, width), dtype, &device.device)?.t()?;
    let x = noise("rows", &[rows, width], dtype, &device.device)?;
    let seconds = best_seconds(device, SECONDS, || {
        x.matmul(&matrix)?;
        Ok(())
    })?;
    Ok(bytes as f64 / seconds)
}
