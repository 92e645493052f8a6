//! CTranslate2's `model.bin`, which faster-whisper loads: a list of named variables.
//!
//! Queries, keys and values of an attention are one matrix in it, which is taken apart here by its rows.

use std::collections::BTreeMap;

use super::names::Heads;
use super::reader::{ByteReader, Parsed};
use super::tensors::{Encoding, StoredTensor};
use crate::error::ModelProblem;

/// The versions of the format that name the type of every variable.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
const SPECIFICATION: &str = "WhisperSpec";

/// Whether a file begins as a model of CTranslate2 of any kind: a version, and the name of a specification.
pub fn is_ct2(head: &[u8]) -> bool {
    let mut reader = ByteReader::new("", head);
    let version = reader.u32().is_ok_and(|version| (2..=64).contains(&version));
    version && string(&mut reader).is_ok_and(|name| name.ends_with("Spec"))
}

/// The tensors of a file, and its numbers of heads.
pub fn read(file: &str, bytes: &[u8]) -> Parsed<(BTreeMap<String, StoredTensor>, Heads)> {
    let mut reader = ByteReader::new(file, bytes);
    let version = reader.u32()?;
    if !VERSIONS.contains(&version) {
        let why = format!("`{file}` has version {version} of CTranslate2's format, not 4 to 6");
        return Err(ModelProblem::NotWhisper { why });
    }
    let specification = string(&mut reader)?;
    if specification != SPECIFICATION {
        let why = format!("`{file}` is a model of CTranslate2 of the kind `{specification}`");
        return Err(ModelProblem::NotWhisper { why });
    }
    let _revision = reader.u32()?;
    let mut variables = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let name = string(&mut reader)?.to_owned();
        let variable = Variable::read(&mut reader).map_err(|why| match why {
            ModelProblem::Damaged { file, why } => {
                ModelProblem::Damaged { file, why: format!("`{name}`: {why}") }
            }
            why => why,
        })?;
        variables.insert(name, variable);
    }
    for _ in 0..reader.u32()? {
        let (alias, name) = (string(&mut reader)?.to_owned(), string(&mut reader)?);
        if let Some(variable) = variables.get(name).cloned() {
            variables.insert(alias, variable);
        }
    }
    if !reader.is_at_end() {
        return Err(reader.damaged("it has bytes after its last variable"));
    }
    let heads = |part: &str| {
        let variable = variables.get(&format!("{part}/num_heads"))?;
        number(bytes.get(variable.range.clone())?)
    };
    let heads = Heads { encoder: heads("encoder"), decoder: heads("decoder") };
    Ok((tensors(&variables), heads))
}

/// A variable of the file, which may also be a scalar.
#[derive(Debug, Clone)]
struct Variable {
    shape: Vec<usize>,
    range: std::ops::Range<usize>,
    /// `None` for integers of 32 bits.
    encoding: Option<Encoding>,
}

impl Variable {
    fn read(reader: &mut ByteReader<'_>) -> Parsed<Self> {
        let rank = reader.u8()?;
        let shape = (0..rank).map(|_| reader.size()).collect::<Parsed<Vec<_>>>()?;
        let encoding = match reader.u8()? {
            0 => Some(Encoding::F32),
            1 => Some(Encoding::Int8),
            2 => Some(Encoding::Int16),
            3 => None,
            4 => Some(Encoding::F16),
            5 => Some(Encoding::Bf16),
            other => return Err(reader.damaged(format!("its type has the unknown number {other}"))),
        };
        let length = reader.size()?;
        let start = reader.at();
        reader.skip(length)?;
        let range = start..reader.at();
        if let Some(encoding) = encoding {
            StoredTensor::new(0, range.clone(), shape.clone(), encoding)
                .map_err(|why| reader.damaged(why))?;
        }
        Ok(Self { shape, range, encoding })
    }
}

