//! Options that tell speakers apart.

use std::path::PathBuf;

use clap::Args;

use crate::error::{Error, Result};
use crate::speakers::{FolderState, SpeakerMode, SpeakerOptions};

const SPEAKERS: &str = "Speakers";

#[derive(Debug, Args)]
pub struct SpeakerArgs {
    /// Name who speaks: auto finds the number of speakers, 3 or 2-6 says it, channels takes each channel for a speaker,
    /// none names nobody
    #[arg(long, env = "TRANSCRIBE_SPEAKERS", value_name = "SPEAKERS", default_value = "none", help_heading = SPEAKERS)]
    speakers: SpeakersArg,

    /// What to call the speakers, in the order in which they are first heard or of the channels: "Anna,Ben"
    #[arg(long, env = "TRANSCRIBE_SPEAKER_NAMES", value_name = "NAMES", help_heading = SPEAKERS)]
    speaker_names: Option<String>,

    /// Folder with a folder of recordings for each person whose voice is known; see `transcribe voices`
    #[arg(long, env = "TRANSCRIBE_VOICES", value_name = "FOLDER", help_heading = SPEAKERS)]
    voices: Option<PathBuf>,

    /// Folder with other networks of the same kind: segmentation.safetensors and embedding.safetensors [default: built in]
    #[arg(long, env = "TRANSCRIBE_SPEAKERS_MODEL", value_name = "FOLDER", help_heading = SPEAKERS)]
    speakers_model: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct SpeakersArg(Option<SpeakerMode>);

impl std::str::FromStr for SpeakersArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().eq_ignore_ascii_case("none") {
            true => Ok(SpeakersArg(None)),
            false => text.parse().map(|mode| SpeakersArg(Some(mode))),
        }
    }
}

impl SpeakerArgs {
    /// Returns how to tell speakers apart, if that is wanted.
    pub fn options(&self) -> Result<Option<SpeakerOptions>> {
        let Some(mode) = self.speakers.0 else { return Ok(None) };
        let folder = |option: &str, path: &Option<PathBuf>| {
            path.as_deref().map(|path| FolderState::of(option, path)).transpose()
        };
        if mode == SpeakerMode::Channels && (self.voices.is_some() || self.speakers_model.is_some()) {
            let what = if self.voices.is_some() { "`--voices`" } else { "`--speakers-model`" };
            return Err(Error::Usage {
                what: what.into(),
                why: "has no effect with `--speakers channels`".into(),
                hint: Some("name the speakers of the channels with `--speaker-names`".into()),
            });
        }
        Ok(Some(SpeakerOptions {
            mode,
            names: self.names()?,
            networks: folder("--speakers-model", &self.speakers_model)?,
            voices: folder("--voices", &self.voices)?,
        }))
    }

    fn names(&self) -> Result<Vec<String>> {
        let names = self.speaker_names.iter().flat_map(|names| names.split(','));
        let names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() < names.len() || names.iter().any(String::is_empty) {
            return Err(Error::Usage {
                what: "`--speaker-names`".into(),
                why: "every speaker needs a name of their own".into(),
                hint: Some("separate the names by commas: `--speaker-names \"Anna,Ben\"`".into()),
            });
        }
        Ok(names)
    }
}
