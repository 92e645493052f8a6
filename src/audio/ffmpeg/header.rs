//! The header of the WAV stream that `ffmpeg` writes to a pipe: its lengths are unknown, everything else is not.

use std::io::{self, Read};

use crate::audio::channels::ChannelPosition;

/// Plausible rates and numbers of channels, as for the built-in decoders.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
const MAX_CHANNELS: u16 = 1_024;
/// Bytes of a chunk before the samples; those of `ffmpeg` have about a hundred.
const MAX_CHUNK: u32 = 1 << 16;

const FORMAT_FLOAT: u16 = 3;
const FORMAT_EXTENSIBLE: u16 = 0xfffe;

/// What the samples are that follow: interleaved little-endian `f32`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamFormat {
    pub rate: u32,
    pub positions: Vec<ChannelPosition>,
}

/// Reads up to the first sample. Anything unexpected is an error of kind `InvalidData`, an early end `UnexpectedEof`.
pub(super) fn read_header(from: &mut impl Read) -> io::Result<StreamFormat> {
    let mut riff = [0; 12];
    from.read_exact(&mut riff)?;
    if !(riff.starts_with(b"RIFF") || riff.starts_with(b"RF64")) || !riff.ends_with(b"WAVE") {
        return Err(unexpected());
    }
    let mut format = None;
    loop {
        let mut chunk = [0; 8];
        from.read_exact(&mut chunk)?;
        let [a, b, c, d, length @ ..] = chunk;
        let length = u32::from_le_bytes(length);
        match &[a, b, c, d] {
            b"data" => return format.ok_or_else(unexpected),
            _ if length > MAX_CHUNK => return Err(unexpected()),
            id => {
                // Chunks have an even length.
                let mut content = vec![0; (length + length % 2) as usize];
                from.read_exact(&mut content)?;
                if id == b"fmt " {
                    format = Some(stream_format(&content).ok_or_else(unexpected)?);
                }
            }
        }
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its output is not the requested audio")
}

fn stream_format(content: &[u8]) -> Option<StreamFormat> {
    let u16_at = |at: usize| content.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let u32_at = |at: usize| content.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (tag, channels, rate, bits) = (u16_at(0)?, u16_at(2)?, u32_at(4)?, u16_at(14)?);
    let mask = if tag == FORMAT_EXTENSIBLE { Some(u32_at(20)?) } else { None };
    // The real tag of an extensible format follows its mask.
    let tag = if tag == FORMAT_EXTENSIBLE { u16_at(24)? } else { tag };
    let is_usable =
        tag == FORMAT_FLOAT && bits == 32 && (1..=MAX_CHANNELS).contains(&channels) && RATES.contains(&rate);
    is_usable.then(|| StreamFormat { rate, positions: positions(usize::from(channels), mask) })
}

fn positions(channels: usize, mask: Option<u32>) -> Vec<ChannelPosition> {
    let by_mask = mask.filter(|mask| mask.count_ones() as usize == channels);
    match (by_mask, channels) {
        (Some(mask), _) => (0..32).filter(|bit| mask >> bit & 1 == 1).map(position).collect(),
        (None, 1) => vec![ChannelPosition::Center],
        (None, 2) => vec![ChannelPosition::Front; 2],
        (None, _) => vec![ChannelPosition::Unknown; channels],
    }
}

/// Returns the position that a bit of the mask stands for.
fn position(bit: u32) -> ChannelPosition {
    match bit {
        0 | 1 | 6 | 7 => ChannelPosition::Front,
        2 => ChannelPosition::Center,
        3 => ChannelPosition::Lfe,
        4 | 5 | 8 | 9 | 10 => ChannelPosition::Surround,
        _ => ChannelPosition::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as `ffmpeg` writes it, with one more chunk.
    fn header(tag: u16, channels: u16, rate: u32, bits: u16, extension: &[u8]) -> Vec<u8> {
        let mut format = Vec::new();
        format.extend(tag.to_le_bytes());
        format.extend(channels.to_le_bytes());
        format.extend(rate.to_le_bytes());
        format.extend([0; 6]);
        format.extend(bits.to_le_bytes());
        format.extend(extension);
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt ".to_vec();
        bytes.extend((format.len() as u32).to_le_bytes());
        bytes.extend(format);
        bytes.extend(b"data\xff\xff\xff\xff");
        bytes
    }

    fn parsed(bytes: &[u8]) -> io::Result<(u32, Vec<ChannelPosition>)> {
        let mut rest = bytes;
        let format = read_header(&mut rest)?;
        assert!(rest.is_empty());
        Ok((format.rate, format.positions))
    }

    #[test]
    fn reads_rate_and_channel_positions() {
        use ChannelPosition::*;
        assert_eq!(parsed(&header(3, 1, 8_000, 32, &[0, 0])).unwrap(), (8_000, vec![Center]));
        assert_eq!(parsed(&header(3, 2, 44_100, 32, &[])).unwrap(), (44_100, vec![Front, Front]));
        let mut extension = vec![22, 0, 32, 0, 0x3f, 0, 0, 0, 3, 0];
        extension.extend([0; 14]);
        let surround = vec![Front, Front, Center, Lfe, Surround, Surround];
        assert_eq!(parsed(&header(0xfffe, 6, 48_000, 32, &extension)).unwrap(), (48_000, surround));
        assert_eq!(parsed(&header(0xfffe, 3, 48_000, 32, &extension)).unwrap().1, [Unknown; 3]);
    }

    #[test]
    fn anything_else_is_an_error() {
        let good = header(3, 1, 8_000, 32, &[]);
        for length in 0..good.len() {
            assert_eq!(parsed(&good[..length]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
        let long = b"RIFF....WAVEjunk\xff\xff\xff\x7f";
        let headless = b"RIFF....WAVEdata\0\0\0\0";
        for bytes in [
            &header(1, 1, 8_000, 16, &[])[..],
            &header(3, 0, 8_000, 32, &[]),
            &header(3, 1, 10, 32, &[]),
            b"this is no audio at all",
            long,
            headless,
        ] {
            assert_eq!(parsed(bytes).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }
}
