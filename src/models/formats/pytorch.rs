//! PyTorch's files: openai's `.pt`, and `pytorch_model.bin` of Hugging Face with or without shards.
//!
//! Such a file is a zip archive of a pickle, which names the tensors, and of one file for every storage.

use std::collections::BTreeMap;
use std::ops::Range;

use super::archive;
use super::names::{Heads, canonical};
use super::pickle::{Pickle, Value};
use super::reader::{ByteReader, Parsed};
use super::tensors::{Encoding, StoredTensor};

/// How a file begins that a PyTorch before 1.6 has written.
pub const LEGACY_MAGIC: [u8; 14] =
    [0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];

const INDEX: &str = "data.pkl";

/// Returns the tensors of one file, and the numbers of heads if it says them.
pub fn read(file: &str, bytes: &[u8], index: usize) -> Parsed<(BTreeMap<String, StoredTensor>, Heads)> {
    let reader = ByteReader::new(file, bytes);
    let entries = archive::entries(file, bytes)?;
    // The files lie in a folder with the name of the archive.
    let found = entries.iter().find_map(|(name, range)| Some((name.strip_suffix(INDEX)?, range)));
    let (folder, range) =
        found.filter(|(folder, _)| folder.is_empty() || folder.ends_with('/')).ok_or_else(|| {
            reader.damaged(format!("it is a zip archive without `{INDEX}`, so no file of PyTorch"))
        })?;
    if let Some(order) = entries.get(&format!("{folder}byteorder"))
        && bytes.get(order.clone()) == Some(b"big")
    {
        return Err(reader.damaged("its numbers are big-endian"));
    }
    let pickle = Pickle::read(file, bytes.get(range.clone()).unwrap_or_default())?;
    let storages = Storages { pickle: &pickle, folder, entries: &entries, index };
    let root = pickle.root;
    let inner = ["model_state_dict", "state_dict"].iter().find_map(|key| pickle.entry(root, key));
    let state = pickle.entries(inner.unwrap_or(root));
    let state = state.ok_or_else(|| reader.damaged("it holds no dictionary of tensors"))?;
    let mut tensors = BTreeMap::new();
    for (key, value) in state {
        let Some(name) = pickle.text(*key) else { continue };
        let Some(canonical) = canonical(name) else { continue };
        let tensor = storages.tensor(*value).map_err(|why| reader.damaged(format!("`{name}`: {why}")))?;
        tensors.insert(canonical, tensor);
    }
    let dimension = |name| pickle.entry(root, "dims").and_then(|dims| pickle.size(pickle.entry(dims, name)?));
    let heads = Heads { encoder: dimension("n_audio_head"), decoder: dimension("n_text_head") };
    Ok((tensors, heads))
}

/// The storages of an archive.
struct Storages<'a> {
    pickle: &'a Pickle<'a>,
    folder: &'a str,
    entries: &'a BTreeMap<String, Range<usize>>,
    /// Index of the file.
    index: usize,
}

impl Storages<'_> {
    /// Returns the tensor that a call builds.
    fn tensor(&self, value: Value) -> Result<StoredTensor, String> {
        let pickle = self.pickle;
        let (function, arguments) = pickle.call(value).ok_or("it is no tensor")?;
        match (function, arguments) {
            ("_rebuild_parameter", [tensor, ..]) => match pickle.call(*tensor) {
                Some(("_rebuild_tensor_v2", _)) => self.tensor(*tensor),
                _ => Err("it is no plain tensor".into()),
            },
            ("_rebuild_tensor_v2", [storage, offset, shape, strides, ..]) => {
                let sizes = |value| {
                    let items = pickle.sequence(value)?.iter();
                    items.map(|item| pickle.size(*item)).collect::<Option<Vec<_>>>()
                };
                let shape = sizes(*shape).ok_or("its shape is invalid")?;
                let strides = sizes(*strides).ok_or("its strides are invalid")?;
                if !is_contiguous(&shape, &strides) {
                    return Err("its values are not contiguous".into());
                }
                let (range, encoding) = self.storage(*storage)?;
                let offset = pickle.size(*offset).ok_or("its offset is invalid")?;
                part(range, offset, &shape, encoding)
                    .ok_or_else(|| format!("{shape:?} in {} does not fit in its storage", encoding.name()))
                    .and_then(|range| StoredTensor::new(self.index, range, shape, encoding))
            }
            _ => Err(format!("it is built by `{function}`, not as a plain tensor")),
        }
    }

    /// Returns the bytes of a storage and their encoding.
    fn storage(&self, value: Value) -> Result<(Range<usize>, Encoding), String> {
        let id = self.pickle.persistent(value).and_then(|id| self.pickle.sequence(id));
        let Some([_, kind, key, ..]) = id else { return Err("its storage is invalid".into()) };
        let kind = self.pickle.global(*kind).map_or("", |(_, name)| name);
        let encoding = match kind {
            "FloatStorage" => Encoding::F32,
            "HalfStorage" => Encoding::F16,
            "BFloat16Storage" => Encoding::Bf16,
            _ => return Err(format!("its storage is a `{kind}`, and f32, f16 and bf16 are read")),
        };
        let key = self.pickle.text(*key).ok_or("its storage has no name")?;
        let range = self.entries.get(&format!("{}data/{key}", self.folder));
        Ok((range.cloned().ok_or("its storage is missing or compressed")?, encoding))
    }
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(size, stride)| {
            let fits = *size == 1 || *stride == expected;
            expected = expected.saturating_mul(*size);
            fits
        })
}

/// Returns the bytes of a tensor that begins `offset` values into a storage.
fn part(storage: Range<usize>, offset: usize, shape: &[usize], encoding: Encoding) -> Option<Range<usize>> {
    let count = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size))?;
    let start = storage.start.checked_add(encoding.bytes(offset, 1)?)?;
    let end = start.checked_add(encoding.bytes(count, 1)?)?;
    (end <= storage.end).then_some(start..end)
}
