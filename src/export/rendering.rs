//! A transcript on its way to its output files: what several formats need is computed once, when the first one asks.

use std::cell::OnceCell;

use super::cues::{CueQuality, Cues};
use super::options::ExportOptions;
use crate::transcript::Transcript;

/// A transcript with the options that it is exported with, and its cues.
pub struct Rendering<'t> {
    transcript: &'t Transcript,
    options: &'t ExportOptions,
    cues: OnceCell<Cues>,
    cue_quality: OnceCell<CueQuality>,
}

impl<'t> Rendering<'t> {
    pub fn new(transcript: &'t Transcript, options: &'t ExportOptions) -> Self {
        Self { transcript, options, cues: OnceCell::new(), cue_quality: OnceCell::new() }
    }

    pub fn transcript(&self) -> &'t Transcript {
        self.transcript
    }

    pub fn options(&self) -> &'t ExportOptions {
        self.options
    }

    /// Returns the cues of all subtitle formats.
    pub fn cues(&self) -> &Cues {
        self.cues.get_or_init(|| Cues::of(self.transcript, self.options))
    }

    /// Returns how readable the cues are.
    pub fn cue_quality(&self) -> &CueQuality {
        self.cue_quality.get_or_init(|| CueQuality::of(&self.cues().list, self.options))
    }
}
