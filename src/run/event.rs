//! What happens in a run, as owned values that can be stored and sent.

use std::path::PathBuf;
use std::sync::Arc;

use crate::audio::AudioDamage;
use crate::chunking::Clip;
use crate::context::Context;
use crate::decode::DecodedChunk;
use crate::decode::LanguageGuess;
use crate::engine::{EngineStats, Footprint, WindowDone};
use crate::error::Error;
use crate::export::CueQuality;
use crate::models::elsewhere::OtherProgram;
use crate::models::pool::PoolStats;
use crate::plan::{InputName, PlannedInput};
use crate::transcript::{ModelIdentity, Quality, Segment, Transcript, mean_confidence};

/// Cancellation and the event sink of a run.
pub type RunContext<'a> = Context<'a, RunEvent>;

/// One thing that happened in a run. `input` is the input's name as it was given.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// An input was planned; emitted for all inputs before any work starts.
    Planned {
        item: Box<PlannedInput>,
    },
    /// All outputs of the input are up to date.
    Skipped {
        input: InputName,
        why: String,
    },
    /// Another process transcribes the input; a watch looks at it again later.
    HeldElsewhere {
        input: InputName,
        why: String,
    },
    /// Something the user should know about an input before it is started.
    Note {
        input: InputName,
        text: String,
    },
    /// A model is not on this machine, and its files are downloaded from here to there.
    DownloadStarted {
        model: String,
        from: String,
        to: PathBuf,
    },
    Downloading {
        file: String,
        done: u64,
        total: u64,
    },
    /// A model is used that another program has downloaded.
    ModelFoundElsewhere {
        model: String,
        found: OtherProgram,
    },
    /// The built-in model is used, which knows only a few words.
    DemoModelUsed,
    ModelLoading {
        model: String,
        device: String,
    },
    ModelLoaded {
        identity: ModelIdentity,
        device: String,
        seconds: f64,
    },
    /// The run uses the CPU although the program was built for an accelerator.
    AcceleratorUnavailable {
        why: String,
    },
    /// The model did not fit on the first device and is loaded on another one.
    ModelMoved {
        model: String,
        from: String,
        to: String,
    },
    ModelUnloaded {
        identity: ModelIdentity,
        device: String,
    },
    /// A model that is no longer needed could not be closed.
    UnloadFailed {
        why: String,
    },
    /// The counters of the model pool, emitted once all models are closed.
    PoolClosed(PoolStats),
    /// The input cannot start yet for lack of memory or disk space.
    Waiting {
        input: InputName,
        why: String,
    },
    /// Input `number` of `count`, counted from 1.
    Started {
        input: InputName,
        number: usize,
        count: usize,
    },
    LanguageDetected {
        input: InputName,
        guess: LanguageGuess,
    },
    /// New text, in the order of inputs and of time.
    Segments {
        input: InputName,
        segments: Vec<Segment>,
    },
    WindowDone {
        input: InputName,
        window: WindowDone,
    },
    /// Seconds of audio of all started inputs: finished, and found so far.
    Progress {
        /// The input that advanced.
        input: InputName,
        in_flight: usize,
        done: f64,
        known: f64,
        /// The same for this input alone.
        input_done: f64,
        input_known: f64,
        stats: EngineStats,
    },
    /// The chunk from `start` to `end` seconds is finished.
    ChunkDone {
        input: InputName,
        chunk: usize,
        start: f64,
        end: f64,
        /// It was read from the journal of an earlier run.
        is_resumed: bool,
        figures: ChunkFigures,
    },
    /// A chunk's memory was released.
    MemoryReleased {
        input: InputName,
        chunk: usize,
        footprint: Footprint,
    },
    /// Memory ran short; at most `slots` windows are decoded at a time from now on.
    SlotsReduced {
        slots: usize,
    },
    /// Finished chunks of an earlier run are used.
    Resumed {
        input: InputName,
    },
    /// Chunks in the journal of an earlier run cannot be used.
    ResumeDiscarded {
        input: InputName,
        why: &'static str,
        /// Earlier chunks of the journal are still used.
        keeps_some: bool,
    },
    /// Finished chunks cannot be saved for a later run; emitted once per run.
    JournalUnavailable {
        input: InputName,
        why: String,
    },
    /// The run was cancelled; `resumable` inputs have saved chunks or are finished.
    Stopped {
        resumable: usize,
    },
    /// Part of the input's audio is damaged.
    Damaged {
        input: InputName,
        damage: AudioDamage,
    },
    /// The input ends before these requested clips begin.
    ClipsOutOfRange {
        input: InputName,
        clips: Vec<Clip>,
        duration: f64,
    },
    OutputWritten {
        input: InputName,
        path: PathBuf,
    },
    /// An output to print to standard output, in the order of inputs.
    Printed {
        input: InputName,
        content: Arc<[u8]>,
    },
    /// An HTML page could not embed its recording.
    AudioNotEmbedded {
        page: PathBuf,
        why: String,
    },
    Finished {
        input: InputName,
        transcript: Arc<Transcript>,
        quality: Arc<Quality>,
        /// Readability of the subtitles that are or would be made of the transcript.
        cues: CueQuality,
        seconds: f64,
    },
    /// An existing transcript was converted to other formats.
    Converted {
        input: InputName,
    },
    /// The input failed or missed a quality gate; the other inputs continue.
    Failed {
        input: InputName,
        error: Arc<Error>,
    },
    /// The engines' figures at the end of all work.
    EngineStats(EngineStats),
}

