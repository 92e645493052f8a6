//! The network's operations in our own CUDA kernels and in cuBLASLt's matrix products.
//!
//! The kernels are written in CUDA C++, in `kernels/`. An [`executor`](super::executor) runs them: the driver, or the host in tests.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::attention::{Blocks, Queries, check_head_dim, scale};
use super::executor::{Argument, Product, ProductDtypes, bytes, bytes_mut};
use super::launcher::{Cuda, ELEMENTWISE_THREADS, elementwise_blocks, on_device};
use crate::device::kernels::{
    AttentionSource, CachePrefix, CacheShape, DeviceBatch, Epilogue, Kernels, LayerCache, Matrix,
    MatrixValues, TokenBatch, TokenRow,
};
use crate::device::sampling::DeviceSampler;
use crate::device::{LAYER_NORM_EPS, MatrixFormat};

/// Threads of a block that processes a row.
pub const ROW_THREADS: u32 = 128;

impl Cuda {
    /// Applies the exact GELU, because cuBLASLt's epilogue has only the tanh approximation.
    fn gelu(&self, y: &Tensor) -> Result<()> {
        let count = y.elem_count();
        let arguments = [Argument::Pointer(self.at(y)?), Argument::Long(count as u64)];
        self.launch(("gelu", y.dtype()), [elementwise_blocks(count), 1, 1], ELEMENTWISE_THREADS, &arguments)
    }
}

impl Kernels for Cuda {
    fn upload_matrix(&self, weight: Tensor, format: MatrixFormat) -> Result<Matrix> {
        let (out, width) = weight.dims2()?;
        let values = self.upload_tensor(weight.to_dtype(format.float()?)?)?;
        Ok(Matrix { values: MatrixValues::RowMajor(values), out, width })
    }

    fn upload_tensor(&self, x: Tensor) -> Result<Tensor> {
        x.contiguous()?.to_device(self.device())
    }

    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()> {
        let total: usize = values.iter().map(|values| values.len()).sum();
        if y.dtype() != DType::F32 || total > y.elem_count() {
            bail!("{total} values to write to {:?} of {:?}", y.shape(), y.dtype());
        }
        let mut to = self.at(y)?;
        for values in values {
            self.executor().upload(bytes(values), to)?;
            to += size_of_val(*values) as u64;
        }
        Ok(())
    }

    fn upload_batch(&self, batch: TokenBatch, audio_len: usize) -> Result<TokenBatch> {
        let tiles = self.tiles(&batch, audio_len)?;
        let fields = |row: &TokenRow| [row.token, row.position, row.sequence, row.window];
        let words: Vec<u32> = batch.rows.iter().flat_map(fields).collect();
        let rows = self.upload_tensor(Tensor::from_vec(words, (batch.rows.len(), 4), &Device::Cpu)?)?;
        // The upload goes through the device's main queue.
        self.executor().wait_for_main_queue()?;
        Ok(TokenBatch { on_device: Some(DeviceBatch { rows, tiles }), ..batch })
    }

    fn embed(&self, table: &Matrix, positions: &Tensor, batch: &TokenBatch, y: &Tensor) -> Result<()> {
        use Argument as A;
        if let Some(row) = batch.rows.iter().find(|row| row.token as usize >= table.out) {
            bail!("embedding: {row:?} of {} tokens", table.out);
        }
        self.launch(
            ("embed", y.dtype()),
            [batch.rows.len(), 1, 1],
            ROW_THREADS,
            &[
                A::Pointer(self.at(table.row_major()?)?),
                A::Pointer(self.at(positions)?),
                A::Pointer(self.at(&on_device(batch)?.rows)?),
                A::Pointer(self.at(y)?),
                A::Int(y.dim(D::Minus1)? as i32),
            ],
        )
    }

    fn gather(&self, x: &Tensor, indices: &[u32], y: &Tensor) -> Result<()> {
        use Argument as A;
        let (rows, width) = x.dims2()?;
        if indices.iter().any(|&row| row as usize >= rows) || y.elem_count() != indices.len() * width {
            bail!("gather: {indices:?} of {rows} rows to {:?}", y.shape());
        }
        let list = self.upload_indices(indices)?;
        self.launch(
            ("gather", y.dtype()),
            [indices.len(), 1, 1],
            ROW_THREADS,
            &[A::Pointer(self.at(x)?), A::Pointer(list), A::Pointer(self.at(y)?), A::Int(width as i32)],
        )
    }

