//! `--dry-run`: what would be done, as a table or as JSON.

use std::io;

use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use super::args::DryRunFormat;
use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::length;
use crate::chunking::Clips;
use crate::error::{Error, Result};
use crate::plan::{DryRun, PlanRequest, PlannedInput, PlannedModel, Settings, rehearse};

/// Columns of the widest name that the others are lined up with.
const WIDEST: usize = 48;

/// Tells it on stdout, and what is wrong on stderr.
pub fn run(request: &PlanRequest, how: DryRunFormat, printer: Printer) -> ExitCode {
    let rehearsal = match rehearse(request) {
        Ok(rehearsal) => rehearsal,
        Err(errors) => {
            errors.iter().for_each(|error| printer.error(error));
            return errors.last().map_or(ExitCode::Usage, ExitCode::from);
        }
    };
    rehearsal.plan.failures.iter().for_each(|error| printer.error(error));
    let text = match how {
        DryRunFormat::Json => as_json(&rehearsal, request).to_string(),
        DryRunFormat::Table | DryRunFormat::No => table(&rehearsal, request),
    };
    match told(printer.text(&text)) {
        Err(error) => {
            printer.error(&error);
            ExitCode::from(&error)
        }
        Ok(()) if rehearsal.plan.failures.is_empty() => ExitCode::Done,
        Ok(()) => ExitCode::SomeFailed,
    }
}

/// Whoever reads no further has what they wanted.
fn told(printed: io::Result<()>) -> Result<()> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Output { path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Seconds of those that would be done, and of how many the length is not known.
fn audio(items: &[PlannedInput]) -> (f64, usize) {
    let todo = items.iter().filter(|item| !item.is_done);
    todo.fold((0.0, 0), |(sum, unknown), item| match item.length {
        Some(length) => (sum + length, unknown),
        None => (sum, unknown + 1),
    })
}

fn table(rehearsal: &DryRun, request: &PlanRequest) -> String {
    let items = &rehearsal.plan.items;
    let name = |item: &PlannedInput| shown(&item.name());
    let width = items.iter().map(|item| name(item).width()).max().unwrap_or(0).min(WIDEST);
    let mut lines = Vec::new();
    for item in items {
        let (name, long) = (name(item), item.length.map_or_else(|| "?".into(), length));
        let blanks = " ".repeat(width.saturating_sub(name.width()));
        lines.push(format!("{name}{blanks}  {long:>8}  {}", what(item, request)));
    }
    for (input, text) in &rehearsal.plan.notes {
        lines.push(format!("note    {}: {text}", shown(input)));
    }
    for model in &rehearsal.models {
        lines.push(format!("model   {}", describe(model)));
    }
    lines.push(format!("device  {}", rehearsal.device));
    let (seconds, unknown) = audio(items);
    let done = items.iter().filter(|item| item.is_done).count();
    let unknown = if unknown > 0 { format!(" and {unknown} of unknown length") } else { String::new() };
    let todo = items.len() - done;
    lines.push(format!("total   {todo} to do, {} of audio{unknown}; {done} skipped", length(seconds)));
    lines.join("\n")
}

/// A name that cannot disturb the screen.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// What becomes of the input.
fn what(item: &PlannedInput, request: &PlanRequest) -> String {
    if item.is_done {
        return format!("skipped: {}", item.why_done);
    }
    let paths: Vec<String> =
        item.outputs.iter().map(|(_, path)| shown(&path.display().to_string())).collect();
    let mut what = if paths.is_empty() { "text on standard output".into() } else { paths.join(", ") };
    if let Some(settings) = &item.settings {
        for (key, value) in differences(settings, &request.settings) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            what.push_str(&format!("; {key} {}", shown(&value)));
        }
    }
    what
}

fn describe(model: &PlannedModel) -> String {
    let estimate = &model.estimate;
    let identity = match &estimate.identity {
        Some(identity) if *identity != model.name => format!(" ({identity})"),
        Some(_) => String::new(),
        None => ", to be downloaded".into(),
    };
    let memory = match (estimate.memory, estimate.windows) {
        (Some(bytes), Some(windows)) => {
            format!(", about {:.0} MB with {windows} half minutes side by side", bytes as f64 / 1e6)
        }
        _ => String::new(),
    };
    format!("{}{identity}{memory}", model.name)
}

/// What one input has otherwise than the request, in the words of a manifest.
fn differences(own: &Settings, all: &Settings) -> Map<String, Value> {
    let mut found = Map::new();
    let mut note = |key: &str, differs: bool, value: Value| {
        if differs {
            found.insert(key.into(), value);
        }
    };
    let (decode, other) = (&own.decode, &all.decode);
    note("model", own.model.name != all.model.name, json!(own.model.name));
    let language = decode.language.map_or("auto", |language| language.code());
    note("language", decode.language != other.language, json!(language));
    note("task", decode.task != other.task, json!(format!("{:?}", decode.task).to_lowercase()));
    note("prompt", decode.initial_prompt != other.initial_prompt, json!(decode.initial_prompt));
    note("clip", own.selection.clips != all.selection.clips, json!(clips(&own.selection.clips)));
    found
}

fn clips(clips: &Clips) -> String {
    clips.iter().map(|clip| clip.to_string()).collect::<Vec<_>>().join(",")
}

fn as_json(rehearsal: &DryRun, request: &PlanRequest) -> Value {
    let (seconds, unknown) = audio(&rehearsal.plan.items);
    let inputs: Vec<Value> = rehearsal.plan.items.iter().map(|item| input(item, request)).collect();
    let model = |model: &PlannedModel| {
        let estimate = &model.estimate;
        json!({
            "name": model.name,
            "identity": estimate.identity,
            "cached": estimate.identity.is_some(),
            "memory_bytes": estimate.memory,
            "batch_size": estimate.windows,
        })
    };
    let note = |(input, text): &(String, String)| json!({"input": input, "text": text});
    json!({
        "inputs": inputs,
        "notes": rehearsal.plan.notes.iter().map(note).collect::<Vec<_>>(),
        "failures": rehearsal.plan.failures.iter().map(crate::error::Error::chain).collect::<Vec<_>>(),
        "models": rehearsal.models.iter().map(model).collect::<Vec<_>>(),
        "device": rehearsal.device,
        "audio_seconds": seconds,
        "inputs_of_unknown_length": unknown,
    })
}

fn input(item: &PlannedInput, request: &PlanRequest) -> Value {
    let outputs: Map<String, Value> = item
        .outputs
        .iter()
        .map(|(format, path)| (format.name().to_owned(), json!(path.display().to_string())))
        .collect();
    let settings = item.settings.as_ref().map(|own| differences(own, &request.settings)).unwrap_or_default();
    json!({
        "input": item.name(),
        "id": item.id,
        "seconds": item.length,
        "outputs": outputs,
        "skipped": item.is_done.then_some(&item.why_done),
        "settings": settings,
    })
}
