//! The crate's error type: what failed, why, and a hint about what to do. Printing errors and turning them into exit
//! codes is left to `cli`.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crate::cancel::CancelReason;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An underlying error from another library.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Any failure of the program, with one variant for each case that a caller must handle differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the plan is wrong; nothing was started.
    #[error("{what}: {why}")]
    Usage { what: String, why: String, hint: Option<String> },

    /// One input cannot be read or decoded; other inputs are unaffected.
    #[error("`{input}`: {why}")]
    Input {
        input: String,
        #[source]
        why: InputProblem,
    },

    /// A model cannot be found, downloaded or loaded.
    #[error("model `{model}`: {why}")]
    Model {
        model: String,
        #[source]
        why: ModelProblem,
    },

    /// A device is absent, unusable or not compiled in.
    #[error("device `{device}`: {why}")]
    Device { device: String, why: String, hint: Option<String> },

    /// Memory ran out, and every fallback with it.
    #[error("out of memory while {during}")]
    OutOfMemory { during: &'static str, source: Cause },

    /// An output file cannot be written.
    #[error("`{path}` cannot be written")]
    Output { path: PathBuf, source: io::Error },

    /// All work is done, but a quality gate that the user set was not met.
    #[error("{gate}: {why}")]
    QualityGate { gate: String, why: String },

    /// The input was not started because memory or disk space is low; other inputs are unaffected.
    #[error("`{input}`: not started: {why}")]
    InsufficientResources { input: String, resource: ScarceResource, why: String },

    /// Another process holds the lock of the input's journal; other inputs are unaffected.
    #[error(
        "`{input}`: another process is transcribing it to the same output folder and holds the lock on `{journal}`"
    )]
    InputLocked { input: String, journal: PathBuf },

    /// The run was stopped.
    #[error("cancelled by {0}")]
    Cancelled(CancelReason),

    /// A computation of the network failed: a bug rather than the user's mistake, and limited to one input.
    #[error("{during} failed")]
    Compute { during: &'static str, source: Cause },

    /// The network's output is not a number: its weights are damaged, or too large for the number format.
    #[error("{during}: the model's output is not a number")]
    NotANumber { during: &'static str },

    /// A thread that worked for one input panicked.
    #[error("{during} panicked: {message}")]
    Panicked { during: &'static str, message: String },

    /// A loaded model was force-closed while it was still in use.
    #[error("`{what}` is closed")]
    BackendClosed { what: String },

    /// A loaded model that is no longer needed failed to close; its memory may be lost to this run.
    #[error("`{what}` could not be closed")]
    CloseFailed { what: String, source: Cause },

    /// An error returned to each of several callers that waited for the same operation.
    #[error(transparent)]
    Shared(Arc<Error>),
}

/// A resource that must be available before an input is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScarceResource {
    Memory,
    Disk,
}

/// What a file lacks that does not say who speaks when.
pub const SPEAKER_TURNS: &str = "speakers with times";

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputProblem {
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("there is no such file{}", .named_in.as_deref().map(|place| format!(" ({place})")).unwrap_or_default())]
    Missing { named_in: Option<String> },
    #[error("no file matches")]
    NoMatch,
    #[error("a folder without recordings{}", if *.has_folders { ", but with folders" } else { "" })]
    NoRecordings { has_folders: bool },
    #[error("no file of that name in `{folder}`")]
    Unpaired { folder: String },
    #[error("is empty")]
    Empty,
    #[error("is a folder")]
    Directory,
    #[error("not an audio or video file in a supported format")]
    NotAudio,
    #[error("has {bytes} bytes, more than the limit of {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("is a stream of more than {limit} bytes")]
    LongStream { limit: u64 },
    #[error("unsupported request: {why}")]
    UnsupportedRequest { why: String },
    #[error("is no longer wanted")]
    Withdrawn,
    #[error("has no index (`moov`): the recording or its copy ended too early")]
    NoIndex,
    #[error("has no audio track")]
    NoAudioTrack,
    #[error("has no audio track {asked}; it has {available}")]
    NoSuchTrack { asked: usize, available: usize },
    #[error("has no channel {asked}; it has {available}")]
    NoSuchChannel { asked: usize, available: usize },
    #[error("unsupported audio codec: {0}")]
    UnsupportedCodec(String),
    #[error("needs `ffmpeg`, which is not installed: {0}")]
    NeedsFfmpeg(String),
    #[error("no audio can be decoded: {0}")]
    Undecodable(String),
    #[error("not a transcript in a supported format")]
    UnknownTranscriptFormat,
    #[error("{}{why}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    MalformedTranscript { line: Option<usize>, why: String },
    #[error("has no {what}, which `{needed_by}` requires")]
    MissingData { what: &'static str, needed_by: String },
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelProblem {
    #[error("not found{}", .0.as_deref().map(|w| format!(": {w}")).unwrap_or_default())]
    NotFound(Option<String>),
    #[error("not in the cache, and `--offline` forbids downloading it")]
    Offline,
    #[error("not in the cache")]
    NotCached,
    #[error("the model cache is locked by another process")]
    CacheLocked,
    #[error("{}", if *.gated { "gated: the hub requires accepting its conditions first" } else { "not found, or private" })]
    NoAccess { gated: bool },
    #[error("download failed")]
    Download(#[source] Cause),
    #[error("the model cache cannot be written at `{path}`")]
    CacheUnwritable { path: String, source: io::Error },
    #[error("`{file}` is missing")]
    MissingFile { file: String },
    #[error("`{file}` cannot be read")]
    Unreadable { file: String, source: Cause },
    #[error("`{file}` is damaged: {why}")]
    Damaged { file: String, why: String },
    #[error("`{file}` has more than {limit} bytes, the limit for such a file")]
    TooLarge { file: String, limit: u64 },
    #[error("cannot be verified: there is no checksum for {}", .files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", "))]
    Unverifiable { files: Vec<String> },
    #[error("not a Whisper checkpoint: {why}")]
    NotWhisper { why: String },
}

/// Returns the variable that names the proxy for downloads, if one does.
fn proxy_variable() -> Option<&'static str> {
    let names = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
    names.into_iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Runs `work` and turns a panic into an error, so that it fails only the input it was done for.
pub fn catch_panic<T>(during: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Panicked { during, message: panic_message(&*panic).into() }))
}

/// Returns the message of a panic's payload.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("for an unknown reason")
}

