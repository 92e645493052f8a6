//! The options that decide the text of a transcript, written out for comparison with those of earlier runs.
//!
//! Journals hold this text and ledgers a digest of it, so it must not change when a type or field of this crate is
//! renamed: its names are fixed here, as released versions have written them. Every field is destructured, so that a
//! new one cannot be forgotten. A new option should leave the text as it is while it has its default.

use std::fmt::{self, Debug, Formatter};

use crate::audio::{AudioOptions, DecoderChoice};
use crate::chunking::{Clip, Clips};
use crate::decode::{DecodeOptions, SuppressTokens, Task, WhenAllFail, WordTimes};
use crate::speakers::{FolderState, SpeakerOptions};
use crate::vad::VoiceOptions;

/// The options that decide the text of a transcript.
#[derive(Clone, Copy)]
pub struct TextOptions<'a> {
    pub decode: &'a DecodeOptions,
    pub audio: &'a AudioOptions,
    pub clips: &'a Clips,
    pub vad: Option<&'a VoiceOptions>,
    /// In seconds.
    pub chunk_length: f64,
    pub speakers: Option<&'a SpeakerOptions>,
}

impl fmt::Display for TextOptions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { decode, audio, clips, vad, chunk_length, speakers } = self;
        let (decode, audio, vad) = (Decode(decode), Audio(audio), vad.map(Vad));
        let clips: Vec<Name> = clips.iter().map(clip).collect();
        write!(f, "{decode:?} {audio:?} Clips({clips:?}) {vad:?} chunk length {chunk_length:?}")?;
        if let Some(SpeakerOptions { mode, names, networks, voices }) = speakers {
            let digest = |folder: &Option<FolderState>| folder.as_ref().map(|folder| folder.digest.clone());
            let (networks, voices) = (digest(networks), digest(voices));
            write!(f, " speakers {mode} {names:?} networks {networks:?} voices {voices:?}")?;
        }
        Ok(())
    }
}

/// Text that stands for a value.
struct Name(String);

impl Debug for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn clip(Clip { start, end }: Clip) -> Name {
    Name(format!("Clip {{ start: {start:?}, end: {end:?} }}"))
}

struct Decode<'a>(&'a DecodeOptions);

impl Debug for Decode<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let DecodeOptions {
            task,
            language,
            language_detection_segments,
            language_detection_threshold,
            multilingual,
            temperatures,
            best_of,
            beam_size,
            patience,
            length_penalty,
            repetition_penalty,
            no_repeat_ngram_size,
            when_all_fail,
            compression_ratio_threshold,
            logprob_threshold,
            no_speech_threshold,
            condition_on_previous_text,
            prompt_reset_on_temperature,
            initial_prompt,
            carry_initial_prompt,
            hotwords,
            prefix,
            suppress_tokens,
            suppress_blank,
            without_timestamps,
            max_initial_timestamp,
            sample_len,
            seed,
            word_times,
            prepend_punctuations,
            append_punctuations,
            hallucination_silence_threshold,
        } = self.0;
        let task = match task {
            Task::Transcribe => "Transcribe",
            Task::Translate => "Translate",
        };
        let when_all_fail = match when_all_fail {
            WhenAllFail::Best => "Best",
            WhenAllFail::Last => "Last",
        };
        let word_timestamps = match word_times {
            WordTimes::None => "false",
            WordTimes::Aligned => "aligned",
            WordTimes::OpenAi => "true",
        };
        let suppress_tokens = match suppress_tokens {
            SuppressTokens::Nothing => "Nothing".to_owned(),
            SuppressTokens::List { non_speech, ids } => {
                format!("List {{ non_speech: {non_speech:?}, ids: {ids:?} }}")
            }
        };
        f.debug_struct("DecodeOptions")
            .field("task", &format_args!("{task}"))
            .field("language", &language.map(|language| Name(format!("Language({})", language.code()))))
            .field("language_detection_segments", language_detection_segments)
            .field("language_detection_threshold", language_detection_threshold)
            .field("multilingual", multilingual)
            .field("temperatures", temperatures)
            .field("best_of", best_of)
            .field("beam_size", beam_size)
            .field("patience", patience)
            .field("length_penalty", length_penalty)
            .field("repetition_penalty", repetition_penalty)
            .field("no_repeat_ngram_size", no_repeat_ngram_size)
            .field("when_all_fail", &format_args!("{when_all_fail}"))
            .field("compression_ratio_threshold", compression_ratio_threshold)
            .field("logprob_threshold", logprob_threshold)
            .field("no_speech_threshold", no_speech_threshold)
            .field("condition_on_previous_text", condition_on_previous_text)
            .field("prompt_reset_on_temperature", prompt_reset_on_temperature)
            .field("initial_prompt", initial_prompt)
            .field("carry_initial_prompt", carry_initial_prompt)
            .field("hotwords", hotwords)
            .field("prefix", prefix)
            .field("suppress_tokens", &format_args!("{suppress_tokens}"))
            .field("suppress_blank", suppress_blank)
            .field("without_timestamps", without_timestamps)
            .field("max_initial_timestamp", max_initial_timestamp)
            .field("sample_len", sample_len)
            .field("seed", seed)
            .field("word_timestamps", &format_args!("{word_timestamps}"))
            .field("prepend_punctuations", prepend_punctuations)
            .field("append_punctuations", append_punctuations)
            .field("hallucination_silence_threshold", hallucination_silence_threshold)
            .finish()
    }
}

