//! Compares every kernel on the device with the reference: the comparisons that the ordinary tests make on the host.

use anyhow::Result;
use candle_core::DType;
use serde_json::{Value, json};
use transcribe::device::cuda::comparison::{Comparison, compare_all};
use transcribe::device::{SelectedDevice, kernels_for};

use crate::first_line;

/// Each seed selects other shapes and values.
const SEEDS: u64 = 8;

/// With `few`, for tools that slow everything down, runs one seed in each number format.
pub fn compare(device: &SelectedDevice, few: bool) -> Result<Value> {
    let dtypes: &[DType] = match device.is_accelerator() {
        true => &[DType::F32, DType::F16, DType::BF16],
        // The CPU kernels compute in f32 only.
        false => &[DType::F32],
    };
    let mut found = Vec::new();
    for &dtype in dtypes {
        for seed in 0..if few { 1 } else { SEEDS } {
            found.extend(compare_seed(device, dtype, seed)?);
        }
    }
    let passed = found.iter().all(|case| case["passed"] == json!(true));
    Ok(json!({"device": device.name, "passed": passed, "cases": found}))
}

fn compare_seed(device: &SelectedDevice, dtype: DType, seed: u64) -> Result<Vec<Value>> {
    let kernels = kernels_for(&device.device)?;
    let to_json = |case: &Comparison| {
        let (name, dtype) = (format!("{} (seed {seed})", case.name), dtype.as_str());
        let (worst, tolerance) = (case.worst, case.tolerance);
        json!({"name": name, "dtype": dtype, "passed": case.passes(), "worst": worst, "tolerance": tolerance})
    };
    match compare_all(&*kernels, &device.device, dtype, seed) {
        Ok(cases) => Ok(cases.iter().map(to_json).collect()),
        Err(error) => {
            let (name, text) = (format!("seed {seed}"), error.to_string());
            let (dtype, error) = (dtype.as_str(), first_line(&text));
            Ok(vec![json!({"name": name, "dtype": dtype, "passed": false, "error": error})])
        }
    }
}
