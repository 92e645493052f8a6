//! What says what to do: manifests, lists, templates of names, and the configuration file.

use std::ffi::OsString;

use transcribe::cli::check_settings;
use transcribe::plan::{InputSettings, ModelRequest, PlanRequest, Template, plan};

use super::Scratch;

/// Plans the lines of a manifest.
pub fn manifest(bytes: &[u8]) -> String {
    let file = Scratch::new("manifest.jsonl", bytes);
    let mut request = request();
    request.discovery.manifests = vec![file.path.clone()];
    planned(&file, &request)
}

/// Plans the names of a list, without patterns: they may stand for any number of files of this machine.
pub fn list(bytes: &[u8]) -> String {
    if bytes.iter().any(|byte| b"*?[{".contains(byte)) {
        return String::new();
    }
    let file = Scratch::new("list.txt", bytes);
    let mut request = request();
    let mut argument = OsString::from("@");
    argument.push(&file.path);
    request.inputs = vec![argument.into()];
    planned(&file, &request)
}

fn request() -> PlanRequest {
    PlanRequest::new(Vec::new(), InputSettings::new(ModelRequest::named("demo")))
}

fn planned(file: &Scratch, request: &PlanRequest) -> String {
    match plan(request, true) {
        Ok(plan) => {
            let outputs: Vec<_> = plan.items.iter().map(|item| (item.source.name(), &item.outputs)).collect();
            file.shown(format!("{outputs:?} {}", plan.failures.len()))
        }
        Err(errors) => errors.iter().map(|error| file.shown(error.chain())).collect::<Vec<_>>().join("\n"),
    }
}

/// Parses a template and fills it in.
pub fn template(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<Template>() {
        Ok(template) => {
            let filled = template.fill(|field| Ok::<_, ()>(Some(OsString::from(format!("{field:?}")))));
            format!("{filled:?} {}", template.uses_index())
        }
        Err(error) => error.chain(),
    }
}

/// Reads a configuration file.
pub fn settings(bytes: &[u8]) -> String {
    let file = Scratch::new("transcribe.toml", bytes);
    match check_settings(&file.path) {
        Ok(()) => "valid".to_owned(),
        Err(errors) => errors.iter().map(|error| file.shown(error.chain())).collect::<Vec<_>>().join("\n"),
    }
}
