//! Recordings of a few kilobytes that claim or hold far more: what a decoder that believes its input would die of.

/// Returns the recordings with what is wrong with each.
pub fn recordings() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a WAV of four gigabytes", wav(1, 1, 16_000, u32::MAX)),
        ("a WAV with 65535 channels", wav(1, u16::MAX, 48_000, u32::MAX)),
        ("a WAV at four gigahertz", wav(1, 2, u32::MAX, 4_000)),
        ("a WAV at one hertz", wav(1, 1, 1, 4_000)),
        ("a WAV of ADPCM with the largest blocks", wav(17, u16::MAX, 48_000, u32::MAX)),
        ("a FLAC of 49 days", flac(&[], (1 << 36) - 1)),
        ("a FLAC of silence", flac_silence(8_000, 20)),
        ("nested boxes of MP4", nested_boxes(&[b"moov"], 4_000)),
        ("nested boxes of metadata", nested_boxes(&[b"moov", b"udta", b"meta", b"ilst"], 1_000)),
        ("nested boxes of a track", nested_boxes(&[b"moov", b"trak", b"mdia", b"minf", b"stbl"], 1_000)),
        ("tables of samples that are not there", mp4_with_huge_tables()),
        ("nested elements of Matroska", nested_elements(4_000)),
        ("nested frames of ID3", nested_id3()),
        ("a picture of two gigabytes", flac_with_huge_picture()),
        ("a page of Ogg without end", ogg_page()),
    ]
}

/// Returns a WAV with these claims and a few bytes of audio.
fn wav(format: u16, channels: u16, rate: u32, data: u32) -> Vec<u8> {
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(2).to_le_bytes());
    bytes.extend(channels.wrapping_mul(2).to_le_bytes());
    bytes.extend(16u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data.to_le_bytes());
    bytes.extend((0..4_000).map(|at| at as u8));
    bytes
}

/// Returns a FLAC with these frames that claims to have so many samples.
fn flac(frames: &[u8], samples: u64) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
    bytes.extend(u16::MAX.to_be_bytes());
    bytes.extend(u16::MAX.to_be_bytes());
    bytes.extend([0; 6]);
    // 20 bits of the rate, 3 of the channels, 5 of the bits of a sample, 36 of the samples.
    let fields = 8_000u64 << 44 | 15 << 36 | samples;
    bytes.extend(fields.to_be_bytes());
    bytes.extend([0; 16]);
    bytes.extend(frames);
    bytes
}

/// Returns a FLAC of this many frames of eight seconds, of 13 bytes each.
pub fn flac_silence(rate: u64, frames: u32) -> Vec<u8> {
    const BLOCK: u16 = u16::MAX;
    let mut all = Vec::new();
    for number in 0..frames {
        // A fixed block size, given in 16 bits below; everything else is in the header of the file.
        let mut frame = vec![0xff, 0xf8, 0x70, 0x00];
        let character = char::from_u32(number).expect("a small number");
        frame.extend(character.to_string().bytes());
        frame.extend((BLOCK - 1).to_be_bytes());
        frame.push(crc(&frame, 8, 0x07) as u8);
        // One value for the whole block.
        frame.extend([0, 0, 0]);
        let sum = crc(&frame, 16, 0x8005);
        frame.extend(sum.to_be_bytes());
        all.extend(frame);
    }
    let mut bytes = flac(&all, u64::from(BLOCK) * u64::from(frames));
    let fields = (rate << 44) | (15 << 36) | (u64::from(BLOCK) * u64::from(frames));
    bytes[18..26].copy_from_slice(&fields.to_be_bytes());
    bytes
}

/// Returns the checksum of FLAC's frames: without reflection, from zero.
fn crc(bytes: &[u8], width: u32, polynomial: u16) -> u16 {
    let top = 1 << (width - 1);
    bytes.iter().fold(0u16, |sum, byte| {
        let sum = sum ^ u16::from(*byte) << (width - 8);
        let sum = (0..8).fold(sum, |sum, _| if sum & top == 0 { sum << 1 } else { sum << 1 ^ polynomial });
        if width == 8 { sum & 0xff } else { sum }
    })
}

const FTYP: &[u8] = b"\0\0\0\x10ftypM4A \0\0\0\0";

/// Returns an MP4 of boxes inside each other, these kinds in turn.
fn nested_boxes(kinds: &[&[u8; 4]], depth: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    for level in (0..depth).rev() {
        inner = atom(kinds[level % kinds.len()], &inner);
    }
    [FTYP, &inner].concat()
}

