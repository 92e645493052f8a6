//! From transcripts that are there already to other formats. No model is needed, and nothing is kept for another
//! run: it takes no time.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::output;
use super::{Event, Summary};
use crate::cancel::CancelToken;
use crate::error::{Error, InputProblem, Result};
use crate::export::{Cue, CueQuality, Format, Shape, quality};
use crate::import::from_import;
use crate::import::{self, ImportError, ImportFormat, ImportedSegment};
use crate::plan::{InputSource, OutputOptions, Plan, PlannedInput, plan_files};
use crate::transcript::Transcript;

/// Everything that one call of the program is to convert.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// Files with transcripts; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub plan: OutputOptions,
    pub shape: Shape,
}

/// Does all of it. The error is what ended it before its time, several faults if the plan is wrong.
pub fn convert(
    conversion: &Conversion,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, Vec<Error>> {
    let Plan { items, failures, notes } = plan_files(&conversion.inputs, &conversion.plan)?;
    items.iter().for_each(|item| on_event(Event::Planned { item }));
    notes.iter().for_each(|(input, text)| on_event(Event::Noted { input, text }));
    for error in &failures {
        on_event(Event::Failed { input: error.input_name().unwrap_or_default(), error });
    }
    let started = Instant::now();
    let mut summary = Summary { failures, ..Summary::default() };
    let count = items.len();
    for (index, item) in items.iter().enumerate() {
        cancel.check().map_err(|error| vec![error])?;
        let input = &item.name();
        if item.is_done {
            on_event(Event::Skipped { input, why: &item.why_done });
            summary.skipped += 1;
            continue;
        }
        on_event(Event::Started { input, number: index + 1, count });
        match convert_one(item, &conversion.shape, cancel, on_event) {
            Ok(()) => summary.done += 1,
            Err(error) => {
                cancel.check().map_err(|error| vec![error])?;
                on_event(Event::Failed { input, error: &error });
                summary.failures.push(error);
            }
        }
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

fn convert_one(
    item: &PlannedInput,
    shape: &Shape,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    let (mut transcript, is_timed) = read(item)?;
    let lacks = |what, needed_by: &str| {
        let needed_by = needed_by.to_owned();
        Err(Error::input(item.name(), InputProblem::MissingData { what, needed_by }))
    };
    let timed_format = item.outputs.iter().find(|(format, _)| *format != Format::Txt);
    if let Some((format, _)) = timed_format.filter(|_| !is_timed) {
        return lacks("times", format.name());
    }
    let mut words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
    if let Some(option) = shape.needs_words().filter(|_| words.next().is_none()) {
        return lacks("word times", option);
    }
    if item.asked.is_empty() {
        on_event(Event::Segments(&transcript.segments));
    }
    let mut recording = InputSource::Stdin;
    if output::is_drawn(item)
        && let Some((found, waveform)) = output::recording_of(&item.source, &transcript, cancel)?
    {
        recording = found;
        transcript.waveform = Some(waveform);
    }
    for (format, path) in &item.outputs {
        let content = output::content(*format, path, &transcript, shape, &recording, on_event);
        output::write(&item.name(), path, &content, on_event)?;
    }
    Ok(())
}

/// The transcript, and whether it knows when something was said.
fn read(item: &PlannedInput) -> Result<(Transcript, bool)> {
    let name = item.name();
    let fault = |why| Error::input(&name, why);
    let json = match &item.source {
        InputSource::Stdin => {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| fault(InputProblem::Unreadable(error)))?;
            bytes
        }
        // Why it cannot be read is told below.
        InputSource::File(path) if ImportFormat::of(path) == Some(ImportFormat::Json) => {
            std::fs::read(path).unwrap_or_default()
        }
        InputSource::File(_) => Vec::new(),
    };
    if let Some(transcript) = from_import::openais(&name, &json) {
        return Ok((transcript, true));
    }
    let imported = match &item.source {
        InputSource::File(path) => import::read(path)?,
        InputSource::Stdin => import::parse(ImportFormat::Json, &json)
            .map_err(|ImportError { line, why }| fault(InputProblem::MalformedTranscript { line, why }))?,
    };
    let is_timed = imported.is_timed();
    Ok((from_import::transcript(name, imported), is_timed))
}

/// How well the subtitles in a file can be read.
pub fn check_cues(path: &Path, shape: &Shape) -> Result<CueQuality> {
    let ms = |seconds: Option<f64>| (seconds.unwrap_or_default() * 1000.0).round() as i64;
    let imported = import::read(path)?;
    let cue =
        |segment: &ImportedSegment| Cue::plain(ms(segment.start), ms(segment.end), segment.text.as_str());
    Ok(quality(&imported.segments.iter().map(cue).collect::<Vec<_>>(), shape))
}
