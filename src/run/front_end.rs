//! The thread of one input: takes its audio, which others read ahead of it, makes chunks of it and hands them to the engine, as far ahead of it
//! as the permits allow. How audio is decoded, where it is cut and how a mel is computed is not known here.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::backpressure::Permits;
use super::waveform::Peaks;
use crate::audio::{AudioDamage, AudioInput, AudioOptions};
use crate::cancel::CancelToken;
use crate::chunking::{Account, Clip, Selection};
use crate::decode::LanguageGuess;
use crate::decode::Stretch;
use crate::engine::{Ear, Recording, Task, Team};
use crate::error::{Error, InputProblem, Result, catch_panic};
use crate::mel::{ChunkMaker, Division, Ears, Extent, MelChunk, MelMeter};
use crate::plan::{InputSource, changed};
use crate::store::fingerprint::{Fingerprint, InputDigest, RunFingerprint};
use crate::store::journal::{Journal, JournaledChunk, LockError, OpenedJournal, Place, ResumedChunks};
use crate::store::ledger::{self, InputSnapshot};
use crate::test_hooks;
use crate::time::{HOP, seconds_of_samples};
use crate::transcript::Waveform;

/// Chunks of one recording that may wait for the one before them: more would only keep others out.
const FOLLOWERS: usize = 2;

/// What the thread does, and for whom.
pub struct FrontEnd {
    pub source: InputSource,
    pub audio: AudioOptions,
    /// Threads that may decode side by side.
    pub lanes: usize,
    /// Seconds from pause to pause; 0 for a recording in one piece.
    pub chunk_length: f64,
    pub selection: Selection,
    pub engine: Arc<Team>,
    pub recording: Arc<Recording>,
    pub permits: Permits,
    pub cancel: CancelToken,
    pub keeping: Keeping,
    /// A waveform is wanted.
    pub draws: bool,
}

/// Where and for which work a journal is kept.
pub struct Keeping {
    pub path: Option<PathBuf>,
    pub basis: Arc<RunFingerprint>,
    /// What an earlier run has finished is taken over.
    pub resume: bool,
    /// Outputs that nobody may have made meanwhile, and when they were last changed.
    pub before: Vec<(PathBuf, Option<SystemTime>)>,
}

/// What the thread tells.
pub enum Told {
    /// Seconds read, how many there are as the file claims, and frames of them that nobody asks the model about.
    Progress { read: f64, claimed: Option<f64>, skipped: u64 },
    /// How an earlier run found out the language.
    Language(Box<LanguageGuess>),
    /// What the input is, as it is begun.
    Origin(Box<InputSnapshot>),
    /// A journal is held, or why there is none. Comes before any chunk.
    Journal(io::Result<Box<OpenedJournal>>),
    /// A chunk was made and goes to the engine.
    Made(usize, Place),
    /// A chunk that an earlier run has finished.
    Kept(Box<JournaledChunk>),
    /// Chunks from this one on are not what an earlier run has finished.
    Discarded(usize),
}

/// What was read in the end.
#[derive(Debug, Default)]
pub struct Reading {
    /// Seconds of audio: what was read, or what there is if not all of it was.
    pub duration: f64,
    pub chunks: usize,
    /// What was left out.
    pub account: Account,
    /// The frame behind which nothing was asked for.
    pub clips_end: Option<u64>,
    pub damage: AudioDamage,
    pub waveform: Option<Waveform>,
}

impl Reading {
    /// Frames that nobody asked the model about.
    pub fn skipped_frames(&self) -> u64 {
        let all = (self.duration * 100.0) as u64;
        let behind = self.clips_end.map_or(0, |end| all.saturating_sub(end));
        self.account.skipped_frames() + behind
    }
}

impl FrontEnd {
    /// Reads to the end, or until the recording is given up.
    pub fn run(self, tell: impl Fn(Told)) -> Result<Reading> {
        catch_panic("reading the audio", || self.read(&tell))
    }

