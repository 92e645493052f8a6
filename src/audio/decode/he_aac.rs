//! Recognizes HE-AAC by its headers. Its codec rebuilds the upper half of the band from hints, which symphonia ignores.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

/// Object types of the MPEG-4 audio configuration.
const LOW_COMPLEXITY: u32 = 2;
const SPECTRAL_BAND_REPLICATION: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;
/// Mark of an extension that older decoders skip.
const EXTENSION: u32 = 0x2b7;

/// Returns whether the track's header says that it is HE-AAC. Streams without such a header (ADTS) do not say.
pub(super) fn is_he_aac(params: &AudioCodecParameters) -> bool {
    let config = params.extra_data.as_deref().filter(|_| params.codec == CODEC_ID_AAC);
    config.and_then(names_extension).unwrap_or(false)
}

/// Parses an `AudioSpecificConfig`; None if it is too short.
fn names_extension(config: &[u8]) -> Option<bool> {
    let mut bits = Bits { bytes: config, at: 0 };
    let object = bits.object_type()?;
    if object == SPECTRAL_BAND_REPLICATION || object == PARAMETRIC_STEREO {
        return Some(true);
    }
    bits.rate()?;
    let channels = bits.take(4)?;
    if object != LOW_COMPLEXITY || channels == 0 {
        return Some(false);
    }
    // Frame length, core coder, extension flag.
    bits.take(1)?;
    if bits.take(1)? == 1 {
        bits.take(14)?;
    }
    bits.take(1)?;
    let is_extended = bits.take(11)? == EXTENSION && bits.object_type()? == SPECTRAL_BAND_REPLICATION;
    Some(is_extended && bits.take(1)? == 1)
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Takes up to 24 bits, the highest first.
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            object => Some(object),
        }
    }

    fn rate(&mut self) -> Option<()> {
        if self.take(4)? == 15 {
            self.take(24)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_profiles_apart_by_their_configuration() {
        // As afconvert, fdkaac and ffmpeg write them.
        for (config, expected) in [
            (&[0x12, 0x10][..], None),
            (&[0x12, 0x10, 0x56, 0xe5, 0x00], Some(false)),
            (&[0x13, 0x10, 0x56, 0xe5, 0x9d, 0x48, 0x80], Some(true)),
            (&[0x2b, 0x11, 0x88, 0x00], Some(true)),
            (&[0xeb, 0x09, 0x88, 0x00], Some(true)),
            (&[0x12, 0x00], Some(false)),
            (&[], None),
        ] {
            assert_eq!(names_extension(config), expected, "{config:02x?}");
        }
    }
}
