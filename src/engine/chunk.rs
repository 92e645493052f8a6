//! One chunk in its window slot: a state machine that says what it needs next and takes the result.
//!
//! It never waits and calls the backend only to copy sequences; what is batched with whom is the worker's decision.

use std::sync::Arc;
use std::time::Instant;

use super::attempt::{Attempt, FinishedAttempt};
use super::language::{self, LanguageVote};
use super::search::SearchNeeds;
use super::slots::SequencePool;
use super::{ChunkEvent, ChunkTask, InputContext, WindowDone};
use crate::decode::{
    AlignRequest, Alignment, ChunkDecoder, DecodedChunk, Language, LanguageGuess, Tokenizer, WindowOutcome,
    WindowRequest,
};
use crate::error::{Error, Result};
use crate::models::{AlignInput, Backend, RowInput, SampledTokens, SamplingInput};

/// Frames of the input that a window slot holds or is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRange {
    pub seek: usize,
    pub frames: usize,
}

/// A chunk that holds a window slot, from its first window to its last, or that was suspended for lack of memory.
pub struct ActiveChunk {
    task: ChunkTask,
    /// The window slot, and the sequence slot that belongs to it.
    slot: usize,
    /// What the window slot holds.
    encoded: Option<WindowRange>,
    phase: ChunkPhase,
    /// The start token alone: the logits after it give the language.
    start: [u32; 1],
    started: Instant,
}

enum ChunkPhase {
    /// The language of the input is not known yet.
    DetectingLanguage(LanguageVote),
    /// Each window has a language of its own, and that of this one is not known yet.
    DetectingWindowLanguage(Box<ChunkDecoder>, WindowRange),
    Decoding {
        decoder: Box<ChunkDecoder>,
        attempt: Box<Attempt>,
    },
    /// The text of a window is settled, and its words wait for their times.
    Aligning {
        decoder: Box<ChunkDecoder>,
        request: AlignRequest,
        accepted: AcceptedAttempt,
    },
    /// Its last window is done, or it has none.
    Done(DecodedChunk),
    /// It was released unfinished.
    Abandoned,
}

/// The attempt after which a window needs no other.
#[derive(Debug, Clone, Copy)]
struct AcceptedAttempt {
    seek: usize,
    fallbacks: usize,
}

/// What one step changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepProgress {
    /// Tokens chosen.
    pub tokens: u64,
    /// Whether a window failed its first attempt.
    pub fell_back: bool,
}

/// A finished chunk, after all that it held was dropped.
pub struct FinishedChunk {
    pub input: Arc<InputContext>,
    pub index: usize,
    pub decoded: DecodedChunk,
    pub started: Instant,
}

/// What all chunks need to know of the model.
pub struct ModelContext {
    pub tokenizer: Arc<Tokenizer>,
    pub n_text_ctx: usize,
}

impl ActiveChunk {
    pub fn start(task: ChunkTask, slot: usize, model: &ModelContext) -> Self {
        let start = [model.tokenizer.special().sot];
        let phase = ChunkPhase::Abandoned;
        let mut chunk = ActiveChunk { task, slot, encoded: None, phase, start, started: Instant::now() };
        match chunk.task.input.language() {
            Some(language) => chunk.begin_decoding(language, model),
            None => {
                let windows = chunk.task.input.take_probe_windows();
                let vote = LanguageVote::new(windows, chunk.task.span.first);
                chunk.phase = ChunkPhase::DetectingLanguage(vote);
            }
        }
        chunk
    }

    /// Returns whether a chunk can be started: the language is known or for it to find out, and the chunk that it
    /// continues is done.
    pub fn can_start(task: &ChunkTask) -> bool {
        let has_language = task.input.language().is_some() || task.index == 0;
        has_language && (!task.span.follows || task.input.has_handover(task.index - 1))
    }

    pub fn slot(&self) -> usize {
        self.slot
    }

    pub fn input(&self) -> &Arc<InputContext> {
        &self.task.input
    }

