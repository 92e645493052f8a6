//! When an Ogg file ends, by its own word. The demuxer asks only pages that follow one another without damage;
//! without the end nobody would notice that something in the middle is missing.

use std::io::{self, Read, Seek, SeekFrom};

/// No page is longer.
const MAX_PAGE: u64 = 65_307;

/// The position, in the codec's frames, that the last page gives; None for anything that is no Ogg.
pub(super) fn last_position(file: &mut (impl Read + Seek)) -> Option<u64> {
    let tail = tail(file).ok()?;
    let last = tail.windows(6).rposition(|w| w.starts_with(b"OggS\0") && w[5] & END != 0)?;
    let position = u64::from_le_bytes(tail.get(last + 6..last + 14)?.try_into().ok()?);
    // All ones: no packet ends on that page.
    (position != u64::MAX).then_some(position)
}

/// Marks the last page of a stream.
const END: u8 = 4;

fn tail(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if &magic != b"OggS" {
        return Ok(Vec::new());
    }
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(MAX_PAGE)))?;
    let mut tail = Vec::new();
    file.take(MAX_PAGE).read_to_end(&mut tail)?;
    Ok(tail)
}