impl Error {
    pub fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Usage { what: what.into(), why: why.into(), hint: None }
    }

    pub fn input(input: impl Into<String>, why: InputProblem) -> Self {
        Error::Input { input: input.into(), why }
    }

    pub fn model(model: impl Into<String>, why: ModelProblem) -> Self {
        Error::Model { model: model.into(), why }
    }

    pub fn compute(during: &'static str, source: impl Into<Cause>) -> Self {
        Error::Compute { during, source: source.into() }
    }

    /// Calls the input that the error is about, if it is about one, by another name.
    pub fn about_input(self, name: impl Into<String>) -> Self {
        match self {
            Error::Input { why, .. } => Error::Input { input: name.into(), why },
            error => error,
        }
    }

    /// Returns the name of the input that the error is about, if it is about a single one.
    pub fn input_name(&self) -> Option<&str> {
        match self.unshared() {
            Error::Input { input, .. }
            | Error::InsufficientResources { input, .. }
            | Error::InputLocked { input, .. } => Some(input),
            _ => None,
        }
    }

    /// Returns the error itself, without the layers that share it among callers.
    pub fn unshared(&self) -> &Self {
        match self {
            Error::Shared(error) => error.unshared(),
            error => error,
        }
    }

    /// Formats the error and its causes on one line, skipping causes whose text is already there.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            let message = inner.to_string();
            let line = message.lines().next().unwrap_or_default();
            if !line.is_empty() && !text.contains(line) {
                text.push_str(": ");
                text.push_str(line);
            }
            cause = inner.source();
        }
        text
    }

    /// Suggests what the user can do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Usage { hint, .. } => hint.clone(),
            Error::Input { why, .. } => why.hint(),
            Error::Device { hint: Some(hint), .. } => Some(hint.clone()),
            Error::Device { hint: None, .. } => {
                Some("`--device cpu` works everywhere; `transcribe doctor` lists the available devices".into())
            }
            Error::Model { why, .. } if !why.is_out_of_memory() => Some(why.hint()),
            Error::Model { .. } | Error::OutOfMemory { .. } => Some("use a smaller `--model`".into()),
            Error::Output { .. } => Some(
                "check the folder's permissions and free space, or choose another folder with `--output-dir`".into(),
            ),
            Error::InsufficientResources { resource: ScarceResource::Memory, .. } => Some(
                "close other programs, or lower `--min-free-memory` and `--min-free-device-memory`; `--guard-timeout` waits longer".into(),
            ),
            Error::InsufficientResources { resource: ScarceResource::Disk, .. } => Some(
                "free disk space, choose another `--output-dir`, or lower `--min-free-disk`; `--guard-timeout` waits longer".into(),
            ),
            Error::InputLocked { .. } => Some("wait for it to finish, or choose another folder with `--output-dir`".into()),
            Error::Cancelled(_) | Error::BackendClosed { .. } | Error::QualityGate { .. } => None,
            Error::CloseFailed { .. } => {
                Some("if memory runs short, restart: all of it is freed when the program exits".into())
            }
            Error::Shared(error) => error.hint(),
            Error::NotANumber { .. } => Some(
                "its weights are damaged, or need `--dtype f32`; `transcribe models verify` checks downloaded ones".into(),
            ),
            Error::Compute { .. } | Error::Panicked { .. } => {
                Some("this is a bug; please report it with the command and the input".into())
            }
        }
    }
}