    pub fn index(&self) -> usize {
        self.task.index
    }

    /// Forgets its slots: its window will be encoded again, and the attempt begins anew.
    pub fn suspend(&mut self) {
        self.encoded = None;
        if let ChunkPhase::Decoding { decoder, attempt } = &mut self.phase
            && let Some(request) = decoder.request()
        {
            **attempt = Attempt::new(decoder, request);
        }
    }

    /// Resumes a suspended chunk in this slot.
    pub fn assign_slot(&mut self, slot: usize) {
        self.slot = slot;
    }

    /// Returns the window that must be encoded before anything else.
    pub fn missing_window(&self) -> Option<WindowRange> {
        let wanted = match &self.phase {
            ChunkPhase::DetectingLanguage(vote) => vote.window(),
            ChunkPhase::DetectingWindowLanguage(_, window) => *window,
            ChunkPhase::Decoding { attempt, .. } => {
                WindowRange { seek: attempt.request.seek, frames: attempt.request.frames }
            }
            ChunkPhase::Aligning { request, .. } => {
                WindowRange { seek: request.seek, frames: request.frames }
            }
            ChunkPhase::Done(_) | ChunkPhase::Abandoned => return None,
        };
        Some(wanted).filter(|wanted| self.encoded != Some(*wanted))
    }

    /// Returns whether all that it waits for can be computed now.
    pub fn is_ready(&self) -> bool {
        self.missing_window().is_none()
    }

    pub fn read_mel(&mut self, window: WindowRange, out: &mut Vec<f32>) -> Result<()> {
        let other = match &mut self.phase {
            ChunkPhase::DetectingLanguage(vote) => vote.features(),
            _ => None,
        };
        other.unwrap_or(&mut self.task.features).window(window.seek, window.frames, out)
    }

    pub fn mark_encoded(&mut self, window: WindowRange) {
        self.encoded = Some(window);
    }

