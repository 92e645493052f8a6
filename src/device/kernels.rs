//! The arithmetic that the network asks of a device, behind one trait.
//!
//! [`Plain`](super::reference::Plain) says in candle's own operations what each function means, for any device;
//! a device with something faster implements the trait beside it and is tested against it.
//!
//! Results go to tensors that are there already (`y`, contiguous, sharing no memory with what is read), so that
//! nothing is allocated from step to step.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use super::sampling::Ahead;

/// A place in a cache: which slot, and where in it.
pub type Place = (usize, usize);

/// A token of one of the sequences that go through the decoder together. The kernels of a device read it as it lies here.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub token: u32,
    /// Where in its text it stands.
    pub position: u32,
    /// The slot of the text's keys and values.
    pub sequence: u32,
    /// The slot of those of the audio.
    pub window: u32,
}

/// The rows of a batch, where the kernels look for them.
#[derive(Debug, Default)]
pub struct Rows {
    pub list: Vec<Row>,
    /// Where the own keys and values of each row go.
    pub places: Vec<Place>,
    /// The same on the device, if it reads there.
    pub on_device: Option<DeviceRows>,
}

/// Rows as the kernels of a device read them.
#[derive(Debug)]
pub struct DeviceRows {
    pub rows: Tensor,
    /// Rows of one sequence side by side, for kernels that share what these see; none if each row is alone.
    pub tiles: Option<Tiles>,
}

#[derive(Debug)]
pub struct Tiles {
    /// For the attention to the text, then for that to the audio.
    pub text: Tensor,
    pub audio: Tensor,
    pub count: usize,
}

impl Rows {
    pub fn new(list: Vec<Row>) -> Self {
        let places = list.iter().map(|row| (row.sequence as usize, row.position as usize)).collect();
        Rows { list, places, on_device: None }
    }

    /// Every entry of these slots, slot after slot.
    pub fn of_slots(slots: &[usize], entries: usize) -> Self {
        let row = |slot, at| Row { token: 0, position: at as u32, sequence: slot as u32, window: 0 };
        Self::new(slots.iter().flat_map(|&slot| (0..entries).map(move |at| row(slot, at))).collect())
    }
}

/// What rows pay attention to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// Their own text up to themselves.
    Text,
    /// So many entries of their window.
    Audio(usize),
}

impl Sees {
    /// How far a row sees in which slot.
    pub fn reach(self, row: &Row) -> Place {
        match self {
            Sees::Text => (row.sequence as usize, row.position as usize + 1),
            Sees::Audio(entries) => (row.window as usize, entries),
        }
    }
}

/// A weight `[out, in]`, laid out as its device likes it.
#[derive(Debug)]
pub struct Matrix {
    pub values: Tensor,
    pub out: usize,
    pub width: usize,
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    /// The exact GELU of it.
    Gelu,
    /// It is added to what `y` holds.
    Add,
}

/// Keys and values of several slots, laid out as their device likes it.
#[derive(Debug)]
pub struct KeysValues {
    pub keys: Tensor,
    pub values: Tensor,
    /// Slots, heads, entries of a slot, width of a head.
    pub shape: [usize; 4],
}

pub trait Kernels: Debug + Send + Sync {
    /// Lays a weight `[out, in]` that lies on the host out on the device.
    fn matrix(&self, weight: Tensor) -> Result<Matrix>;

    /// Brings any other tensor of the host to the device.
    fn tensor(&self, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }

    /// Overwrites the beginning of an f32 tensor with these values, one slice after the other.
    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()>;

    /// Readies the rows of a batch, which will see so many entries of audio.
    fn rows(&self, rows: Rows, heard: usize) -> Result<Rows> {
        let _ = heard;
        Ok(rows)
    }

    /// For each row its token's row of a table and its position's row of another.
    fn embed(&self, table: &Matrix, positions: &Tensor, rows: &Rows, y: &Tensor) -> Result<()>;

    /// Some rows of `x`, `[rows, width]`.
    fn pick(&self, x: &Tensor, chosen: &[u32], y: &Tensor) -> Result<()>;

    /// `[batch, rows, columns]` of f32 to `[batch, columns, rows]`.
    fn turn(&self, x: &Tensor, y: &Tensor) -> Result<()>;

