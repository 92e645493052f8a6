//! Attention: of a window to itself, of the rows of a prompt, and of single rows to long caches.

use candle_core::{D, Device, Result, Tensor, bail};

use super::executor::{Argument as A, Pointer};
use super::ops::{Cuda, ROW_THREADS, device};
use crate::device::kernels::{Kernels, KeysValues, Row, Rows, Sees, Tiles};

/// Query rows of a tile of attention.
pub const TILE_ROWS: usize = 128;
/// Rows of one sequence, on average, from which they share what they see.
const ROWS_TO_SHARE: usize = 4;
/// Blocks of the attention to caches per processor, below which its work is split further.
const BLOCKS_PER_PROCESSOR: usize = 6;
const MOST_SPLITS: usize = 16;
/// Numbers that a split tells beside a value for each dimension: its maximum and its sum.
const OF_SPLIT: usize = 2;

/// Queries, and how what they see is laid out: from entry to entry, from head to head, from slot to slot.
#[derive(Debug, Clone, Copy)]
pub struct Queries {
    pub q: Pointer,
    pub stride: usize,
    pub layout: [usize; 3],
    pub heads: usize,
    pub head: usize,
}

/// Which queries a block has: tiles of a list, or all rows of windows of so many.
#[derive(Debug, Clone, Copy)]
pub enum Blocks {
    Tiles { list: Pointer, count: usize },
    Windows { rows: usize, windows: usize },
}

/// What the kernels can do.
pub fn check_head(head: usize) -> Result<()> {
    if head == 0 || !head.is_multiple_of(8) || head > 128 {
        bail!("attention with heads of {head} numbers: the GPU's kernels take multiples of 8 up to 128");
    }
    Ok(())
}

pub fn scale(head: usize) -> f32 {
    (head as f32).powf(-0.5)
}

impl Cuda {
    /// Rows side by side where several belong to one sequence.
    pub fn tiles(&self, rows: &Rows, heard: usize) -> Result<Option<Tiles>> {
        let follows = |a: &Row, b: &Row| a.sequence == b.sequence && a.position + 1 == b.position;
        // Rows that hear nothing are only stored.
        if heard == 0 {
            return Ok(None);
        }
        let runs: Vec<&[Row]> = rows.list.chunk_by(follows).collect();
        if runs.len() * ROWS_TO_SHARE > rows.list.len() {
            return Ok(None);
        }
        let (mut text, mut audio, mut first) = (Vec::new(), Vec::new(), 0);
        for piece in runs.iter().flat_map(|run| run.chunks(TILE_ROWS)) {
            let (row, count) = (piece[0], piece.len() as u32);
            text.extend([first, count, row.sequence, row.position, 1]);
            audio.extend([first, count, row.window, heard as u32, 0]);
            first += count;
        }
        let count = text.len() / 5;
        let tensor = |list: Vec<u32>| self.tensor(Tensor::from_vec(list, (count, 5), &Device::Cpu)?);
        Ok(Some(Tiles { text: tensor(text)?, audio: tensor(audio)?, count }))
    }

    /// Rows of prompts, which share what they see.
    pub fn tiled_attention(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        (list, count): (&Tensor, usize),
        y: &Tensor,
    ) -> Result<()> {
        let [_, heads, len, head] = cache.shape;
        let layout = [head, len * head, heads * len * head];
        let queries = Queries { q: self.at(q)?, stride: q.dim(D::Minus1)?, layout, heads, head };
        let blocks = Blocks::Tiles { list: self.at(list)?, count };
        self.full_attention(&queries, (self.at(&cache.keys)?, self.at(&cache.values)?), blocks, y)
    }

    pub fn full_attention(
        &self,
        queries: &Queries,
        (keys, values): (Pointer, Pointer),
        blocks: Blocks,
        y: &Tensor,
    ) -> Result<()> {
        let Queries { q, stride, layout: [entry, of_head, slot], heads, head } = *queries;
        let (list, rows, grid) = match blocks {
            Blocks::Tiles { list, count } => (list, 0, [count, heads, 1]),
            Blocks::Windows { rows, windows } => (0, rows, [rows.div_ceil(TILE_ROWS), heads, windows]),
        };
        self.launch(
            ("attention", y.dtype()),
            grid,
            ROW_THREADS,
            &[
                A::Pointer(q),
                A::Int(stride as i32),
                A::Pointer(keys),
                A::Pointer(values),
                A::Int(entry as i32),
                A::Int(of_head as i32),
                A::Long(slot as u64),
                A::Pointer(self.at(y)?),
                A::Int((heads * head) as i32),
                A::Pointer(list),
                A::Int(rows as i32),
                A::Int(heads as i32),
                A::Int(head as i32),
                A::Float(scale(head)),
            ],
        )
    }

    /// Rows that have nothing in common, each seeing as far as it does.
    pub fn single_attention(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        rows: &Rows,
        sees: Sees,
        y: &Tensor,
    ) -> Result<()> {
        let ([_, heads, len, head], count) = (cache.shape, rows.list.len());
        let (at, y_at) = (self.at(&device(rows)?.rows)?, self.at(y)?);
        let (own, heard) = match sees {
            Sees::Text => (1, 0),
            Sees::Audio(entries) => (0, entries),
        };
        let splits = self.splits(count, heads, sees);
        let partial = match splits {
            1 => 0,
            _ => self.at(&self.partial.at_least(self.most_partial(heads, head), &*self.executor)?)?,
        };
        self.launch(
            ("cached", q.dtype()),
            [heads, count, splits],
            ROW_THREADS,
            &[
                A::Pointer(self.at(q)?),
                A::Int(q.dim(D::Minus1)? as i32),
                A::Pointer(self.at(&cache.keys)?),
                A::Pointer(self.at(&cache.values)?),
                A::Pointer(at),
                A::Int(own),
                A::Int(heard as i32),
                A::Pointer(y_at),
                A::Pointer(partial),
                A::Int(heads as i32),
                A::Int(head as i32),
                A::Int(len as i32),
                A::Float(scale(head)),
                A::Int(splits as i32),
            ],
        )?;
        if splits == 1 {
            return Ok(());
        }
        self.launch(
            ("cached_join", q.dtype()),
            [heads, count, 1],
            ROW_THREADS,
            &[
                A::Pointer(partial),
                A::Pointer(y_at),
                A::Pointer(at),
                A::Int(own),
                A::Int(heads as i32),
                A::Int(head as i32),
                A::Int(splits as i32),
            ],
        )
    }

    /// Into how many parts each row's attention is split, so that the whole device has work.
    fn splits(&self, rows: usize, heads: usize, sees: Sees) -> usize {
        match sees {
            // Short: a second pass would cost more.
            Sees::Text => 1,
            Sees::Audio(_) => (self.blocks() / (rows * heads).max(1)).clamp(1, MOST_SPLITS),
        }
    }

    fn blocks(&self) -> usize {
        self.executor.processors() * BLOCKS_PER_PROCESSOR
    }

    /// Numbers that all splits of any call tell at most: so their place never moves.
    fn most_partial(&self, heads: usize, head: usize) -> usize {
        self.blocks().max(heads * MOST_SPLITS) * (head + OF_SPLIT)
    }
}
