//! whisper.cpp's `ggml-*.bin`: hyper-parameters, mel filters, the vocabulary, and openai's tensors.

use std::collections::BTreeMap;

use super::names::{Heads, canonical};
use super::reader::{ByteReader, Parsed};
use super::tensors::{Encoding, StoredTensor};

/// How a file begins.
pub const MAGIC: [u8; 4] = *b"lmgg";

/// The types that are read.
const READ: &str = "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0 and q2_k to q6_k";

/// What a file holds.
#[derive(Debug)]
pub struct GgmlFile {
    pub tensors: BTreeMap<String, StoredTensor>,
    pub heads: Heads,
    /// The bytes of the text tokens, in the order of their ids.
    pub tokens: Vec<Vec<u8>>,
}

pub fn read(file: &str, bytes: &[u8]) -> Parsed<GgmlFile> {
    let mut reader = ByteReader::new(file, bytes);
    reader.skip(MAGIC.len())?;
    let mut parameters = [0; 11];
    for parameter in &mut parameters {
        *parameter = reader.size()?;
    }
    let [n_vocab, _, _, encoder_heads, _, _, _, decoder_heads, _, n_mels, _] = parameters;
    let (bands, bins) = (reader.size()?, reader.size()?);
    if bands != n_mels {
        return Err(reader.damaged(format!("it has {bands} mel filters for {n_mels} bands")));
    }
    let filters = bands.checked_mul(bins).and_then(|count| count.checked_mul(size_of::<f32>()));
    reader.skip(filters.unwrap_or(usize::MAX))?;
    let count = reader.size()?;
    if count > n_vocab {
        return Err(reader.damaged(format!("it lists {count} tokens, and its network has {n_vocab}")));
    }
    let mut tokens = Vec::new();
    for _ in 0..count {
        let length = reader.size()?;
        tokens.push(reader.take(length)?.to_vec());
    }
    let mut tensors = BTreeMap::new();
    while !reader.is_at_end() {
        let (name, tensor) = tensor(&mut reader)?;
        if let Some(name) = canonical(name) {
            tensors.insert(name, tensor);
        }
    }
    let heads = Heads { encoder: Some(encoder_heads), decoder: Some(decoder_heads) };
    Ok(GgmlFile { tensors, heads, tokens })
}

fn tensor<'a>(reader: &mut ByteReader<'a>) -> Parsed<(&'a str, StoredTensor)> {
    let (rank, length, kind) = (reader.size()?, reader.size()?, reader.u32()?);
    if !(1..=4).contains(&rank) {
        return Err(reader.damaged(format!("a tensor has {rank} dimensions")));
    }
    let mut shape = (0..rank).map(|_| reader.size()).collect::<Parsed<Vec<_>>>()?;
    // The fastest dimension comes first in the file.
    shape.reverse();
    let name = reader.text(length)?;
    let (encoding, bytes) = stored_as(reader, name, &shape, kind)?;
    let start = reader.at();
    reader.skip(bytes)?;
    let tensor =
        StoredTensor::new(0, start..reader.at(), shape, encoding).map_err(|why| reader.damaged(why))?;
    Ok((name, tensor))
}

/// Returns the encoding with this number and the bytes that the shape takes in it.
pub fn stored_as(
    reader: &ByteReader<'_>,
    name: &str,
    shape: &[usize],
    kind: u32,
) -> Parsed<(Encoding, usize)> {
    let encoding = Encoding::of_ggml(kind).ok_or_else(|| {
        reader.damaged(format!("`{name}` has type {kind} of ggml, and only {READ} are read"))
    })?;
    let elements = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    let bytes = elements.and_then(|count| encoding.bytes(count, shape.last().copied().unwrap_or(1)));
    let bytes = bytes.ok_or_else(|| {
        reader.damaged(format!("`{name}` has the shape {shape:?}, which {} cannot hold", encoding.name()))
    })?;
    Ok((encoding, bytes))
}