fn atom(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes(), kind.as_slice(), content].concat()
}

/// Returns an MP4 whose tables claim four billion entries each.
fn mp4_with_huge_tables() -> Vec<u8> {
    let huge = [0u32.to_be_bytes(), u32::MAX.to_be_bytes()].concat();
    let table = |kind: &[u8; 4]| atom(kind, &huge);
    let sizes = atom(b"stsz", &[0u32.to_be_bytes(), 7u32.to_be_bytes(), u32::MAX.to_be_bytes()].concat());
    let entry = {
        let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 16, 0, 0, 0, 0];
        entry.extend([0x1f, 0x40, 0, 0]);
        atom(b"sowt", &entry)
    };
    let description = atom(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], entry.as_slice()].concat());
    let tables = [table(b"stts"), table(b"ctts"), table(b"stsc"), table(b"stco"), table(b"stss"), sizes];
    let stbl = atom(b"stbl", &[&description, tables.concat().as_slice()].concat());
    let minf = atom(b"minf", &[atom(b"smhd", &[0; 8]), stbl].concat());
    let header = [&[0; 12], 1_000u32.to_be_bytes().as_slice(), &u32::MAX.to_be_bytes(), &[0; 4]].concat();
    let handler = atom(b"hdlr", b"\0\0\0\0\0\0\0\0soun\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let mdia = atom(b"mdia", &[atom(b"mdhd", &header), handler, minf].concat());
    let track = atom(b"tkhd", &[&[0; 12], 1u32.to_be_bytes().as_slice(), &[0; 68]].concat());
    let edits = atom(b"edts", &table(b"elst"));
    let movie = atom(b"mvhd", &[&[0; 12], 1_000u32.to_be_bytes().as_slice(), &[0; 84]].concat());
    let moov = atom(b"moov", &[movie, atom(b"trak", &[track, edits, mdia].concat())].concat());
    [FTYP, &moov, &atom(b"mdat", &[0; 64])].concat()
}

/// Returns a Matroska file whose tags are inside each other.
fn nested_elements(depth: usize) -> Vec<u8> {
    let element = |id: &[u8], content: &[u8]| {
        let size = (content.len() as u64 | 1 << 56).to_be_bytes();
        [id, &size, content].concat()
    };
    let mut inner = Vec::new();
    for _ in 0..depth {
        // A SimpleTag, which may hold others.
        inner = element(b"\x67\xc8", &inner);
    }
    let tags = element(b"\x12\x54\xc3\x67", &element(b"\x73\x73", &inner));
    let header = element(b"\x1a\x45\xdf\xa3", &element(b"\x42\x82", b"matroska"));
    [header, element(b"\x18\x53\x80\x67", &tags)].concat()
}

/// Returns an MP3 whose chapters are inside each other.
fn nested_id3() -> Vec<u8> {
    let mut inner = Vec::new();
    for _ in 0..300 {
        let content = [b"a\0".as_slice(), &[0; 16], &inner].concat();
        let length = content.len() as u32;
        inner = [b"CHAP".as_slice(), &syncsafe(length), &[0, 0], &content].concat();
    }
    let mut bytes = [b"ID3\x04\0\0".as_slice(), &syncsafe(inner.len() as u32), &inner].concat();
    bytes.extend([0xff, 0xfb, 0x90, 0x64]);
    bytes.extend([0; 413]);
    bytes
}

fn syncsafe(number: u32) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7f) as u8)
}

fn flac_with_huge_picture() -> Vec<u8> {
    let mut bytes = flac(&[], 8_000);
    // The header is not the last block any more; the picture claims to be longer than its block.
    bytes[4] = 0;
    bytes.extend(b"\x86\0\0\x28\0\0\0\x03\0\0\0\x0aimage/jpeg\0\0\0\0");
    bytes.extend([0; 16]);
    bytes.extend((u32::MAX / 2).to_be_bytes());
    bytes
}

/// Returns an Ogg page whose segments are all full, as of a packet that never ends.
fn ogg_page() -> Vec<u8> {
    let mut bytes = b"OggS\0\x02".to_vec();
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
    bytes.extend([0xff; 255]);
    bytes.extend(b"OpusHead\x01\xff\0\0\x80\xbb\0\0\0\0\xff");
    bytes.extend([0; 2_000]);
    bytes
}
