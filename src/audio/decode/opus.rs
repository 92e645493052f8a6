//! An Opus codec for symphonia, which has none: headers, channel order and trimming here, decoding in `opus-pure`.

use std::mem;

use opus_pure::{OpusDecoder, OpusMSDecoder};
use symphonia::core::audio::{
    AsGenericAudioBufferRef as _, AudioBuffer, AudioMut as _, AudioSpec, ChannelLabel, Channels,
    GenericAudioBufferRef, Position,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{
    AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult,
};
use symphonia::core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia::core::errors::{Result, decode_error, unsupported_error};
use symphonia::core::packet::PacketRef;

const RATE: u32 = 48_000;
/// Frames in the longest possible Opus packet: 120 ms.
const MAX_FRAMES: usize = 5_760;

/// The identification header, which precedes the packets in every container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpusHeader {
    /// Frames at 48 kHz to skip before the first one that is played.
    pub pre_skip: u16,
    channels: u8,
    /// Gain in 1/256 dB.
    gain: i16,
    family: u8,
    /// Stream count, coupled stream count and channel mapping; for families other than 0.
    mapping: Vec<u8>,
}

impl OpusHeader {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let body = bytes.strip_prefix(b"OpusHead")?;
        let pair = |offset: usize| body.get(offset..offset + 2)?.try_into().ok();
        // MP4 stores big-endian numbers, and version 0.
        let read_u16: fn([u8; 2]) -> u16 =
            if *body.first()? == 0 { u16::from_be_bytes } else { u16::from_le_bytes };
        Some(Self {
            channels: *body.get(1)?,
            pre_skip: read_u16(pair(2)?),
            gain: read_u16(pair(8)?) as i16,
            family: *body.get(10)?,
            mapping: body.get(11..)?.to_vec(),
        })
    }
}

enum OpusEngine {
    SingleStream(Box<OpusDecoder>),
    Multistream(Box<OpusMSDecoder>),
}

/// A decoder of one Opus track.
pub(super) struct OpusCodec {
    params: AudioCodecParameters,
    engine: OpusEngine,
    channels: usize,
    pcm: Vec<f32>,
    buffer: AudioBuffer<f32>,
}

impl OpusCodec {
    fn try_new(params: &AudioCodecParameters) -> Result<Self> {
        // A Matroska file may lack the header; mono or stereo without gain is then assumed.
        let header = params.extra_data.as_deref().and_then(OpusHeader::parse);
        let wanted = params.channels.as_ref().map_or(2, Channels::count);
        let (engine, layout) = match header {
            Some(header) if header.family != 0 => multistream(&header)?,
            header => single_stream(header.map_or(0, |h| h.gain), wanted)?,
        };
        let channels = layout.count();
        Ok(Self {
            params: params.clone(),
            engine,
            channels,
            pcm: vec![0.0; MAX_FRAMES * channels],
            buffer: AudioBuffer::new(AudioSpec::new(RATE, layout), MAX_FRAMES),
        })
    }
}

/// Creates a decoder for mono or stereo; it converts between the two itself, whatever the packets contain.
fn single_stream(gain: i16, channels: usize) -> Result<(OpusEngine, Channels)> {
    let layout = match channels {
        1 => Channels::Positioned(Position::FRONT_CENTER),
        2 => Channels::Positioned(Position::FRONT_LEFT | Position::FRONT_RIGHT),
        _ => return decode_error("opus: more than two channels without a mapping"),
    };
    let Ok(mut decoder) = OpusDecoder::new(RATE as i32, channels) else {
        return unsupported_error("opus: the decoder rejects the header");
    };
    decoder.gain_q8 = i32::from(gain);
    Ok((OpusEngine::SingleStream(Box::new(decoder)), layout))
}

