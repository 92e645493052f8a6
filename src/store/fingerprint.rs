//! What the text of an input depends on. If all of it is as it was, chunks of an earlier run are as good as new
//! ones; how fast or in which format they are made is not asked here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::plan::{PlanRequest, Settings};
use crate::transcript::ModelIdentity;

/// Of the shape of journals: one more whenever it changes.
const FORMAT: u32 = 4;

/// Bytes of an input that are looked at together.
const PIECE: u64 = 1 << 20;
/// Pieces of an input that are looked at: a smaller one is looked at whole.
const PIECES: u64 = 16;

/// What is the same for all inputs of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFingerprint {
    format: u32,
    program: String,
    model: String,
    /// `cpu`, `cuda in f16` or the like: they do not compute the same numbers.
    device: String,
    /// In whatever words: they are only compared.
    options: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    #[serde(flatten)]
    pub basis: RunFingerprint,
    pub input: InputDigest,
}

/// What tells one input from another, and from the same one after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    bytes: u64,
    sha256: String,
    /// When it was last changed, in nanoseconds; only if not all of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
}

impl RunFingerprint {
    pub fn new(request: &PlanRequest, settings: &Settings, model: &ModelIdentity, device: &str) -> Self {
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").into(),
            model: model.revision.clone().unwrap_or_else(|| model.name.clone()),
            device: kind_of(device),
            // The derived form names every field there is, so that none can be forgotten.
            options: format!(
                "{:?} {:?} {:?} {:?} chunk length {:?}",
                settings.decode,
                request.audio,
                settings.selection.clips,
                settings.selection.vad,
                request.chunk_length
            ),
        }
    }
}

/// A device as models are told to be on, or a list of them, without which one of its kind it is.
fn kind_of(device: &str) -> String {
    let kind = device.split([':', ',', ' ']).next().unwrap_or(device);
    match device.rsplit_once(" in ") {
        Some((_, numbers)) => format!("{kind} in {numbers}"),
        None => kind.to_owned(),
    }
}

impl RunFingerprint {
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

impl Fingerprint {
    /// What is no longer as it was when `before` was written, if something is not.
    pub fn change_since(&self, before: &Fingerprint) -> Option<&'static str> {
        let (now, then) = (&self.basis, &before.basis);
        let changes = [
            (now.format != then.format || now.program != then.program, "it is of another version"),
            (self.input != before.input, "the input has changed"),
            (now.model != then.model, "the model is another one"),
            (now.device != then.device, "the device is of another kind"),
            (now.options != then.options, "options that change the text are others"),
        ];
        changes.into_iter().find(|(changed, _)| *changed).map(|(_, what)| what)
    }
}

impl InputDigest {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a bounded part of the file: its beginning, its end, and pieces spread evenly between.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let bytes = metadata.len();
        let mut digest = Sha256::new_with_prefix(bytes.to_le_bytes());
        let mut buffer = Vec::new();
        for start in starts(bytes) {
            file.seek(SeekFrom::Start(start))?;
            buffer.clear();
            (&file).take(PIECE).read_to_end(&mut buffer)?;
            digest.update(&buffer);
        }
        let sha256 = hex(&digest.finalize());
        let modified = match bytes > PIECE * PIECES {
            true => metadata.modified()?.duration_since(UNIX_EPOCH).ok().map(|time| time.as_nanos() as u64),
            false => None,
        };
        Ok(Self { bytes, sha256, modified })
    }
}

/// Where the pieces begin that are looked at.
fn starts(bytes: u64) -> impl Iterator<Item = u64> {
    let whole = bytes.div_ceil(PIECE);
    let last = bytes.saturating_sub(PIECE);
    (0..whole.min(PIECES)).map(move |piece| match whole <= PIECES {
        true => piece * PIECE,
        // In this order nothing overflows, whatever the length is.
        false => last / (PIECES - 1) * piece + last % (PIECES - 1) * piece / (PIECES - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_device_of_a_kind_does_not_matter_but_its_numbers_do() {
        for (device, kind) in [
            ("cpu", "cpu"),
            ("cpu,cpu", "cpu"),
            ("cuda:1", "cuda"),
            ("cuda:0 in f16", "cuda in f16"),
            ("cuda:0 in bf16,cuda:1 in bf16", "cuda in bf16"),
        ] {
            assert_eq!(kind_of(device), kind);
        }
    }

    #[test]
    fn pieces_reach_from_the_beginning_to_the_end() {
        assert_eq!(starts(0).count(), 0);
        assert_eq!(starts(5).collect::<Vec<_>>(), [0]);
        assert_eq!(starts(PIECE + 1).collect::<Vec<_>>(), [0, PIECE]);
        for bytes in [PIECES * PIECE + 1, 1 << 30, (1 << 40) + 12_345, u64::MAX] {
            let starts: Vec<u64> = starts(bytes).collect();
            assert_eq!((starts.len() as u64, starts[0]), (PIECES, 0));
            assert_eq!(starts.last(), Some(&(bytes - PIECE)));
            assert!(starts.is_sorted());
        }
    }

    #[test]
    fn another_content_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let content = |bytes: &[u8], seconds: u64| {
            let path = folder.path().join("input");
            std::fs::write(&path, bytes).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
            InputDigest::of(&path).unwrap()
        };
        let mut bytes = vec![7; (PIECES * PIECE + 1_000) as usize];
        let first = content(&bytes, 1);
        assert_eq!(content(&bytes, 1), first);
        for at in [0, 3 * PIECE as usize, bytes.len() - 1] {
            bytes[at] ^= 1;
            assert_ne!(content(&bytes, 1), first, "{at}");
            bytes[at] ^= 1;
        }
        // What was changed where nobody looked.
        assert_ne!(content(&bytes, 2), first);
        bytes.pop();
        assert_ne!(content(&bytes, 1), first);
        // A copy of a file that was read whole is the same.
        assert_eq!(content(b"same", 1), content(b"same", 2));
        assert_ne!(content(&[], 1), content(&[0], 1));
    }
}