impl ModelProblem {
    /// Returns whether a file cannot be read because there is no memory for it.
    pub fn is_out_of_memory(&self) -> bool {
        let ModelProblem::Unreadable { source, .. } = self else { return false };
        let causes = std::iter::successors(Some(&**source as &(dyn std::error::Error + 'static)), |cause| {
            cause.source()
        });
        let mut errors = causes.filter_map(|cause| cause.downcast_ref::<io::Error>());
        errors.any(|error| error.kind() == io::ErrorKind::OutOfMemory)
    }
}

impl InputProblem {
    fn hint(&self) -> Option<String> {
        let text = match self {
            InputProblem::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                "check the path; quote it if it contains spaces"
            }
            InputProblem::Missing { .. } => "check the path; quote it if it contains spaces",
            InputProblem::NoMatch => "check the path; `*` matches any characters of a name, `**` any folders",
            InputProblem::NoRecordings { has_folders: true } => "`--recursive` includes them",
            InputProblem::NoRecordings { has_folders: false } => {
                "check the path, `--include` and `--exclude`; hidden files are skipped"
            }
            InputProblem::Unpaired { .. } => {
                "paired files differ only in folder and extension, such as `truth/talk.txt` and `made/talk.srt`"
            }
            InputProblem::Unreadable(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                "no such file is that large: check the path"
            }
            InputProblem::Unreadable(_) => "check the file's permissions",
            InputProblem::Empty => "the recording or the copy was probably cut off; copy it again",
            InputProblem::Directory => "pass the files in it",
            InputProblem::NotAudio => {
                "supported: wav, mp3, m4a/mp4/mov, flac, ogg, opus, webm/mkv, aiff and caf, and what an installed `ffmpeg` reads; convert other formats to one of these"
            }
            InputProblem::TooLarge { .. } => "raise `--max-file-size`",
            InputProblem::LongStream { .. } => "raise `--max-file-size` if it ends at all",
            InputProblem::UnsupportedRequest { .. } => {
                "change its line in the manifest, or use another model"
            }
            InputProblem::Withdrawn => return None,
            InputProblem::NoIndex => {
                "copy it again; a recording that was cut off can be repaired with `untrunc` and an intact one of the same device"
            }
            InputProblem::NoAudioTrack => "the file contains only video or subtitles",
            InputProblem::NoSuchTrack { .. } => "`--audio-track` counts from 0",
            InputProblem::NoSuchChannel { .. } => "`--channel` counts from 0",
            InputProblem::UnsupportedCodec(_) => "convert it, for example with `ffmpeg -i in out.wav`",
            InputProblem::NeedsFfmpeg(_) => {
                "install ffmpeg, or convert the file to one of wav, mp3, m4a, flac, ogg, opus and webm elsewhere"
            }
            InputProblem::Undecodable(_) => "the file is damaged from the start; copy it again",
            InputProblem::UnknownTranscriptFormat => {
                "supported: files ending in json, vtt, srt, tsv, txt or html"
            }
            InputProblem::MalformedTranscript { .. } => {
                "correct that line, or save the file again as UTF-8 in its format"
            }
            InputProblem::MissingData { what: "word times", .. } => {
                "leave it out, or use `--subtitles readable`, which estimates word times"
            }
            InputProblem::MissingData { what: SPEAKER_TURNS, .. } => {
                "use a transcript that names its speakers, in JSON or WebVTT, or an RTTM file"
            }
            InputProblem::MissingData { what: "speakers", .. } => {
                "use a transcript whose segments name their speakers"
            }
            InputProblem::MissingData { .. } => "use the JSON or the subtitles of the same transcript",
        };
        Some(text.into())
    }
}

