//! Every kernel of the device beside candle's own operations on the CPU, on the same rounded inputs: shapes that fill
//! no block, slots of different lengths, one row and many.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use transcribe::device::cuda::cases::{self, Case};
use transcribe::device::kernels::{Kernels, KeysValues, Row, Rows, Sees, Then};
use transcribe::device::plain::Plain;
use transcribe::device::{Selected, kernels_for};

use crate::{first_line, noise};

/// How far apart results may be at worst, in units of their own size (the root of their mean square).
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-4,
        DType::F16 => 1e-2,
        _ => 6e-2,
    }
}

/// One of the two that are compared.
struct Side {
    kernels: Arc<dyn Kernels>,
    device: Device,
    /// What it computes in, and what its inputs are rounded to.
    dtype: DType,
    rounded: DType,
}

impl Side {
    /// On the host, as weights come.
    fn host(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(noise(name, shape, self.rounded, &Device::Cpu)?.to_dtype(self.dtype)?)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(self.kernels.tensor(self.host(name, shape)?)?)
    }

    /// What some kernels write whatever they compute in.
    fn f32s(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(self.kernels.tensor(noise(name, shape, DType::F32, &Device::Cpu)?)?)
    }

    fn rows(&self, list: Vec<Row>, heard: usize) -> Result<Rows> {
        Ok(self.kernels.rows(Rows::new(list), heard)?)
    }

    /// A cache whose every entry is filled, from columns behind as many others.
    fn cache(&self, [slots, heads, len, head]: [usize; 4]) -> Result<KeysValues> {
        let width = heads * head;
        let cache = self.kernels.cache([slots, heads, len, head], self.dtype, &self.device)?;
        let every: Vec<usize> = (0..slots).collect();
        let rows = self.kernels.rows(Rows::of_slots(&every, len), 0)?;
        let x = self.tensor("entries", &[slots * len, 3 * width])?;
        self.kernels.store(&cache, &x, width, &rows)?;
        Ok(cache)
    }
}

type True = (String, Box<dyn Fn(&Side) -> Result<Tensor>>);

pub fn compare(device: &Selected, few: bool) -> Result<Value> {
    let dtypes: &[DType] = match device.is_accelerator() {
        true => &[DType::F32, DType::F16, DType::BF16],
        // The CPU's own kernels compute in f32 only.
        false => &[DType::F32],
    };
    let mut found = Vec::new();
    for (name, run) in true_shapes(few) {
        for &dtype in dtypes {
            let kernels = kernels_for(&device.device)?;
            let ours = Side { kernels, device: device.device.clone(), dtype, rounded: dtype };
            let plain: Arc<dyn Kernels> = Arc::new(Plain::on(&Device::Cpu));
            let reference = Side { kernels: plain, device: Device::Cpu, dtype: DType::F32, rounded: dtype };
            let outcome = run(&ours).and_then(|ours| Ok((values(&ours)?, values(&run(&reference)?)?)));
            found.push(verdict(&name, dtype, outcome));
        }
    }
    if device.is_accelerator() {
        let seeds = if few { 0..1 } else { 0..8 };
        for (&dtype, seed) in dtypes.iter().flat_map(|dtype| seeds.clone().map(move |seed| (dtype, seed))) {
            found.extend(random_shapes(device, dtype, seed)?);
        }
    }
    let passed = found.iter().all(|case| case["passed"] == json!(true));
    Ok(json!({"device": device.name, "passed": passed, "cases": found}))
}

