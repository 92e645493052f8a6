//! The thread of one input: reads its audio, makes chunks of it and hands them to the engine, as far ahead of it
//! as the permits allow. How audio is decoded, where it is cut and how a mel is computed is not known here.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::journal::{Finished, Journal, Kept, Opened, Place, Refusal};
use super::permits::Permits;
use super::plan::Source;
use super::work::{Basis, Content, Work};
use crate::audio::{AudioInput, AudioOptions, Damage};
use crate::cancel::CancelToken;
use crate::decode::Stretch;
use crate::engine::{Engine, Recording, Task};
use crate::error::{Error, InputFault, Result, caught};
use crate::mel::{ChunkMaker, Division, Extent, MelChunk, MelMeter};
use crate::probe;
use crate::time::seconds_of_samples;

/// Chunks of one recording that may wait for the one before them: more would only keep others out.
const FOLLOWERS: usize = 2;

/// What the thread does, and for whom.
pub struct FrontEnd {
    pub source: Source,
    pub audio: AudioOptions,
    /// Seconds from pause to pause; 0 for a recording in one piece.
    pub chunk_length: f64,
    pub engine: Arc<Engine>,
    pub recording: Arc<Recording>,
    pub permits: Permits,
    pub cancel: CancelToken,
    pub keeping: Keeping,
}

/// Where and for which work a journal is kept.
pub struct Keeping {
    pub path: Option<PathBuf>,
    pub basis: Arc<Basis>,
    /// What an earlier run has finished is taken over.
    pub resume: bool,
}

/// What the thread tells.
pub enum Told {
    /// Seconds read, and how many there are as the file claims.
    Progress(f64, Option<f64>),
    /// A journal is held, or why there is none. Comes before any chunk.
    Journal(io::Result<Box<Opened>>),
    /// A chunk was made and goes to the engine.
    Made(usize, Place),
    /// A chunk that an earlier run has finished.
    Kept(Box<Finished>),
    /// Chunks from this one on are not what an earlier run has finished.
    Discarded(usize),
}

/// What was read in the end.
#[derive(Debug, Default)]
pub struct Reading {
    pub samples: u64,
    pub chunks: usize,
    pub damage: Damage,
}

impl FrontEnd {
    /// Reads to the end, or until the recording is given up.
    pub fn run(self, tell: impl Fn(Told)) -> Result<Reading> {
        caught("reading the audio", || self.read(&tell))
    }

    fn read(&self, tell: &dyn Fn(Told)) -> Result<Reading> {
        probe::reached("open", &self.cancel);
        let audio = self.open()?;
        let mut kept = self.take_hold(tell)?;
        let (division, measured) = self.division(&audio)?;
        let mut reader = audio.open(&self.audio)?;
        let claimed = reader.duration_hint();
        let mut maker = ChunkMaker::new(self.engine.n_mels(), division);
        let followers = Permits::new(FOLLOWERS);
        let (mut chunks, mut samples, mut made) = (Vec::new(), 0, 0);
        while let Some(block) = reader.next_block()? {
            probe::reached("read", &self.cancel);
            self.cancel.check()?;
            samples += block.len() as u64;
            maker.push(block, &mut chunks);
            tell(Told::Progress(seconds_of_samples(samples), claimed));
            made += chunks.len();
            self.hand_on(&mut chunks, &followers, &mut kept, tell)?;
        }
        let samples = maker.finish(&mut chunks);
        if measured.is_some_and(|extent| samples < extent.samples) {
            let why = io::Error::other("it became shorter while it was read");
            return Err(Error::input(audio.name(), InputFault::Unreadable(why)));
        }
        made += chunks.len();
        self.hand_on(&mut chunks, &followers, &mut kept, tell)?;
        Ok(Reading { samples, chunks: made, damage: reader.damage().clone() })
    }

    fn open(&self) -> Result<AudioInput> {
        match &self.source {
            Source::File(path) => AudioInput::file_until(path, &self.cancel),
            Source::Stdin => AudioInput::stdin_until(&self.cancel),
        }
    }

    /// Keeps others away from the outputs, and finds out what an earlier run has finished.
    fn take_hold(&self, tell: &dyn Fn(Told)) -> Result<Kept> {
        let (Some(journal), Source::File(path)) = (&self.keeping.path, &self.source) else {
            return Ok(Kept::default());
        };
        let input = || path.display().to_string();
        let content = Content::of(path).map_err(|e| Error::input(input(), InputFault::Unreadable(e)))?;
        let work = Work { basis: Basis::clone(&self.keeping.basis), input: content };
        match Journal::open(journal, &work, self.keeping.resume) {
            Ok(mut opened) => {
                let kept = std::mem::take(&mut opened.kept);
                tell(Told::Journal(Ok(Box::new(opened))));
                Ok(kept)
            }
            Err(Refusal::Held) => Err(Error::Held { input: input(), journal: journal.clone() }),
            Err(Refusal::Fault(error)) => {
                tell(Told::Journal(Err(error)));
                Ok(Kept::default())
            }
        }
    }

    /// Takes over a chunk that an earlier run has finished.
    fn take_over(&self, index: usize, place: &Place, kept: &mut Kept, tell: &dyn Fn(Told)) -> bool {
        let found = kept.take(index, place);
        if found.is_err() {
            tell(Told::Discarded(index));
        }
        if index == 0 {
            kept.language.into_iter().for_each(|language| self.recording.settle_language(language));
        }
        let Ok(Some(finished)) = found else { return false };
        self.recording.hand_over(index, finished.decoded.handover.clone());
        tell(Told::Kept(Box::new(finished)));
        true
    }

    /// How to divide the recording; one in a single piece has to be measured first.
    fn division(&self, audio: &AudioInput) -> Result<(Division, Option<Extent>)> {
        if self.chunk_length > 0.0 {
            return Ok((Division::AtPauses { seconds: self.chunk_length }, None));
        }
        let mut reader = audio.open(&self.audio)?;
        let mut meter = MelMeter::new(self.engine.n_mels());
        while let Some(block) = reader.next_block()? {
            self.cancel.check()?;
            meter.push(block);
        }
        let extent = meter.finish();
        Ok((Division::Seamless { loudest: extent.max }, Some(extent)))
    }

    /// Gives chunks to the engine as soon as there may be so many. The error says why nobody wants them any more.
    fn hand_on(
        &self,
        chunks: &mut Vec<MelChunk>,
        followers: &Permits,
        kept: &mut Kept,
        tell: &dyn Fn(Told),
    ) -> Result<()> {
        let stop = || self.cancel.reason().is_some() || self.recording.is_given_up();
        for chunk in chunks.drain(..) {
            let given_up = || {
                self.cancel
                    .check()
                    .err()
                    .unwrap_or_else(|| Error::compute("reading the audio", "its transcription was given up"))
            };
            let MelChunk { index, first, end, visible, follows, limit, features } = chunk;
            let stretch = Stretch { first, end, visible, limit };
            let place = Place { stretch, follows };
            if self.take_over(index, &place, kept, tell) {
                continue;
            }
            let follower = match follows {
                true => Some(followers.take(stop).ok_or_else(given_up)?),
                false => None,
            };
            let permit = self.permits.take(stop).ok_or_else(given_up)?;
            tell(Told::Made(index, place));
            self.engine.submit(Task {
                recording: Arc::clone(&self.recording),
                index,
                stretch,
                follows,
                features: Box::new(features),
                permit: Some(Box::new((permit, follower))),
            });
        }
        Ok(())
    }
}
