use super::*;
use crate::device::cpu::pointwise;

fn random(len: usize, seed: u64) -> Vec<f32> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// All kernels of the processor.
fn kernels() -> Vec<(SimdLevel, DotKernel)> {
    let all = SimdLevel::all().into_iter();
    all.flat_map(|level| DotKernel::available(level).into_iter().map(move |kernel| (level, kernel))).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Returns what each kernel computes.
fn products(x: &[f32], w: &[f32], width: usize, bias: Option<&[f32]>, epilogue: Epilogue) -> Vec<Vec<f32>> {
    let (rows, out) = (x.len() / width, w.len() / width);
    let product = |(level, kernel): (SimdLevel, DotKernel)| {
        let weight = QuantizedWeight::pack_for(w, width, None, kernel);
        let mut y = random(rows * out, 9);
        QuantizedProduct { x, weight: &weight, bias, epilogue }.run(level, &mut y);
        y
    };
    kernels().into_iter().map(product).collect()
}

#[test]
fn all_kernels_give_the_same_bits() {
    for name in ["avx512-vnni", "avx-vnni", "avx2", "neon-dotprod"] {
        if !kernels().iter().any(|(_, kernel)| kernel.name == name) {
            println!("not tested, because the processor lacks it: {name}");
        }
    }
    for (rows, width, out) in
        (1..=20).map(|rows| (rows, 37, 50)).chain([(3, 1, 1), (70, 401, 97), (9, 384, 1536)])
    {
        let (mut x, w, bias) = (random(rows * width, 1), random(out * width, 2), random(out, 3));
        x[..width].fill(0.0);
        for epilogue in [Epilogue::Store, Epilogue::Gelu, Epilogue::Add] {
            for bias in [None, Some(&bias[..])] {
                let all = products(&x, &w, width, bias, epilogue);
                for (other, (level, kernel)) in all.iter().zip(kernels()) {
                    assert!(
                        bits(other) == bits(&all[0]),
                        "{level:?} {} {rows} x {width} x {out}",
                        kernel.name
                    );
                }
            }
        }
    }
}

#[test]
fn products_of_extreme_values_are_exact() {
    // 255 x 127 in every product: more than 16 bits hold after two of them.
    let (rows, width, out) = (7, 5120, 20);
    let (x, w) = (vec![1.0; rows * width], vec![-1.0; out * width]);
    for product in products(&x, &w, width, None, Epilogue::Store) {
        assert!(product.iter().all(|y| (y + width as f32).abs() < 1e-2), "{:?}", &product[..3]);
    }
}

#[test]
fn products_are_close_to_those_in_f32() {
    let (rows, width, out) = (30, 500, 120);
    let (x, w, bias) = (random(rows * width, 4), random(out * width, 5), random(out, 6));
    for epilogue in [Epilogue::Store, Epilogue::Gelu, Epilogue::Add] {
        let mut exact: Vec<f32> = Vec::new();
        for row in x.chunks(width) {
            let sum = |w: &[f32]| row.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum::<f64>() as f32;
            exact.extend(w.chunks(width).zip(&bias).map(|(w, bias)| sum(w) + bias));
        }
        if epilogue == Epilogue::Gelu {
            SimdLevel::best().dispatch(GeluOf(&mut exact));
        }
        let before = random(rows * out, 9);
        for product in products(&x, &w, width, Some(&bias), epilogue) {
            for ((y, exact), before) in product.iter().zip(&exact).zip(&before) {
                let exact = if epilogue == Epilogue::Add { exact + before } else { *exact };
                // The errors of 500 products of values that are off by at most a 500th.
                assert!((y - exact).abs() < 0.3, "{y} {exact}");
            }
        }
    }
}

#[test]
fn equalized_inputs_lose_less_and_all_kernels_give_the_same_bits() {
    let (rows, width, out) = (12, 300, 70);
    let (mut x, mut w) = (random(rows * width, 12), random(out * width, 13));
    // An input that is far larger than the others, one that is far smaller and counts as much, and one that is nothing.
    let mut magnitudes = vec![1.0; width];
    for (input, magnitude) in [(7, 50.0), (90, 0.01), (200, 0.0)] {
        magnitudes[input] = magnitude;
        x.chunks_mut(width).for_each(|row| row[input] *= magnitude);
        w.chunks_mut(width).for_each(|row| row[input] /= f32::max(magnitude, 0.01));
    }
    let exact: Vec<f64> = x
        .chunks(width)
        .flat_map(|x| {
            w.chunks(width).map(|w| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum())
        })
        .collect();
    let error =
        |y: &[f32]| y.iter().zip(&exact).map(|(y, exact)| (f64::from(*y) - exact).powi(2)).sum::<f64>();
    let product = |(level, kernel), equalizes: bool| {
        let weight = QuantizedWeight::pack_for(&w, width, equalizes.then_some(&magnitudes[..]), kernel);
        for (index, row) in w.chunks(width).enumerate().filter(|_| equalizes) {
            for ((back, w), magnitude) in weight.row(index).zip(row).zip(&magnitudes) {
                assert!((back - w).abs() * magnitude < 0.01, "{back} {w}");
            }
        }
        let mut y = vec![0f32; rows * out];
        QuantizedProduct { x: &x, weight: &weight, bias: None, epilogue: Epilogue::Store }.run(level, &mut y);
        y
    };
    let plain = error(&product(kernels()[0], false));
    let first = product(kernels()[0], true);
    assert!(error(&first) < plain / 100.0, "{} {plain}", error(&first));
    for kernel in kernels() {
        assert!(bits(&product(kernel, true)) == bits(&first), "{}", kernel.1.name);
    }
}

struct GeluOf<'a>(&'a mut [f32]);

