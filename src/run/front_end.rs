//! The thread of one input: reads audio, makes chunks of log-mel and submits them to the engine, as many ahead of it as
//! the chunk budget allows. Leaves decoding, cutting and the mel itself to their modules.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::backpressure::{ChunkBudget, ChunkPermit};
use super::channels::{self, ChannelPass};
use super::speakers::{Diarization, SpeakerSetup};
use super::waveform::WaveformBuilder;
use crate::audio::{AudioDamage, AudioInput, AudioOptions, AudioReader};
use crate::cancel::CancelToken;
use crate::chunking::{ChunkSpan, Clip, Selection, SplitReport};
use crate::decode::LanguageGuess;
use crate::engine::{ChunkTask, EngineGroup, InputContext, ProbeWindow};
use crate::error::{Error, InputProblem, Result, catch_panic};
use crate::mel::{ChunkMode, Extent, LanguageProbe, LanguageWindow, MelChunk, MelChunker, MelMeter};
use crate::plan::{self, InputSource};
use crate::store::LockError;
use crate::store::fingerprint::{Fingerprint, InputDigest, RunFingerprint};
use crate::store::journal::{Journal, JournaledChunk, OpenedJournal, ResumedChunks};
use crate::store::ledger::{self, InputSnapshot};
use crate::test_hooks;
use crate::time::{HOP, seconds_of_samples};
use crate::transcript::{SpeakerTurns, Waveform};

/// Sections of one recording that may wait for the section before them; more would only keep other recordings out.
const FOLLOWERS: usize = 2;

/// What the thread needs.
pub struct FrontEnd {
    pub source: InputSource,
    /// The most bytes that are read of a stream.
    pub stream_limit: Option<u64>,
    pub audio: AudioOptions,
    /// Threads that may decode the audio side by side.
    pub decoder_threads: usize,
    /// Target length of a section in seconds; 0 keeps the recording in one piece.
    pub chunk_length: f64,
    pub selection: Selection,
    pub engine: Arc<EngineGroup>,
    pub engine_input: Arc<InputContext>,
    pub budget: ChunkBudget,
    pub cancel: CancelToken,
    pub journal: JournalRequest,
    pub needs_waveform: bool,
    /// How to tell speakers apart, if that is wanted.
    pub speakers: Option<Arc<SpeakerSetup>>,
}

/// Where to keep the journal, and what it must match.
pub struct JournalRequest {
    pub path: Option<PathBuf>,
    pub run: RunFingerprint,
    /// Use the chunks that an earlier run has finished.
    pub resume: bool,
    /// Outputs that must not have changed since planning, with their modification times.
    pub unchanged: Vec<(PathBuf, Option<SystemTime>)>,
}

/// What the front end reports while it reads.
pub enum FrontEndEvent {
    /// Seconds read, seconds that the file claims to have, and frames that no window will cover.
    Progress { read: f64, claimed: Option<f64>, skipped: u64 },
    /// The input is decoded by `ffmpeg`.
    FfmpegUsed,
    /// The language that an earlier run detected.
    LanguageResumed(Box<LanguageGuess>),
    /// The input's content was fingerprinted.
    Fingerprinted(Box<InputSnapshot>),
    /// The journal is locked and read, or why it is not. Comes before any chunk.
    JournalOpened(io::Result<Box<OpenedJournal>>),
    /// A chunk was made and goes to the engine.
    ChunkMade(usize, ChunkSpan),
    /// A chunk was read from the journal.
    ChunkResumed(Box<JournaledChunk>),
    /// Chunks from this index on do not match the journal.
    ResumeEnded(usize),
}

/// What the front end knows once everything is read.
#[derive(Debug, Default)]
pub struct FrontEndResult {
    /// Seconds of audio: what was read, or what the file holds if not all of it was read.
    pub duration: f64,
    pub chunks: usize,
    /// What was left out, and the speech regions.
    pub split: SplitReport,
    /// The end of the last requested clip, in frames.
    pub clips_end: Option<u64>,
    pub damage: AudioDamage,
    pub waveform: Option<Waveform>,
    /// The first chunk of each channel, if each is a speaker.
    pub channel_starts: Option<Vec<usize>>,
    /// Who speaks when, if speakers are told apart by their voices.
    pub speakers: Option<SpeakerTurns>,
}

