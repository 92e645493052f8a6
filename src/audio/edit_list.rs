//! The edit lists of an MP4 or MOV file: which part of each track is to be heard. Encoders put silence before
//! the first sample and after the last; the edit list says how much. The demuxer does not tell, so the few
//! boxes that do are read here; nothing else of the container is.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};

/// The heard part of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KeptSpan {
    /// Seconds of the track's own time before the first heard sample.
    pub start: f64,
    /// Seconds that are heard, where told.
    pub length: Option<f64>,
}

/// Tables larger than this are not edit lists.
const MAX_BOX: u64 = 1 << 20;
/// More boxes than this on one level are not a sane file.
const MAX_BOXES: usize = 10_000;

/// What is known of a file's edits; empty for anything that is no MP4.
#[derive(Debug, Default)]
pub(super) struct EditLists {
    /// The edit of every track that has one, by track id.
    pub by_track: HashMap<u32, KeptSpan>,
    /// The file ends inside a box.
    pub cut_off: bool,
}

/// The position of `file` is left anywhere.
pub(super) fn read(file: &mut (impl Read + Seek)) -> EditLists {
    let mut edits = EditLists::default();
    // What cannot be read here cannot be read by the demuxer either, which then says so.
    let _ = read_movie(file, &mut edits);
    edits
}

fn read_movie(file: &mut (impl Read + Seek), edits: &mut EditLists) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    let top = boxes(file, 0, end)?;
    if top.first().is_none_or(|b| &b.kind != b"ftyp") {
        return Ok(());
    }
    edits.cut_off = top.last().is_some_and(|last| last.end + 8 <= end);
    let Some(movie) = top.iter().find(|b| &b.kind == b"moov") else { return Ok(()) };
    let parts = boxes(file, movie.start, movie.end)?;
    let scale = match parts.iter().find(|b| &b.kind == b"mvhd") {
        Some(header) => timescale(&content(file, header)?),
        None => None,
    };
    let fragmented = parts.iter().any(|b| &b.kind == b"mvex");
    for track in parts.iter().filter(|b| &b.kind == b"trak") {
        if let Some((id, mut edit)) = read_track(file, track, scale)? {
            // The headers of a fragmented file speak of its first fragment.
            edit.length = edit.length.filter(|_| !fragmented);
            edits.by_track.insert(id, edit);
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
    Ok(edit(&list, scale, movie_scale).map(|edit| (id, edit)))
}

/// The one stretch that an edit list keeps. Lists that cut and paste are rare and not followed: None.
fn edit(list: &[u8], scale: u32, movie_scale: Option<u32>) -> Option<KeptSpan> {
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
        // An empty edit: the track begins later than others do. Its own samples are not concerned.
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
    /// Where its content starts and ends.
    start: u64,
    end: u64,
}

/// The boxes between two positions; a box that does not fit ends them.
fn boxes(file: &mut (impl Read + Seek), mut at: u64, end: u64) -> io::Result<Vec<Mp4Box>> {
    let mut found = Vec::new();
    while end.saturating_sub(at) >= 8 && found.len() < MAX_BOXES {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let kind = [header[4], header[5], header[6], header[7]];
        let (size, head) = match u32::from_be_bytes([header[0], header[1], header[2], header[3]]) {
            0 => (end - at, 8),
            1 => {
                let mut large = [0; 8];
                file.read_exact(&mut large)?;
                (u64::from_be_bytes(large), 16)
            }
            size => (u64::from(size), 8),
        };
        if size < head || size > end - at {
            break;
        }
        found.push(Mp4Box { kind, start: at + head, end: at + size });
        at += size;
    }
    Ok(found)
}

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

/// Ticks per second, from an `mvhd` or `mdhd`.
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