/// Reads a string, whose length counts a closing zero.
fn string<'a>(reader: &mut ByteReader<'a>) -> Parsed<&'a str> {
    let length = usize::from(reader.u16()?);
    let text = reader.text(length)?;
    text.strip_suffix('\0').ok_or_else(|| reader.damaged("a name has no end"))
}

fn number(bytes: &[u8]) -> Option<usize> {
    let value = match *bytes {
        [one] => i32::from(one as i8),
        [low, high] => i32::from(i16::from_le_bytes([low, high])),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => return None,
    };
    usize::try_from(value).ok().filter(|value| *value > 0)
}

/// Returns the tensors under Hugging Face's names. What is missing or has another shape is found later.
fn tensors(variables: &BTreeMap<String, Variable>) -> BTreeMap<String, StoredTensor> {
    let mut all = BTreeMap::new();
    for name in variables.keys() {
        let Some((scope, kind)) = name.rsplit_once('/') else { continue };
        let Some(kind) = (match kind {
            "weight" | "gamma" | "encodings" => Some("weight"),
            "bias" | "beta" => Some("bias"),
            _ => None,
        }) else {
            continue;
        };
        let Some(tensor) = tensor(variables, name) else { continue };
        let names = names(scope);
        let count = names.len();
        let rows = tensor.shape.first().copied().unwrap_or(0);
        for (index, layer) in names.into_iter().enumerate() {
            let part = rows / count;
            let part =
                if count == 1 { Some(tensor.clone()) } else { tensor.rows(index * part..(index + 1) * part) };
            if let Some(part) = part.filter(|_| rows.is_multiple_of(count)) {
                all.insert(format!("{layer}.{kind}"), part);
            }
        }
    }
    all
}

/// Returns a variable with its scales.
fn tensor(variables: &BTreeMap<String, Variable>, name: &str) -> Option<StoredTensor> {
    let variable = variables.get(name)?;
    let encoding = variable.encoding?;
    let mut tensor = StoredTensor::new(0, variable.range.clone(), variable.shape.clone(), encoding).ok()?;
    if matches!(encoding, Encoding::Int8 | Encoding::Int16) {
        let scales = variables.get(&format!("{name}_scale")).filter(|s| s.encoding == Some(Encoding::F32))?;
        let needed = if encoding == Encoding::Int8 { *variable.shape.first()? } else { 1 };
        tensor.scales = Some(scales.range.clone()).filter(|range| range.len() == needed * size_of::<f32>());
        tensor.scales.as_ref()?;
    }
    Some(tensor)
}

/// Returns the layers of Hugging Face that the rows of a layer of CTranslate2 are.
fn names(scope: &str) -> Vec<String> {
    let Some((part, layer)) = scope.split_once('/') else { return Vec::new() };
    let (prefix, inner) = match layer.strip_prefix("layer_").filter(|rest| !rest.starts_with("norm")) {
        Some(rest) => match rest.split_once('/') {
            Some((index, inner)) => (format!("{part}.layers.{index}."), inner),
            None => return Vec::new(),
        },
        None => (format!("{part}."), layer),
    };
    let layers: &[&str] = match inner {
        "conv1" => &["conv1"],
        "conv2" => &["conv2"],
        "layer_norm" => &["layer_norm"],
        "position_encodings" => &["embed_positions"],
        "embeddings" | "embeddings_0" => &["embed_tokens"],
        "self_attention/layer_norm" => &["self_attn_layer_norm"],
        "self_attention/linear_0" => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "self_attention/linear_1" => &["self_attn.out_proj"],
        "attention/layer_norm" => &["encoder_attn_layer_norm"],
        "attention/linear_0" => &["encoder_attn.q_proj"],
        "attention/linear_1" => &["encoder_attn.k_proj", "encoder_attn.v_proj"],
        "attention/linear_2" => &["encoder_attn.out_proj"],
        "ffn/layer_norm" => &["final_layer_norm"],
        "ffn/linear_0" => &["fc1"],
        "ffn/linear_1" => &["fc2"],
        _ => &[],
    };
    layers.iter().map(|layer| format!("{prefix}{layer}")).collect()
}