impl FrontEndResult {
    /// Joins this with the next channel of the same recording.
    fn joined(self, next: FrontEndResult) -> FrontEndResult {
        FrontEndResult {
            duration: self.duration.max(next.duration),
            chunks: self.chunks + next.chunks,
            channel_starts: self.channel_starts.map(|starts| [starts, vec![self.chunks]].concat()),
            split: channels::join_reports(self.split, next.split),
            ..self
        }
    }

    /// Returns the frames that no window covers.
    pub fn skipped_frames(&self) -> u64 {
        let all = (self.duration * 100.0) as u64;
        let behind = self.clips_end.map_or(0, |end| all.saturating_sub(end));
        self.split.skipped_frames() + behind
    }
}

impl FrontEnd {
    /// Reads to the end, or until the recording is abandoned.
    pub fn run(self, emit: impl Fn(FrontEndEvent)) -> Result<FrontEndResult> {
        catch_panic("reading the audio", || self.read(&emit))
    }

    fn read(&self, emit: &dyn Fn(FrontEndEvent)) -> Result<FrontEndResult> {
        test_hooks::reached("open", &self.cancel);
        let audio = self.open()?;
        let uses_ffmpeg = audio.uses_ffmpeg(&self.audio);
        if uses_ffmpeg {
            emit(FrontEndEvent::FfmpegUsed);
        }
        let mut kept = self.open_journal(uses_ffmpeg, emit)?;
        let passes = match self.speakers.as_deref() {
            Some(SpeakerSetup::Channels { .. }) => channels::passes(&audio, &self.audio, &self.cancel)?,
            _ => vec![ChannelPass { audio: self.audio.clone(), gate: None, is_speaker: false }],
        };
        let count = passes.len();
        let mut whole: Option<FrontEndResult> = None;
        for (nth, pass) in passes.into_iter().enumerate() {
            let progress = |read: f64, claimed: Option<f64>, skipped: u64| {
                // The channels before have been read to their end.
                let before =
                    whole.as_ref().map_or((0.0, 0), |whole| (whole.duration, whole.skipped_frames()));
                let read = nth as f64 * before.0 + read;
                let claimed = claimed.map(|claimed| count as f64 * claimed);
                emit(FrontEndEvent::Progress { read, claimed, skipped: nth as u64 * before.1 + skipped });
            };
            let first_chunk = whole.as_ref().map_or(0, |whole| whole.chunks);
            let read = self.read_pass(&audio, pass, first_chunk, &mut kept, emit, &progress)?;
            whole = Some(match whole.take() {
                None => read,
                Some(whole) => whole.joined(read),
            });
        }
        Ok(whole.unwrap_or_default())
    }

    /// Reads the recording, or one channel of it, and submits its chunks, which are counted from `first_chunk` on.
    fn read_pass(
        &self,
        audio: &AudioInput,
        mut pass: ChannelPass,
        first_chunk: usize,
        kept: &mut ResumedChunks,
        emit: &dyn Fn(FrontEndEvent),
        progress: &dyn Fn(f64, Option<f64>, u64),
    ) -> Result<FrontEndResult> {
        let (chunk_mode, measured) = self.chunk_mode(audio, &pass.audio)?;
        let mut reader = audio.open_prefetching(&pass.audio, self.decoder_threads)?;
        let claimed = reader.duration_hint();
        let mut chunker = MelChunker::with_selection(self.engine.n_mels(), chunk_mode, &self.selection);
        // Further channels have the language of the first.
        let mut probe = if first_chunk == 0 { self.language_probe(chunk_mode) } else { None };
        let mut waveform = self.needs_waveform.then(WaveformBuilder::new);
        let diarization = self.speakers.as_ref().map(Diarization::start).transpose()?.flatten();
        let mut permits = SectionPermits { followers: ChunkBudget::new(FOLLOWERS), current: None };
        let (mut chunks, mut samples, mut made, mut gated) = (Vec::new(), 0, 0, Vec::new());
        let mut submit = |chunks: &mut Vec<MelChunk>, made: &mut usize| {
            *made += chunks.len();
            chunks.iter_mut().for_each(|chunk| chunk.index += first_chunk);
            self.submit(chunks, &mut permits, kept, emit)
        };
        while let Some(block) = self.next_block(&mut reader)? {
            test_hooks::reached("read", &self.cancel);
            self.cancel.check()?;
            let block = match &mut pass.gate {
                Some(gate) => {
                    gated.clear();
                    gated.extend_from_slice(block);
                    gate.apply(&mut gated);
                    &gated
                }
                None => block,
            };
            probe.iter_mut().for_each(|probe| probe.push(block, samples));
            waveform.iter_mut().for_each(|waveform| waveform.push(block));
            diarization.iter().for_each(|diarization| diarization.push(block));
            samples += block.len() as u64;
            chunker.push(block, &mut chunks);
            progress(seconds_of_samples(samples), claimed, chunker.report().skipped_frames());
            self.finish_probe(&mut probe, false);
            // Chunks wait until the windows to detect the language by are known.
            if probe.is_none() {
                submit(&mut chunks, &mut made)?;
            }
            if chunker.is_done() {
                break;
            }
        }
        let is_whole = !chunker.is_done();
        let (samples, split) = chunker.finish(&mut chunks);
        if is_whole && measured.is_some_and(|extent| samples < extent.samples) {
            let why = io::Error::other("it became shorter while it was read");
            return Err(Error::input(audio.name(), InputProblem::Unreadable(why)));
        }
        self.finish_probe(&mut probe, true);
        submit(&mut chunks, &mut made)?;
        let known = match measured {
            Some(extent) => seconds_of_samples(extent.samples),
            None => claimed.filter(|_| !is_whole).unwrap_or(0.0),
        };
        Ok(FrontEndResult {
            duration: seconds_of_samples(samples).max(known),
            chunks: made,
            channel_starts: pass.is_speaker.then(|| vec![0]),
            split,
            clips_end: self.selection.clips.end(),
            damage: reader.damage().clone(),
            waveform: waveform.map(WaveformBuilder::finish),
            speakers: diarization.map(Diarization::finish).transpose()?,
        })
    }

