//! Tensors inside files: where each is, how it is stored, and its values as the network takes them.
//!
//! The files are mapped, and each tensor is converted when it is asked for, so that the converted model is never in
//! memory as a whole beside the uploaded one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use crate::whisper::weights::{MappedFile, map_file};

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    F32,
    F16,
    Bf16,
    /// Integers that are divided by a scale of their row.
    Int8,
    /// Integers that are divided by one scale.
    Int16,
    /// Blocks of ggml.
    Blocks(GgmlDType),
}

impl Encoding {
    /// Returns the encoding of a type of ggml by its number.
    pub fn of_ggml(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Encoding::F32,
            1 => Encoding::F16,
            2 => Encoding::Blocks(GgmlDType::Q4_0),
            3 => Encoding::Blocks(GgmlDType::Q4_1),
            6 => Encoding::Blocks(GgmlDType::Q5_0),
            7 => Encoding::Blocks(GgmlDType::Q5_1),
            8 => Encoding::Blocks(GgmlDType::Q8_0),
            10 => Encoding::Blocks(GgmlDType::Q2K),
            11 => Encoding::Blocks(GgmlDType::Q3K),
            12 => Encoding::Blocks(GgmlDType::Q4K),
            13 => Encoding::Blocks(GgmlDType::Q5K),
            14 => Encoding::Blocks(GgmlDType::Q6K),
            30 => Encoding::Bf16,
            _ => return None,
        })
    }

    pub fn name(self) -> String {
        match self {
            Encoding::F32 => "f32".into(),
            Encoding::F16 => "f16".into(),
            Encoding::Bf16 => "bf16".into(),
            Encoding::Int8 => "int8".into(),
            Encoding::Int16 => "int16".into(),
            Encoding::Blocks(kind) => format!("{kind:?}").to_lowercase().replace("k", "_k"),
        }
    }

    /// Returns the bytes of this many values in rows of this many; `None` if they fill no whole number of blocks.
    pub fn bytes(self, elements: usize, row: usize) -> Option<usize> {
        match self {
            Encoding::F32 => elements.checked_mul(4),
            Encoding::F16 | Encoding::Bf16 | Encoding::Int16 => elements.checked_mul(2),
            Encoding::Int8 => Some(elements),
            Encoding::Blocks(kind) if row.is_multiple_of(kind.block_size()) => {
                (elements / kind.block_size()).checked_mul(kind.type_size())
            }
            Encoding::Blocks(_) => None,
        }
    }
}

/// A tensor inside a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Index of the file.
    pub file: usize,
    pub range: Range<usize>,
    /// The slowest dimension first.
    pub shape: Vec<usize>,
    pub encoding: Encoding,
    /// The f32 scales of [`Encoding::Int8`], one for each row, and of [`Encoding::Int16`].
    pub scales: Option<Range<usize>>,
}

impl StoredTensor {
    /// Returns the tensor at the position of `range`, whose length must be that of the shape; the error says why not.
    pub fn new(
        file: usize,
        range: Range<usize>,
        shape: Vec<usize>,
        encoding: Encoding,
    ) -> Result<Self, String> {
        let needed = elements(&shape).and_then(|count| encoding.bytes(count, *shape.last().unwrap_or(&1)));
        if needed != Some(range.len()) {
            return Err(format!("{} bytes do not hold {shape:?} in {}", range.len(), encoding.name()));
        }
        Ok(Self { file, range, shape, encoding, scales: None })
    }

    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns some of the rows, as a tensor of its own.
    pub fn rows(&self, rows: Range<usize>) -> Option<Self> {
        let (&count, rest) = self.shape.split_first()?;
        if count == 0 || rows.start > rows.end || rows.end > count {
            return None;
        }
        let part = |range: &Range<usize>| {
            let row = range.len() / count;
            range.start + rows.start * row..range.start + rows.end * row
        };
        let scales = match self.encoding {
            Encoding::Int8 => self.scales.as_ref().map(part),
            _ => self.scales.clone(),
        };
        let shape = [&[rows.len()], rest].concat();
        Some(Self { range: part(&self.range), shape, scales, ..*self })
    }

    /// Gives the tensor another shape with the same values: bias vectors and convolutions are stored with one dimension
    /// more or less in some formats.
    pub fn reshape(&mut self, shape: &[usize]) -> bool {
        let fits = elements(shape) == Some(self.elements()) && self.shape.first() == shape.first();
        if fits {
            self.shape = shape.to_vec();
        }
        fits
    }

    /// Converts the tensor of a mapped file.
    fn load(&self, file: &[u8], dtype: DType) -> candle_core::Result<Tensor> {
        let slice = |range: &Range<usize>| match file.get(range.clone()) {
            Some(bytes) => Ok(bytes),
            None => candle_core::bail!("the file has changed since it was opened"),
        };
        let bytes = slice(&self.range)?;
        let plain = |kind| Tensor::from_raw_buffer(bytes, kind, &self.shape, &Device::Cpu);
        let scaled = |values| Tensor::from_vec(values, self.shape.as_slice(), &Device::Cpu);
        let scales = self.scales.as_ref().map(slice).transpose()?.unwrap_or_default();
        let tensor = match self.encoding {
            Encoding::F32 => plain(DType::F32),
            Encoding::F16 => plain(DType::F16),
            Encoding::Bf16 => plain(DType::BF16),
            Encoding::Int8 => scaled(divided_by_row(bytes, scales)),
            Encoding::Int16 => scaled(divided(bytes, scales)),
            Encoding::Blocks(kind) => {
                let mut copy = Vec::new();
                let aligned = aligned(bytes, &mut copy);
                let blocks = QStorage::from_data(Cow::Borrowed(aligned), &Device::Cpu, kind)?;
                QTensor::new(blocks, self.shape.as_slice())?.dequantize(&Device::Cpu)
            }
        };
        tensor?.to_dtype(dtype)
    }
}

fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, dimension| count.checked_mul(*dimension))
}

/// Returns the bytes at an address that blocks of ggml may have: themselves, or a copy.
fn aligned<'b>(bytes: &'b [u8], copy: &'b mut Vec<u8>) -> &'b [u8] {
    const ALIGNMENT: usize = 4;
    if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
        return bytes;
    }
    copy.resize(bytes.len() + ALIGNMENT, 0);
    let start = copy.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let aligned = &mut copy[start..start + bytes.len()];
    aligned.copy_from_slice(bytes);
    aligned
}

/// Divides every row of integers by its scale.
fn divided_by_row(values: &[u8], scales: &[u8]) -> Vec<f32> {
    let scales = floats(scales);
    let row = values.len() / scales.len().max(1);
    let mut divided = vec![0.0; values.len()];
    if row > 0 {
        let rows = divided.par_chunks_mut(row).zip(values.par_chunks(row)).zip(&scales);
        rows.for_each(|((to, from), scale)| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = f32::from(*from as i8) / scale);
        });
    }
    divided
}

/// Divides integers of 16 bits by the one scale.
fn divided(values: &[u8], scales: &[u8]) -> Vec<f32> {
    let scale = floats(scales).first().copied().unwrap_or(1.0);
    values.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / scale).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

/// The tensors of a model by their names, which are Hugging Face's without the prefix `model.`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorTable {
    pub files: Vec<PathBuf>,
    pub tensors: BTreeMap<String, StoredTensor>,
}

impl TensorTable {
    /// Maps the files and returns a builder of host tensors, at the prefix of `encoder` and `decoder`.
    pub fn open(self: &Arc<Self>, dtype: DType) -> candle_core::Result<VarBuilder<'static>> {
        let files = self.files.iter().map(|path| Ok(map_file(path)?)).collect::<candle_core::Result<_>>()?;
        let opened = OpenTable { table: Arc::clone(self), files };
        Ok(VarBuilder::from_backend(Box::new(opened), dtype, Device::Cpu))
    }
}

/// The tensors with their files.
struct OpenTable {
    table: Arc<TensorTable>,
    files: Vec<MappedFile>,
}

impl SimpleBackend for OpenTable {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() == shape {
            return Ok(tensor);
        }
        let msg = format!("shape mismatch for {name}");
        Err(candle_core::Error::UnexpectedShape { msg, expected: shape, got: tensor.shape().clone() })
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let found = self.table.tensors.get(name);
        let found = found.and_then(|tensor| Some((tensor, self.files.get(tensor.file)?)));
        let (tensor, file) =
            found.ok_or_else(|| candle_core::Error::CannotFindTensor { path: name.to_owned() })?;
        tensor.load(file, dtype)?.to_device(device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.table.tensors.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn loads_every_kind_of_block_at_any_address() {
        let source: Vec<f32> = (0..1024).map(|i| ((i * 37 % 201) as f32 - 100.0) / 100.0).collect();
        let source = Tensor::from_vec(source, (4, 256), &Device::Cpu).unwrap();
        for kind in (0..31).filter_map(Encoding::of_ggml) {
            let Encoding::Blocks(block) = kind else { continue };
            let quantised = QTensor::quantize(&source, block).unwrap();
            let bytes = quantised.data().unwrap();
            for offset in 0..4 {
                let file = [&vec![0; offset][..], &bytes].concat();
                let stored = StoredTensor::new(0, offset..file.len(), vec![4, 256], kind).unwrap();
                let loaded = stored.load(&file, DType::F32).unwrap();
                assert_eq!(values(&loaded), values(&quantised.dequantize(&Device::Cpu).unwrap()), "{kind:?}");
                // One of the rows.
                let row = stored.rows(2..3).unwrap().load(&file, DType::F32).unwrap();
                assert_eq!(values(&row), values(&loaded.narrow(0, 2, 1).unwrap()), "{kind:?}");
            }
            assert!(StoredTensor::new(0, 0..bytes.len() - 1, vec![4, 256], kind).is_err());
            assert!(StoredTensor::new(0, 0..bytes.len(), vec![256, 4], kind).is_err());
        }
    }

    #[test]
    fn divides_integers_by_their_scales() {
        let file = [&[2u8, 254, 3, 253][..], &2f32.to_le_bytes(), &4f32.to_le_bytes()].concat();
        let mut stored = StoredTensor::new(0, 0..4, vec![2, 2], Encoding::Int8).unwrap();
        stored.scales = Some(4..12);
        assert_eq!(values(&stored.load(&file, DType::F32).unwrap()), [1.0, -1.0, 0.75, -0.75]);
        let second = stored.rows(1..2).unwrap();
        assert_eq!(values(&second.load(&file, DType::F32).unwrap()), [0.75, -0.75]);
        let mut stored = StoredTensor::new(0, 0..4, vec![2], Encoding::Int16).unwrap();
        stored.scales = Some(4..8);
        assert_eq!(values(&stored.load(&file, DType::F32).unwrap()), [-255.0, -382.5]);
        // The file has become shorter.
        assert!(stored.load(&file[..3], DType::F32).is_err());
    }
}
