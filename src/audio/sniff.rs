//! Whether a file is a recording, by a look at its first bytes: far cheaper than opening it, for whole folders.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes to look at: two frames of MP3 and what may stand before them.
const LOOK: u64 = 8_192;

/// Names of files that are recordings even if their first bytes are damaged, or their kind is not known here.
const ENDINGS: [&str; 35] = [
    "3ga", "3gp", "aac", "ac3", "aif", "aifc", "aiff", "amr", "avi", "caf", "flac", "flv", "m4a", "m4b",
    "m4v", "mka", "mkv", "mov", "mp2", "mp3", "mp4", "mpeg", "mpg", "mpga", "oga", "ogg", "ogv", "opus",
    "spx", "wav", "wave", "webm", "wma", "wmv", "wv",
];

/// Names of files that are not whole yet.
const UNFINISHED: [&str; 5] = ["part", "partial", "crdownload", "download", "tmp"];

/// Kinds of ISO media that are pictures.
const PICTURES: [&[u8; 4]; 9] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"crx "];

/// Whether a file seems to be a recording: by its content, or by its name where the content says nothing.
pub fn is_recording(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let is_in = |endings: &[&str]| ending.as_deref().is_some_and(|ending| endings.contains(&ending));
    !is_in(&UNFINISHED) && (is_in(&ENDINGS) || beginning(path).is_ok_and(|bytes| begins_one(&bytes)))
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LOOK).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn begins_one(bytes: &[u8]) -> bool {
    let at = |start: usize, magic: &[u8]| bytes.get(start..).is_some_and(|rest| rest.starts_with(magic));
    let is_form = |outer: &[u8], inner: &[u8]| at(0, outer) && at(8, inner);
    let is_plain =
        [&b"fLaC"[..], b"OggS", b"caff", b"ID3", b"\x1a\x45\xdf\xa3"].iter().any(|magic| at(0, magic));
    is_plain
        || is_form(b"RIFF", b"WAVE")
        || is_form(b"RIFX", b"WAVE")
        || is_form(b"RF64", b"WAVE")
        || is_form(b"FORM", b"AIF")
        || (at(4, b"ftyp") && !PICTURES.iter().any(|kind| at(8, &kind[..])))
        || at(4, b"moov")
        || (at(4, b"mdat") || at(4, b"wide")) && bytes.first() == Some(&0)
        || is_frames(bytes)
}

/// Two frames of MPEG audio, one behind the other; one alone could be anything.
fn is_frames(bytes: &[u8]) -> bool {
    let length = frame(bytes).filter(|length| *length > 0);
    length.is_some_and(|length| bytes.get(length..).is_some_and(|next| frame(next).is_some()))
}

/// The length of a frame of AAC (ADTS) or MP3 by its header.
fn frame(bytes: &[u8]) -> Option<usize> {
    let header: [u8; 6] = bytes.get(..6)?.try_into().ok()?;
    if header[0] != 0xff || header[1] & 0xe0 != 0xe0 {
        return None;
    }
    if header[1] & 0xf6 == 0xf0 {
        let length = u32::from_be_bytes([0, header[3] & 3, header[4], header[5]]) >> 5;
        return Some(length as usize).filter(|length| *length > 7);
    }
    let (version, layer) = (header[1] >> 3 & 3, header[1] >> 1 & 3);
    let (rate, speed) = (header[2] >> 2 & 3, usize::from(header[2] >> 4));
    // Layer III is 1, and 15 is no speed.
    if version == 1 || layer != 1 || rate == 3 || !(1..15).contains(&speed) {
        return None;
    }
    const SPEEDS: [[usize; 14]; 2] = [
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    const RATES: [usize; 3] = [44_100, 48_000, 32_000];
    let is_first = version == 3;
    let rate = RATES[usize::from(rate)] / [4, 1, 2, 1][usize::from(version)];
    let samples = if is_first { 144 } else { 72 };
    let padding = usize::from(header[2] >> 1 & 1);
    Some(samples * 1_000 * SPEEDS[usize::from(!is_first)][speed - 1] / rate + padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without its name.
    fn by_content(path: &Path) -> bool {
        begins_one(&beginning(path).unwrap())
    }

    #[test]
    fn every_known_kind_is_seen_by_its_content() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("expected.json") && !path.ends_with("make.sh") {
                assert!(by_content(&path), "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 40);
    }

    #[test]
    fn other_files_are_not_recordings() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for other in
            ["Cargo.toml", "README.md", "models/demo/model.safetensors", "fixtures/audio/damaged/text.mp3"]
        {
            assert!(!by_content(&root.join(other)), "{other}");
        }
        assert!(is_recording(&root.join("fixtures/audio/damaged/text.mp3")));
        let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain("words ".repeat(900).bytes()).collect();
        for bytes in [
            &b"\xff\xd8\xff\xe0\0\x10JFIF"[..],
            b"\0\0\0\x18ftypheic\0\0\0\0",
            b"",
            b"\0",
            &utf16,
            &[0xff; 8_192],
        ] {
            assert!(!begins_one(bytes), "{bytes:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let unfinished = folder.path().join("talk.flac.part");
        std::fs::write(&unfinished, b"fLaC").unwrap();
        assert!(by_content(&unfinished) && !is_recording(&unfinished));
    }
}
