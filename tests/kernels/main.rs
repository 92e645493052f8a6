//! Calls the kernels of the CPU with buffers that end where their values do, at every level of vector instructions that the
//! processor has, and compares what they compute with plain loops. Whatever they read or write beyond that, a sanitizer or
//! Miri reports.

// Compiled from the program's sources, of which only a part is used here.
#![allow(dead_code)]

#[path = "../../src/device/cpu/attention.rs"]
mod attention;
#[path = "../../src/device/cpu/dense.rs"]
mod dense;
#[path = "../../src/device/cpu/int8/mod.rs"]
mod int8;
#[path = "../../src/device/cpu/level.rs"]
mod level;
#[path = "../../src/device/cpu/linear.rs"]
mod linear;
#[path = "../../src/device/cpu/lstm.rs"]
mod lstm;
#[path = "../../src/device/cpu/memory.rs"]
mod memory;
#[path = "../../src/device/cpu/pointwise.rs"]
mod pointwise;
#[path = "../../src/device/cpu/stored.rs"]
mod stored;
#[path = "../../src/device/cpu/tile.rs"]
mod tile;

/// What the sources call by their place in the program.
mod device {
    pub const LAYER_NORM_EPS: f32 = 1e-5;

    pub mod cpu {
        pub(crate) use crate::level;
    }

    pub mod kernels {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Epilogue {
            Store,
            Gelu,
            Add,
        }

        #[derive(Debug, Clone, Copy)]
        pub struct CacheShape {
            pub slots: usize,
            pub heads: usize,
            pub len: usize,
            pub head_dim: usize,
        }
    }
}

use half::{bf16, f16};

use self::dense::DenseLayer;
use self::device::kernels::Epilogue;
use self::int8::{QuantizedProduct, QuantizedWeight};
use self::level::SimdLevel;
use self::linear::{PackedProduct, PackedWeight};
use self::lstm::{LstmLayer, LstmWeights};
use self::stored::Stored;

/// Multiplications up to which a product stays on one thread: few, so that small shapes use several.
const SERIAL_WORK: usize = 1 << 8;

/// Rows, inputs and outputs of products; fewer for Miri, which takes a thousand times as long.
fn shapes() -> Vec<(usize, usize, usize)> {
    let small = [(2, 3, 17), (1, 1, 1), (5, 7, 33)];
    let large = [(1, 37, 50), (3, 64, 48), (9, 65, 97), (13, 401, 16), (70, 129, 145), (20, 770, 51)];
    let large = large.into_iter().filter(|_| !cfg!(miri));
    small.into_iter().take(if cfg!(miri) { 1 } else { 3 }).chain(large).collect()
}

/// Returns numbers between -1 and 1, the same each time.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected} at {at}");
    }
}

/// Multiplies with the rows of a weight, one number after the other.
fn product(x: &[f32], width: usize, rows: &[Vec<f32>], bias: &[f32]) -> Vec<f32> {
    let sum = |x: &[f32], out: usize| bias[out] + x.iter().zip(&rows[out]).map(|(x, w)| x * w).sum::<f32>();
    x.chunks_exact(width).flat_map(|x| (0..rows.len()).map(move |out| sum(x, out))).collect()
}

fn packed<T: Stored>(level: SimdLevel) {
    for (rows, width, out) in shapes() {
        let (x, w, bias) = (numbers(rows * width, 1), numbers(width * out, 2), numbers(out, 3));
        let weight = PackedWeight::<T>::pack(&w, width, level);
        let stored: Vec<Vec<f32>> = (0..out).map(|index| weight.row(index).collect()).collect();
        let expected = product(&x, width, &stored, &bias);
        for epilogue in [Epilogue::Store, Epilogue::Gelu, Epilogue::Add] {
            let product =
                PackedProduct { x: &x, stride: width, rows, weight: &weight, bias: Some(&bias), epilogue };
            let (mut y, mut alone) = (vec![0.0; rows * out], vec![0.0; rows * out]);
            product.run(level, &mut y);
            product.run_on_this_thread(level, &mut alone);
            assert_eq!(y, alone, "{level:?} {rows} x {width} x {out}");
            if epilogue != Epilogue::Gelu {
                assert_close(&y, &expected, 1e-3, "packed");
            }
        }
    }
}