    /// Returns what looks for windows to detect the language by, if it is to be detected.
    fn language_probe(&self, chunk_mode: ChunkMode) -> Option<ClipProbe> {
        let first = self.selection.clips.iter().next().filter(|_| self.engine_input.language().is_none())?;
        let loudest = match chunk_mode {
            ChunkMode::Seamless { loudest } => Some(loudest),
            ChunkMode::AtPauses { .. } => None,
        };
        Some(ClipProbe::new(self.engine.n_mels(), self.engine_input.language_windows(), loudest, first))
    }

    /// Gives the engine the windows to detect the language by, as soon as they are known.
    fn finish_probe(&self, probe: &mut Option<ClipProbe>, is_end: bool) {
        if let Some(clip) = probe.take_if(|clip| is_end || clip.probe.is_done()) {
            let found = clip.probe.finish().into_iter();
            let window = |found: LanguageWindow| ProbeWindow {
                seek: found.seek,
                features: Some(Box::new(found.features)),
            };
            self.engine_input.set_probe_windows(found.map(window).collect());
        }
    }

    /// Reads the next samples; where that waits for another program, it fails once the run is cancelled.
    fn next_block<'r>(&self, reader: &'r mut AudioReader) -> Result<Option<&'r [f32]>> {
        reader.next_block().map_err(|error| self.cancel.check().err().unwrap_or(error))
    }

    fn open(&self) -> Result<AudioInput> {
        match &self.source {
            InputSource::File(path) => AudioInput::file_limited(path, &self.cancel, self.stream_limit),
            InputSource::Stdin => AudioInput::stdin(&self.cancel, self.stream_limit),
        }
    }

    /// Locks the outputs and reads what an earlier run has finished.
    fn open_journal(&self, uses_ffmpeg: bool, emit: &dyn Fn(FrontEndEvent)) -> Result<ResumedChunks> {
        let (Some(journal), InputSource::File(path)) = (&self.journal.path, &self.source) else {
            return Ok(ResumedChunks::default());
        };
        let input = || path.display().to_string();
        let modified = ledger::modified(path);
        let digest = InputDigest::of(path).map_err(|e| Error::input(input(), InputProblem::Unreadable(e)))?;
        let fingerprint = Fingerprint {
            run: self.journal.run.clone(),
            input: digest,
            decoder: uses_ffmpeg.then(|| "ffmpeg".to_owned()),
        };
        emit(FrontEndEvent::Fingerprinted(Box::new(InputSnapshot {
            fingerprint: fingerprint.clone(),
            modified,
        })));
        match Journal::open(journal, &fingerprint, self.journal.resume) {
            // The process that held the lock has written the outputs since.
            Ok(_) if self.journal.unchanged.iter().any(|(path, time)| plan::modified(path) != *time) => {
                Err(Error::InputLocked { input: input(), journal: journal.clone() })
            }
            Ok(mut opened) => {
                let kept = std::mem::take(&mut opened.resumed);
                emit(FrontEndEvent::JournalOpened(Ok(Box::new(opened))));
                Ok(kept)
            }
            Err(LockError::Locked) => Err(Error::InputLocked { input: input(), journal: journal.clone() }),
            Err(LockError::Io(error)) => {
                emit(FrontEndEvent::JournalOpened(Err(error)));
                Ok(ResumedChunks::default())
            }
        }
    }

    /// Uses the journalled chunk if there is one; returns whether there was.
    fn resume_chunk(
        &self,
        index: usize,
        span: &ChunkSpan,
        kept: &mut ResumedChunks,
        emit: &dyn Fn(FrontEndEvent),
    ) -> bool {
        let found = kept.take(index, span);
        if found.is_err() {
            emit(FrontEndEvent::ResumeEnded(index));
        }
        if let Some(guess) = kept.language.take_if(|_| index == 0) {
            self.engine_input.set_language(guess.language);
            emit(FrontEndEvent::LanguageResumed(Box::new(guess)));
        }
        let Ok(Some(finished)) = found else { return false };
        self.engine_input.add_handover(index, finished.decoded.handover.clone());
        emit(FrontEndEvent::ChunkResumed(Box::new(finished)));
        true
    }

    /// Returns how to divide the recording; one kept in a single piece has to be measured first.
    fn chunk_mode(&self, audio: &AudioInput, options: &AudioOptions) -> Result<(ChunkMode, Option<Extent>)> {
        if self.chunk_length > 0.0 {
            return Ok((ChunkMode::AtPauses { seconds: self.chunk_length }, None));
        }
        let mut reader = audio.open_prefetching(options, self.decoder_threads)?;
        let mut meter = MelMeter::new(self.engine.n_mels());
        while let Some(block) = self.next_block(&mut reader)? {
            self.cancel.check()?;
            meter.push(block);
        }
        let extent = meter.finish();
        Ok((ChunkMode::Seamless { loudest: extent.max }, Some(extent)))
    }

    /// Submits chunks to the engine as the budget allows. The error says why they are no longer wanted.
    fn submit(
        &self,
        chunks: &mut Vec<MelChunk>,
        permits: &mut SectionPermits,
        kept: &mut ResumedChunks,
        emit: &dyn Fn(FrontEndEvent),
    ) -> Result<()> {
        let stop = || self.cancel.reason().is_some() || self.engine_input.is_abandoned();
        for chunk in chunks.drain(..) {
            let abandoned = || {
                self.cancel
                    .check()
                    .err()
                    .unwrap_or_else(|| Error::compute("reading the audio", "its transcription was abandoned"))
            };
            let MelChunk { index, span, in_section, features, speech } = chunk;
            if !in_section {
                permits.current = None;
            }
            if self.resume_chunk(index, &span, kept, emit) {
                continue;
            }
            let permit = match &permits.current {
                Some(permit) => Arc::clone(permit),
                None => {
                    let follower = match span.follows && !in_section {
                        true => Some(permits.followers.take(stop).ok_or_else(abandoned)?),
                        false => None,
                    };
                    Arc::new((self.budget.take(stop).ok_or_else(abandoned)?, follower))
                }
            };
            permits.current = Some(Arc::clone(&permit));
            emit(FrontEndEvent::ChunkMade(index, span));
            self.engine.submit(ChunkTask {
                input: Arc::clone(&self.engine_input),
                index,
                span,
                features: Box::new(features),
                speech,
                permit: Some(Box::new(permit)),
            });
        }
        Ok(())
    }
}

/// The permits of one recording. The chunks of a section share one, as they are in memory together.
struct SectionPermits {
    /// For sections that continue the one before.
    followers: ChunkBudget,
    /// That of the current section; none if its chunks so far were resumed.
    current: Option<Arc<(ChunkPermit, Option<ChunkPermit>)>>,
}

/// A [`LanguageProbe`] that starts at the first clip.
struct ClipProbe {
    probe: LanguageProbe,
    /// The clip's first sample.
    start: u64,
}

impl ClipProbe {
    fn new(bins: usize, windows: usize, loudest: Option<f32>, clip: Clip) -> Self {
        let probe = LanguageProbe::new(bins, windows, loudest, clip.start, clip.end);
        Self { probe, start: clip.start * HOP as u64 }
    }

    /// Takes samples that begin at sample `before` of the recording.
    fn push(&mut self, samples: &[f32], before: u64) {
        let skipped = self.start.saturating_sub(before).min(samples.len() as u64);
        self.probe.push(&samples[skipped as usize..]);
    }
}
