//! `transcribe models show`

use clap::Args;

use super::{Stage, json, say};
use crate::cli::human::{bytes, table};
use crate::error::{Error, ModelProblem, Result};
use crate::models::describe::{Description, Needed, describe};
use crate::models::hub::Hub;
use crate::models::source;

/// Tell what a model is: its layers, languages, kinds of numbers, and the memory it needs
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A size, a hub repository, a folder with a checkpoint, or demo
    name: String,

    /// Branch, tag or commit [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", hide_env = true)]
    revision: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ShowArgs, stage: &mut Stage<'_>) -> Result<()> {
    // Looking must not fetch gigabytes.
    let hub = Hub::from_env(true);
    let found = source::find(&args.name, args.revision.as_deref(), &hub, stage.cancel, &mut |_| {});
    let found = found.map_err(|error| match error {
        Error::Model { model, why: ModelProblem::Offline } => Error::model(model, ModelProblem::NotCached),
        error => error,
    })?;
    let description = describe(&found)?;
    match args.json {
        true => say(stage, &json(&serde_json::to_value(&description).unwrap_or_default())),
        false => say(stage, &text(&description)),
    }
}

fn text(model: &Description) -> String {
    let place =
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
    let stack = |stack: &crate::models::describe::Stack| {
        format!("{} layers, {} heads, {} wide between", stack.layers, stack.heads, stack.feed_forward)
    };
    let Needed { windows, weights, caches, work } = model.memory;
    let memory = format!(
        "about {}: {} of weights, {} for {windows} half minutes side by side",
        bytes(weights + caches + work),
        bytes(weights),
        bytes(caches + work),
    );
    let words = match model.alignment_heads {
        0 => "no head is known to tell them".to_owned(),
        heads => format!("by {heads} heads of the decoder"),
    };
    let rows = [
        ("name", model.name.clone()),
        ("identity", model.identity.clone()),
        ("place", place),
        ("size", format!("{}, {} parameters {kinds}", bytes(model.bytes), count_of(model.parameters))),
        ("encoder", stack(&model.encoder)),
        ("decoder", stack(&model.decoder)),
        ("width", format!("{}, {} bands of mel", model.width, model.mels)),
        ("vocabulary", format!("{} tokens", model.vocabulary)),
        ("languages", languages),
        ("word times", words),
        ("memory", memory),
    ];
    table(&rows.map(|(name, value)| vec![name.to_owned(), value]))
}

/// `1.5 billion`, as models are spoken of.
fn count_of(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} thousand", count / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} million", count as f64 / 1e6),
        _ => format!("{:.2} billion", count as f64 / 1e9),
    }
}
