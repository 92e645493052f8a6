//! Recognizes recordings by name and first bytes: far cheaper than opening them, for scans of whole folders.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::ffmpeg::foreign_format;

/// Bytes to read: enough for two MP3 frames and what may precede them.
pub(super) const SNIFF_BYTES: u64 = 8_192;

/// Extensions of recordings, recognized even if the first bytes are damaged or in a format not listed here.
const AUDIO_EXTENSIONS: [&str; 41] = [
    "3ga", "3gp", "aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "avi", "awb", "caf", "dts", "eac3",
    "flac", "flv", "m2ts", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp2", "mp3", "mp4", "mpeg", "mpg",
    "mpga", "oga", "ogg", "ogv", "opus", "spx", "vob", "wav", "wave", "webm", "wma", "wmv", "wv",
];

/// Extensions of incomplete downloads and copies.
const INCOMPLETE_EXTENSIONS: [&str; 5] = ["part", "partial", "crdownload", "download", "tmp"];

/// ISO media brands of still images.
const IMAGE_BRANDS: [&[u8; 4]; 9] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"crx "];

/// Returns whether a file looks like a recording, by its extension or else by its content. Incomplete downloads do not.
pub fn is_recording(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let is_in = |list: &[&str]| extension.as_deref().is_some_and(|extension| list.contains(&extension));
    !is_in(&INCOMPLETE_EXTENSIONS)
        && (is_in(&AUDIO_EXTENSIONS) || first_bytes(path).is_ok_and(|bytes| has_audio_signature(&bytes)))
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SNIFF_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn has_audio_signature(bytes: &[u8]) -> bool {
    let at = |start: usize, magic: &[u8]| bytes.get(start..).is_some_and(|rest| rest.starts_with(magic));
    let is_form = |outer: &[u8], inner: &[u8]| at(0, outer) && at(8, inner);
    let has_magic =
        [&b"fLaC"[..], b"OggS", b"caff", b"ID3", b"\x1a\x45\xdf\xa3"].iter().any(|magic| at(0, magic));
    has_magic
        || is_form(b"RIFF", b"WAVE")
        || is_form(b"RIFX", b"WAVE")
        || is_form(b"RF64", b"WAVE")
        || is_form(b"FORM", b"AIF")
        || (at(4, b"ftyp") && !IMAGE_BRANDS.iter().any(|brand| at(8, &brand[..])))
        || at(4, b"moov")
        || (at(4, b"mdat") || at(4, b"wide")) && bytes.first() == Some(&0)
        || has_two_frames(bytes)
        || foreign_format(bytes).is_some()
}

/// Returns whether two consecutive MPEG audio frames start here; a single header could be chance.
fn has_two_frames(bytes: &[u8]) -> bool {
    let length = frame_length(bytes).filter(|length| *length > 0);
    length.is_some_and(|length| bytes.get(length..).is_some_and(|next| frame_length(next).is_some()))
}

/// Returns the length of an AAC (ADTS) or MP3 frame from its header.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let header: [u8; 6] = bytes.get(..6)?.try_into().ok()?;
    if header[0] != 0xff || header[1] & 0xe0 != 0xe0 {
        return None;
    }
    if header[1] & 0xf6 == 0xf0 {
        let length = u32::from_be_bytes([0, header[3] & 3, header[4], header[5]]) >> 5;
        return Some(length as usize).filter(|length| *length > 7);
    }
    let (version, layer) = (header[1] >> 3 & 3, header[1] >> 1 & 3);
    let (rate, bitrate) = (header[2] >> 2 & 3, usize::from(header[2] >> 4));
    // Layer III is encoded as 1; bit rates 0 (free format) and 15 are not usable.
    if version == 1 || layer != 1 || rate == 3 || !(1..15).contains(&bitrate) {
        return None;
    }
    const BITRATES_KBPS: [[usize; 14]; 2] = [
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    const RATES: [usize; 3] = [44_100, 48_000, 32_000];
    let is_mpeg1 = version == 3;
    let rate = RATES[usize::from(rate)] / [4, 1, 2, 1][usize::from(version)];
    let samples = if is_mpeg1 { 144 } else { 72 };
    let padding = usize::from(header[2] >> 1 & 1);
    Some(samples * 1_000 * BITRATES_KBPS[usize::from(!is_mpeg1)][bitrate - 1] / rate + padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_content(path: &Path) -> bool {
        has_audio_signature(&first_bytes(path).unwrap())
    }

    #[test]
    fn recognizes_every_fixture_by_content() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
        let mut recognized = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("expected.json") && !path.ends_with("make.sh") {
                assert!(by_content(&path), "{}", path.display());
                recognized += 1;
            }
        }
        assert!(recognized > 40);
    }

    #[test]
    fn rejects_other_files() {
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
            assert!(!has_audio_signature(bytes), "{bytes:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let incomplete = folder.path().join("talk.flac.part");
        std::fs::write(&incomplete, b"fLaC").unwrap();
        assert!(by_content(&incomplete) && !is_recording(&incomplete));
    }
}
