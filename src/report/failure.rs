//! A failure with a stable kind that programs can count by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CodeOf;
use crate::error::{Error, InputProblem};
use crate::plan::InputName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Failure {
    /// Null if it concerns every input.
    pub input: Option<String>,
    /// The input's id in the manifest, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// One of usage, missing, no_recordings, unpaired, unreadable, empty, folder, not_audio, no_index, no_audio_track, no_such_track, no_such_channel,
    /// unsupported_codec, undecodable, unknown_transcript, not_transcript, lacks, too_large, not_possible, lacking, model,
    /// device, out_of_memory, output, limit_missed, held, cancelled, compute, panicked, closed, close.
    pub kind: String,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code that this failure alone would end the program with.
    pub exit_code: u8,
}

impl Failure {
    pub fn new(input: Option<&InputName>, error: &Error, code_of: CodeOf) -> Self {
        Self {
            input: input.map(ToString::to_string),
            id: input.and_then(InputName::id).map(str::to_owned),
            kind: kind(error).into(),
            message: error.chain(),
            hint: error.hint(),
            exit_code: code_of(error),
        }
    }

    /// Returns the message without the name of the input, by which failures of several inputs are grouped.
    pub fn reason(&self) -> &str {
        let named = self.input.as_ref().map(|input| format!("`{input}`: ")).unwrap_or_default();
        let rest = self.message.strip_prefix(&named).unwrap_or(&self.message);
        if self.kind != "output" {
            return rest;
        }
        rest.find("` ").map_or(rest, |end| &rest[end + 2..])
    }
}

/// Returns the stable name of a kind of failure.
pub fn kind(error: &Error) -> &'static str {
    match error.unshared() {
        Error::Usage { .. } => "usage",
        Error::Input { why, .. } => input_kind(why),
        Error::Model { .. } => "model",
        Error::Device { .. } => "device",
        Error::OutOfMemory { .. } => "out_of_memory",
        Error::Output { .. } => "output",
        Error::QualityGate { .. } => "limit_missed",
        Error::InsufficientResources { .. } => "lacking",
        Error::InputLocked { .. } => "held",
        Error::Cancelled(_) => "cancelled",
        Error::Compute { .. } => "compute",
        Error::NotANumber { .. } => "not_a_number",
        Error::Panicked { .. } => "panicked",
        Error::BackendClosed { .. } => "closed",
        Error::CloseFailed { .. } => "close",
        Error::Shared(_) => "shared",
    }
}

fn input_kind(why: &InputProblem) -> &'static str {
    match why {
        InputProblem::Unreadable(_) => "unreadable",
        InputProblem::Missing { .. } | InputProblem::NoMatch => "missing",
        InputProblem::NoRecordings { .. } => "no_recordings",
        InputProblem::Unpaired { .. } => "unpaired",
        InputProblem::Empty => "empty",
        InputProblem::Directory => "folder",
        InputProblem::NotAudio => "not_audio",
        InputProblem::NoIndex => "no_index",
        InputProblem::NeedsFfmpeg(_) => "unsupported_codec",
        InputProblem::NoAudioTrack => "no_audio_track",
        InputProblem::NoSuchTrack { .. } => "no_such_track",
        InputProblem::NoSuchChannel { .. } => "no_such_channel",
        InputProblem::UnsupportedCodec(_) => "unsupported_codec",
        InputProblem::Undecodable(_) => "undecodable",
        InputProblem::UnknownTranscriptFormat => "unknown_transcript",
        InputProblem::MalformedTranscript { .. } => "not_transcript",
        InputProblem::MissingData { .. } => "lacks",
        InputProblem::TooLarge { .. } | InputProblem::LongStream { .. } => "too_large",
        InputProblem::UnsupportedRequest { .. } => "not_possible",
        InputProblem::Withdrawn => "withdrawn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_no_file() {
        let reason = |input: &str, error: Error| {
            Failure::new(Some(&InputName::from(input)), &error, |_| 1).reason().to_owned()
        };
        assert_eq!(reason("a.mp3", Error::input("a.mp3", InputProblem::Empty)), "is empty");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let output = Error::Output { path: "out/a.srt".into(), source: full };
        assert_eq!(reason("a.mp3", output), "cannot be written: no storage space");
    }
}
