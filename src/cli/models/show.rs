//! `transcribe models show`

use anyhow::Result;
use clap::Args;

use super::{ModelsOutput, json};
use crate::cli::human::{size, table};
use crate::error::{Error, ModelProblem};
use crate::models::describe::{DefaultMemory, ModelDescription, describe};
use crate::models::hub::Hub;
use crate::models::source;

/// Show the layers, languages, data types and required memory of a model
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Size, hub repository, file or folder of a model, or demo
    name: String,

    /// Branch, tag or commit [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", hide_env = true)]
    revision: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ShowArgs, output: &mut ModelsOutput<'_>) -> Result<()> {
    // Showing a model must not download it.
    let hub = Hub::from_env(true);
    let found = source::find(&args.name, args.revision.as_deref(), &hub, output.cancel, &mut |_| {});
    let found = found.map_err(|error| match error {
        Error::Model { model, why: ModelProblem::Offline } => Error::model(model, ModelProblem::NotCached),
        error => error,
    })?;
    let description = describe(&found)?;
    match args.json {
        true => output.print(&json(&serde_json::to_value(&description).unwrap_or_default()))?,
        false => output.print(&text(&description))?,
    }
    Ok(())
}

fn text(model: &ModelDescription) -> String {
    let location =
        model.folder.as_ref().map_or_else(|| "built in".into(), |folder| folder.display().to_string());
    let kinds = match model.types.len() {
        1 => format!("in {}", model.types.keys().map(String::as_str).collect::<String>()),
        _ => {
            let kind = |(kind, count): (&String, &u64)| format!("{} in {kind}", count_of(*count));
            model.types.iter().map(kind).collect::<Vec<_>>().join(", ")
        }
    };
    let languages = match model.multilingual {
        true => format!("{}: {}", model.languages.len(), model.languages.join(" ")),
        false => "English only".into(),
    };
    let stack = |stack: &crate::models::describe::LayerStack| {
        format!("{} layers, {} heads, feed-forward width {}", stack.layers, stack.heads, stack.feed_forward)
    };
    let DefaultMemory { windows, weights, caches, work } = model.memory;
    let memory = format!(
        "about {}: {} for weights, {} for {windows} windows at a time",
        size(weights + caches + work),
        size(weights),
        size(caches + work),
    );
    let words = match model.alignment_heads {
        0 => "no known alignment heads".to_owned(),
        heads => format!("{heads} alignment heads"),
    };
    let rows = [
        ("name", model.name.clone()),
        ("identity", model.identity.clone()),
        ("format", model.format.clone()),
        ("location", location),
        ("size", format!("{}, {} parameters {kinds}", size(model.bytes), count_of(model.parameters))),
        ("encoder", stack(&model.encoder)),
        ("decoder", stack(&model.decoder)),
        ("width", format!("{}, {} mel bands", model.width, model.mels)),
        ("vocabulary", format!("{} tokens", model.vocabulary)),
        ("languages", languages),
        ("word times", words),
        ("memory", memory),
    ];
    table(&rows.map(|(name, value)| vec![name.to_owned(), value]))
}

/// Formats a number of parameters, such as `1.5 billion`.
fn count_of(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} thousand", count / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} million", count as f64 / 1e6),
        _ => format!("{:.2} billion", count as f64 / 1e9),
    }
}
