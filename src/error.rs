//! What can go wrong, with its cause and a hint. Prints nothing and exits nothing: that is the cli's.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crate::cancel::CancelReason;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause from an outside library.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Every failure of the program; the kinds are those that a caller must treat differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the plan is wrong; nothing was started.
    #[error("{what}: {why}")]
    Usage { what: String, why: String, hint: Option<String> },

    /// One input cannot be turned into samples; the other inputs are not concerned.
    #[error("`{input}`: {why}")]
    Input {
        input: String,
        #[source]
        why: InputFault,
    },

    #[error("model `{model}`: {why}")]
    Model {
        model: String,
        #[source]
        why: ModelFault,
    },

    #[error("device `{device}`: {why}")]
    Device { device: String, why: String, hint: Option<String> },

    #[error("out of memory while {during}")]
    OutOfMemory { during: &'static str, source: Cause },

    #[error("`{path}` cannot be written")]
    Output { path: PathBuf, source: io::Error },

    /// All is done, but not as well as was asked.
    #[error("{limit}: {why}")]
    LimitMissed { limit: String, why: String },

    /// The machine has not enough left to begin with it; the other inputs are not concerned.
    #[error("`{input}`: not started: {why}")]
    Lacking { input: String, lack: Lack, why: String },

    /// Somebody else is at it; the other inputs are not concerned.
    #[error("`{input}`: another process is transcribing it to the same place, and holds `{journal}`")]
    Held { input: String, journal: PathBuf },

    #[error("cancelled by {0}")]
    Cancelled(CancelReason),

    /// The network could not be computed: not the user's fault, and of one input only.
    #[error("{during} failed")]
    Compute { during: &'static str, source: Cause },

    /// A thread that worked for one input ended with a panic.
    #[error("{during} stopped: {message}")]
    Panicked { during: &'static str, message: String },

    /// Somebody ordered a loaded model closed while others still used it.
    #[error("`{what}` is closed")]
    Closed { what: String },

    /// A loaded model was no longer needed and could not be closed in order; what it holds may be lost to this run.
    #[error("`{what}` could not be closed")]
    Close { what: String, source: Cause },

    /// The failure of one piece of work that several waited for.
    #[error(transparent)]
    Shared(Arc<Error>),
}

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Memory,
    Disk,
}

#[derive(Debug, thiserror::Error)]
pub enum InputFault {
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("is empty")]
    Empty,
    #[error("is a folder")]
    Folder,
    #[error("not an audio or video file of a known kind")]
    NotAudio,
    #[error("has {bytes} bytes, and {limit} are allowed")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("cannot be done so: {why}")]
    NotPossible { why: String },
    #[error("has no audio track")]
    NoAudioTrack,
    #[error("has no audio track {asked}; it has {available}")]
    NoSuchTrack { asked: usize, available: usize },
    #[error("has no channel {asked}; it has {available}")]
    NoSuchChannel { asked: usize, available: usize },
    #[error("its audio codec is not supported: {0}")]
    UnsupportedCodec(String),
    #[error("none of its audio can be decoded: {0}")]
    Undecodable(String),
    #[error("not a transcript of a known kind")]
    UnknownTranscript,
    #[error("{}{why}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    NotTranscript { line: Option<usize>, why: String },
    #[error("has no {what}, and `{needed_by}` needs them")]
    Lacks { what: &'static str, needed_by: String },
}

#[derive(Debug, thiserror::Error)]
pub enum ModelFault {
    #[error("not found{}", .0.as_deref().map(|w| format!(": {w}")).unwrap_or_default())]
    NotFound(Option<String>),
    #[error("not in the cache, and `--offline` forbids to download it")]
    Offline,
    #[error("not in the cache")]
    NotCached,
    #[error("another process is at it in the cache")]
    Busy,
    #[error("{}", if *.gated { "the hub asks to accept its conditions first" } else { "not found, or private" })]
    NoAccess { gated: bool },
    #[error("download failed")]
    Download(#[source] Cause),
    #[error("the cache cannot be written at `{path}`")]
    CacheUnwritable { path: String, source: io::Error },
    #[error("`{file}` is missing")]
    MissingFile { file: String },
    #[error("`{file}` cannot be read")]
    Unreadable { file: String, source: Cause },
    #[error("`{file}` is damaged: {why}")]
    Damaged { file: String, why: String },
    #[error("not a Whisper checkpoint: {why}")]
    NotWhisper { why: String },
}

/// Makes an error of a panic, for work whose failure concerns only whom it was done for.
pub fn caught<T>(during: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Panicked { during, message: panic_text(&*panic).into() }))
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("for an unknown reason")
}

