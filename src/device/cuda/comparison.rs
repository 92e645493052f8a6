//! Every kernel beside the plain reference in single precision, on random shapes, lengths and edges.
//!
//! The same comparisons run over the kernels on the host and on a real GPU, in each of their types.

use candle_core::{DType, Device, Result, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::device::kernels::{Kernels, KeysValues, Matrix, Row, Rows, Sees, Then};
use crate::device::reference::Plain;

/// One comparison.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// The largest difference, relative for numbers above 1.
    pub worst: f32,
    pub tolerance: f32,
}

impl Case {
    pub fn holds(&self) -> bool {
        self.worst <= self.tolerance
    }
}

/// All comparisons for one type of numbers; another seed, other shapes and numbers.
pub fn all(kernels: &dyn Kernels, device: &Device, dtype: DType, seed: u64) -> Result<Vec<Case>> {
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let tested = Side { kernels, device, dtype };
    let mut cases = Cases { tested, rng, done: Vec::new() };
    cases.rows()?;
    cases.products()?;
    cases.windows()?;
    cases.singles()?;
    cases.prompts()?;
    cases.weights()?;
    Ok(cases.done)
}

/// One of the two that are compared: kernels, and where and how they keep numbers.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    kernels: &'a dyn Kernels,
    device: &'a Device,
    dtype: DType,
}

impl Side<'_> {
    fn tensor(&self, x: &Tensor) -> Result<Tensor> {
        self.kernels.tensor(x.to_dtype(self.dtype)?)
    }

    fn matrix(&self, x: &Tensor) -> Result<Matrix> {
        self.kernels.matrix(x.to_dtype(self.dtype)?)
    }

    fn rows(&self, list: &[Row], heard: usize) -> Result<Rows> {
        self.kernels.rows(Rows::new(list.to_vec()), heard)
    }

    /// A cache that is full of the rows of `x`, keys and values from `column` on.
    fn cache(&self, shape: [usize; 4], x: &Tensor, column: usize) -> Result<KeysValues> {
        let cache = self.kernels.cache(shape, self.dtype, self.device)?;
        let slots: Vec<usize> = (0..shape[0]).collect();
        let rows = self.kernels.rows(Rows::of_slots(&slots, shape[2]), 0)?;
        self.kernels.store(&cache, &self.tensor(x)?, column, &rows)?;
        Ok(cache)
    }
}

struct Cases<'a> {
    tested: Side<'a>,
    rng: ChaCha8Rng,
    done: Vec<Case>,
}

/// Heads of the tensor cores' width most often, and others.
const HEADS: [usize; 7] = [64, 64, 64, 32, 128, 24, 80];

