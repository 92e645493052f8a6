//! The waveform of a finished input, with its seams, so that pages can be made long after the run. The file is JSON in the
//! format of BBC's audiowaveform, which players draw, with the seams as a further field.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::write_file_unsynced;
use crate::error::Result;
use crate::limited_read::read_file;
use crate::time::SAMPLE_RATE;
use crate::transcript::{Seam, Waveform};

/// Version of the format of audiowaveform.
const VERSION: u32 = 2;
/// Bytes of a file that are read; ours have a fraction of that.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct WaveformFile {
    version: u32,
    channels: u32,
    sample_rate: u32,
    samples_per_pixel: u64,
    bits: u32,
    length: usize,
    /// The lowest and the highest sample of each pair, in turn.
    data: Vec<i8>,
    #[serde(default)]
    seams: Vec<StoredSeam>,
}

#[derive(Serialize, Deserialize)]
struct StoredSeam {
    at: f64,
    follows: bool,
}

/// Writes the file. After a power cut it may be empty, which is read as none.
pub fn write(path: &Path, waveform: &Waveform, seams: &[Seam]) -> Result<()> {
    let file = WaveformFile {
        version: VERSION,
        channels: 1,
        sample_rate: SAMPLE_RATE,
        samples_per_pixel: waveform.samples_per_pair,
        bits: 8,
        length: waveform.pairs.len(),
        data: waveform.pairs.iter().flat_map(|&(low, high)| [low, high]).collect(),
        seams: seams.iter().map(|&Seam { at, follows }| StoredSeam { at, follows }).collect(),
    };
    // Numbers and nothing else can always be serialized.
    write_file_unsynced(path, &serde_json::to_vec(&file).unwrap_or_default())
}

/// Reads the file; none if it is not there or damaged.
pub fn read(path: &Path) -> Option<(Waveform, Vec<Seam>)> {
    let bytes = read_file(path, MAX_BYTES).ok()?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<(Waveform, Vec<Seam>)> {
    let file: WaveformFile = serde_json::from_slice(bytes).ok()?;
    let is_known = (file.version, file.channels, file.bits) == (VERSION, 1, 8)
        && file.sample_rate == SAMPLE_RATE
        && file.data.len() == file.length.checked_mul(2)?
        // So that no sum of them exceeds what times are counted in.
        && (1..=1 << 40).contains(&file.samples_per_pixel);
    let pairs = file.data.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let seams = file.seams.into_iter().map(|StoredSeam { at, follows }| Seam { at, follows }).collect();
    is_known.then_some((Waveform { samples_per_pair: file.samples_per_pixel, pairs }, seams))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(waveform: &Waveform, seams: &[Seam]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waveform.json");
        write(&path, waveform, seams).unwrap();
        assert_eq!(read(&path), Some((waveform.clone(), seams.to_vec())));
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn is_read_as_it_was_written() {
        let waveform = Waveform { samples_per_pair: 160, pairs: vec![(-128, 127), (0, 0), (-3, 4)] };
        let bytes = written(&waveform, &[Seam { at: 12.5, follows: true }]);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\"data\":[-128,127,0,0,-3,4]") && text.contains("\"length\":3"), "{text}");
        written(&Waveform { samples_per_pair: 320, pairs: Vec::new() }, &[]);
        assert_eq!(read(Path::new("/nonexistent")), None);
        for wrong in [("\"bits\":8", "\"bits\":16"), ("\"length\":3", "\"length\":4"), (":160", ":0")] {
            assert_eq!(parse(text.replace(wrong.0, wrong.1).as_bytes()), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn damaged_files_are_refused_or_read(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
            let waveform = Waveform { samples_per_pair: 160, pairs: vec![(-5, 9); 8] };
            let mut bytes = written(&waveform, &[Seam { at: 1.0, follows: false }]);
            let last = bytes.len() - 1;
            bytes[at.min(last)] = byte;
            bytes.truncate(bytes.len() - cut.min(last));
            if let Some((waveform, _)) = parse(&bytes) {
                prop_assert!(waveform.seconds() >= 0.0);
            }
        }
    }
}
