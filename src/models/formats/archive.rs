//! Where the uncompressed files of a zip archive are. PyTorch stores its tensors so, to map them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::reader::{ByteReader, Parsed};

/// How an archive begins.
pub const MAGIC: [u8; 4] = *b"PK\x03\x04";

/// Returns the bytes of every stored file by its name. Compressed files have none.
pub fn entries(file: &str, bytes: &[u8]) -> Parsed<BTreeMap<String, Range<usize>>> {
    let reader = ByteReader::new(file, bytes);
    let invalid = |error: ZipError| reader.damaged(format!("it is no whole zip archive: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(invalid)?;
    let mut found = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(invalid)?;
        let (Some(start), CompressionMethod::Stored) = (entry.data_start(), entry.compression()) else {
            continue;
        };
        let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(entry.size())).ok());
        let range = range.map(|(start, end)| start..end).filter(|range| bytes.get(range.clone()).is_some());
        let name = entry.name().map_err(invalid)?.into_owned();
        let range = range.ok_or_else(|| reader.damaged(format!("it ends within its file `{name}`")))?;
        found.insert(name, range);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn finds_stored_files_and_survives_any_damage() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for large in [false, true] {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            writer.start_file(format!("large {large}"), options.large_file(large)).unwrap();
            writer.write_all(b"content").unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        let found = entries("file", &bytes).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.values().all(|range| bytes[range.clone()] == *b"content"));
        for length in 0..bytes.len() {
            assert!(entries("file", &bytes[..length]).is_err(), "{length}");
        }
        for (at, value) in (0..bytes.len()).flat_map(|at| [(at, 0), (at, 0x7F), (at, 0xFF)]) {
            let mut changed = bytes.clone();
            changed[at] = value;
            for range in entries("file", &changed).unwrap_or_default().values() {
                assert!(range.end <= bytes.len());
            }
        }
    }
}