/// Creates a decoder for up to eight channels in Vorbis order.
fn multistream(header: &OpusHeader) -> Result<(OpusEngine, Channels)> {
    let channels = usize::from(header.channels);
    let Ok(mut decoder) = OpusMSDecoder::new(RATE as i32, channels, header.family) else {
        return unsupported_error("opus: unsupported channel mapping");
    };
    let standard = decoder.layout();
    let stored = header.mapping.split_at_checked(2);
    let is_standard = stored.is_some_and(|(streams, mapping)| {
        usize::from(streams[0]) == standard.nb_streams
            && usize::from(streams[1]) == standard.nb_coupled_streams
            && mapping.get(..channels) == Some(standard.mapping.as_slice())
    });
    if !is_standard {
        return unsupported_error("opus: unsupported channel mapping");
    }
    for stream in decoder.streams_mut() {
        stream.gain_q8 = i32::from(header.gain);
    }
    let labels: Vec<ChannelLabel> = vorbis_order(channels).iter().map(|&p| p.into()).collect();
    Ok((OpusEngine::Multistream(Box::new(decoder)), labels.into()))
}

fn vorbis_order(channels: usize) -> &'static [Position] {
    const L: Position = Position::FRONT_LEFT;
    const C: Position = Position::FRONT_CENTER;
    const R: Position = Position::FRONT_RIGHT;
    const SL: Position = Position::SIDE_LEFT;
    const SR: Position = Position::SIDE_RIGHT;
    const BL: Position = Position::REAR_LEFT;
    const BC: Position = Position::REAR_CENTER;
    const BR: Position = Position::REAR_RIGHT;
    const LFE: Position = Position::LFE1;
    match channels {
        1 => &[C],
        2 => &[L, R],
        3 => &[L, C, R],
        4 => &[L, R, BL, BR],
        5 => &[L, C, R, BL, BR],
        6 => &[L, C, R, BL, BR, LFE],
        7 => &[L, C, R, SL, SR, BC, LFE],
        _ => &[L, C, R, SL, SR, BL, BR, LFE],
    }
}

impl AudioDecoder for OpusCodec {
    fn reset(&mut self) {
        // Replaced rather than reset: after a panic its state cannot be trusted.
        if let Ok(fresh) = Self::try_new(&self.params) {
            self.engine = fresh.engine;
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[0].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        if packet.data.is_empty() {
            return decode_error("opus: empty packet");
        }
        let mut pcm = mem::take(&mut self.pcm);
        pcm.resize(MAX_FRAMES * self.channels, 0.0);
        let decoded = match &mut self.engine {
            OpusEngine::SingleStream(decoder) => decoder.decode(packet.data, MAX_FRAMES, &mut pcm),
            OpusEngine::Multistream(decoder) => decoder.decode(packet.data, MAX_FRAMES, &mut pcm),
        };
        self.pcm = pcm;
        let Some(frames) = decoded.ok().filter(|&frames| frames <= MAX_FRAMES) else {
            return decode_error("opus: invalid packet");
        };
        self.buffer.render_uninit(Some(frames));
        self.buffer.copy_from_slice_interleaved(&&self.pcm[..frames * self.channels]);
        let trim = |d: u64| usize::try_from(d).unwrap_or(usize::MAX);
        self.buffer.trim(trim(packet.trim_start.get()), trim(packet.trim_end.get()));
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

impl RegisterableAudioDecoder for OpusCodec {
    fn try_registry_new(
        params: &AudioCodecParameters,
        _options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::try_new(params)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        &[SupportedAudioCodec {
            id: CODEC_ID_OPUS,
            info: CodecInfo { short_name: "opus", long_name: "Opus", profiles: &[] },
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_ogg_and_mp4_headers_alike() {
        let ogg = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\x10\0\0";
        let mp4 = b"OpusHead\x00\x02\x01\x38\0\0\xbb\x80\0\x10\0";
        let expected = OpusHeader { pre_skip: 312, channels: 2, gain: 16, family: 0, mapping: vec![] };
        assert_eq!(OpusHeader::parse(ogg), Some(expected.clone()));
        assert_eq!(OpusHeader::parse(mp4), Some(expected));
        assert_eq!(OpusHeader::parse(&ogg[..15]), None);
        assert_eq!(OpusHeader::parse(b"OggHead"), None);
    }
}
