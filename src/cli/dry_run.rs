//! `--dry-run`: what would be done, as a table or as JSON.

use anyhow::Result;
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr;

use super::args::DryRunFormat;
use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::clock;
use crate::chunking::Clips;
use crate::plan::{self, DryRun, InputName, InputSettings, PlanRequest, PlannedInput, PlannedModel};

/// The maximum width of the column of names.
const MAX_NAME_WIDTH: usize = 48;

/// Prints the plan to stdout and its errors to stderr.
pub fn run(request: &PlanRequest, format: DryRunFormat, printer: Printer) -> Result<ExitCode> {
    let dry_run = match plan::dry_run(request) {
        Ok(dry_run) => dry_run,
        Err(errors) => {
            errors.iter().for_each(|error| printer.error(error));
            return Ok(errors.last().map_or(ExitCode::Usage, ExitCode::from));
        }
    };
    dry_run.plan.failures.iter().for_each(|failed| printer.error(&failed.error));
    let text = match format {
        DryRunFormat::Json => as_json(&dry_run, request).to_string(),
        DryRunFormat::Table | DryRunFormat::No => table(&dry_run, request),
    };
    printer.result(&text)?;
    Ok(if dry_run.plan.failures.is_empty() { ExitCode::Done } else { ExitCode::SomeFailed })
}

/// Returns the seconds of audio to process, and the number of inputs of unknown duration.
fn audio_seconds(items: &[PlannedInput]) -> (f64, usize) {
    let todo = items.iter().filter(|item| !item.is_done);
    todo.fold((0.0, 0), |(sum, unknown), item| match item.length {
        Some(length) => (sum + length, unknown),
        None => (sum, unknown + 1),
    })
}

fn table(dry_run: &DryRun, request: &PlanRequest) -> String {
    let items = &dry_run.plan.items;
    let name = |item: &PlannedInput| printable(&item.name());
    let width = items.iter().map(|item| name(item).width()).max().unwrap_or(0).min(MAX_NAME_WIDTH);
    let mut lines = Vec::new();
    for item in items {
        let (name, duration) = (name(item), item.length.map_or_else(|| "?".into(), clock));
        let padding = " ".repeat(width.saturating_sub(name.width()));
        lines.push(format!("{name}{padding}  {duration:>8}  {}", outcome(item, request)));
    }
    for (input, text) in &dry_run.plan.notes {
        lines.push(format!("note    {}: {text}", printable(input)));
    }
    for model in &dry_run.models {
        lines.push(format!("model   {}", describe(model)));
    }
    lines.push(format!("device  {}", dry_run.device));
    let (seconds, unknown) = audio_seconds(items);
    let done = items.iter().filter(|item| item.is_done).count();
    let unknown = if unknown > 0 { format!(" and {unknown} of unknown length") } else { String::new() };
    let todo = items.len() - done;
    lines.push(format!("total   {todo} to do, {} of audio{unknown}; {done} skipped", clock(seconds)));
    lines.join("\n")
}

/// Replaces control characters, which must not reach the terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Describes what would happen to an input.
fn outcome(item: &PlannedInput, request: &PlanRequest) -> String {
    if item.is_done {
        return format!("skipped: {}", item.skip_reason);
    }
    let paths: Vec<String> =
        item.outputs.iter().map(|(_, path)| printable(&path.display().to_string())).collect();
    let mut text = match item.printed {
        Some(format) => format!("{format} on standard output"),
        None if paths.is_empty() => "text on standard output".into(),
        None => paths.join(", "),
    };
    if let Some(settings) = &item.settings {
        for (key, value) in differences(settings, &request.settings) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("; {key} {}", printable(&value)));
        }
    }
    text
}

fn describe(model: &PlannedModel) -> String {
    let estimate = &model.estimate;
    let identity = match &estimate.identity {
        Some(identity) if *identity != model.name => format!(" ({identity})"),
        Some(_) => String::new(),
        None => ", to be downloaded".into(),
    };
    let found =
        estimate.found.as_ref().map(|found| format!(", `{}` of {}", found.path.display(), found.program));
    let memory = match (estimate.memory, estimate.windows) {
        (Some(bytes), Some(windows)) => {
            format!(", about {:.0} MB for {windows} windows at a time", bytes as f64 / 1e6)
        }
        _ => String::new(),
    };
    format!("{}{identity}{}{memory}", model.name, found.unwrap_or_default())
}

/// Returns the settings of an input that differ from the request's, with the keys of a manifest.
fn differences(own: &InputSettings, all: &InputSettings) -> Map<String, Value> {
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

fn as_json(dry_run: &DryRun, request: &PlanRequest) -> Value {
    let (seconds, unknown) = audio_seconds(&dry_run.plan.items);
    let inputs: Vec<Value> = dry_run.plan.items.iter().map(|item| input(item, request)).collect();
    let model = |model: &PlannedModel| {
        let estimate = &model.estimate;
        json!({
            "name": model.name,
            "identity": estimate.identity,
            "cached": estimate.identity.is_some(),
            "found": estimate.found.as_ref().map(|found| found.path.display().to_string()),
            "memory_bytes": estimate.memory,
            "batch_size": estimate.windows,
        })
    };
    let note = |(input, text): &(InputName, String)| json!({"input": &**input, "text": text});
    json!({
        "inputs": inputs,
        "notes": dry_run.plan.notes.iter().map(note).collect::<Vec<_>>(),
        "failures": dry_run.plan.failures.iter().map(|failed| failed.error.chain()).collect::<Vec<_>>(),
        "models": dry_run.models.iter().map(model).collect::<Vec<_>>(),
        "device": dry_run.device,
        "audio_seconds": seconds,
        "inputs_of_unknown_length": unknown,
    })
}

fn input(item: &PlannedInput, request: &PlanRequest) -> Value {
    let outputs: Map<String, Value> = item
        .outputs
        .iter()
        .map(|(format, path)| (format.name().to_owned(), json!(path.display().to_string())))
        .chain(item.printed.map(|format| (format.name().to_owned(), json!("-"))))
        .collect();
    let settings = item.settings.as_ref().map(|own| differences(own, &request.settings)).unwrap_or_default();
    json!({
        "input": &*item.name(),
        "id": item.id,
        "seconds": item.length,
        "outputs": outputs,
        "skipped": item.is_done.then_some(&item.skip_reason),
        "settings": settings,
    })
}