    fn transpose(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        use Argument as A;
        let (batch, rows, columns) = x.dims3()?;
        let grid = [columns.div_ceil(32), rows.div_ceil(32), batch];
        self.launch(
            ("transpose", y.dtype()),
            grid,
            ELEMENTWISE_THREADS,
            &[A::Pointer(self.at(x)?), A::Pointer(self.at(y)?), A::Int(rows as i32), A::Int(columns as i32)],
        )
    }

    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()> {
        use Argument as A;
        let count = y.elem_count();
        self.launch(
            ("add", y.dtype()),
            [elementwise_blocks(count), 1, 1],
            ELEMENTWISE_THREADS,
            &[
                A::Pointer(self.at(y)?),
                A::Pointer(self.at(rows)?),
                A::Long(count as u64),
                A::Long(rows.elem_count() as u64),
            ],
        )
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        epilogue: Epilogue,
        y: &Tensor,
    ) -> Result<()> {
        let rows = x.elem_count() / weight.width;
        if x.elem_count() != rows * weight.width || y.elem_count() != rows * weight.out {
            bail!("linear: {:?} by {} x {} to {:?}", x.shape(), weight.out, weight.width, y.shape());
        }
        self.executor().multiply(&Product {
            x: self.at(x)?,
            weight: self.at(weight.row_major()?)?,
            bias: bias.map(|bias| self.at(bias)).transpose()?,
            y: self.at(y)?,
            rows,
            width: weight.width,
            out: weight.out,
            dtypes: ProductDtypes { x: x.dtype(), weight: weight.row_major()?.dtype(), y: y.dtype() },
            adds: epilogue == Epilogue::Add,
        })?;
        match epilogue {
            Epilogue::Gelu => self.gelu(y),
            Epilogue::Store | Epilogue::Add => Ok(()),
        }
    }

    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        use Argument as A;
        let (windows, rows, width) = x.dims3()?;
        let out = rows / stride;
        let count = windows * out * 3 * width;
        let taps = self.taps(count * x.dtype().size_in_bytes())?;
        self.launch(
            ("im2row", x.dtype()),
            [elementwise_blocks(out * 3 * width), 1, windows],
            ELEMENTWISE_THREADS,
            &[
                A::Pointer(self.at(x)?),
                A::Pointer(taps),
                A::Int(rows as i32),
                A::Int(width as i32),
                A::Int(stride as i32),
            ],
        )?;
        self.executor().multiply(&Product {
            x: taps,
            weight: self.at(weight.row_major()?)?,
            bias: Some(self.at(bias)?),
            y: self.at(y)?,
            rows: windows * out,
            width: 3 * width,
            out: weight.out,
            dtypes: ProductDtypes { x: x.dtype(), weight: weight.row_major()?.dtype(), y: y.dtype() },
            adds: false,
        })?;
        self.gelu(y)
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()> {
        use Argument as A;
        let width = weight.elem_count();
        let threads = (width as u32).div_ceil(8).next_multiple_of(32).min(ELEMENTWISE_THREADS);
        self.launch(
            ("layer_norm", y.dtype()),
            [x.elem_count() / width, 1, 1],
            threads,
            &[
                A::Pointer(self.at(x)?),
                A::Pointer(self.at(weight)?),
                A::Pointer(self.at(bias)?),
                A::Pointer(self.at(y)?),
                A::Int(width as i32),
                A::Float(LAYER_NORM_EPS),
            ],
        )
    }

    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()> {
        let (windows, rows, columns) = qkv.dims3()?;
        let (width, at) = (columns / 3, self.at(qkv)?);
        let head_dim = width / heads;
        check_head_dim(head_dim)?;
        let size = (width * qkv.dtype().size_in_bytes()) as u64;
        let strides = [columns, head_dim, rows * columns];
        let queries = Queries { q: at, row_stride: columns, strides, heads, head_dim };
        self.full_attention(&queries, (at + size, at + 2 * size), Blocks::Windows { rows, windows }, y)
    }