    /// `y += rows`, the last dimensions of `y` being those of `rows`.
    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()>;

    /// `x · weightᵀ + bias`, rows of `x` to rows of `y`, of any rank. The result for a row must not depend on
    /// its neighbours.
    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        then: Then,
        y: &Tensor,
    ) -> Result<()>;

    /// The GELU of a convolution of three taps with one zero row on either side, `[batch, rows, in]` to
    /// `[batch, rows / stride, out]`; the weight is `[out, 3 × in]`, tap after tap.
    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()>;

    /// Layer normalisation over the last dimension, eps 1e-5.
    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()>;

    /// Full self-attention without a mask: `[batch, rows, 3 × width]`, queries, keys and values side by
    /// side, to `[batch, rows, width]`.
    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()>;

    /// An empty cache of a shape as in [`KeysValues`].
    fn cache(&self, shape: [usize; 4], dtype: DType, device: &Device) -> Result<KeysValues>;

    /// Writes the rows' keys and values, which stand side by side in `x` (`[rows, …]`) from `column` on, to the
    /// rows' places.
    fn store(&self, cache: &KeysValues, x: &Tensor, column: usize, rows: &Rows) -> Result<()>;

    /// Copies entries of a slot to the same places of another one.
    fn copy(&self, cache: &KeysValues, from: usize, to: usize, entries: Range<usize>) -> Result<()>;

    /// Attention of single rows to a cache; the first `width` columns of `q` are the queries. Into `[rows, width]`.
    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        rows: &Rows,
        sees: Sees,
        y: &Tensor,
    ) -> Result<()>;

    /// How rows weigh the first `seen.1` entries of slot `seen.0` in their attention to a cache, for some of the heads:
    /// the first `width` columns of `q` are the queries. Into `[heads, rows, entries]`; each row sums to 1.
    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        heads: &[usize],
        seen: Place,
        y: &Tensor,
    ) -> Result<()>;

    /// All values, as f32, into memory of the host, whose old content goes.
    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()>;

    /// The same kernels in a queue of work of its own, where a device has several. What begins there waits for nothing
    /// but [`follow`](Self::follow).
    fn beside(&self) -> Result<Option<Arc<dyn Kernels>>> {
        Ok(None)
    }

    /// What begins from now on comes after all that the device's other queue was given so far.
    fn follow(&self) -> Result<()> {
        Ok(())
    }

    /// Whether all that was begun is done.
    fn is_idle(&self) -> Result<bool> {
        Ok(true)
    }

    /// Waits until it is.
    fn wait(&self) -> Result<()> {
        Ok(())
    }

    /// What lets sequences choose their own tokens where the scores are, if this device has it.
    fn ahead(&self) -> Option<&dyn Ahead> {
        None
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::device::cpu::Cpu;
    use crate::device::cuda;
    use crate::device::reference::Plain;
    use proptest::prelude::*;

    fn random(shape: &[usize], seed: u64) -> Tensor {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn flat(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[track_caller]
    fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
        assert_eq!(a.dims(), b.dims());
        for (a, b) in flat(a).into_iter().zip(flat(b)) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
        }
    }

    /// What all kernels make of the same tensor `y`, the plain ones last. Rows are readied by the kernels that read them.
    fn all_kernels(y: &Tensor, f: impl Fn(&dyn Kernels, &Tensor) -> Result<()>) -> Vec<Tensor> {
        // With few processors work is in one piece, with many it is split.
        let cuda = [2, 40].into_iter().filter_map(cuda::host::kernels);
        let cuda: Vec<_> = cuda.map(|kernels| Box::new(kernels) as Box<dyn Kernels>).collect();
        let others: [Box<dyn Kernels>; 2] = [Box::new(Cpu), Box::new(Plain::on(&Device::Cpu))];
        let run = |kernels: Box<dyn Kernels>| {
            let y = y.copy().unwrap();
            f(&*kernels, &y).unwrap();
            y
        };
        cuda.into_iter().chain(others).map(run).collect()
    }

    #[track_caller]
    fn assert_agree(y: &Tensor, f: impl Fn(&dyn Kernels, &Tensor) -> Result<()>) {
        assert_all_close(&all_kernels(y, f), 1e-4);
    }

    #[track_caller]
    fn assert_all_close(all: &[Tensor], tolerance: f32) {
        let (plain, others) = all.split_last().unwrap();
        others.iter().for_each(|other| assert_close(other, plain, tolerance));
    }

    fn linear(x: &Tensor, w: &Tensor) -> Vec<f32> {
        let y = random(&[x.dim(0).unwrap(), w.dim(0).unwrap()], 0);
        Cpu.linear(x, &Cpu.matrix(w.clone()).unwrap(), None, Then::Keep, &y).unwrap();
        flat(&y)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn linear_agrees(rows in 1usize..300, width in 1usize..900, out in 1usize..90, bias: bool, seed: u64) {
            let (x, w) = (random(&[rows, width], seed), random(&[out, width], seed + 1));
            let bias = bias.then(|| random(&[out], seed + 2));
            for then in [Then::Keep, Then::Gelu, Then::Add] {
                assert_agree(&random(&[rows, out], seed + 3), |kernels, y| {
                    kernels.linear(&x, &kernels.matrix(w.clone())?, bias.as_ref(), then, y)
                });
            }
        }

        #[test]
        fn a_row_does_not_depend_on_its_neighbours(rows in 2usize..230, width in 1usize..1700, out in 1usize..300, seed: u64) {
            let (x, w) = (random(&[rows, width], seed), random(&[out, width], seed + 1));
            let all = linear(&x, &w);
            for count in [1, 2, 5, 8, 16].into_iter().filter(|&count| count <= rows) {
                let first = rows - count;
                prop_assert_eq!(&linear(&x.narrow(0, first, count).unwrap(), &w), &all[first * out..]);
            }
        }

        #[test]
        fn convolutions_agree(windows in 1usize..3, rows in 3usize..90, width in 1usize..50, stride in 1usize..3, seed: u64) {
            let rows = rows.next_multiple_of(stride);
            let (x, w) = (random(&[windows, rows, width], seed), random(&[40, 3 * width], seed + 1));
            assert_agree(&random(&[windows, rows / stride, 40], seed + 2), |kernels, y| {
                kernels.convolve(&x, &kernels.matrix(w.clone())?, &random(&[40], seed + 3), stride, y)
            });
        }

        #[test]
        // Of a few values that happen to be alike, the variance is nearly lost in rounding, for either of them.
        fn rows_agree(rows in 1usize..200, width in 24usize..900, seed: u64) {
            let y = random(&[rows, width], seed);
            let (x, row) = (random(&[rows, width], seed + 1), |i| random(&[width], seed + i));
            assert_agree(&y, |kernels, y| kernels.layer_norm(&x, &row(2), &row(3), y));
            assert_agree(&y, |kernels, y| kernels.add(&row(2), y));
            let (table, positions) = (random(&[70, width], seed + 4), random(&[9, width], seed + 5));
            let row = |(token, position)| Row { token, position, sequence: 0, window: 0 };
            let embedded = [(69, 0), (0, 8), (48, 3)].map(row).to_vec();
            let y = random(&[3, width], seed);
            assert_agree(&y, |kernels, y| {
                let embedded = kernels.rows(Rows::new(embedded.clone()), 0)?;
                kernels.embed(&kernels.matrix(table.clone())?, &positions, &embedded, y)
            });
            assert_agree(&y, |kernels, y| kernels.pick(&table, &[3, 69, 3], y));
            assert_agree(&random(&[1, width, rows], seed), |kernels, y| kernels.turn(&x.unsqueeze(0)?, y));
        }

        #[test]
        fn attention_agrees(rows in 1usize..700, heads in 1usize..4, head in prop::sample::select(vec![8usize, 24, 64]), seed: u64) {
            let qkv = random(&[2, rows, 3 * heads * head], seed);
            let y = random(&[2, rows, heads * head], seed);
            assert_agree(&y, |kernels, y| kernels.attention(&qkv, heads, y));
        }

        #[test]
        fn caches_agree(slots in 1usize..4, heads in 1usize..4, len in 1usize..140, rows in 1usize..20, copied in (0usize..140, 1usize..140), heard: bool, prompts: bool, seed: u64) {
            use rand::{Rng, SeedableRng};
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let head = 16;
            let width = heads * head;
            let all = || Rows::of_slots(&(0..slots).collect::<Vec<_>>(), len);
            let x = random(&[slots * len, 3 * width], seed);
            let q = random(&[rows, 3 * width], seed + 1);
            let row = |sequence: usize, position: usize, window: usize| {
                Row { token: 0, position: position as u32, sequence: sequence as u32, window: window as u32 }
            };
            let mut list: Vec<Row> = (0..rows)
                .map(|_| row(rng.random_range(0..slots), rng.random_range(0..len), rng.random_range(0..slots)))
                .collect();
            // Neighbours that see the same, and neighbours that do not; or prompts.
            list[rows / 2..].fill(row(0, len - 1, 0));
            if prompts {
                list = (0..slots).flat_map(|slot| (len / 3..len).map(move |at| row(slot, at, slots - 1 - slot))).collect();
            }
            let (rows, q) = (list.len(), if prompts { random(&[list.len(), 3 * width], seed + 1) } else { q });
            let sees = if heard { Sees::Audio(len.div_ceil(2)) } else { Sees::Text };
            assert_agree(&random(&[rows, width], seed), |kernels, y| {
                let cache = kernels.cache([slots, heads, len, head], DType::F32, &Device::Cpu)?;
                kernels.store(&cache, &x, width, &kernels.rows(all(), 0)?)?;
                kernels.copy(&cache, slots - 1, 0, copied.0.min(len)..(copied.0 + copied.1).min(len))?;
                kernels.cached_attention(&q, &cache, &kernels.rows(Rows::new(list.clone()), len.div_ceil(2))?, sees, y)
            });
        }

        #[test]
        fn weights_agree(len in 1usize..140, seen in 1usize..140, rows in 1usize..30, chosen in prop::collection::vec(0usize..3, 1..5), seed: u64) {
            let (slots, heads, head) = (2, 3, 16);
            let width = heads * head;
            let all = || Rows::of_slots(&(0..slots).collect::<Vec<_>>(), len);
            let x = random(&[slots * len, 2 * width], seed);
            let q = random(&[rows + 1, 2 * width], seed + 1).narrow(0, 1, rows).unwrap();
            let seen = seen.min(len);
            let found = all_kernels(&random(&[chosen.len(), rows, seen], seed), |kernels, y| {
                let cache = kernels.cache([slots, heads, len, head], DType::F32, &Device::Cpu)?;
                kernels.store(&cache, &x, 0, &kernels.rows(all(), 0)?)?;
                kernels.cached_weights(&q, &cache, &chosen, (1, seen), y)
            });
            assert_all_close(&found, 1e-5);
            for sum in flat(&found[0].sum(2).unwrap()) {
                prop_assert!((sum - 1.0).abs() < 1e-4);
            }
        }

        #[test]
        fn attention_does_not_depend_on_neighbours_either(rows in 2usize..20, len in 1usize..140, seed: u64) {
            let (heads, head) = (2, 64);
            let row = Row { token: 0, position: len as u32 - 1, sequence: 0, window: 0 };
            let cache = Cpu.cache([1, heads, len, head], DType::F32, &Device::Cpu).unwrap();
            Cpu.store(&cache, &random(&[len, 2 * heads * head], seed), 0, &Rows::of_slots(&[0], len)).unwrap();
            let q = random(&[rows, heads * head], seed + 1);
            let y = random(&[rows, heads * head], seed);
            Cpu.cached_attention(&q, &cache, &Rows::new(vec![row; rows]), Sees::Text, &y).unwrap();
            for at in 0..rows {
                let alone = random(&[1, heads * head], seed);
                Cpu.cached_attention(&q.narrow(0, at, 1).unwrap(), &cache, &Rows::new(vec![row]), Sees::Text, &alone).unwrap();
                prop_assert_eq!(flat(&alone), flat(&y.narrow(0, at, 1).unwrap()));
            }
        }
    }

    #[test]
    fn memory_that_is_read_is_not_written() {
        let x = random(&[4, 16], 0);
        let w = Cpu.matrix(random(&[16, 16], 1)).unwrap();
        assert!(Cpu.linear(&x, &w, None, Then::Keep, &x).is_err());
    }
}
