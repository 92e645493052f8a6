//! GGUF files of Whisper: keys with values, among them the vocabulary, then tensors.
//!
//! There is no agreed layout for Whisper. The tensors are known by the names that converters give them, and the keys are
//! only asked for what tensors cannot say.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ggml::stored_as;
use super::names::{Heads, canonical};
use super::reader::{ByteReader, Parsed};
use super::tensors::StoredTensor;
use crate::error::ModelProblem;

/// How a file begins.
pub const MAGIC: [u8; 4] = *b"GGUF";

const VOCABULARY: &str = "tokenizer.ggml.tokens";

/// What a file holds.
#[derive(Debug)]
pub struct GgufFile {
    pub tensors: BTreeMap<String, StoredTensor>,
    pub heads: Heads,
    /// The vocabulary in byte-level spelling, in the order of the ids; empty if there is none.
    pub tokens: Vec<String>,
}

/// A value of a key that may matter.
enum KeyValue<'a> {
    Number(u64),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Other,
}

pub fn read(file: &str, bytes: &[u8]) -> Parsed<GgufFile> {
    let mut reader = ByteReader::new(file, bytes);
    reader.skip(MAGIC.len())?;
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        let why = format!("`{file}` has version {version} of GGUF, not 2 or 3");
        return Err(ModelProblem::NotWhisper { why });
    }
    let (tensor_count, key_count) = (reader.u64()?, reader.u64()?);
    let (mut alignment, mut heads, mut tokens) = (32, Heads::default(), Vec::new());
    for _ in 0..key_count {
        let length = reader.size64()?;
        let key = reader.text(length)?;
        let kind = reader.u32()?;
        match (key, value(&mut reader, kind)?) {
            ("general.architecture", KeyValue::Text(kind)) if !kind.contains("whisper") => {
                let why = format!("`{file}` is a model of the architecture `{kind}`");
                return Err(ModelProblem::NotWhisper { why });
            }
            ("general.alignment", KeyValue::Number(bytes)) => alignment = bytes,
            (VOCABULARY, KeyValue::Texts(found)) => tokens = found.into_iter().map(String::from).collect(),
            (key, KeyValue::Number(count)) if counts_heads(key) => {
                let count = usize::try_from(count).ok();
                match key.contains("encoder") || key.contains("audio") {
                    true => heads.encoder = count,
                    false => heads.decoder = count,
                }
            }
            _ => {}
        }
    }
    let infos = (0..tensor_count).map(|_| TensorInfo::read(&mut reader)).collect::<Parsed<Vec<_>>>()?;
    let alignment = usize::try_from(alignment).ok().filter(|bytes| bytes.is_power_of_two());
    let start = alignment.and_then(|alignment| reader.at().checked_next_multiple_of(alignment));
    let start = start.ok_or_else(|| reader.damaged("its alignment is no power of two"))?;
    let mut tensors = BTreeMap::new();
    for info in infos {
        if let Some(name) = canonical(info.name) {
            tensors.insert(name, info.locate(&mut reader, start)?);
        }
    }
    Ok(GgufFile { tensors, heads, tokens })
}

fn counts_heads(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    matches!(last, "head_count" | "n_heads" | "n_audio_head" | "n_text_head")
}

/// Reads the value of a key. Nested arrays, which nothing writes, are refused.
fn value<'a>(reader: &mut ByteReader<'a>, kind: u32) -> Parsed<KeyValue<'a>> {
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;
    Ok(match kind {
        0 | 7 => KeyValue::Number(reader.u8()?.into()),
        2 => KeyValue::Number(reader.u16()?.into()),
        4 => KeyValue::Number(reader.u32()?.into()),
        10 => KeyValue::Number(reader.u64()?),
        5 => KeyValue::Number(reader.u32()?.into()),
        11 => KeyValue::Number(reader.u64()?),
        TEXT => KeyValue::Text(string(reader)?),
        ARRAY => {
            let (kind, count) = (reader.u32()?, reader.size64()?);
            match (kind, width(kind)) {
                (TEXT, _) => KeyValue::Texts((0..count).map(|_| string(reader)).collect::<Parsed<_>>()?),
                (_, Some(width)) => {
                    reader.skip(count.saturating_mul(width))?;
                    KeyValue::Other
                }
                _ => {
                    return Err(reader.damaged(format!("a list of its header has values of the type {kind}")));
                }
            }
        }
        _ => match width(kind) {
            Some(width) => reader.skip(width).map(|()| KeyValue::Other)?,
            None => return Err(reader.damaged(format!("a value of its header has the type {kind}"))),
        },
    })
}

/// Returns the bytes of a number's type.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn string<'a>(reader: &mut ByteReader<'a>) -> Parsed<&'a str> {
    let length = reader.size64()?;
    reader.text(length)
}

struct TensorInfo<'a> {
    name: &'a str,
    shape: Vec<usize>,
    kind: u32,
    offset: usize,
}

impl<'a> TensorInfo<'a> {
    fn read(reader: &mut ByteReader<'a>) -> Parsed<Self> {
        let name = string(reader)?;
        let rank = reader.u32()?;
        if !(1..=4).contains(&rank) {
            return Err(reader.damaged(format!("`{name}` has {rank} dimensions")));
        }
        let mut shape = (0..rank).map(|_| reader.size64()).collect::<Parsed<Vec<_>>>()?;
        // The fastest dimension comes first in the file.
        shape.reverse();
        Ok(Self { name, shape, kind: reader.u32()?, offset: reader.size64()? })
    }

    fn locate(self, reader: &mut ByteReader<'_>, data: usize) -> Parsed<StoredTensor> {
        let (encoding, bytes) = stored_as(reader, self.name, &self.shape, self.kind)?;
        let start = data.saturating_add(self.offset);
        reader.seek(start)?;
        reader.skip(bytes)?;
        let range: Range<usize> = start..reader.at();
        StoredTensor::new(0, range, self.shape, encoding).map_err(|why| reader.damaged(why))
    }
}
