//! Where the uncompressed files of a zip archive are. PyTorch stores its tensors so, to map them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::reader::{ByteReader, Parsed};

/// How an archive begins.
pub const MAGIC: [u8; 4] = *b"PK\x03\x04";

const DIRECTORY_END: [u8; 4] = *b"PK\x05\x06";
const DIRECTORY_END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
/// Bytes of the end of the directory, without its comment, and of the locator before it.
const DIRECTORY_END_BYTES: usize = 22;
const LOCATOR_64_BYTES: usize = 20;
/// The tag of the sizes of 64 bits among the extra fields.
const SIZES_64: u16 = 1;

/// Returns the bytes of every stored file by its name. Compressed files have none.
pub fn entries(file: &str, bytes: &[u8]) -> Parsed<BTreeMap<String, Range<usize>>> {
    let (start, count) = directory(file, bytes)?;
    let mut reader = ByteReader::new(file, bytes);
    reader.seek(start)?;
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let entry = Entry::read(&mut reader)?;
        if let Some(range) = entry.locate(file, bytes)? {
            found.insert(entry.name.to_owned(), range);
        }
    }
    Ok(found)
}

/// Returns where the directory begins, and its number of entries.
fn directory(file: &str, bytes: &[u8]) -> Parsed<(usize, u64)> {
    let reader = ByteReader::new(file, bytes);
    // A comment of at most 64 KiB may follow the end.
    let lowest = bytes.len().saturating_sub(DIRECTORY_END_BYTES + usize::from(u16::MAX));
    let tail = &bytes[lowest..];
    let end = tail.windows(4).rposition(|window| window == DIRECTORY_END).map(|at| lowest + at);
    let end =
        end.ok_or_else(|| reader.damaged("its directory is missing: it is truncated, or no zip archive"))?;
    let mut at_end = reader.clone();
    at_end.seek(end + 10)?;
    let (count, _bytes, start) = (at_end.u16()?, at_end.u32()?, at_end.u32()?);
    let comment = at_end.u16()?;
    at_end.skip(comment.into())?;
    let mut locator = reader.clone();
    if let Some(before) = end.checked_sub(LOCATOR_64_BYTES).filter(|at| bytes[*at..].starts_with(&LOCATOR_64))
    {
        locator.seek(before + 8)?;
        let end_64 = locator.size64()?;
        locator.seek(end_64)?;
        if locator.take(4)? != DIRECTORY_END_64 {
            return Err(reader.damaged("its directory of 64 bits is missing"));
        }
        locator.skip(28)?;
        let (count, _bytes, start) = (locator.u64()?, locator.u64()?, locator.size64()?);
        return Ok((start, count));
    }
    Ok((start as usize, count.into()))
}

/// An entry of the directory.
struct Entry<'a> {
    name: &'a str,
    is_stored: bool,
    bytes: u64,
    header: u64,
}

impl<'a> Entry<'a> {
    fn read(reader: &mut ByteReader<'a>) -> Parsed<Self> {
        if reader.take(4)? != DIRECTORY_ENTRY {
            return Err(reader.damaged("its directory has an invalid entry"));
        }
        reader.skip(6)?;
        let method = reader.u16()?;
        reader.skip(8)?;
        let (packed, bytes) = (reader.u32()?, reader.u32()?);
        let [name, extra, comment] = [reader.u16()?, reader.u16()?, reader.u16()?].map(usize::from);
        reader.skip(8)?;
        let header = reader.u32()?;
        let name = reader.text(name)?;
        let extra = reader.take(extra)?;
        reader.skip(comment)?;
        let mut sizes = [bytes, packed, header].map(u64::from);
        widen(&mut sizes, extra);
        Ok(Self { name, is_stored: method == 0 && sizes[0] == sizes[1], bytes: sizes[0], header: sizes[2] })
    }

    /// Returns where the content is; `None` if it is compressed.
    fn locate(&self, file: &str, bytes: &[u8]) -> Parsed<Option<Range<usize>>> {
        let mut reader = ByteReader::new(file, bytes);
        reader.seek(usize::try_from(self.header).unwrap_or(usize::MAX))?;
        if reader.take(4)? != MAGIC {
            return Err(reader.damaged(format!("its file `{}` is not where the directory says", self.name)));
        }
        reader.skip(22)?;
        let (name, extra) = (reader.u16()?, reader.u16()?);
        reader.skip(usize::from(name) + usize::from(extra))?;
        let start = reader.at();
        if !self.is_stored {
            return Ok(None);
        }
        reader.skip(usize::try_from(self.bytes).unwrap_or(usize::MAX))?;
        Ok(Some(start..reader.at()))
    }
}

/// Replaces the sizes that do not fit in 32 bits by those of 64 bits, which follow in this order.
fn widen(sizes: &mut [u64; 3], extra: &[u8]) {
    let mut reader = ByteReader::new("", extra);
    while let (Ok(tag), Ok(length)) = (reader.u16(), reader.u16()) {
        let Ok(field) = reader.take(length.into()) else { return };
        if tag != SIZES_64 {
            continue;
        }
        let mut field = ByteReader::new("", field);
        for size in sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX)) {
            if let Ok(wide) = field.u64() {
                *size = wide;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one stored file, whose sizes are in fields of 64 bits.
    fn large_archive() -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[0; 22], &[1, 0, 0, 0], b"a", b"content"].concat();
        let start = bytes.len();
        bytes.extend([&DIRECTORY_ENTRY[..], &[0; 16], &[0xFF; 8], &[1, 0, 28, 0, 0, 0], &[0; 8]].concat());
        bytes.extend([0xFF; 4]);
        bytes.extend(b"a\x01\x00\x18\x00");
        [7u64, 7, 0].iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        let end = bytes.len();
        bytes.extend([&DIRECTORY_END_64[..], &[0; 28]].concat());
        [1, 0, start as u64].iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        bytes.extend([&LOCATOR_64[..], &[0; 4], &(end as u64).to_le_bytes(), &[0; 4]].concat());
        bytes.extend([&DIRECTORY_END[..], &[0xFF; 16], &[0; 2]].concat());
        bytes
    }

    #[test]
    fn reads_sizes_of_64_bits() {
        let bytes = large_archive();
        let found = entries("file", &bytes).unwrap();
        assert_eq!(&bytes[found["a"].clone()], b"content");
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