impl ModelProblem {
    fn hint(&self) -> String {
        match self {
            ModelProblem::NotFound(_) => {
                "use a size (`tiny` … `large-v3-turbo`), a hub repository (`owner/name`), or a folder with config.json and model.safetensors".into()
            }
            ModelProblem::Offline => {
                "run once without `--offline`, or pass a file or folder with the model".into()
            }
            ModelProblem::NotCached => {
                "`transcribe models list` shows what is cached, `transcribe models pull` downloads more".into()
            }
            ModelProblem::CacheLocked => "wait for it to finish, then run again".into(),
            ModelProblem::NoAccess { gated: true } => {
                "accept them on the repository's page, then set `HF_TOKEN` to a token of that account".into()
            }
            ModelProblem::NoAccess { gated: false } => {
                "check the name; for a private repository set `HF_TOKEN` to a token that can read it".into()
            }
            ModelProblem::CacheUnwritable { .. } => {
                "check permissions and free space, or set `HF_HOME` to another folder".into()
            }
            ModelProblem::Download(_) => {
                let proxy = proxy_variable().map(|name| format!("the proxy in `{name}`, ")).unwrap_or_default();
                format!(
                    "check the connection, {proxy}`HF_ENDPOINT` and `HF_TOKEN`; run again to resume where it stopped"
                )
            }
            ModelProblem::MissingFile { .. } | ModelProblem::NotWhisper { .. } => {
                "pass a folder in Hugging Face form (config.json, tokenizer.json, model.safetensors or pytorch_model.bin), a folder of faster-whisper, or a file of whisper.cpp (ggml, GGUF) or openai-whisper (.pt)".into()
            }
            ModelProblem::Unreadable { .. } => "check the file's permissions".into(),
            ModelProblem::Unverifiable { .. } => {
                "only what `transcribe models pull` has downloaded has checksums; `transcribe models show` reads what is there".into()
            }
            ModelProblem::TooLarge { .. } => {
                "no published model has such a file: check the name of the model and `HF_ENDPOINT`".into()
            }
            ModelProblem::Damaged { .. } => "download or copy it again; `transcribe models remove` deletes a damaged download".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_lists_causes_without_repetition() {
        let missing = InputProblem::Unreadable(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(Error::input("a.mp3", missing).chain(), "`a.mp3`: cannot be read: entity not found");
        let cause = anyhow::Error::msg("refused\n  at somewhere").context("download failed");
        let error = Error::model("tiny", ModelProblem::Download(cause.into()));
        assert_eq!(error.chain(), "model `tiny`: download failed: refused");
    }
}