fn quantized(level: SimdLevel) {
    for (rows, width, out) in shapes() {
        let (x, w, bias) = (numbers(rows * width, 1), numbers(width * out, 2), numbers(out, 3));
        let weight = QuantizedWeight::pack(&w, width, level);
        let stored: Vec<Vec<f32>> = (0..out).map(|index| weight.row(index).collect()).collect();
        let expected = product(&x, width, &stored, &bias);
        let mut y = vec![0.0; rows * out];
        let product = QuantizedProduct { x: &x, weight: &weight, bias: Some(&bias), epilogue: Epilogue::Add };
        product.run(level, &mut y);
        assert_close(&y, &expected, 0.01 * width as f32 + 0.01, "quantized");
    }
}

fn attended(level: SimdLevel) {
    let heads = 2;
    let shapes = [(1, 4), (5, 8), (17, 16), (50, 64)];
    for (rows, head_dim) in shapes.into_iter().take(if cfg!(miri) { 1 } else { 4 }) {
        let width = heads * head_dim;
        let qkv = numbers(rows * 3 * width, 4);
        let mut y = vec![f32::NAN; rows * width];
        attention::full(level, &qkv, &mut y, rows, heads, head_dim);
        let mut expected = vec![0.0; rows * width];
        for (row, head) in (0..rows).flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let part =
                |row: usize, which: usize| &qkv[(row * 3 + which) * width + head * head_dim..][..head_dim];
            let dot = |key: usize| part(row, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum::<f32>();
            let weights: Vec<f32> =
                (0..rows).map(|key| (dot(key) / (head_dim as f32).sqrt()).exp()).collect();
            let total: f32 = weights.iter().sum();
            for (key, weight) in weights.iter().enumerate() {
                let to = expected[row * width + head * head_dim..].iter_mut();
                to.zip(part(key, 2)).for_each(|(to, value)| *to += weight / total * value);
            }
        }
        assert_close(&y, &expected, 1e-3, "attention");
    }
}

fn elementwise(level: SimdLevel) {
    for (rows, width) in [(1, 1), (3, 5), (7, 33)] {
        let (x, weight, bias) = (numbers(rows * width, 5), numbers(width, 6), numbers(width, 7));
        let mut y = vec![f32::NAN; rows * width];
        pointwise::layer_norm(level, &x, &weight, &bias, &mut y);
        assert!(y.iter().all(|y| y.is_finite()), "{y:?}");
        pointwise::add(level, &mut y, &x);
        let (mut turned, mut back) = (y.clone(), y.clone());
        pointwise::transpose(&y, &mut turned, rows, width);
        pointwise::transpose(&turned, &mut back, width, rows);
        assert_eq!(back, y);
    }
}

fn recurrent(level: SimdLevel) {
    let (inputs, width, sequences, steps) = (5, 3, 2, 4);
    let (input, state) = (numbers(4 * width * inputs, 8), numbers(4 * width * width, 9));
    for is_backward in [false, true] {
        let weights = LstmWeights { input: &input, state: &state, bias: numbers(4 * width, 10) };
        let layer = LstmLayer::new(weights, is_backward, level);
        let x = numbers(sequences * steps * inputs, 11);
        let mut y = vec![f32::NAN; sequences * steps * 2 * width];
        layer.run(&x, sequences, 2 * width, usize::from(is_backward) * width, &mut y);
        assert_eq!(y.iter().filter(|y| y.is_finite()).count(), y.len() / 2);
    }
    let dense = DenseLayer::new(&input, inputs, None, level);
    let mut y = vec![f32::NAN; 2 * 4 * width];
    dense.apply_strided(&numbers(inputs + 2, 12), 2, &mut y);
    assert!(y.iter().all(|y| y.is_finite()), "{y:?}");
}

fn main() {
    for level in SimdLevel::all() {
        packed::<f32>(level);
        packed::<f16>(level);
        packed::<bf16>(level);
        quantized(level);
        attended(level);
        elementwise(level);
        recurrent(level);
        println!("{}: as it should be", level.name());
    }
}
