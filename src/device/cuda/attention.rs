//! Attention on the GPU: of a window to itself, of the rows of prompts, and of single rows to long caches.

use candle_core::{D, Device, Result, Tensor, bail};

use super::executor::{Argument as A, Pointer};
use super::launcher::{Cuda, on_device};
use super::ops::ROW_THREADS;
use crate::device::kernels::{
    AttentionSource, CacheShape, Kernels, LayerCache, QueryTiles, TokenBatch, TokenRow,
};

/// The largest number of query rows in a tile.
pub const TILE_ROWS: usize = 128;
/// Rows per run of one sequence, on average, from which they are computed in tiles.
const MIN_ROWS_PER_RUN: usize = 4;
/// Blocks per multiprocessor below which the attention to caches is split further.
const BLOCKS_PER_PROCESSOR: usize = 6;
const MAX_SPLITS: usize = 16;
/// Values that a split outputs besides one for each dimension: its maximum and its sum.
const SPLIT_HEADER: usize = 2;

/// Queries, and the layout of the keys and values that they attend to.
#[derive(Debug, Clone, Copy)]
pub struct Queries {
    pub q: Pointer,
    /// From one query row to the next.
    pub row_stride: usize,
    /// From one entry, one head and one slot of the keys and values to the next.
    pub strides: [usize; 3],
    pub heads: usize,
    pub head_dim: usize,
}

/// The query rows of each block: the tiles of a list, or all rows of windows of equal length.
#[derive(Debug, Clone, Copy)]
pub enum Blocks {
    Tiles { list: Pointer, count: usize },
    Windows { rows: usize, windows: usize },
}

/// Fails for a head that the kernels do not support.
pub fn check_head_dim(head_dim: usize) -> Result<()> {
    if head_dim == 0 || !head_dim.is_multiple_of(8) || head_dim > 128 {
        bail!("attention heads of {head_dim} dimensions: the GPU kernels take multiples of 8 up to 128");
    }
    Ok(())
}

pub fn scale(head_dim: usize) -> f32 {
    (head_dim as f32).powf(-0.5)
}

impl Cuda {
    /// Groups neighbouring rows of one sequence in tiles, if the runs are long enough to gain from it.
    pub fn tiles(&self, batch: &TokenBatch, audio_len: usize) -> Result<Option<QueryTiles>> {
        let follows = |a: &TokenRow, b: &TokenRow| a.sequence == b.sequence && a.position + 1 == b.position;
        // Rows that attend to no audio are only stored.
        if audio_len == 0 {
            return Ok(None);
        }
        let runs: Vec<&[TokenRow]> = batch.rows.chunk_by(follows).collect();
        if runs.len() * MIN_ROWS_PER_RUN > batch.rows.len() {
            return Ok(None);
        }
        let (mut text, mut audio, mut first) = (Vec::new(), Vec::new(), 0);
        for piece in runs.iter().flat_map(|run| run.chunks(TILE_ROWS)) {
            let (row, count) = (piece[0], piece.len() as u32);
            text.extend([first, count, row.sequence, row.position, 1]);
            audio.extend([first, count, row.window, audio_len as u32, 0]);
            first += count;
        }
        let count = text.len() / 5;
        let tensor = |words: Vec<u32>| self.upload_tensor(Tensor::from_vec(words, (count, 5), &Device::Cpu)?);
        Ok(Some(QueryTiles { text: tensor(text)?, audio: tensor(audio)?, count }))
    }

    /// Computes the attention of tiles of rows to a cache.
    pub fn tiled_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        (list, count): (&Tensor, usize),
        y: &Tensor,
    ) -> Result<()> {
        let CacheShape { heads, len, head_dim, .. } = cache.shape;
        let strides = [head_dim, len * head_dim, heads * len * head_dim];
        let queries = Queries { q: self.at(q)?, row_stride: q.dim(D::Minus1)?, strides, heads, head_dim };
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
        let Queries { q, row_stride, strides: [entry_stride, head_stride, slot_stride], heads, head_dim } =
            *queries;
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
                A::Int(row_stride as i32),
                A::Pointer(keys),
                A::Pointer(values),
                A::Int(entry_stride as i32),
                A::Int(head_stride as i32),
                A::Long(slot_stride as u64),
                A::Pointer(self.at(y)?),
                A::Int((heads * head_dim) as i32),
                A::Pointer(list),
                A::Int(rows as i32),
                A::Int(heads as i32),
                A::Int(head_dim as i32),
                A::Float(scale(head_dim)),
            ],
        )
    }

    /// Computes the attention of unrelated rows, each to its own entries of a cache.
    pub fn single_row_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()> {
        let (CacheShape { heads, len, head_dim, .. }, count) = (cache.shape, batch.rows.len());
        let (rows, y_at) = (self.at(&on_device(batch)?.rows)?, self.at(y)?);
        let (to_text, audio_len) = match source {
            AttentionSource::Text => (1, 0),
            AttentionSource::Audio(entries) => (0, entries),
        };
        let splits = self.splits(count, heads, source);
        let partial = match splits {
            1 => 0,
            _ => self.partial(self.max_partial_len(heads, head_dim))?,
        };
        self.launch(
            ("cached_attention", q.dtype()),
            [heads, count, splits],
            ROW_THREADS,
            &[
                A::Pointer(self.at(q)?),
                A::Int(q.dim(D::Minus1)? as i32),
                A::Pointer(self.at(&cache.keys)?),
                A::Pointer(self.at(&cache.values)?),
                A::Pointer(rows),
                A::Int(to_text),
                A::Int(audio_len as i32),
                A::Pointer(y_at),
                A::Pointer(partial),
                A::Int(heads as i32),
                A::Int(head_dim as i32),
                A::Int(len as i32),
                A::Float(scale(head_dim)),
                A::Int(splits as i32),
            ],
        )?;
        if splits == 1 {
            return Ok(());
        }
        self.launch(
            ("merge_splits", q.dtype()),
            [heads, count, 1],
            ROW_THREADS,
            &[
                A::Pointer(partial),
                A::Pointer(y_at),
                A::Pointer(rows),
                A::Int(to_text),
                A::Int(heads as i32),
                A::Int(head_dim as i32),
                A::Int(splits as i32),
            ],
        )
    }

    /// Returns the number of parts that each row's attention is split into, so that the whole device has work.
    fn splits(&self, rows: usize, heads: usize, source: AttentionSource) -> usize {
        match source {
            // Texts are short: a second pass would cost more than it gains.
            AttentionSource::Text => 1,
            AttentionSource::Audio(_) => (self.target_blocks() / (rows * heads).max(1)).clamp(1, MAX_SPLITS),
        }
    }

    fn target_blocks(&self) -> usize {
        self.executor().processors() * BLOCKS_PER_PROCESSOR
    }

    /// Returns the values that the splits of any call output at most, so that their buffer never moves.
    fn max_partial_len(&self, heads: usize, head_dim: usize) -> usize {
        self.target_blocks().max(heads * MAX_SPLITS) * (head_dim + SPLIT_HEADER)
    }
}
