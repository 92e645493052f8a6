//! Events that deserve the user's attention although the run continues.

use crate::audio::AudioDamage;
use crate::plan::InputName;
use crate::run::RunEvent;

/// Text of the demo model looks like a transcript, whatever the recording holds.
const DEMO_MODEL: &str = "the demo model knows about forty words in one synthesised voice: it is for trying the program \
    out, and its text of any other recording is wrong";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunWarning {
    pub input: Option<String>,
    /// The stable name of its kind.
    pub kind: &'static str,
    pub message: String,
}

/// Returns the warnings of an event.
pub fn warnings(event: &RunEvent) -> Vec<RunWarning> {
    let warn =
        |input: &InputName, kind, message| vec![RunWarning { input: Some(input.to_string()), kind, message }];
    match event {
        RunEvent::Damaged { input, damage } => warn(input, "damaged", damaged(damage)),
        RunEvent::JournalUnavailable { input, why } => {
            let message = format!("cannot write the resume journal: {why}");
            warn(input, "not_kept", message)
        }
        RunEvent::ClipsOutOfRange { input, clips, duration } => {
            let behind = |clip: &crate::chunking::Clip| {
                let message = format!("clip {clip} begins after the end of the audio at {duration:.2} s");
                warn(input, "clip_missed", message)
            };
            clips.iter().flat_map(behind).collect()
        }
        RunEvent::SlotsReduced { slots } => {
            let message = format!("memory is short: decoding {slots} windows at a time from now on");
            vec![RunWarning { input: None, kind: "memory_short", message }]
        }
        RunEvent::AcceleratorUnavailable { why } => {
            let message = format!("using the CPU: {why}");
            vec![RunWarning { input: None, kind: "no_gpu", message }]
        }
        RunEvent::DemoModelUsed => {
            let message = DEMO_MODEL.to_owned();
            vec![RunWarning { input: None, kind: "demo_model", message }]
        }
        RunEvent::ModelMoved { model, from, to } => {
            let message = format!("memory is short on {from}: loading `{model}` on {to}, which is slower");
            vec![RunWarning { input: None, kind: "moved", message }]
        }
        RunEvent::UnloadFailed { why } => {
            vec![RunWarning { input: None, kind: "not_closed", message: why.clone() }]
        }
        RunEvent::AudioNotEmbedded { page, why } => {
            let message = format!("`{}`: the audio is not embedded: {why}", page.display());
            vec![RunWarning { input: None, kind: "not_embedded", message }]
        }
        RunEvent::Waiting { input, why } => warn(input, "waiting", format!("waiting: {why}")),
        _ => Vec::new(),
    }
}

fn damaged(damage: &AudioDamage) -> String {
    let mut what = Vec::new();
    match damage.packets {
        0 => {}
        1 => what.push("skipped 1 damaged packet".to_owned()),
        packets => what.push(format!("skipped {packets} damaged packets")),
    }
    if damage.incomplete {
        what.push("the file is shorter than it claims".into());
    }
    let cause = damage.first.as_deref().map(|first| format!(" ({first})")).unwrap_or_default();
    format!("{}{cause}", what.join(", "))
}
