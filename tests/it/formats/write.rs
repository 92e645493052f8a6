//! Writes a network in the formats of other programs, as those programs write them.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::f16;
use safetensors::SafeTensors;

use crate::program::fixture;

/// The numbers of heads, and tensors by Hugging Face's names without `model.`.
pub struct Network {
    pub heads: usize,
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    pub tokens: Vec<Vec<u8>>,
}

/// How matrices are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numbers {
    F32,
    F16,
    Int8,
    Blocks(GgmlDType),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Naming {
    HuggingFace,
    OpenAi,
    Short,
}

impl Network {
    /// The demo model.
    pub fn demo() -> Self {
        let bytes = std::fs::read(fixture("../models/demo/model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors = Vec::new();
        for (name, view) in file.tensors() {
            let name = name.strip_prefix("model.").unwrap_or(&name).to_owned();
            let halves = view.data().chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]));
            tensors.push((name, view.shape().to_vec(), halves.map(f16::to_f32).collect()));
        }
        Self { heads: 2, tensors, tokens: demo_tokens() }
    }

    /// The smallest network that there can be, in few bytes.
    pub fn smallest() -> Self {
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let values = (0..shape.iter().product()).map(|i: usize| i as f32 / 64.0).collect();
            tensors.push((name, shape.to_vec(), values));
        };
        for (part, positions, attentions) in
            [("encoder", 1500, vec!["self_attn"]), ("decoder", 4, vec!["self_attn", "encoder_attn"])]
        {
            if part == "encoder" {
                for conv in ["conv1", "conv2"] {
                    add(format!("encoder.{conv}.weight"), &[1, 1, 3]);
                    add(format!("encoder.{conv}.bias"), &[1]);
                }
            } else {
                add("decoder.embed_tokens.weight".into(), &[5, 1]);
            }
            add(format!("{part}.embed_positions.weight"), &[positions, 1]);
            let mut vectors = vec![format!("{part}.layer_norm")];
            for attention in attentions {
                for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    let name = format!("{part}.layers.0.{attention}.{projection}");
                    add(format!("{name}.weight"), &[1, 1]);
                    if projection != "k_proj" {
                        add(format!("{name}.bias"), &[1]);
                    }
                }
                vectors.push(format!("{part}.layers.0.{attention}_layer_norm"));
            }
            for inner in ["fc1", "fc2"] {
                add(format!("{part}.layers.0.{inner}.weight"), &[1, 1]);
                add(format!("{part}.layers.0.{inner}.bias"), &[1]);
            }
            vectors.push(format!("{part}.layers.0.final_layer_norm"));
            for norm in vectors {
                add(format!("{norm}.weight"), &[1]);
                add(format!("{norm}.bias"), &[1]);
            }
        }
        Self { heads: 1, tensors, tokens: vec![b"a".to_vec(), b"b".to_vec(), b"ab".to_vec()] }
    }

    fn shape(&self, name: &str) -> &[usize] {
        &self.tensors.iter().find(|(found, ..)| found == name).unwrap().1
    }

    fn layers(&self, part: &str) -> usize {
        let count = |i: &usize| {
            self.tensors.iter().any(|(name, ..)| name.starts_with(&format!("{part}.layers.{i}.")))
        };
        (0..).take_while(count).count()
    }

    /// openai's hyper-parameters, in the order of whisper.cpp.
    fn dimensions(&self) -> [(&'static str, usize); 10] {
        let [vocabulary, width] = self.shape("decoder.embed_tokens.weight") else { panic!("no matrix") };
        [
            ("n_vocab", *vocabulary),
            ("n_audio_ctx", self.shape("encoder.embed_positions.weight")[0]),
            ("n_audio_state", *width),
            ("n_audio_head", self.heads),
            ("n_audio_layer", self.layers("encoder")),
            ("n_text_ctx", self.shape("decoder.embed_positions.weight")[0]),
            ("n_text_state", *width),
            ("n_text_head", self.heads),
            ("n_text_layer", self.layers("decoder")),
            ("n_mels", self.shape("encoder.conv1.weight")[1]),
        ]
    }
}

