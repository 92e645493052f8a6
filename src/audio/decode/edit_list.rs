//! Edit lists of MP4 and MOV files: which span of each track is played. Encoders add silence before the first sample and
//! after the last, and the edit list says how much. The demuxer does not expose it, so this module parses the few boxes
//! that matter and nothing else of the container.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};

/// The span of a track that is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KeptSpan {
    /// Seconds of the track's own time before the first played sample.
    pub start: f64,
    /// Duration of the span in seconds, if known.
    pub length: Option<f64>,
}

/// Larger boxes are not edit lists.
const MAX_BOX: u64 = 1 << 20;
/// More boxes on one level mean a broken file.
const MAX_BOXES: usize = 10_000;

/// The edit lists of a file; empty for anything but MP4.
#[derive(Debug, Default)]
pub(super) struct EditLists {
    /// The played span of each track that has an edit list, by track id.
    pub by_track: HashMap<u32, KeptSpan>,
    /// The file ends inside a box.
    pub is_truncated: bool,
    /// An MP4 file without the box that says where its samples are.
    pub lacks_index: bool,
}

/// Reads the edit lists; leaves the position of `file` unspecified.
pub(super) fn read(file: &mut (impl Read + Seek)) -> EditLists {
    let mut edits = EditLists::default();
    // The demuxer fails on the same read errors and reports them.
    let _ = read_movie(file, &mut edits);
    edits
}

fn read_movie(file: &mut (impl Read + Seek), edits: &mut EditLists) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    let top = boxes(file, 0, end)?;
    if top.first().is_none_or(|b| &b.kind != b"ftyp") {
        return Ok(());
    }
    edits.is_truncated = top.last().is_some_and(|last| last.end + 8 <= end);
    edits.lacks_index = !top.iter().any(|b| matches!(&b.kind, b"moov" | b"moof"));
    let Some(movie) = top.iter().find(|b| &b.kind == b"moov") else { return Ok(()) };
    let parts = boxes(file, movie.start, movie.end)?;
    let scale = match parts.iter().find(|b| &b.kind == b"mvhd") {
        Some(header) => timescale(&content(file, header)?),
        None => None,
    };
    let fragmented = parts.iter().any(|b| &b.kind == b"mvex");
    for track in parts.iter().filter(|b| &b.kind == b"trak") {
        if let Some((id, mut span)) = read_track(file, track, scale)? {
            // The headers of a fragmented file describe only its first fragment.
            span.length = span.length.filter(|_| !fragmented);
            edits.by_track.insert(id, span);
        }
    }
    Ok(())
}

fn read_track(
    file: &mut (impl Read + Seek),
    track: &Mp4Box,
    movie_scale: Option<u32>,
) -> io::Result<Option<(u32, KeptSpan)>> {
    let parts = boxes(file, track.start, track.end)?;
    let (mut id, mut scale, mut list) = (None, None, None);
    for part in &parts {
        match &part.kind {
            b"tkhd" => id = track_id(&content(file, part)?),
            b"mdia" => {
                for inner in boxes(file, part.start, part.end)? {
                    if &inner.kind == b"mdhd" {
                        scale = timescale(&content(file, &inner)?);
                    }
                }
            }
            b"edts" => {
                for inner in boxes(file, part.start, part.end)? {
                    if &inner.kind == b"elst" {
                        list = Some(content(file, &inner)?);
                    }
                }
            }
            _ => {}
        }
    }
    let (Some(id), Some(scale), Some(list)) = (id, scale, list) else { return Ok(None) };
    Ok(kept_span(&list, scale, movie_scale).map(|span| (id, span)))
}

/// Returns the single span that an edit list keeps. Lists with several spans are rare and not supported: None.
fn kept_span(list: &[u8], scale: u32, movie_scale: Option<u32>) -> Option<KeptSpan> {
    let wide = *list.first()? == 1;
    let count = u32_at(list, 4)? as usize;
    let size = if wide { 20 } else { 12 };
    let mut kept = None;
    for entry in list.get(8..)?.chunks_exact(size).take(count) {
        let (length, start) = if wide {
            (u64_at(entry, 0)?, u64_at(entry, 8)? as i64)
        } else {
            (u64::from(u32_at(entry, 0)?), i64::from(u32_at(entry, 4)? as i32))
        };
        // An empty edit delays the track relative to others; its own samples are unaffected.
        if start < 0 {
            continue;
        }
        if kept.is_some() {
            return None;
        }
        let length = movie_scale.filter(|_| length > 0).map(|s| length as f64 / f64::from(s));
        kept = Some(KeptSpan { start: start as f64 / f64::from(scale), length });
    }
    kept
}

struct Mp4Box {
    kind: [u8; 4],
    /// Offsets of its content.
    start: u64,
    end: u64,
}

/// Lists the boxes between two offsets, up to the first box that does not fit.
fn boxes(file: &mut (impl Read + Seek), mut offset: u64, end: u64) -> io::Result<Vec<Mp4Box>> {
    let mut found = Vec::new();
    while end.saturating_sub(offset) >= 8 && found.len() < MAX_BOXES {
        file.seek(SeekFrom::Start(offset))?;
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let kind = [header[4], header[5], header[6], header[7]];
        let (size, head) = match u32::from_be_bytes([header[0], header[1], header[2], header[3]]) {
            0 => (end - offset, 8),
            1 => {
                let mut large = [0; 8];
                file.read_exact(&mut large)?;
                (u64::from_be_bytes(large), 16)
            }
            size => (u64::from(size), 8),
        };
        if size < head || size > end - offset {
            break;
        }
        found.push(Mp4Box { kind, start: offset + head, end: offset + size });
        offset += size;
    }
    Ok(found)
}

/// Reads the content of a box of limited size.
fn content(file: &mut (impl Read + Seek), of: &Mp4Box) -> io::Result<Vec<u8>> {
    let size = of.end - of.start;
    if size > MAX_BOX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.seek(SeekFrom::Start(of.start))?;
    let mut bytes = vec![0; size as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns the ticks per second from an `mvhd` or `mdhd` box.
fn timescale(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    u32_at(header, at).filter(|&scale| scale > 0)
}

fn track_id(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    u32_at(header, at)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
