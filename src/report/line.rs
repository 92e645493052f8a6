//! The lines of a report as types: each serialises to one JSON object, and the JSON Schema is derived from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Counts, Failure, rounded};
use crate::cancel::CancelReason;
use crate::transcript::{Coverage, ModelIdentity, RejectedAttempt};

/// One line of a report, without its time.
///
/// Each line is one object. The counts of the summary are those of the lines: planned of file_planned, done of
/// file_done, skipped of file_skipped, failed of file_failed, missed of limit_missed. Fields may be added; existing
/// ones stay.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ReportLine {
    /// The first line.
    RunStarted {
        /// Changes when a field is removed or changes its meaning; fields may be added at any time.
        schema: u64,
        program: String,
        version: String,
        /// The kinds of devices that the program was built for.
        compiled: Vec<String>,
        /// Options that were set on the command line or in the environment, as they were given.
        #[schemars(with = "BTreeMap<String, OptionValue>")]
        options: Map<String, Value>,
        /// Which part of the inputs, K/N.
        shard: Option<String>,
        host: Option<String>,
        pid: u32,
    },
    /// One per input, before any work.
    FilePlanned {
        input: String,
        /// The files that the run is to produce.
        outputs: Vec<String>,
        /// As the file claims; null if it was not looked up.
        audio_seconds: Option<f64>,
    },
    /// A remark of the plan about an input.
    Note {
        input: String,
        message: String,
    },
    /// All outputs of the input are up to date.
    FileSkipped {
        input: String,
        reason: String,
    },
    /// A file of the model was downloaded completely.
    ModelDownloaded {
        file: String,
        bytes: u64,
    },
    ModelLoading {
        model: String,
        device: String,
    },
    ModelLoaded {
        model: ModelIdentity,
        device: String,
        seconds: f64,
    },
    ModelUnloaded {
        model: ModelIdentity,
        device: String,
    },
    FileStarted {
        input: String,
        /// Counted from 1.
        number: usize,
        count: usize,
    },
    /// Finished chunks of an earlier run are used.
    FileResumed {
        input: String,
    },
    /// The journal of an earlier run cannot be used, or only its beginning.
    FileRenewed {
        input: String,
        reason: String,
        /// Its beginning is used.
        kept: bool,
    },
    /// The language that was detected.
    Language {
        input: String,
        /// The language's code.
        language: String,
        probability: f64,
    },
    /// A window whose first attempt did not meet the thresholds.
    WindowFallback {
        input: String,
        /// In seconds.
        start: f64,
        /// In seconds.
        end: f64,
        attempts: usize,
        /// Temperature of the accepted attempt.
        temperature: f64,
        rejected: Vec<RejectedAttempt>,
    },
    /// The input from start to end is finished.
    ChunkDone {
        input: String,
        /// Counted from 0.
        chunk: usize,
        /// In seconds.
        start: f64,
        /// In seconds.
        end: f64,
        /// An earlier run has finished it.
        kept: bool,
        /// From taking a window slot to the last word.
        seconds: Option<f64>,
        memory: Option<MemoryLine>,
        /// Mean probability of the text, 0 to 1.
        confidence: Option<f64>,
        segments: usize,
        windows: usize,
        /// Windows with more than one attempt.
        fallbacks: usize,
    },
    /// Something that deserves attention; the run continues.
    Warning {
        input: Option<String>,
        kind: String,
        message: String,
    },
    /// Memory ran short; fewer windows are decoded at a time.
    OutOfMemory {
        /// Window slots from now on.
        slots: usize,
    },
    /// An output was written completely; for a stopped input, a partial one.
    OutputWritten {
        input: String,
        path: String,
    },
    FileDone(Box<FileDone>),
    /// The input failed; the others continue.
    FileFailed(Failure),
    /// The input is done but misses a quality gate.
    LimitMissed(Failure),
    /// The run was asked to stop.
    Stopped {
        /// Inputs that are finished or can be resumed.
        kept: usize,
    },
    /// The last line, also of a run that was stopped or failed; missing if the program was killed.
    Summary(Box<RunTotals>),
}

/// An input that is done.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct FileDone {
    pub input: String,
    /// The files that were written.
    pub outputs: Vec<String>,
    /// Seconds of audio that were requested.
    pub audio_seconds: f64,
    /// From the input's start to its end, while others ran beside it.
    pub seconds: f64,
    /// audio_seconds / seconds
    pub speed: Option<f64>,
    pub model: ModelIdentity,
    pub language: String,
    /// Null if the language was given.
    pub language_probability: Option<f64>,
    pub coverage: Coverage,
    /// Mean probability of the text, 0 to 1.
    pub confidence: Option<f64>,
    pub segments: usize,
    /// Subtitles that are or would be made of the transcript.
    pub cues: usize,
    /// How readable the subtitles are, 0 to 100.
    pub cue_score: f64,
    pub spans: SpansLine,
    /// Windows with more than one attempt.
    pub fallbacks: usize,
    pub damage: DamageLine,
    /// In the order in which they are first heard; only if speakers were told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speakers: Option<Vec<SpeakerLine>>,
}

/// One of the people heard.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "speaker")]
pub struct SpeakerLine {
    pub name: String,
    /// In which this speaker speaks, alone or not.
    pub seconds: f64,
}