/// The text tokens of the demo, as bytes in the order of their ids.
pub fn demo_tokens() -> Vec<Vec<u8>> {
    let json = std::fs::read(fixture("../models/demo/tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let vocabulary = json["model"]["vocab"].as_object().unwrap();
    let mut spelled = vec![String::new(); vocabulary.len()];
    for (text, id) in vocabulary {
        spelled[id.as_u64().unwrap() as usize] = text.clone();
    }
    transcribe::decode::tokenizer::unspell(spelled)
}

/// The name of a tensor in another naming.
pub fn renamed(name: &str, naming: Naming) -> String {
    let openai = [
        ("layers.", "blocks."),
        ("self_attn_layer_norm", "attn_ln"),
        ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("final_layer_norm", "mlp_ln"),
        ("encoder_attn", "cross_attn"),
        ("self_attn", "attn"),
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "out"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
        ("embed_positions.weight", "positional_embedding"),
        ("embed_tokens", "token_embedding"),
        ("encoder.layer_norm", "encoder.ln_post"),
        ("decoder.layer_norm", "decoder.ln"),
    ];
    let short = [
        ("encoder.", "enc."),
        ("decoder.", "dec."),
        ("layers.", "blk."),
        ("self_attn_layer_norm", "attn_norm"),
        ("encoder_attn_layer_norm", "cross_attn_norm"),
        ("final_layer_norm", "ffn_norm"),
        (".layer_norm", ".output_norm"),
        ("encoder_attn.", "cross_attn_"),
        ("self_attn.", "attn_"),
        ("q_proj", "q"),
        ("k_proj", "k"),
        ("v_proj", "v"),
        ("out_proj", "out"),
        ("fc1", "ffn_up"),
        ("fc2", "ffn_down"),
        ("embed_positions", "position_embd"),
        ("embed_tokens", "token_embd"),
    ];
    let replaced = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
    };
    match naming {
        Naming::HuggingFace => format!("model.{name}"),
        Naming::OpenAi => replaced(&openai),
        Naming::Short => replaced(&short),
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
}

/// The type number of ggml and the bytes of a tensor. Vectors and positions stay f32.
fn in_ggml(name: &str, shape: &[usize], values: &[f32], numbers: Numbers) -> (u32, Vec<u8>) {
    let is_matrix = shape.len() > 1 && !name.contains("embed_positions");
    match numbers {
        Numbers::F16 if is_matrix => (1, halves(values)),
        // Rows of three taps fill no block.
        Numbers::Blocks(_) if shape.len() == 3 => (1, halves(values)),
        Numbers::Blocks(kind) if is_matrix => {
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
            let number = match kind {
                GgmlDType::Q4_0 => 2,
                GgmlDType::Q4_1 => 3,
                GgmlDType::Q5_0 => 6,
                GgmlDType::Q5_1 => 7,
                GgmlDType::Q8_0 => 8,
                other => panic!("{other:?}"),
            };
            (number, QTensor::quantize(&tensor, kind).unwrap().data().unwrap().into_owned())
        }
        _ => (0, floats(values)),
    }
}

/// Collects little-endian numbers.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: usize) -> &mut Self {
        self.raw(&(value as u16).to_le_bytes())
    }

    fn u32(&mut self, value: usize) -> &mut Self {
        self.raw(&(value as u32).to_le_bytes())
    }

    fn u64(&mut self, value: usize) -> &mut Self {
        self.raw(&(value as u64).to_le_bytes())
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// whisper.cpp's format.
pub fn ggml(network: &Network, numbers: Numbers) -> Vec<u8> {
    let mut file = Bytes(b"lmgg".to_vec());
    let dimensions = network.dimensions();
    dimensions.iter().for_each(|(_, size)| {
        file.u32(*size);
    });
    let mels = dimensions[9].1;
    file.u32(1).u32(mels).u32(201).raw(&vec![0; mels * 201 * 4]);
    file.u32(network.tokens.len());
    for token in &network.tokens {
        file.u32(token.len()).raw(token);
    }
    for (name, shape, values) in &network.tensors {
        let (kind, data) = in_ggml(name, shape, values, numbers);
        let shape = if name.ends_with("conv1.bias") || name.ends_with("conv2.bias") {
            vec![shape[0], 1]
        } else {
            shape.clone()
        };
        let name = renamed(name, Naming::OpenAi);
        file.u32(shape.len()).u32(name.len()).u32(kind as usize);
        shape.iter().rev().for_each(|size| {
            file.u32(*size);
        });
        file.raw(name.as_bytes()).raw(&data);
    }
    file.0
}

/// GGUF, with the vocabulary or without.
pub fn gguf(network: &Network, naming: Naming, numbers: Numbers, has_vocabulary: bool) -> Vec<u8> {
    let mut file = Bytes(b"GGUF".to_vec());
    let string = |file: &mut Bytes, text: &str| {
        file.u64(text.len()).raw(text.as_bytes());
    };
    file.u32(3).u64(network.tensors.len()).u64(3 + usize::from(has_vocabulary));
    string(&mut file, "general.architecture");
    file.u32(8);
    string(&mut file, "whisper");
    for part in ["encoder", "decoder"] {
        string(&mut file, &format!("whisper.{part}.attention.head_count"));
        file.u32(4).u32(network.heads);
    }
    if has_vocabulary {
        string(&mut file, "tokenizer.ggml.tokens");
        file.u32(9).u32(8).u64(network.tokens.len() + 1);
        network.tokens.iter().for_each(|token| string(&mut file, &spelled(token)));
        string(&mut file, "<|endoftext|>");
    }
    let mut data = Vec::new();
    for (name, shape, values) in &network.tensors {
        let (kind, bytes) = in_ggml(name, shape, values, numbers);
        // No padding follows the last, so that no byte of the file is superfluous.
        data.resize(data.len().next_multiple_of(32), 0);
        string(&mut file, &renamed(name, naming));
        file.u32(shape.len());
        shape.iter().rev().for_each(|size| {
            file.u64(*size);
        });
        file.u32(kind as usize).u64(data.len());
        data.extend(bytes);
    }
    file.0.resize(file.0.len().next_multiple_of(32), 0);
    file.raw(&data);
    file.0
}

/// Spells bytes as byte-level vocabularies do.
pub fn spelled(token: &[u8]) -> String {
    let mut others = 0x100..;
    let table: Vec<char> = (0..=255u8)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => char::from_u32(others.next().unwrap()).unwrap(),
        })
        .collect();
    token.iter().map(|byte| table[usize::from(*byte)]).collect()
}

