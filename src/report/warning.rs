//! What deserves a look although the work goes on.

use crate::audio::AudioDamage;
use crate::run::RunEvent;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub input: Option<String>,
    /// Its stable name.
    pub kind: &'static str,
    pub message: String,
}

/// What of an event deserves one.
pub fn warning(event: &RunEvent) -> Vec<Warning> {
    let warn = |input: &str, kind, message| vec![Warning { input: Some(input.to_owned()), kind, message }];
    match event {
        RunEvent::Damaged { input, damage } => warn(input, "damaged", damaged(damage)),
        RunEvent::JournalUnavailable { input, why } => {
            let message = format!("cannot write the resume journal: {why}");
            warn(input, "not_kept", message)
        }
        RunEvent::ClipsOutOfRange { input, clips, duration } => {
            let behind = |clip: &crate::chunking::Clip| {
                let message =
                    format!("clip {clip} lies behind its end at {duration:.2} s: nothing to transcribe");
                warn(input, "clip_missed", message)
            };
            clips.iter().flat_map(behind).collect()
        }
        RunEvent::SlotsReduced { slots } => {
            let message = format!("memory is short: going on with {slots} half minutes at a time");
            vec![Warning { input: None, kind: "memory_short", message }]
        }
        RunEvent::AcceleratorUnavailable { why } => {
            let message = format!("going on with the CPU: {why}");
            vec![Warning { input: None, kind: "no_gpu", message }]
        }
        RunEvent::ModelMoved { model, from, to } => {
            let message = format!("memory is short on {from}: `{model}` goes to {to}, and will be slower");
            vec![Warning { input: None, kind: "moved", message }]
        }
        RunEvent::UnloadFailed { why } => {
            vec![Warning { input: None, kind: "not_closed", message: why.clone() }]
        }
        RunEvent::AudioNotEmbedded { page, why } => {
            let message = format!("`{}`: does not hold its audio: {why}", page.display());
            vec![Warning { input: None, kind: "not_embedded", message }]
        }
        RunEvent::Waiting { input, why } => warn(input, "waiting", format!("waits: {why}")),
        _ => Vec::new(),
    }
}

fn damaged(damage: &AudioDamage) -> String {
    let mut what = Vec::new();
    match damage.packets {
        0 => {}
        1 => what.push("1 damaged packet was left out".to_owned()),
        packets => what.push(format!("{packets} damaged packets were left out")),
    }
    if damage.incomplete {
        what.push("less is there than it claims to have".into());
    }
    let cause = damage.first.as_deref().map(|first| format!(" ({first})")).unwrap_or_default();
    format!("{}{cause}", what.join(", "))
}