/// The last line of a report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct RunTotals {
    pub counts: Counts,
    pub failures: Vec<Failure>,
    pub missed: Vec<Failure>,
    /// Inputs that neither finished nor failed.
    pub unfinished: Vec<String>,
    /// Errors that concerned every input.
    pub errors: Vec<Failure>,
    pub model: Option<ModelIdentity>,
    pub device: Option<String>,
    /// Of the inputs that are done.
    pub audio_seconds: f64,
    /// From the start of the first input to the end of the last; in merged reports, time in which any run worked.
    pub seconds: f64,
    /// audio_seconds / seconds
    pub speed: Option<f64>,
    /// Of the inputs that are done.
    pub coverage: Option<Coverage>,
    /// Finished chunks, including those of earlier runs.
    pub chunks: u64,
    /// Windows finished by this run.
    pub windows: u64,
    /// Windows with more than one attempt.
    pub fallbacks: u64,
    /// Tokens decoded in all attempts.
    pub tokens: u64,
    pub load_seconds: f64,
    pub peak_memory: PeakLine,
    pub cache: Option<PoolLine>,
    /// What stopped the run.
    pub stopped: Option<StopLine>,
    pub exit_code: u8,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "memory")]
pub struct MemoryLine {
    pub host: UsageLine,
    pub device: Option<UsageLine>,
    /// Bytes released; null if memory was not released after this chunk.
    pub released: Option<ReleasedLine>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "usage")]
pub struct UsageLine {
    /// Bytes in use.
    pub now: u64,
    /// The most bytes that were ever in use.
    pub peak: u64,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "released")]
pub struct ReleasedLine {
    pub host: u64,
    pub device: u64,
}

/// How many spans of each kind need attention.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "spans")]
pub struct SpansLine {
    /// Speech without text.
    pub dropped: usize,
    /// Text that the model doubts.
    pub low_confidence: usize,
    /// Text that repeats itself.
    pub repetitions: usize,
    /// Text where no voice was detected.
    pub without_voice: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "damage")]
pub struct DamageLine {
    pub packets: u64,
    pub truncated: bool,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "peak_memory")]
pub struct PeakLine {
    /// In bytes.
    pub host: u64,
    /// In bytes.
    pub device: Option<u64>,
}

/// Counters of the model pool.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "cache")]
pub struct PoolLine {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub load_seconds: f64,
    pub bytes_loaded: u64,
    pub close_failures: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "stopped")]
#[serde(rename_all = "snake_case")]
pub enum StopLine {
    Interrupt,
    Terminate,
    OutputClosed,
}

/// The value of an option.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "option_value")]
#[serde(untagged)]
pub enum OptionValue {
    One(String),
    Many(Vec<String>),
}

/// Rounds the seconds of a coverage as all numbers of a report.
pub fn rounded_coverage(coverage: &Coverage) -> Coverage {
    Coverage {
        duration: rounded(coverage.duration),
        transcribed: rounded(coverage.transcribed),
        skipped: rounded(coverage.skipped),
        not_asked_for: rounded(coverage.not_asked_for),
        dropped: rounded(coverage.dropped),
        silent: rounded(coverage.silent),
        ratio: coverage.ratio.map(rounded),
    }
}

impl From<CancelReason> for StopLine {
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::OutputClosed => StopLine::OutputClosed,
            CancelReason::Interrupt => StopLine::Interrupt,
            CancelReason::Terminate => StopLine::Terminate,
        }
    }
}

impl ReportLine {
    /// Returns the line's fields in the order of their declaration, `event` first.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // Serialising structs with string keys cannot fail.
            _ => Map::new(),
        }
    }
}

/// Returns the JSON Schema of a report's lines.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ReportLine>().to_value();
    if let Some(Value::Array(lines)) = schema.get_mut("oneOf") {
        lines.iter_mut().for_each(add_common_fields);
    }
    schema
}

/// Adds the fields that the writer and `report merge` put into every line.
fn add_common_fields(line: &mut Value) {
    let Some(Value::Object(own)) = line.get_mut("properties").map(Value::take) else { return };
    let has_input = own.contains_key("input");
    let mut all = Map::new();
    all.extend(own.get("event").map(|event| ("event".to_owned(), event.clone())));
    all.insert(
        "time".into(),
        json!({"type": "string", "format": "date-time", "description": "RFC 3339, UTC."}),
    );
    let elapsed = "Seconds since the run began, by a clock that never goes back.";
    all.insert("elapsed".into(), json!({"type": "number", "description": elapsed}));
    all.extend(own.into_iter().filter(|(name, _)| name != "event"));
    if has_input {
        let id = "The input's id in the manifest, if it has one; else, for one of several uses of a recording, its line there.";
        all.insert("id".into(), json!({"type": "string", "description": id}));
    }
    let from = "Only in merged reports: the report that the line comes from.";
    all.insert("from".into(), json!({"type": "string", "description": from}));
    line["properties"] = Value::Object(all);
    if let Some(Value::Array(required)) = line.get_mut("required") {
        required.retain(|name| name != "event");
        required.splice(0..0, ["event", "time", "elapsed"].map(Value::from));
    }
}
