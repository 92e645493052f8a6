//! The thread of one input: reads its audio, makes chunks of it and hands them to the engine, as far ahead of it
//! as the permits allow. How audio is decoded, where it is cut and how a mel is computed is not known here.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::permits::Permits;
use super::plan::Source;
use crate::audio::{AudioInput, AudioOptions, Damage};
use crate::cancel::CancelToken;
use crate::decode::Stretch;
use crate::engine::{Engine, Recording, Task};
use crate::error::{Error, InputFault, Result};
use crate::mel::{ChunkMaker, Division, Extent, MelChunk, MelMeter};
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
}

/// What was read in the end.
#[derive(Debug, Default)]
pub struct Reading {
    pub samples: u64,
    pub chunks: usize,
    pub damage: Damage,
}

impl FrontEnd {
    /// Reads to the end, or until the recording is given up. `progress` hears how many seconds were read, and how
    /// many there are as the file claims.
    pub fn run(self, progress: impl FnMut(f64, Option<f64>)) -> Result<Reading> {
        catch_unwind(AssertUnwindSafe(|| self.read(progress)))
            .unwrap_or_else(|panic| Err(Error::panicked("reading the audio", &*panic)))
    }

    fn read(&self, mut progress: impl FnMut(f64, Option<f64>)) -> Result<Reading> {
        let audio = self.open()?;
        let (division, measured) = self.division(&audio)?;
        let mut reader = audio.open(&self.audio)?;
        let claimed = reader.duration_hint();
        let mut maker = ChunkMaker::new(self.engine.n_mels(), division);
        let followers = Permits::new(FOLLOWERS);
        let (mut chunks, mut samples, mut made) = (Vec::new(), 0, 0);
        while let Some(block) = reader.next_block()? {
            self.cancel.check()?;
            samples += block.len() as u64;
            maker.push(block, &mut chunks);
            progress(seconds_of_samples(samples), claimed);
            made += chunks.len();
            self.hand_on(&mut chunks, &followers)?;
        }
        let samples = maker.finish(&mut chunks);
        if measured.is_some_and(|extent| samples < extent.samples) {
            let why = io::Error::other("it became shorter while it was read");
            return Err(Error::input(audio.name(), InputFault::Unreadable(why)));
        }
        made += chunks.len();
        self.hand_on(&mut chunks, &followers)?;
        Ok(Reading { samples, chunks: made, damage: reader.damage().clone() })
    }

    fn open(&self) -> Result<AudioInput> {
        match &self.source {
            Source::File(path) => AudioInput::file(path),
            Source::Stdin => {
                AudioInput::reader("-", Stoppable { from: io::stdin().lock(), cancel: &self.cancel })
            }
        }
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
    fn hand_on(&self, chunks: &mut Vec<MelChunk>, followers: &Permits) -> Result<()> {
        let stop = || self.cancel.reason().is_some() || self.recording.is_given_up();
        for chunk in chunks.drain(..) {
            let given_up = || {
                self.cancel
                    .check()
                    .err()
                    .unwrap_or_else(|| Error::compute("reading the audio", "its transcription was given up"))
            };
            let follower = match chunk.follows {
                true => Some(followers.take(stop).ok_or_else(given_up)?),
                false => None,
            };
            let permit = self.permits.take(stop).ok_or_else(given_up)?;
            let MelChunk { index, first, end, visible, follows, limit, features } = chunk;
            self.engine.submit(Task {
                recording: Arc::clone(&self.recording),
                index,
                stretch: Stretch { first, end, visible, limit },
                follows,
                features: Box::new(features),
                permit: Some(Box::new((permit, follower))),
            });
        }
        Ok(())
    }
}

/// A stream that somebody may not want to hear to its end.
struct Stoppable<'a, R> {
    from: R,
    cancel: &'a CancelToken,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        self.from.read(buffer)
    }
}
