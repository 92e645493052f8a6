//! Drives a backend with the requests of `decode`: one stretch of audio, window after window.
//!
//! What to decode and what it means is `decode`'s; how it is computed is the backend's. Here is only who
//! sits in which slot, and the question between any two steps whether to stop.

mod detect;
mod window;

use std::sync::Arc;

use crate::backend::Backend;
use crate::cancel::CancelToken;
use crate::decode::fallback::WindowResult;
use crate::decode::{Chunk, DecodeOptions, Language, Outcome, Segment, Task, Tokenizer, WindowRequest};
use crate::error::{Error, Result};
use crate::mel::features::Features;

pub use detect::LanguageGuess;

/// What is told while the work goes on.
#[derive(Debug)]
pub enum Event<'a> {
    LanguageDetected(&'a LanguageGuess),
    /// New segments, in the order of time.
    Segments(&'a [Segment]),
    WindowDone(WindowDone),
}

/// One window that needs no further attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowDone {
    pub seek: usize,
    /// Mel frames done, of all that hold audio.
    pub frames_done: usize,
    pub content_frames: usize,
    /// Temperatures tried after the first.
    pub fallbacks: usize,
    /// The one whose result was taken.
    pub temperature: f64,
    pub is_silence: bool,
}

/// What was understood of one stretch of audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    pub text: String,
    pub segments: Vec<Segment>,
    pub language: Language,
    /// If the language was not given: how it was found.
    pub detected: Option<LanguageGuess>,
}

/// Turns one stretch of audio into segments.
pub fn transcribe(
    backend: &mut dyn Backend,
    tokenizer: &Arc<Tokenizer>,
    features: &mut dyn Features,
    options: &DecodeOptions,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Decoded> {
    options.check()?;
    if backend.spec().n_vocab != tokenizer.n_vocab() {
        return Err(Error::compute("decoding", "the tokenizer was made for another model"));
    }
    let mut stage = window::Stage::new(backend, features);
    let (language, detected) = settle_language(&mut stage, tokenizer, options, cancel)?;
    if let Some(guess) = &detected {
        on_event(Event::LanguageDetected(guess));
    }
    let n_text_ctx = stage.n_text_ctx();
    let content_frames = stage.content_frames();
    let mut chunk = Chunk::new(Arc::clone(tokenizer), options.clone(), language, n_text_ctx, content_frames);
    while let Some(request) = chunk.request() {
        let result = decode_window(&mut stage, &chunk, &request, tokenizer, cancel)?;
        let temperature = result.temperature;
        let outcome = chunk.accept(result);
        match outcome {
            Outcome::Retry => continue,
            Outcome::Silence => {}
            Outcome::Segments(count) => {
                let segments = chunk.segments();
                on_event(Event::Segments(&segments[segments.len() - count..]));
            }
        }
        on_event(Event::WindowDone(WindowDone {
            seek: request.seek,
            frames_done: chunk.frames_done(),
            content_frames,
            fallbacks: request.attempt,
            temperature,
            is_silence: outcome == Outcome::Silence,
        }));
    }
    Ok(Decoded { text: chunk.text(), segments: chunk.into_segments(), language, detected })
}

/// The language that was asked for, or else the one that the model hears.
fn settle_language(
    stage: &mut window::Stage<'_>,
    tokenizer: &Tokenizer,
    options: &DecodeOptions,
    cancel: &CancelToken,
) -> Result<(Language, Option<LanguageGuess>)> {
    if !tokenizer.is_multilingual() || tokenizer.languages().is_empty() {
        return english_only(options).map(|()| (Language::ENGLISH, None));
    }
    if let Some(language) = options.language {
        return match tokenizer.language_token(language) {
            Some(_) => Ok((language, None)),
            None => Err(Error::usage(format!("language `{language}`"), "this model was not trained for it")),
        };
    }
    let guess = detect::detect(stage, tokenizer, cancel)?;
    Ok((guess.language, Some(guess)))
}

/// Such a model would write English, whatever it hears: better no transcript than one that misleads.
fn english_only(options: &DecodeOptions) -> Result<()> {
    let (what, why) = match options.language {
        Some(language) if language != Language::ENGLISH => {
            (format!("language `{language}`"), "this model knows English only")
        }
        _ if options.task == Task::Translate => {
            ("task `translate`".into(), "this model knows English only and cannot translate")
        }
        _ => return Ok(()),
    };
    let hint = Some("take a multilingual `--model`, one without `.en` in its name".into());
    Err(Error::Usage { what, why: why.into(), hint })
}

fn decode_window(
    stage: &mut window::Stage<'_>,
    chunk: &Chunk,
    request: &WindowRequest,
    tokenizer: &Tokenizer,
    cancel: &CancelToken,
) -> Result<WindowResult> {
    stage.encode(request.seek, request.frames, cancel)?;
    let sequences = (0..request.candidates).map(|candidate| chunk.sequence(request, candidate)).collect();
    let decoded = stage.decode(request, sequences, tokenizer.special().no_speech, cancel)?;
    Ok(chunk.choose(request, &decoded.sequences, decoded.no_speech_prob))
}
