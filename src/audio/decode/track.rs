//! Selects the track to read and creates its codec.

use std::sync::LazyLock;

use symphonia::core::audio::Position;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::well_known::FORMAT_ID_MP3;
use symphonia::core::formats::{FormatReader, Track, TrackType};

use super::opus;
use crate::audio::AudioOptions;
use crate::audio::codec_panic::catch_codec_panic;
use crate::error::InputProblem;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<opus::OpusCodec>();
    codecs
});

/// Returns the requested track and a decoder for it.
pub(super) fn select_track(
    format: &dyn FormatReader,
    options: &AudioOptions,
) -> Result<(Box<dyn AudioDecoder>, Track), InputProblem> {
    let tracks: Vec<&Track> =
        format.tracks().iter().filter(|t| t.track_type() == Some(TrackType::Audio)).collect();
    let track = match (options.track, tracks.as_slice()) {
        (_, []) => return Err(InputProblem::NoAudioTrack),
        (Some(asked), all) => {
            *all.get(asked).ok_or(InputProblem::NoSuchTrack { asked, available: all.len() })?
        }
        (None, [first, ..]) => first,
    };
    let params = audio_params(track).ok_or(InputProblem::NoAudioTrack)?;
    let channels = params.channels.as_ref().map_or(0, |c| c.count());
    if let Some(asked) = options.channel.filter(|&c| channels > 0 && c >= channels) {
        return Err(InputProblem::NoSuchChannel { asked, available: channels });
    }
    Ok((make_codec(format, params, options)?, track.clone()))
}

pub(super) fn make_codec(
    format: &dyn FormatReader,
    params: &AudioCodecParameters,
    options: &AudioOptions,
) -> Result<Box<dyn AudioDecoder>, InputProblem> {
    let mut params = params.clone();
    if params.codec == CODEC_ID_OPUS
        && params.channels.as_ref().is_some_and(|c| c.count() == 2)
        && options.channel.is_none()
    {
        // Mixing inside Opus costs less than decoding both channels.
        params.channels = Some(Position::FRONT_CENTER.into());
    }
    let params = &params;
    // The MP3 demuxer would trim everything beyond a length that it often only estimates.
    let gapless = format.format_info().format != FORMAT_ID_MP3;
    let decoding = AudioDecoderOptions::default().gapless(gapless);
    catch_codec_panic(|| CODECS.make_audio_decoder(params, &decoding))
        .map_err(InputProblem::Undecodable)?
        .map_err(|error| match error {
            SymphoniaError::Unsupported(_) => InputProblem::UnsupportedCodec(codec_name(params)),
            other => InputProblem::Undecodable(other.to_string()),
        })
}

pub(super) fn audio_params(track: &Track) -> Option<&AudioCodecParameters> {
    track.codec_params.as_ref()?.audio()
}

/// Returns the name of an unsupported codec for messages, or its number if symphonia has none.
fn codec_name(params: &AudioCodecParameters) -> String {
    use symphonia::core::codecs::audio::well_known as id;
    let name = match params.codec {
        id::CODEC_ID_AC3 => "AC-3",
        id::CODEC_ID_EAC3 => "E-AC-3",
        id::CODEC_ID_AC4 => "AC-4",
        id::CODEC_ID_DCA => "DTS",
        id::CODEC_ID_TRUEHD => "TrueHD",
        id::CODEC_ID_WMA => "Windows Media Audio",
        id::CODEC_ID_SPEEX => "Speex",
        id::CODEC_ID_WAVPACK => "WavPack",
        id::CODEC_ID_ADPCM_G722 => "G.722",
        id::CODEC_ID_ADPCM_G726 | id::CODEC_ID_ADPCM_G726LE => "G.726",
        id::CODEC_ID_AAC => "this profile of AAC",
        other => return format!("number {other}"),
    };
    name.to_owned()
}