impl Error {
    pub fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Usage { what: what.into(), why: why.into(), hint: None }
    }

    pub fn input(input: impl Into<String>, why: InputFault) -> Self {
        Error::Input { input: input.into(), why }
    }

    pub fn model(model: impl Into<String>, why: ModelFault) -> Self {
        Error::Model { model: model.into(), why }
    }

    pub fn compute(during: &'static str, source: impl Into<Cause>) -> Self {
        Error::Compute { during, source: source.into() }
    }

    /// The input that it is about, if it is about one.
    pub fn input_name(&self) -> Option<&str> {
        match self.unshared() {
            Error::Input { input, .. } | Error::Lacking { input, .. } | Error::Held { input, .. } => {
                Some(input)
            }
            _ => None,
        }
    }

    /// The failure itself, whoever else met it.
    pub fn unshared(&self) -> &Self {
        match self {
            Error::Shared(error) => error.unshared(),
            error => error,
        }
    }

    /// The error and its causes in one line, without what a cause only repeats.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            let said = inner.to_string();
            let said = said.lines().next().unwrap_or_default();
            if !said.is_empty() && !text.contains(said) {
                text.push_str(": ");
                text.push_str(said);
            }
            cause = inner.source();
        }
        text
    }

    /// What the person can do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Usage { hint, .. } => hint.clone(),
            Error::Input { why, .. } => why.hint(),
            Error::Model { why, .. } => Some(why.hint()),
            Error::Device { hint: Some(hint), .. } => Some(hint.clone()),
            Error::Device { hint: None, .. } => {
                Some("`--device cpu` works everywhere; `transcribe doctor` tells what is here".into())
            }
            Error::OutOfMemory { .. } => Some("take a smaller `--model`".into()),
            Error::Output { .. } => Some(
                "check the folder's permissions and free space, or choose another with `--output-dir`".into(),
            ),
            Error::Lacking { lack: Lack::Memory, .. } => Some(
                "end other programs, or lower `--min-free-memory` and `--min-free-device-memory`; `--guard-timeout` waits longer".into(),
            ),
            Error::Lacking { lack: Lack::Disk, .. } => Some(
                "free some disk, take another `--output-dir`, or lower `--min-free-disk`; `--guard-timeout` waits longer".into(),
            ),
            Error::Held { .. } => Some("let it finish, or choose another folder with `--output-dir`".into()),
            Error::Cancelled(_) | Error::Closed { .. } | Error::LimitMissed { .. } => None,
            Error::Close { .. } => {
                Some("if memory runs short, run again: the end of the program frees all of it".into())
            }
            Error::Shared(error) => error.hint(),
            Error::Compute { .. } | Error::Panicked { .. } => {
                Some("this is a bug; please report it with the command and the input".into())
            }
        }
    }
}

impl InputFault {
    fn hint(&self) -> Option<String> {
        let text = match self {
            InputFault::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                "check the path; quote it if it has blanks"
            }
            InputFault::Unreadable(_) => "check the file's permissions",
            InputFault::Empty => "the recording or the copy was probably cut off; fetch it again",
            InputFault::Folder => "name the files in it",
            InputFault::NotAudio => {
                "known are wav, mp3, m4a/mp4/mov, flac, ogg, opus, webm/mkv, aiff and caf; convert others, for example with `ffmpeg -i in out.wav`"
            }
            InputFault::TooLarge { .. } => "raise `--max-file-size`",
            InputFault::NotPossible { .. } => "change its line in the manifest, or take another model",
            InputFault::NoAudioTrack => "the file holds only pictures or subtitles",
            InputFault::NoSuchTrack { .. } => "tracks count from 0 in `--audio-track`",
            InputFault::NoSuchChannel { .. } => "channels count from 0 in `--channel`",
            InputFault::UnsupportedCodec(_) => "convert it, for example with `ffmpeg -i in out.wav`",
            InputFault::Undecodable(_) => "the file is damaged from the start; fetch it again",
            InputFault::UnknownTranscript => "known are files that end in json, vtt, srt, tsv or txt",
            InputFault::NotTranscript { .. } => {
                "correct that line, or save the file again as UTF-8 text of its kind"
            }
            InputFault::Lacks { what: "word times", .. } => {
                "leave it out, or take `--subtitles readable`, which guesses when each word is said"
            }
            InputFault::Lacks { .. } => "take the JSON or the subtitles of the same transcript",
        };
        Some(text.into())
    }
}

impl ModelFault {
    fn hint(&self) -> String {
        match self {
            ModelFault::NotFound(_) => {
                "use a size (`tiny` … `large-v3-turbo`), a hub repository (`owner/name`), a folder with config.json and model.safetensors, or `--model demo`, which is built in".into()
            }
            ModelFault::Offline => {
                "run once without `--offline`, name a folder with the checkpoint, or try `--model demo`, which is built in".into()
            }
            ModelFault::NotCached => {
                "`transcribe models list` tells what is, `transcribe models pull` fetches more".into()
            }
            ModelFault::Busy => "let it finish, and run again".into(),
            ModelFault::NoAccess { gated: true } => {
                "accept them on the repository's page, and set `HF_TOKEN` to a token of that account".into()
            }
            ModelFault::NoAccess { gated: false } => {
                "check the name; for a private repository set `HF_TOKEN` to a token that may read it; or try `--model demo`, which is built in".into()
            }
            ModelFault::CacheUnwritable { .. } => {
                "check permissions and free space, or set `HF_HOME` to another folder".into()
            }
            ModelFault::Download(_) => {
                "check the connection, `HF_ENDPOINT` and `HF_TOKEN`; run again to go on where it stopped, or try `--model demo`, which is built in".into()
            }
            ModelFault::MissingFile { .. } | ModelFault::NotWhisper { .. } => {
                "a checkpoint needs config.json, tokenizer.json and model.safetensors in Hugging Face form".into()
            }
            ModelFault::Unreadable { .. } => "check the file's permissions".into(),
            ModelFault::Damaged { .. } => "delete it if it is still there, as `transcribe models remove` does, and run again to download it anew".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let missing = InputFault::Unreadable(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(Error::input("a.mp3", missing).chain(), "`a.mp3`: cannot be read: entity not found");
        let cause = anyhow::Error::msg("refused\n  at somewhere").context("download failed");
        let error = Error::model("tiny", ModelFault::Download(cause.into()));
        assert_eq!(error.chain(), "model `tiny`: download failed: refused");
    }
}