/// The comparisons that the ordinary tests make on the host, here on the device.
fn random_shapes(device: &Selected, dtype: DType, seed: u64) -> Result<Vec<Value>> {
    let kernels = kernels_for(&device.device)?;
    let told = |case: &Case| {
        let (name, dtype) = (format!("{} (random shapes, {seed})", case.name), dtype.as_str());
        let (worst, tolerance) = (case.worst, case.tolerance);
        json!({"name": name, "dtype": dtype, "passed": case.holds(), "worst": worst, "tolerance": tolerance})
    };
    match cases::all(&*kernels, &device.device, dtype, seed) {
        Ok(cases) => Ok(cases.iter().map(told).collect()),
        Err(error) => {
            let text = error.to_string();
            let (name, error) = (format!("random shapes, {seed}"), first_line(&text));
            Ok(vec![json!({"name": name, "dtype": dtype.as_str(), "passed": false, "error": error})])
        }
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

fn verdict(name: &str, dtype: DType, outcome: Result<(Vec<f32>, Vec<f32>)>) -> Value {
    let (ours, reference) = match outcome {
        Ok(both) => both,
        Err(error) => {
            let text = format!("{error:#}");
            let told = first_line(&text);
            return json!({"name": name, "dtype": dtype.as_str(), "passed": false, "error": told});
        }
    };
    let squares: f64 = reference.iter().map(|v| f64::from(*v).powi(2)).sum();
    let size = (squares / reference.len().max(1) as f64).sqrt();
    let worst = ours.iter().zip(&reference).map(|(a, b)| f64::from((a - b).abs()));
    let worst = worst.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) }) / size;
    let passed = ours.len() == reference.len() && worst <= tolerance(dtype);
    let told = if worst.is_finite() { json!(worst) } else { json!(null) };
    json!({"name": name, "dtype": dtype.as_str(), "passed": passed, "worst": told, "tolerance": tolerance(dtype)})
}

fn case(name: String, run: impl Fn(&Side) -> Result<Tensor> + 'static) -> True {
    (name, Box::new(run))
}

fn true_shapes(few: bool) -> Vec<True> {
    let mut all = rows(few);
    all.extend(convolutions(few));
    all.extend(attention(few));
    all.extend(caches(few));
    all
}

fn rows(few: bool) -> Vec<True> {
    let sizes: &[[usize; 3]] = match few {
        true => &[[3, 64, 40]],
        false => &[[1, 384, 1152], [5, 1280, 1280], [64, 1280, 5120], [33, 5120, 1280], [1500, 512, 200]],
    };
    let mut cases = Vec::new();
    for &[rows, width, out] in sizes {
        for then in [Then::Keep, Then::Gelu, Then::Add] {
            cases.push(case(format!("linear {rows}x{width}x{out} {then:?}"), move |side| {
                let (x, w) = (side.tensor("x", &[rows, width])?, side.host("w", &[out, width])?);
                let (bias, y) = (side.tensor("bias", &[out])?, side.tensor("y", &[rows, out])?);
                side.kernels.linear(&x, &side.kernels.matrix(w)?, Some(&bias), then, &y)?;
                Ok(y)
            }));
        }
        cases.push(case(format!("layer_norm {rows}x{width}"), move |side| {
            let (x, y) = (side.tensor("x", &[rows, width])?, side.tensor("y", &[rows, width])?);
            side.kernels.layer_norm(&x, &side.tensor("w", &[width])?, &side.tensor("bias", &[width])?, &y)?;
            Ok(y)
        }));
        cases.push(case(format!("add {rows}x{width}"), move |side| {
            let y = side.tensor("y", &[2, rows, width])?;
            side.kernels.add(&side.tensor("x", &[rows, width])?, &y)?;
            Ok(y)
        }));
        cases.extend(moved(rows, width));
        cases.push(case(format!("linear {rows}x{width}x{out} to f32"), move |side| {
            let (x, y) = (side.tensor("x", &[rows, width])?, side.f32s("y", &[rows, out])?);
            let w = side.kernels.matrix(side.host("w", &[out, width])?)?;
            side.kernels.linear(&x, &w, None, Then::Keep, &y)?;
            Ok(y)
        }));
    }
    cases
}

/// Kernels that bring rows elsewhere.
fn moved(rows: usize, width: usize) -> Vec<True> {
    let embed = move |side: &Side| {
        let y = side.tensor("y", &[rows, width])?;
        let row = |at: u32| Row { token: at * 31 % 70, position: at * 7 % 9, sequence: 0, window: 0 };
        let list = side.rows((0..rows as u32).map(row).collect(), 0)?;
        let table = side.kernels.matrix(side.host("table", &[70, width])?)?;
        side.kernels.embed(&table, &side.tensor("positions", &[9, width])?, &list, &y)?;
        Ok(y)
    };
    let pick = move |side: &Side| {
        let (x, y) = (side.tensor("x", &[rows, width])?, side.tensor("y", &[3, width])?);
        side.kernels.pick(&x, &[rows as u32 - 1, 0, rows as u32 / 2], &y)?;
        Ok(y)
    };
    let turn = move |side: &Side| {
        let (x, y) = (side.f32s("x", &[2, rows, width])?, side.tensor("y", &[2, width, rows])?);
        side.kernels.turn(&x, &y)?;
        Ok(y)
    };
    let write = move |side: &Side| {
        let values: Vec<f32> = (0..rows * width).map(|at| at as f32 / 7.0).collect();
        let y = side.f32s("y", &[rows + 1, width])?;
        side.kernels.write(&[&values[..width], &values[width..]], &y)?;
        Ok(y)
    };
    vec![
        case(format!("embed {rows}x{width}"), embed),
        case(format!("pick {rows}x{width}"), pick),
        case(format!("turn {rows}x{width}"), turn),
        case(format!("write {rows}x{width}"), write),
    ]
}

