//! Converts existing transcripts to other formats, without a model and without a journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::output;
use super::session::announce;
use super::{RunContext, RunEvent};
use crate::error::{Error, InputProblem, Result};
use crate::export::{Cue, CueQuality, ExportOptions, Format, Rendering};
use crate::import::from_import;
use crate::import::{self, ImportFormat, ImportedSegment};
use crate::limited_read::{MAX_TEXT, read_stream};
use crate::plan::{self, InputSource, OutputOptions, PlannedInput, UNDETERMINED, plan_files};
use crate::transcript::Transcript;

/// Which transcripts to convert, and into what.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// Files with transcripts; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub outputs: OutputOptions,
    pub export: ExportOptions,
    /// Leave out options that need word times where a transcript has none, rather than fail.
    pub may_lack_words: bool,
}

/// Converts all inputs. The error is what ended the work early, or every fault of a plan that cannot be started.
pub fn convert(conversion: &Conversion, context: RunContext<'_>) -> Result<(), Vec<Error>> {
    let plan = plan_files(&conversion.inputs, &conversion.outputs)?;
    let (todo, _) = announce(plan, context);
    for (index, item) in todo.iter().enumerate() {
        context.check().map_err(|error| vec![error])?;
        context.emit(RunEvent::Started { input: item.name(), number: index + 1, count: todo.len() });
        match convert_one(item, conversion, context) {
            Ok(()) => context.emit(RunEvent::Converted { input: item.name() }),
            Err(error) => {
                context.check().map_err(|error| vec![error])?;
                context.emit(RunEvent::Failed { input: item.name(), error: Arc::new(error) });
            }
        }
    }
    Ok(())
}

fn convert_one(item: &PlannedInput, conversion: &Conversion, context: RunContext<'_>) -> Result<()> {
    let (mut transcript, is_timed) = read(item)?;
    let lacks = |what, needed_by: &str| {
        let needed_by = needed_by.to_owned();
        Err(Error::input(item.name(), InputProblem::MissingData { what, needed_by }))
    };
    let timed_format = item.outputs.iter().find(|(format, _)| format.needs_times());
    if let Some((format, _)) = timed_format.filter(|_| !is_timed) {
        return lacks("times", format.name());
    }
    let asked_for = item.outputs.iter().map(|(format, _)| *format).chain(item.printed).collect::<Vec<_>>();
    let is_asked_for = |format: &Format| asked_for.contains(format);
    let speaker_format =
        Format::ALL.into_iter().find(|format| format.needs_speakers() && is_asked_for(format));
    // `all` means what there is.
    let is_all = Format::ALL.iter().all(is_asked_for);
    if let Some(format) = speaker_format.filter(|_| transcript.speakers.is_none() && !is_all) {
        return lacks("speakers", format.name());
    }
    let mut words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
    let has_words = words.next().is_some();
    let export = match conversion.export.clone().for_words(has_words, conversion.may_lack_words) {
        Ok(export) => export,
        Err(option) => return lacks("word times", option),
    };
    if item.requested.is_empty() && item.printed.is_none() {
        context.emit(RunEvent::Segments { input: item.name(), segments: transcript.segments.clone() });
    }
    let mut recording = InputSource::Stdin;
    if output::needs_waveform(item)
        && let Some((found, waveform)) = output::recording_of(&item.source, &transcript, context)?
    {
        recording = found;
        transcript.waveform = Some(waveform);
    }
    let rendering = Rendering::new(&transcript, &export);
    if let Some(content) = output::render_printed(item, &rendering, &recording, context) {
        context.emit(RunEvent::Printed { input: item.name(), content });
    }
    let item = &named(item, &transcript, conversion.outputs.overwrite)?;
    for (format, path) in &item.outputs {
        let content = output::render(*format, path, &rendering, &recording, None, context);
        output::write(&item.name(), path, &content, context)?;
    }
    Ok(())
}

/// Names the outputs after the language of the transcript, where their names depend on it.
fn named(item: &PlannedInput, transcript: &Transcript, overwrite: bool) -> Result<PlannedInput> {
    let mut item = item.clone();
    if item.is_named_by_language() {
        let language = Some(transcript.language.as_str()).filter(|language| !language.is_empty());
        item.name_by_language(language.unwrap_or(UNDETERMINED));
        if !overwrite {
            plan::leave_out_files(std::slice::from_mut(&mut item));
        }
        output::create_folders(&item)?;
    }
    Ok(item)
}

/// Reads a transcript; the flag says whether it has times.
fn read(item: &PlannedInput) -> Result<(Transcript, bool)> {
    let name = item.name();
    let (format, bytes) = match &item.source {
        InputSource::Stdin => {
            let unreadable = |error| Error::input(name.clone(), InputProblem::Unreadable(error));
            (ImportFormat::Json, read_stream(io::stdin().lock(), MAX_TEXT).map_err(unreadable)?)
        }
        InputSource::File(path) => import::open(path)?,
    };
    if let Some(transcript) = from_import::from_openai_json(&name, import::json_of(format, &bytes)) {
        return Ok((transcript, true));
    }
    let imported = import::parse(format, &bytes).map_err(|error| error.of(&name))?;
    let is_timed = imported.is_timed();
    Ok((from_import::to_transcript(name.into(), imported), is_timed))
}

/// Rates how readable the subtitles in a file are.
pub fn check_cues(path: &Path, options: &ExportOptions) -> Result<CueQuality> {
    let ms = |seconds: Option<f64>| (seconds.unwrap_or_default() * 1000.0).round().clamp(-1e15, 1e15) as i64;
    let imported = import::read_shown(path)?;
    let cue =
        |segment: &ImportedSegment| Cue::plain(ms(segment.start), ms(segment.end), segment.text.as_str());
    Ok(CueQuality::of(&imported.segments.iter().map(cue).collect::<Vec<_>>(), options))
}