impl WithSimd for GeluOf<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        pointwise::gelu(simd, self.0);
    }
}

#[test]
fn the_bits_of_a_row_do_not_depend_on_its_neighbours_or_the_threads() {
    let (rows, width, out) = (90, 700, 333);
    let (x, w) = (random(rows * width, 7), random(out * width, 8));
    for (level, kernel) in kernels().into_iter().filter(|(level, _)| level.lanes() > 1) {
        let weight = QuantizedWeight::pack_for(&w, width, None, kernel);
        let product = |x: &[f32]| {
            let mut y = vec![0f32; x.len() / width * out];
            QuantizedProduct { x, weight: &weight, bias: None, epilogue: Epilogue::Store }.run(level, &mut y);
            bits(&y)
        };
        let all = product(&x);
        for count in 1..=20 {
            assert!(product(&x[..count * width]) == all[..count * out], "{} {count}", kernel.name);
        }
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| product(&x)) == all, "{} {threads} threads", kernel.name);
        }
    }
}

#[test]
fn rows_are_quantized_to_half_a_level_and_zero_stays_zero() {
    for x in [
        vec![-0.17, 0.0, 3.0, 12.5],
        vec![0.0; 5],
        vec![4.0, 5.0],
        vec![-1e-20, -2e-20],
        vec![-3.0, 1.0, 0.01],
    ] {
        let mut levels = vec![0; x.len()];
        let row = RowScale::of(pulp::Scalar, &x);
        row.quantize(&x, |at, level| levels[at] = level);
        let RowScale { scale, zero } = row;
        for (x, level) in x.iter().zip(&levels) {
            let value = scale * (i32::from(*level) - zero) as f32;
            assert!((value - x).abs() <= 0.5001 * scale, "{x} {value}");
            assert!(*x != 0.0 || value == 0.0);
        }
    }
    // Neither infinity nor NaN panics.
    let x = [f32::INFINITY, f32::NAN, f32::NEG_INFINITY];
    RowScale::of(pulp::Scalar, &x).quantize(&x, |_, _| ());
}

#[test]
fn rows_of_a_weight_come_back() {
    let (width, out) = (45, 61);
    let w = random(out * width, 11);
    for (_, kernel) in kernels() {
        let weight = QuantizedWeight::pack_for(&w, width, None, kernel);
        for (index, row) in w.chunks(width).enumerate() {
            let back: Vec<f32> = weight.row(index).collect();
            assert_eq!(back.len(), width);
            for (back, w) in back.iter().zip(row) {
                assert!((back - w).abs() <= 0.5001 / 127.0, "{back} {w}");
            }
        }
    }
}