/// CTranslate2's `model.bin`, with queries, keys and values in one matrix.
pub fn ct2(network: &Network, numbers: Numbers) -> Vec<u8> {
    let mut variables: Vec<(String, Vec<usize>, usize, Vec<u8>)> = Vec::new();
    for part in ["decoder", "encoder"] {
        let heads = (network.heads as i16).to_le_bytes().to_vec();
        variables.push((format!("{part}/num_heads"), Vec::new(), 2, heads));
    }
    let fused = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "encoder_attn.k_proj",
        "encoder_attn.v_proj",
    ];
    let mut add = |name: String, shape: Vec<usize>, values: &[f32]| match numbers {
        Numbers::Int8 if name.ends_with("/weight") => {
            let row = values.len() / shape[0];
            let largest = |row: &[f32]| row.iter().fold(0f32, |most, value| most.max(value.abs()));
            let scales: Vec<f32> = values.chunks(row).map(|row| 127.0 / largest(row).max(1e-9)).collect();
            let scaled = values.chunks(row).zip(&scales);
            let bytes =
                scaled.flat_map(|(row, scale)| row.iter().map(move |v| (v * scale).round() as i8 as u8));
            variables.push((format!("{name}_scale"), vec![shape[0]], 0, floats(&scales)));
            variables.push((name, shape, 1, bytes.collect()));
        }
        Numbers::F32 => variables.push((name, shape, 0, floats(values))),
        _ => variables.push((name, shape, 4, halves(values))),
    };
    for (name, shape, values) in &network.tensors {
        if !fused.iter().any(|layer| name.contains(layer)) {
            add(ct2_name(name), shape.clone(), values);
        }
    }
    for (part, layer) in
        ["encoder", "decoder"].iter().flat_map(|part| (0..network.layers(part)).map(move |i| (*part, i)))
    {
        let attentions: &[(&str, &str, &[&str])] = &[
            ("self_attn", "self_attention/linear_0", &["q_proj", "k_proj", "v_proj"]),
            ("encoder_attn", "attention/linear_1", &["k_proj", "v_proj"]),
        ];
        for (attention, to, projections) in attentions.iter().take(if part == "encoder" { 1 } else { 2 }) {
            let of = |projection: &str, kind: &str| {
                let name = format!("{part}.layers.{layer}.{attention}.{projection}.{kind}");
                let found = network.tensors.iter().find(|(found, ..)| *found == name);
                found.map_or_else(
                    || vec![0.0; network.shape("encoder.conv1.bias")[0]],
                    |found| found.2.clone(),
                )
            };
            let width = network.shape("encoder.conv1.bias")[0];
            for kind in ["weight", "bias"] {
                let values: Vec<f32> =
                    projections.iter().flat_map(|projection| of(projection, kind)).collect();
                let rows = width * projections.len();
                let shape = if kind == "weight" { vec![rows, width] } else { vec![rows] };
                add(format!("{part}/layer_{layer}/{to}/{kind}"), shape, &values);
            }
        }
    }
    let mut file = Bytes::default();
    let string = |file: &mut Bytes, text: &str| {
        file.u16(text.len() + 1).raw(text.as_bytes()).raw(&[0]);
    };
    file.u32(6);
    string(&mut file, "WhisperSpec");
    file.u32(3).u32(variables.len());
    for (name, shape, kind, data) in &variables {
        string(&mut file, name);
        file.raw(&[shape.len() as u8]);
        shape.iter().for_each(|size| {
            file.u32(*size);
        });
        file.raw(&[*kind as u8]).u32(data.len()).raw(data);
    }
    file.u32(1);
    string(&mut file, "decoder/projection/weight");
    string(&mut file, "decoder/embeddings/weight");
    file.0
}