    fn read(&self, tell: &dyn Fn(Told)) -> Result<Reading> {
        test_hooks::reached("open", &self.cancel);
        let audio = self.open()?;
        let mut kept = self.take_hold(tell)?;
        let (division, measured) = self.division(&audio)?;
        let mut reader = audio.open_prefetching(&self.audio, self.lanes)?;
        let claimed = reader.duration_hint();
        let mut maker = ChunkMaker::of(self.engine.n_mels(), division, &self.selection);
        let mut ears = self.ears(division);
        let mut peaks = self.draws.then(Peaks::new);
        let followers = Permits::new(FOLLOWERS);
        let (mut chunks, mut samples, mut made) = (Vec::new(), 0, 0);
        while let Some(block) = reader.next_block()? {
            test_hooks::reached("read", &self.cancel);
            self.cancel.check()?;
            ears.iter_mut().for_each(|ears| ears.push(block, samples));
            peaks.iter_mut().for_each(|peaks| peaks.push(block));
            samples += block.len() as u64;
            maker.push(block, &mut chunks);
            let read = seconds_of_samples(samples);
            tell(Told::Progress { read, claimed, skipped: maker.account().skipped_frames() });
            self.prick(&mut ears, false);
            // Until it is known what to listen to for the language, they wait.
            if ears.is_none() {
                made += chunks.len();
                self.hand_on(&mut chunks, &followers, &mut kept, tell)?;
            }
            if maker.is_done() {
                break;
            }
        }
        let is_whole = !maker.is_done();
        let (samples, account) = maker.finish(&mut chunks);
        if is_whole && measured.is_some_and(|extent| samples < extent.samples) {
            let why = io::Error::other("it became shorter while it was read");
            return Err(Error::input(audio.name(), InputProblem::Unreadable(why)));
        }
        self.prick(&mut ears, true);
        made += chunks.len();
        self.hand_on(&mut chunks, &followers, &mut kept, tell)?;
        let known = match measured {
            Some(extent) => seconds_of_samples(extent.samples),
            None => claimed.filter(|_| !is_whole).unwrap_or(0.0),
        };
        Ok(Reading {
            duration: seconds_of_samples(samples).max(known),
            chunks: made,
            account,
            clips_end: self.selection.clips.end(),
            damage: reader.damage().clone(),
            waveform: peaks.map(Peaks::finish),
        })
    }

    /// What looks for windows to find out the language by, if it is to be found out.
    fn ears(&self, division: Division) -> Option<Hearing> {
        let first = self.selection.clips.iter().next().filter(|_| self.recording.language().is_none())?;
        let loudest = match division {
            Division::Seamless { loudest } => Some(loudest),
            Division::AtPauses { .. } => None,
        };
        Some(Hearing::new(self.engine.n_mels(), self.recording.language_windows(), loudest, first))
    }

    /// Tells the recording what to listen to, as soon as that is known.
    fn prick(&self, ears: &mut Option<Hearing>, is_end: bool) {
        if let Some(hearing) = ears.take_if(|hearing| is_end || hearing.ears.are_done()) {
            let found = hearing.ears.finish().into_iter();
            let ear = |ear: crate::mel::Ear| Ear { seek: ear.seek, features: Some(Box::new(ear.features)) };
            self.recording.listen_to(found.map(ear).collect());
        }
    }

    fn open(&self) -> Result<AudioInput> {
        match &self.source {
            InputSource::File(path) => AudioInput::file_cancellable(path, &self.cancel),
            InputSource::Stdin => AudioInput::stdin(&self.cancel),
        }
    }

    /// Keeps others away from the outputs, and finds out what an earlier run has finished.
    fn take_hold(&self, tell: &dyn Fn(Told)) -> Result<ResumedChunks> {
        let (Some(journal), InputSource::File(path)) = (&self.keeping.path, &self.source) else {
            return Ok(ResumedChunks::default());
        };
        let input = || path.display().to_string();
        let modified = ledger::modified(path);
        let content =
            InputDigest::of(path).map_err(|e| Error::input(input(), InputProblem::Unreadable(e)))?;
        let work = Fingerprint { basis: RunFingerprint::clone(&self.keeping.basis), input: content };
        tell(Told::Origin(Box::new(InputSnapshot::new(work.clone(), modified))));
        match Journal::open(journal, &work, self.keeping.resume) {
            // Whoever held it has made them since.
            Ok(_) if self.keeping.before.iter().any(|(path, time)| changed(path) != *time) => {
                Err(Error::InputLocked { input: input(), journal: journal.clone() })
            }
            Ok(mut opened) => {
                let kept = std::mem::take(&mut opened.kept);
                tell(Told::Journal(Ok(Box::new(opened))));
                Ok(kept)
            }
            Err(LockError::Locked) => Err(Error::InputLocked { input: input(), journal: journal.clone() }),
            Err(LockError::Io(error)) => {
                tell(Told::Journal(Err(error)));
                Ok(ResumedChunks::default())
            }
        }
    }

    /// Takes over a chunk that an earlier run has finished.
    fn take_over(&self, index: usize, place: &Place, kept: &mut ResumedChunks, tell: &dyn Fn(Told)) -> bool {
        let found = kept.take(index, place);
        if found.is_err() {
            tell(Told::Discarded(index));
        }
        if let Some(guess) = kept.language.take_if(|_| index == 0) {
            self.recording.settle_language(guess.language);
            tell(Told::Language(Box::new(guess)));
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
        let mut reader = audio.open_prefetching(&self.audio, self.lanes)?;
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
        kept: &mut ResumedChunks,
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

/// [`Ears`] on a part of the audio.
struct Hearing {
    ears: Ears,
    /// The first sample that they take.
    start: u64,
}

impl Hearing {
    fn new(bins: usize, windows: usize, loudest: Option<f32>, clip: Clip) -> Self {
        let ears = Ears::new(bins, windows, loudest, clip.start, clip.end);
        Self { ears, start: clip.start * HOP as u64 }
    }

    /// Takes samples, of which so many came before.
    fn push(&mut self, samples: &[f32], before: u64) {
        let skipped = self.start.saturating_sub(before).min(samples.len() as u64);
        self.ears.push(&samples[skipped as usize..]);
    }
}