    /// Appends the rows to feed to the decoder.
    pub fn rows<'a>(&'a self, out: &mut Vec<RowInput<'a>>) {
        match &self.phase {
            ChunkPhase::DetectingLanguage(_) | ChunkPhase::DetectingWindowLanguage(..) => {
                out.push(RowInput {
                    sequence: self.slot,
                    window: self.slot,
                    position: 0,
                    tokens: &self.start,
                    logits_after: &[0],
                });
            }
            ChunkPhase::Decoding { attempt, .. } => attempt.rows(self.slot, out),
            ChunkPhase::Aligning { .. } | ChunkPhase::Done(_) | ChunkPhase::Abandoned => {}
        }
    }

    /// Takes the logits of all its rows; returns how many tokens were chosen.
    pub fn accept_logits(&mut self, logits: &mut [f32], model: &ModelContext) -> Result<u64> {
        match &mut self.phase {
            ChunkPhase::DetectingLanguage(_) => {
                self.add_vote(language::guess(&model.tokenizer, logits)?, model);
                Ok(0)
            }
            ChunkPhase::DetectingWindowLanguage(..) => {
                self.set_window_language(&language::guess(&model.tokenizer, logits)?);
                Ok(0)
            }
            ChunkPhase::Decoding { attempt, .. } => {
                attempt.accept_logits(logits, model.tokenizer.special().no_speech)
            }
            ChunkPhase::Aligning { .. } | ChunkPhase::Done(_) | ChunkPhase::Abandoned => Ok(0),
        }
    }

    /// Returns what its sequences need to continue.
    pub fn needs(&self) -> SearchNeeds {
        match &self.phase {
            ChunkPhase::Decoding { attempt, .. } => attempt.needs(),
            _ => SearchNeeds::Logits,
        }
    }

    /// Appends its sequences for device sampling of at most `steps` steps.
    pub fn sampling_inputs<'a>(&'a self, steps: usize, out: &mut Vec<SamplingInput<'a>>) {
        if let ChunkPhase::Decoding { attempt, .. } = &self.phase {
            attempt.sampling_inputs(self.slot, steps, out);
        }
    }

    /// Takes the tokens that the device chose for each of its sequences; returns how many.
    pub fn accept_sampled(&mut self, sampled: &[SampledTokens]) -> Result<u64> {
        match &mut self.phase {
            ChunkPhase::Decoding { attempt, .. } => attempt.accept_sampled(sampled),
            _ => Ok(0),
        }
    }

    /// Gives sequence slots to candidates that wait for one, and takes the result of an attempt that is finished.
    pub fn advance(&mut self, pool: &mut SequencePool, backend: &mut dyn Backend) -> Result<StepProgress> {
        let ChunkPhase::Decoding { attempt, .. } = &mut self.phase else {
            return Ok(StepProgress::default());
        };
        let tokens = attempt.assign_slots(self.slot, pool, backend)?;
        let mut progress = StepProgress { tokens, fell_back: false };
        if !attempt.is_finished() {
            return Ok(progress);
        }
        attempt.release(self.slot, pool);
        let ChunkPhase::Decoding { mut decoder, attempt } =
            std::mem::replace(&mut self.phase, ChunkPhase::Abandoned)
        else {
            return Ok(progress);
        };
        let FinishedAttempt { request, hypotheses, no_speech_prob } = attempt.finish();
        let result = decoder.choose(&request, &hypotheses, no_speech_prob);
        let outcome = decoder.accept(result);
        let WindowRequest { seek, attempt: fallbacks, .. } = request;
        self.close_attempt(decoder, outcome, AcceptedAttempt { seek, fallbacks });
        progress.fell_back = outcome == WindowOutcome::Retry && fallbacks == 0;
        Ok(progress)
    }

    /// Returns what to align, if words wait for their times.
    pub fn alignment(&self, model: &ModelContext) -> Option<AlignInput<'_>> {
        let ChunkPhase::Aligning { request, .. } = &self.phase else { return None };
        Some(AlignInput {
            sequence: self.slot,
            window: self.slot,
            tokens: &request.tokens,
            text: request.text.clone(),
            ticks: request.ticks(),
            n_text: model.tokenizer.special().eot as usize,
        })
    }

    pub fn accept_alignment(&mut self, alignment: &Alignment) -> Result<()> {
        if alignment.probabilities.iter().any(|probability| probability.is_nan()) {
            return Err(Error::NotANumber { during: "timing words" });
        }
        match std::mem::replace(&mut self.phase, ChunkPhase::Abandoned) {
            ChunkPhase::Aligning { mut decoder, accepted, .. } => {
                let outcome = decoder.take_words(alignment);
                self.close_attempt(decoder, outcome, accepted);
            }
            other => self.phase = other,
        }
        Ok(())
    }

    pub fn is_done(&self) -> bool {
        matches!(self.phase, ChunkPhase::Done(_) | ChunkPhase::Abandoned)
    }

    /// Returns the result if the chunk is done; drops everything else that it held.
    pub fn finish(self) -> Option<FinishedChunk> {
        let ChunkPhase::Done(decoded) = self.phase else { return None };
        let ChunkTask { input, index, .. } = self.task;
        Some(FinishedChunk { input, index, decoded, started: self.started })
    }

    /// Gives back all sequence slots, whatever state it is in.
    pub fn release(&mut self, pool: &mut SequencePool) {
        if let ChunkPhase::Decoding { attempt, .. } = &mut self.phase {
            attempt.release(self.slot, pool);
        }
        if !matches!(self.phase, ChunkPhase::Done(_)) {
            self.phase = ChunkPhase::Abandoned;
        }
    }

    /// Emits what came of an attempt, and continues with whatever the outcome asks for.
    fn close_attempt(
        &mut self,
        decoder: Box<ChunkDecoder>,
        outcome: WindowOutcome,
        accepted: AcceptedAttempt,
    ) {
        if outcome == WindowOutcome::Aligning
            && let Some(request) = decoder.alignment()
        {
            self.phase = ChunkPhase::Aligning { decoder, request, accepted };
            return;
        }
        if outcome == WindowOutcome::Heard {
            return self.next_window(decoder);
        }
        if let WindowOutcome::Segments(count) = outcome {
            let segments = decoder.segments();
            self.emit(ChunkEvent::Segments(segments[segments.len() - count..].to_vec()));
        }
        if outcome != WindowOutcome::Retry {
            let AcceptedAttempt { seek, fallbacks } = accepted;
            let decision = decoder.decision_at(seek).cloned().unwrap_or_default();
            self.emit(ChunkEvent::WindowDone(WindowDone {
                seek,
                frames: decoder.frames_before(seek + decision.frames) - decoder.frames_before(seek),
                fallbacks,
                temperature: decision.temperature,
                rejected: decision.rejected,
                is_silence: outcome == WindowOutcome::Silence,
            }));
        }
        self.next_window(decoder);
    }

    /// Counts one vote on the input's language.
    fn add_vote(&mut self, guess: LanguageGuess, model: &ModelContext) {
        let ChunkPhase::DetectingLanguage(vote) = &mut self.phase else { return };
        if vote.features().is_some() {
            // The slot holds a window that is not the chunk's own.
            self.encoded = None;
        }
        let threshold = self.task.input.options().language_detection_threshold;
        if let Some(guess) = vote.add(guess, threshold) {
            let language = guess.language;
            self.task.input.set_language(language);
            self.emit(ChunkEvent::LanguageDetected(guess));
            self.begin_decoding(language, model);
        }
    }

    /// Sets the language of one window; where the guess is not sure, that of the input.
    fn set_window_language(&mut self, guess: &LanguageGuess) {
        match std::mem::replace(&mut self.phase, ChunkPhase::Abandoned) {
            ChunkPhase::DetectingWindowLanguage(mut decoder, _) => {
                let input = &self.task.input;
                let is_sure = guess.probability() > input.options().language_detection_threshold;
                decoder.set_language(input.language().filter(|_| !is_sure).unwrap_or(guess.language));
                self.begin_attempt(decoder);
            }
            other => self.phase = other,
        }
    }

    fn begin_decoding(&mut self, language: Language, model: &ModelContext) {
        let ChunkTask { input, span, index, .. } = &self.task;
        let handover = if span.follows { input.take_handover(index - 1) } else { None };
        let (tokenizer, options) = (Arc::clone(&model.tokenizer), Arc::clone(input.options()));
        let decoder = ChunkDecoder::new(tokenizer, options, language, model.n_text_ctx, *span, handover);
        let speech = self.task.speech.take();
        self.next_window(Box::new(decoder.with_speech(speech)));
    }

    fn next_window(&mut self, mut decoder: Box<ChunkDecoder>) {
        while let Some((seek, frames)) = decoder.skip_silence() {
            self.emit(ChunkEvent::WindowDone(WindowDone {
                seek,
                frames: decoder.frames_before(seek + frames) - decoder.frames_before(seek),
                is_silence: true,
                ..WindowDone::default()
            }));
        }
        match decoder.request() {
            Some(request) if self.task.input.options().multilingual && request.attempt == 0 => {
                let window = WindowRange { seek: request.seek, frames: request.frames };
                self.phase = ChunkPhase::DetectingWindowLanguage(decoder, window);
            }
            _ => self.begin_attempt(decoder),
        }
    }

    fn begin_attempt(&mut self, decoder: Box<ChunkDecoder>) {
        self.phase = match decoder.request() {
            Some(request) => {
                let attempt = Box::new(Attempt::new(&decoder, request));
                ChunkPhase::Decoding { decoder, attempt }
            }
            None => {
                let decoded = decoder.finish();
                self.task.input.add_handover(self.task.index, decoded.handover.clone());
                ChunkPhase::Done(decoded)
            }
        };
    }

    fn emit(&self, event: ChunkEvent) {
        self.task.input.emit(self.task.index, event);
    }
}