fn ct2_name(name: &str) -> String {
    let replaced = [
        (".weight", "/weight"),
        (".bias", "/bias"),
        ("encoder.", "encoder/"),
        ("decoder.", "decoder/"),
        ("layers.", "layer_"),
        (".self_attn_layer_norm", "/self_attention/layer_norm"),
        (".encoder_attn_layer_norm", "/attention/layer_norm"),
        (".final_layer_norm", "/ffn/layer_norm"),
        (".self_attn.out_proj", "/self_attention/linear_1"),
        (".encoder_attn.q_proj", "/attention/linear_0"),
        (".encoder_attn.out_proj", "/attention/linear_2"),
        (".fc1", "/ffn/linear_0"),
        (".fc2", "/ffn/linear_1"),
        ("embed_tokens", "embeddings"),
        ("embed_positions/weight", "position_encodings/encodings"),
    ];
    let name = replaced.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    match name.contains("layer_norm") {
        true => name.replace("/weight", "/gamma").replace("/bias", "/beta"),
        false => name,
    }
}

/// A file of `torch.save`: openai's with dimensions, or the state alone.
pub fn pytorch(network: &Network, naming: Naming) -> Vec<u8> {
    let mut pickle = Bytes(vec![0x80, 2]);
    let text = |pickle: &mut Bytes, text: &str| {
        pickle.raw(b"X").u32(text.len()).raw(text.as_bytes());
    };
    let number = |pickle: &mut Bytes, number: usize| {
        pickle.raw(b"J").u32(number);
    };
    if naming == Naming::OpenAi {
        pickle.raw(b"}q\0(");
        text(&mut pickle, "dims");
        pickle.raw(b"}q\x01(");
        for (name, size) in network.dimensions() {
            text(&mut pickle, name);
            number(&mut pickle, size);
        }
        pickle.raw(b"u");
        text(&mut pickle, "model_state_dict");
    }
    pickle.raw(b"ccollections\nOrderedDict\n)R(");
    let mut files = Vec::new();
    for (index, (name, shape, values)) in network.tensors.iter().enumerate() {
        text(&mut pickle, &renamed(name, naming));
        pickle.raw(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.raw(b"ctorch\nHalfStorage\n");
        text(&mut pickle, &index.to_string());
        text(&mut pickle, "cpu");
        number(&mut pickle, values.len());
        pickle.raw(b"tQK\0(");
        shape.iter().for_each(|size| number(&mut pickle, *size));
        pickle.raw(b"t(");
        (0..shape.len()).for_each(|at| number(&mut pickle, shape[at + 1..].iter().product()));
        pickle.raw(b"t\x89ccollections\nOrderedDict\n)RtR");
        files.push((format!("model/data/{index}"), halves(values)));
    }
    pickle.raw(b"u");
    if naming == Naming::OpenAi {
        pickle.raw(b"u");
    }
    pickle.raw(b".");
    files.insert(0, ("model/data.pkl".into(), pickle.0));
    files.push(("model/version".into(), b"3\n".to_vec()));
    zip(&files)
}

/// An archive of uncompressed files.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Bytes::default(), Bytes::default());
    for (name, data) in files {
        let (start, checksum) = (file.0.len(), crc32fast::hash(data) as usize);
        let common = |bytes: &mut Bytes| {
            bytes.u16(20).u16(0).u16(0).u16(0).u16(0).u32(checksum).u32(data.len()).u32(data.len());
            bytes.u16(name.len()).u16(0);
        };
        file.raw(b"PK\x03\x04");
        common(&mut file);
        file.raw(name.as_bytes()).raw(data);
        directory.raw(b"PK\x01\x02").u16(20);
        common(&mut directory);
        directory.u16(0).u16(0).u16(0).u32(0).u32(start).raw(name.as_bytes());
    }
    let (start, count) = (file.0.len(), files.len());
    file.raw(&directory.0).raw(b"PK\x05\x06").u16(0).u16(0).u16(count).u16(count);
    file.u32(directory.0.len()).u32(start).u16(0);
    file.0
}