    fn new_cache(&self, shape: CacheShape, dtype: DType, device: &Device) -> Result<LayerCache> {
        check_head_dim(shape.head_dim)?;
        let zeros = || Tensor::zeros(&shape.dims()[..], dtype, device);
        Ok(LayerCache { keys: zeros()?, values: zeros()?, shape })
    }

    fn store(&self, cache: &LayerCache, x: &Tensor, column: usize, batch: &TokenBatch) -> Result<()> {
        use Argument as A;
        let (CacheShape { heads, len, head_dim, .. }, (count, columns)) = (cache.shape, x.dims2()?);
        self.launch(
            ("store", x.dtype()),
            [count, 1, 1],
            ROW_THREADS,
            &[
                A::Pointer(self.at(x)?),
                A::Pointer(self.at(&cache.keys)?),
                A::Pointer(self.at(&cache.values)?),
                A::Pointer(self.at(&on_device(batch)?.rows)?),
                A::Int(count as i32),
                A::Int(columns as i32),
                A::Int(column as i32),
                A::Int(heads as i32),
                A::Int(head_dim as i32),
                A::Int(len as i32),
            ],
        )
    }

    fn copy_entries(&self, cache: &LayerCache, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        use Argument as A;
        let CacheShape { slots, heads, len, head_dim } = cache.shape;
        if from >= slots || to >= slots || entries.end > len {
            bail!("copy_entries: entries {entries:?} from slot {from} to {to} of {:?}", cache.shape);
        }
        let blocks = (entries.len() * head_dim).div_ceil(8 * ROW_THREADS as usize);
        for tensor in [&cache.keys, &cache.values] {
            self.launch(
                ("copy_entries", tensor.dtype()),
                [blocks, heads, 1],
                ROW_THREADS,
                &[
                    A::Pointer(self.at(tensor)?),
                    A::Int(from as i32),
                    A::Int(to as i32),
                    A::Int(entries.start as i32),
                    A::Int(entries.len() as i32),
                    A::Int(heads as i32),
                    A::Int(len as i32),
                    A::Int(head_dim as i32),
                ],
            )?;
        }
        Ok(())
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()> {
        let Some(tiles) = &on_device(batch)?.tiles else {
            return self.single_row_attention(q, cache, batch, source, y);
        };
        let list = match source {
            AttentionSource::Text => &tiles.text,
            AttentionSource::Audio(_) => &tiles.audio,
        };
        self.tiled_attention(q, cache, (list, tiles.count), y)
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        heads: &[usize],
        (slot, attended): CachePrefix,
        y: &Tensor,
    ) -> Result<()> {
        use Argument as A;
        let (CacheShape { heads: all_heads, len, head_dim, .. }, (rows, columns)) = (cache.shape, q.dims2()?);
        let selected: Vec<u32> = heads.iter().map(|&head| head as u32).collect();
        let list = self.upload_indices(&selected)?;
        self.launch(
            ("attention_weights", q.dtype()),
            [rows, heads.len(), 1],
            ROW_THREADS,
            &[
                A::Pointer(self.at(q)?),
                A::Int(columns as i32),
                A::Pointer(self.at(&cache.keys)?),
                A::Pointer(list),
                A::Pointer(self.at(y)?),
                A::Int(rows as i32),
                A::Int(slot as i32),
                A::Int(attended as i32),
                A::Int(all_heads as i32),
                A::Int(head_dim as i32),
                A::Int(len as i32),
                A::Float(scale(head_dim)),
            ],
        )
    }

    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        if x.dtype() != DType::F32 {
            *to = x.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
            return Ok(());
        }
        to.resize(x.elem_count(), 0.0);
        self.executor().download(self.at(x)?, bytes_mut(to))
    }

    fn new_queue(&self) -> Result<Option<Arc<dyn Kernels>>> {
        let executor = self.executor().new_queue()?;
        Ok(executor.map(|executor| Arc::new(Self::new(executor, self.device())) as Arc<dyn Kernels>))
    }

    fn wait_for_main_queue(&self) -> Result<()> {
        self.executor().wait_for_main_queue()
    }

    fn is_idle(&self) -> Result<bool> {
        self.executor().is_idle()
    }

    fn synchronize(&self) -> Result<()> {
        self.executor().synchronize()
    }

    fn sampler(&self) -> Option<&dyn DeviceSampler> {
        Some(self)
    }
}