impl RunEvent {
    /// Returns the input that the event is about, if it is about a single one.
    pub fn input(&self) -> Option<&InputName> {
        match self {
            RunEvent::Skipped { input, .. }
            | RunEvent::HeldElsewhere { input, .. }
            | RunEvent::Note { input, .. }
            | RunEvent::Waiting { input, .. }
            | RunEvent::Started { input, .. }
            | RunEvent::Segments { input, .. }
            | RunEvent::LanguageDetected { input, .. }
            | RunEvent::WindowDone { input, .. }
            | RunEvent::Progress { input, .. }
            | RunEvent::ChunkDone { input, .. }
            | RunEvent::MemoryReleased { input, .. }
            | RunEvent::Resumed { input }
            | RunEvent::ResumeDiscarded { input, .. }
            | RunEvent::JournalUnavailable { input, .. }
            | RunEvent::Damaged { input, .. }
            | RunEvent::ClipsOutOfRange { input, .. }
            | RunEvent::OutputWritten { input, .. }
            | RunEvent::Printed { input, .. }
            | RunEvent::Finished { input, .. }
            | RunEvent::Converted { input }
            | RunEvent::Failed { input, .. } => Some(input),
            RunEvent::Planned { .. }
            | RunEvent::DownloadStarted { .. }
            | RunEvent::Downloading { .. }
            | RunEvent::ModelFoundElsewhere { .. }
            | RunEvent::DemoModelUsed
            | RunEvent::ModelLoading { .. }
            | RunEvent::ModelLoaded { .. }
            | RunEvent::AcceleratorUnavailable { .. }
            | RunEvent::ModelMoved { .. }
            | RunEvent::ModelUnloaded { .. }
            | RunEvent::UnloadFailed { .. }
            | RunEvent::PoolClosed(_)
            | RunEvent::SlotsReduced { .. }
            | RunEvent::Stopped { .. }
            | RunEvent::AudioNotEmbedded { .. }
            | RunEvent::EngineStats(_) => None,
        }
    }
}

/// Figures about one finished chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkFigures {
    /// Mean confidence of the segments with text; none if there are none.
    pub confidence: Option<f64>,
    pub segments: usize,
    pub windows: usize,
    /// Windows that needed more than one attempt.
    pub fallbacks: usize,
}

impl ChunkFigures {
    pub fn of(chunk: &DecodedChunk) -> Self {
        let with_text = chunk.segments.iter().filter(|segment| !segment.text.trim().is_empty());
        Self {
            confidence: mean_confidence(with_text),
            segments: chunk.segments.len(),
            windows: chunk.decisions.len(),
            fallbacks: chunk.decisions.iter().filter(|decision| !decision.rejected.is_empty()).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_can_be_sent_to_another_thread_and_kept() {
        fn is_owned<T: Send + Sync + Clone + 'static>() {}
        is_owned::<RunEvent>();
    }
}
