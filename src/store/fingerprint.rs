//! Fingerprints of everything the text of an input depends on: the model, the kind of device, the options, and the
//! input itself. Chunks of an earlier run are as good as new ones if the fingerprints are equal. How fast, or in
//! which format, they are produced makes no difference here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::TextOptions;
use crate::digest::hex;
use crate::transcript::ModelIdentity;

/// Version of the journal's format; raised whenever it changes.
const FORMAT: u32 = 5;

/// Bytes of an input that are sampled at once.
const SAMPLE_BYTES: u64 = 1 << 20;
/// Samples of an input; one with fewer bytes is read completely.
const MAX_SAMPLES: u64 = 16;

/// The part that is the same for all inputs of a run with the same settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFingerprint {
    format: u32,
    program: String,
    model: String,
    /// `cpu`, `cuda in f16` or the like: they do not compute the same numbers.
    device: String,
    /// The text of [`TextOptions`]; only ever compared.
    options: String,
}

/// Everything the text of one input depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    #[serde(flatten)]
    pub run: RunFingerprint,
    pub input: InputDigest,
    /// The installed program that decodes the input; none for the built-in decoders, whose samples may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<String>,
}

/// Tells inputs apart, and an input from what it was before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    bytes: u64,
    sha256: String,
    /// Modification time in nanoseconds; only if not all of the input was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
}

impl RunFingerprint {
    pub fn new(options: &TextOptions<'_>, model: &ModelIdentity, device: &str) -> Self {
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").into(),
            model: model.revision.clone().unwrap_or_else(|| model.name.clone()),
            device: device_kind(device),
            options: options.to_string(),
        }
    }

    pub fn program(&self) -> &str {
        &self.program
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn options(&self) -> &str {
        &self.options
    }
}

/// Returns the kind of a device, or of a list of devices of one kind, as models name them: without its number.
fn device_kind(device: &str) -> String {
    let kind = device.split([':', ',', ' ']).next().unwrap_or(device);
    match device.rsplit_once(" in ") {
        Some((_, numbers)) => format!("{kind} in {numbers}"),
        None => kind.to_owned(),
    }
}

impl Fingerprint {
    /// Returns what has changed since `previous`, if anything has.
    pub fn difference(&self, previous: &Fingerprint) -> Option<&'static str> {
        let (now, then) = (&self.run, &previous.run);
        let changes = [
            (now.format != then.format || now.program != then.program, "it was written by another version"),
            (self.input != previous.input, "the input has changed"),
            (self.decoder != previous.decoder, "another decoder reads the audio"),
            (now.model != then.model, "the model has changed"),
            (now.device != then.device, "the kind of device has changed"),
            (now.options != then.options, "options that affect the text have changed"),
        ];
        changes.into_iter().find(|(changed, _)| *changed).map(|(_, what)| what)
    }
}

impl InputDigest {
    /// Reads a bounded part of the file: its beginning, its end, and samples spread evenly between them.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let bytes = metadata.len();
        let mut digest = Sha256::new_with_prefix(bytes.to_le_bytes());
        let mut buffer = Vec::new();
        for offset in sample_offsets(bytes) {
            file.seek(SeekFrom::Start(offset))?;
            buffer.clear();
            (&file).take(SAMPLE_BYTES).read_to_end(&mut buffer)?;
            digest.update(&buffer);
        }
        let sha256 = hex(&digest.finalize());
        let modified = match bytes > SAMPLE_BYTES * MAX_SAMPLES {
            true => metadata.modified()?.duration_since(UNIX_EPOCH).ok().map(|time| time.as_nanos() as u64),
            false => None,
        };
        Ok(Self { bytes, sha256, modified })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn sample_offsets(bytes: u64) -> impl Iterator<Item = u64> {
    let all = bytes.div_ceil(SAMPLE_BYTES);
    let last = bytes.saturating_sub(SAMPLE_BYTES);
    (0..all.min(MAX_SAMPLES)).map(move |sample| match all <= MAX_SAMPLES {
        true => sample * SAMPLE_BYTES,
        // In this order nothing overflows, whatever the length.
        false => last / (MAX_SAMPLES - 1) * sample + last % (MAX_SAMPLES - 1) * sample / (MAX_SAMPLES - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoder_counts_only_where_it_is_not_built_in() {
        let text = r#"{"format":4,"program":"1","model":"m","device":"cpu","options":"o","input":{"bytes":7,"sha256":"00"}}"#;
        let builtin: Fingerprint = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&builtin).unwrap(), text);
        let other = Fingerprint { decoder: Some("ffmpeg".into()), ..builtin.clone() };
        assert_eq!(other.difference(&builtin), Some("another decoder reads the audio"));
        assert_eq!(other.difference(&other), None);
    }

    #[test]
    fn device_kind_keeps_precision_and_drops_the_number() {
        for (device, kind) in [
            ("cpu", "cpu"),
            ("cpu,cpu", "cpu"),
            ("cuda:1", "cuda"),
            ("cuda:0 in f16", "cuda in f16"),
            ("cuda:0 in bf16,cuda:1 in bf16", "cuda in bf16"),
        ] {
            assert_eq!(device_kind(device), kind);
        }
    }

    #[test]
    fn samples_reach_from_the_beginning_to_the_end() {
        assert_eq!(sample_offsets(0).count(), 0);
        assert_eq!(sample_offsets(5).collect::<Vec<_>>(), [0]);
        assert_eq!(sample_offsets(SAMPLE_BYTES + 1).collect::<Vec<_>>(), [0, SAMPLE_BYTES]);
        for bytes in [MAX_SAMPLES * SAMPLE_BYTES + 1, 1 << 30, (1 << 40) + 12_345, u64::MAX] {
            let offsets: Vec<u64> = sample_offsets(bytes).collect();
            assert_eq!((offsets.len() as u64, offsets[0]), (MAX_SAMPLES, 0));
            assert_eq!(offsets.last(), Some(&(bytes - SAMPLE_BYTES)));
            assert!(offsets.is_sorted());
        }
    }

    #[test]
    fn changed_content_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = |bytes: &[u8], seconds: u64| {
            let path = folder.path().join("input");
            std::fs::write(&path, bytes).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
            InputDigest::of(&path).unwrap()
        };
        let mut bytes = vec![7; (MAX_SAMPLES * SAMPLE_BYTES + 1_000) as usize];
        let first = digest(&bytes, 1);
        assert_eq!(digest(&bytes, 1), first);
        for at in [0, 3 * SAMPLE_BYTES as usize, bytes.len() - 1] {
            bytes[at] ^= 1;
            assert_ne!(digest(&bytes, 1), first, "{at}");
            bytes[at] ^= 1;
        }
        // A change between the samples shows in the modification time.
        assert_ne!(digest(&bytes, 2), first);
        bytes.pop();
        assert_ne!(digest(&bytes, 1), first);
        // A file that was read completely equals its copy.
        assert_eq!(digest(b"same", 1), digest(b"same", 2));
        assert_ne!(digest(&[], 1), digest(&[0], 1));
    }
}