fn convolutions(few: bool) -> Vec<True> {
    let sizes: &[[usize; 4]] = match few {
        true => &[[1, 16, 8, 24], [2, 16, 8, 24]],
        false => &[[1, 3000, 128, 384], [2, 3000, 384, 384], [2, 300, 80, 128]],
    };
    let cases = sizes.iter().map(|&[stride, rows, width, out]| {
        case(format!("convolve {rows}x{width}x{out} stride {stride}"), move |side| {
            let (x, w) = (side.tensor("x", &[2, rows, width])?, side.host("w", &[out, 3 * width])?);
            let (bias, y) = (side.tensor("bias", &[out])?, side.tensor("y", &[2, rows / stride, out])?);
            side.kernels.convolve(&x, &side.kernels.matrix(w)?, &bias, stride, &y)?;
            Ok(y)
        })
    });
    cases.collect()
}

fn attention(few: bool) -> Vec<True> {
    let sizes: &[[usize; 3]] =
        if few { &[[1, 70, 2]] } else { &[[2, 1500, 6], [1, 1500, 20], [3, 77, 2], [1, 1, 1]] };
    let cases = sizes.iter().map(|&[windows, rows, heads]| {
        case(format!("attention {windows}x{rows}, {heads} heads"), move |side| {
            let width = heads * 64;
            let y = side.tensor("y", &[windows, rows, width])?;
            side.kernels.attention(&side.tensor("qkv", &[windows, rows, 3 * width])?, heads, &y)?;
            Ok(y)
        })
    });
    cases.collect()
}

fn caches(few: bool) -> Vec<True> {
    let shapes: &[[usize; 4]] = match few {
        true => &[[2, 2, 40, 64]],
        false => &[[5, 6, 448, 64], [3, 20, 1500, 64], [2, 4, 130, 32]],
    };
    let mut cases = Vec::new();
    for &shape in shapes {
        let [slots, heads, len, head] = shape;
        for (name, list) in [("steps", steps(slots, len)), ("prompts", prompts(slots, len))] {
            for sees in [Sees::Text, Sees::Audio(len - len / 5)] {
                let list = list.clone();
                cases.push(case(format!("cached_attention, {name} to {shape:?}, {sees:?}"), move |side| {
                    let (cache, rows) = (side.cache(shape)?, list.len());
                    side.kernels.copy(&cache, slots - 1, 0, len / 3..len / 2)?;
                    let y = side.tensor("y", &[rows, heads * head])?;
                    let q = side.tensor("q", &[rows, 3 * heads * head])?;
                    let list = side.rows(list.clone(), len - len / 5)?;
                    side.kernels.cached_attention(&q, &cache, &list, sees, &y)?;
                    Ok(y)
                }));
            }
        }
        cases.push(case(format!("cached_weights of {shape:?}"), move |side| {
            let (cache, chosen, seen) = (side.cache(shape)?, [heads - 1, 0], len - len / 4);
            let y = side.f32s("y", &[chosen.len(), 7, seen])?;
            let q = side.tensor("q", &[7, heads * head])?;
            side.kernels.cached_weights(&q, &cache, &chosen, (1, seen), &y)?;
            Ok(y)
        }));
    }
    cases
}

fn row(sequence: usize, position: usize, window: usize) -> Row {
    Row { token: 0, position: position as u32, sequence: sequence as u32, window: window as u32 }
}

/// A row of each sequence, and more of some: from one entry to all of them.
fn steps(slots: usize, len: usize) -> Vec<Row> {
    (0..3 * slots + 1).map(|at| row(at % slots, at * 977 % len, (at + 1) % slots)).collect()
}

/// Many rows of each sequence, side by side.
fn prompts(slots: usize, len: usize) -> Vec<Row> {
    let rows = |slot| (len / 3..len / 3 + 20).map(move |at| row(slot, at, slots - 1 - slot));
    (0..slots).flat_map(rows).collect()
}