struct Audio<'a>(&'a AudioOptions);

impl Debug for Audio<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let AudioOptions { track, channel, decoder } = self.0;
        let mut options = f.debug_struct("AudioOptions");
        options.field("track", track).field("channel", channel);
        // Version 0.1.0 had no choice. Which decoder that makes for an input is in the fingerprint of the input.
        if *decoder != DecoderChoice::Auto {
            options.field("decoder", decoder);
        }
        options.finish()
    }
}

struct Vad<'a>(&'a VoiceOptions);

impl Debug for Vad<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let VoiceOptions { threshold, min_speech, min_silence, pad } = self.0;
        f.debug_struct("VoiceOptions")
            .field("threshold", threshold)
            .field("min_speech", min_speech)
            .field("min_silence", min_silence)
            .field("pad", pad)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Language;

    /// As version 0.1.0 has written them into journals.
    #[test]
    fn text_options_keep_their_form() {
        let options = |decode: &DecodeOptions, audio: &AudioOptions, clips: &str, vad| {
            let clips = &clips.parse().unwrap();
            TextOptions { decode, audio, clips, vad, chunk_length: 6.0, speakers: None }.to_string()
        };
        let mut decode = DecodeOptions { best_of: Some(5), beam_size: Some(1), ..DecodeOptions::default() };
        assert_eq!(
            options(&decode, &AudioOptions::default(), "", None),
            "DecodeOptions { task: Transcribe, language: None, language_detection_segments: 3, \
             language_detection_threshold: 0.5, multilingual: false, temperatures: [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], \
             best_of: Some(5), beam_size: Some(1), patience: None, length_penalty: None, repetition_penalty: 1.0, \
             no_repeat_ngram_size: 0, when_all_fail: Best, compression_ratio_threshold: Some(2.4), \
             logprob_threshold: Some(-1.0), no_speech_threshold: Some(0.6), condition_on_previous_text: true, \
             prompt_reset_on_temperature: 0.5, initial_prompt: None, carry_initial_prompt: false, hotwords: None, \
             prefix: None, suppress_tokens: List { non_speech: true, ids: [] }, suppress_blank: true, \
             without_timestamps: false, max_initial_timestamp: Some(1.0), sample_len: None, seed: 0, \
             word_timestamps: false, prepend_punctuations: \"\\\"'“¿([{-\", \
             append_punctuations: \"\\\"'.。,，!！?？:：”)]}、\", hallucination_silence_threshold: None } \
             AudioOptions { track: None, channel: None } Clips([Clip { start: 0, end: None }]) None chunk length 6.0"
        );
        decode.task = Task::Translate;
        decode.language = Language::from_code("de");
        decode.when_all_fail = WhenAllFail::Last;
        decode.suppress_tokens = SuppressTokens::Nothing;
        decode.initial_prompt = Some("a \"b\"".into());
        let audio = AudioOptions { track: Some(1), channel: Some(0), decoder: DecoderChoice::Auto };
        let vad = VoiceOptions::default();
        let text = options(&decode, &audio, "7.5,31.2,58", Some(&vad));
        for part in [
            "task: Translate, language: Some(Language(de)), ",
            "when_all_fail: Last, ",
            "initial_prompt: Some(\"a \\\"b\\\"\"), ",
            "suppress_tokens: Nothing, ",
            " AudioOptions { track: Some(1), channel: Some(0) } \
             Clips([Clip { start: 750, end: Some(3120) }, Clip { start: 5800, end: None }]) \
             Some(VoiceOptions { threshold: 0.5, min_speech: 25, min_silence: 200, pad: 40 }) chunk length 6.0",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let audio = AudioOptions { decoder: DecoderChoice::Ffmpeg, ..audio };
        let text = options(&decode, &audio, "", None);
        assert!(
            text.contains("AudioOptions { track: Some(1), channel: Some(0), decoder: Ffmpeg } "),
            "{text}"
        );
    }
}