impl Cases<'_> {
    fn between(&mut self, least: usize, most: usize) -> usize {
        self.rng.random_range(least..=most)
    }

    fn one_of(&mut self, of: &[usize]) -> usize {
        of[self.rng.random_range(0..of.len())]
    }

    /// Numbers as the tested side can keep them, so that both have the same.
    fn random(&mut self, shape: &[usize]) -> Result<Tensor> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.rng.random_range(-1.5..1.5)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.tested.dtype)?.to_dtype(DType::F32)
    }

    /// Lets both sides work on the same `y`, and compares what they make of it.
    fn compare(
        &mut self,
        name: String,
        y: &Tensor,
        work: impl Fn(&Side<'_>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let tolerance = match self.tested.dtype {
            DType::F16 => 2e-3,
            DType::BF16 => 1.6e-2,
            _ => 2e-5,
        };
        self.compare_as(name, (self.tested.dtype, tolerance), y, work)
    }

    fn compare_as(
        &mut self,
        name: String,
        (dtype, tolerance): (DType, f32),
        y: &Tensor,
        work: impl Fn(&Side<'_>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let plain = Plain::on(&Device::Cpu);
        let reference = Side { kernels: &plain, device: &Device::Cpu, dtype: DType::F32 };
        let made = |side: &Side<'_>, dtype: DType| {
            let y = side.kernels.tensor(y.copy()?.to_dtype(dtype)?)?;
            work(side, &y)?;
            let mut values = Vec::new();
            side.kernels.read(&y, &mut values)?;
            Ok::<_, candle_core::Error>(values)
        };
        let (ours, right) = (made(&self.tested, dtype)?, made(&reference, DType::F32)?);
        let differences = ours.iter().zip(&right).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
        let worst = differences.fold(0.0, |worst: f32, other| if other <= worst { worst } else { other });
        let worst = if worst.is_nan() || ours.len() != right.len() { f32::INFINITY } else { worst };
        self.done.push(Case { name: format!("{name}, {dtype:?}"), worst, tolerance });
        Ok(())
    }

    fn rows(&mut self) -> Result<()> {
        let (odd, even) = (self.between(1, 300), 8 * self.between(1, 200));
        for width in [odd, even, 1280, 5120] {
            let count = self.between(1, 5);
            let (y, x) = (self.random(&[count, width])?, self.random(&[count, width])?);
            let (weight, bias) = (self.random(&[width])?, self.random(&[width])?);
            // Of a few values that happen to be alike, the variance is lost in rounding, for either of them.
            if width >= 24 {
                self.compare(format!("layer_norm of {count} x {width}"), &y, |side, y| {
                    side.kernels.layer_norm(
                        &side.tensor(&x)?,
                        &side.tensor(&weight)?,
                        &side.tensor(&bias)?,
                        y,
                    )
                })?;
            }
            self.compare(format!("add of {count} x {width}"), &y, |side, y| {
                side.kernels.add(&side.tensor(&bias)?, y)
            })?;
            let (table, positions) = (self.random(&[40, width])?, self.random(&[9, width])?);
            let chosen: Vec<u32> = (0..count).map(|_| self.rng.random_range(0..40)).collect();
            self.compare(format!("pick of {count} x {width}"), &y, |side, y| {
                side.kernels.pick(&side.tensor(&table)?, &chosen, y)
            })?;
            let row = |&token: &u32| Row { token, position: token % 9, sequence: token, window: 0 };
            let list: Vec<Row> = chosen.iter().map(row).collect();
            self.compare(format!("embed of {count} x {width}"), &y, |side, y| {
                side.kernels.embed(&side.matrix(&table)?, &side.tensor(&positions)?, &side.rows(&list, 1)?, y)
            })?;
        }
        let (windows, rows, columns) =
            (self.between(1, 3), self.one_of(&[80, 128, 33]), self.between(1, 300));
        let (x, y) = (self.random(&[windows, rows, columns])?, self.random(&[windows, columns, rows])?);
        self.compare(format!("turn of {windows} x {rows} x {columns}"), &y, |side, y| {
            side.kernels.turn(&side.kernels.tensor(x.clone())?, y)
        })
    }

    /// The products are a library's; GELU, taps and sums are ours.
    fn products(&mut self) -> Result<()> {
        for width in [self.between(1, 40), 80] {
            let (rows, out) = (self.between(1, 9), 8 * self.between(1, 9));
            let (x, weight) = (self.random(&[rows, width])?, (self.random(&[out, width])? * 0.25)?);
            let weight = weight.to_dtype(self.tested.dtype)?.to_dtype(DType::F32)?;
            let (bias, y) = (self.random(&[out])?, self.random(&[rows, out])?);
            self.compare(format!("gelu of {rows} x {out}"), &y, |side, y| {
                let bias = side.tensor(&bias)?;
                side.kernels.linear(&side.tensor(&x)?, &side.matrix(&weight)?, Some(&bias), Then::Gelu, y)
            })?;
            for stride in [1, 2] {
                let (windows, rows) = (self.between(1, 3), stride * self.between(2, 20));
                let (x, weight) = (self.random(&[windows, rows, width])?, self.random(&[out, 3 * width])?);
                let weight = (weight * 0.25)?.to_dtype(self.tested.dtype)?.to_dtype(DType::F32)?;
                let y = self.random(&[windows, rows / stride, out])?;
                let name = format!("taps of {windows} x {rows} x {width}, stride {stride}");
                self.compare(name, &y, |side, y| {
                    let (x, bias) = (side.tensor(&x)?, side.tensor(&bias)?);
                    side.kernels.convolve(&x, &side.matrix(&weight)?, &bias, stride, y)
                })?;
            }
        }
        Ok(())
    }

    fn windows(&mut self) -> Result<()> {
        let any = self.between(2, 400);
        for rows in [1, 64, 65, any] {
            let (windows, heads, head) = (self.between(1, 2), self.between(1, 3), self.one_of(&HEADS));
            let (x, y) = (
                self.random(&[windows, rows, 3 * heads * head])?,
                self.random(&[windows, rows, heads * head])?,
            );
            let name = format!("attention of {windows} x {rows}, {heads} heads of {head}");
            self.compare(name, &y, |side, y| side.kernels.attention(&side.tensor(&x)?, heads, y))?;
        }
        let (x, y) = (self.random(&[1, 1500, 192])?, self.random(&[1, 1500, 64])?);
        let name = "attention of 1 x 1500, 1 heads of 64".into();
        self.compare(name, &y, |side, y| side.kernels.attention(&side.tensor(&x)?, 1, y))
    }

    /// Rows that have nothing in common, and copies between slots.
    fn singles(&mut self) -> Result<()> {
        let any = self.between(2, 448);
        for len in [1, any, 1500] {
            let shape = [3, self.between(1, 2), len, self.one_of(&HEADS)];
            let [slots, heads, _, head] = shape;
            let (width, count) = (heads * head, self.between(1, 6));
            let column = width * self.between(0, 1);
            let (x, q) =
                (self.random(&[slots * len, column + 2 * width])?, self.random(&[count, 3 * width])?);
            let first = self.between(0, len - 1);
            let copied = first..self.between(first, len);
            let mut row = |_| Row {
                token: 0,
                position: self.rng.random_range(0..len as u32),
                sequence: self.rng.random_range(0..slots as u32),
                window: self.rng.random_range(0..slots as u32),
            };
            let list: Vec<Row> = (0..count).map(&mut row).collect();
            let y = self.random(&[count, width])?;
            for sees in [Sees::Text, Sees::Audio(self.between(1, len))] {
                self.compare(
                    format!("cached of {count} x {len}, {heads} heads of {head}, {sees:?}"),
                    &y,
                    |side, y| {
                        let cache = side.cache(shape, &x, column)?;
                        side.kernels.copy(&cache, 2, 0, copied.clone())?;
                        let heard = if let Sees::Audio(heard) = sees { heard } else { 1 };
                        side.kernels.cached_attention(
                            &side.tensor(&q)?,
                            &cache,
                            &side.rows(&list, heard)?,
                            sees,
                            y,
                        )
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Rows of one text side by side.
    fn prompts(&mut self) -> Result<()> {
        for most in [9, 448] {
            let len = self.between(8, most);
            let shape = [2, self.between(1, 2), len, self.one_of(&HEADS)];
            let [slots, heads, _, head] = shape;
            let width = heads * head;
            let mut list = Vec::new();
            for sequence in 0..slots {
                let end = self.between(8, len);
                let row = |position: usize| Row {
                    token: 0,
                    position: position as u32,
                    sequence: sequence as u32,
                    window: (slots - 1 - sequence) as u32,
                };
                list.extend((self.between(0, end - 8)..end).map(row));
            }
            let (x, q) = (self.random(&[slots * len, 2 * width])?, self.random(&[list.len(), width])?);
            let (y, count) = (self.random(&[list.len(), width])?, list.len());
            for sees in [Sees::Text, Sees::Audio(self.between(1, len))] {
                self.compare(
                    format!("prompts of {count} x {len}, {heads} heads of {head}, {sees:?}"),
                    &y,
                    |side, y| {
                        let heard = if let Sees::Audio(heard) = sees { heard } else { 1 };
                        let (cache, rows) = (side.cache(shape, &x, 0)?, side.rows(&list, heard)?);
                        side.kernels.cached_attention(&side.tensor(&q)?, &cache, &rows, sees, y)
                    },
                )?;
            }
        }
        Ok(())
    }

    fn weights(&mut self) -> Result<()> {
        let any = self.between(2, 300);
        for len in [1, any, 1500] {
            let shape = [2, 3, len, self.one_of(&HEADS)];
            let [slots, heads, _, head] = shape;
            let (width, rows, seen) = (heads * head, self.between(1, 4), self.between(1, len));
            let (x, q) = (self.random(&[slots * len, 2 * width])?, self.random(&[rows, width])?);
            let y = self.random(&[2, rows, seen])?;
            // These stay in single precision.
            self.compare_as(
                format!("weights of {rows} x {seen}, head {head}"),
                (DType::F32, 2e-5),
                &y,
                |side, y| {
                    let cache = side.cache(shape, &x, 0)?;
                    side.kernels.cached_weights(&side.tensor(&q)?, &cache, &[2, 0], (1, seen), y)
                },
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::host;

    fn assert_all_hold(dtype: DType) {
        // With few processors work is in one piece, with many it is split.
        for (processors, seed) in [(1, 1), (40, 2)] {
            let Some(kernels) = host::kernels(processors) else { return };
            let cases = all(&kernels, &Device::Cpu, dtype, seed).unwrap();
            let wrong: Vec<&Case> = cases.iter().filter(|case| !case.holds()).collect();
            assert!(cases.len() > 30 && wrong.is_empty(), "{wrong:#?}");
        }
    }

    #[test]
    fn kernels_in_single_precision_agree_with_the_plain_ones() {
        assert_all_hold(DType::F32);
    }

    #[test]
    fn kernels_in_f16_agree_with_the_plain_ones() {
        assert_all_hold(DType::F16);
    }

    #[test]
    fn kernels_in_bf16_agree_with_the_plain_ones() {
        assert_all_hold(DType::BF16);
    }
}
