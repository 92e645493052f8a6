//! One chunk in work at its window slot: what it needs next, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use super::attempt::{Attempt, Finished};
use super::language;
use super::search::Needs;
use super::seats::Seats;
use super::{Ear, Event, Recording, Task, WindowDone};
use crate::decode::{
    AlignRequest, Alignment, Chunk, DecodedChunk, Language, LanguageGuess, Outcome, Tokenizer,
};
use crate::error::{Error, Result};
use crate::models::{AheadInput, AlignInput, Backend, Chosen, RowInput};
use crate::time::WINDOW_FRAMES;

/// Frames from a place in the recording: what is to lie in the window slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub seek: usize,
    pub frames: usize,
}

/// See the module. It holds a window slot from its first window to its last.
pub struct Desk {
    task: Task,
    /// The window slot, and the sequence slot that belongs to it.
    slot: usize,
    encoded: Option<Window>,
    work: Work,
    /// Only for the start token: whose logits tell the language.
    start: [u32; 1],
    opened: Instant,
}

/// A finished chunk, after which nothing is held any more.
pub struct Finish {
    pub recording: Arc<Recording>,
    pub index: usize,
    pub decoded: DecodedChunk,
    pub opened: Instant,
}

enum Work {
    /// The language is not known yet.
    Listening(Listening),
    /// It is asked for anew at this window.
    Asking(Box<Chunk>, Window),
    Decoding {
        chunk: Box<Chunk>,
        attempt: Box<Attempt>,
    },
    /// The text of a window is known, and its words are to be timed.
    Aligning {
        chunk: Box<Chunk>,
        request: AlignRequest,
        ended: Ended,
    },
    /// Its last window is done, or it has none.
    Done(DecodedChunk),
    /// It gave up its place.
    Left,
}

/// The attempt that a window needs no other after.
#[derive(Debug, Clone, Copy)]
struct Ended {
    seek: usize,
    fallbacks: usize,
}

/// Windows that have a vote on the language: what those before `at` said, and those that are left.
struct Listening {
    ears: Vec<Ear>,
    at: usize,
    heard: Vec<LanguageGuess>,
}

/// What all desks share.
pub struct Model {
    pub tokenizer: Arc<Tokenizer>,
    pub n_text_ctx: usize,
}

impl Desk {
    pub fn open(task: Task, slot: usize, model: &Model) -> Self {
        let start = [model.tokenizer.special().sot];
        let mut desk = Desk { task, slot, encoded: None, work: Work::Left, start, opened: Instant::now() };
        if let Some(language) = desk.task.recording.language() {
            desk.begin(language, model);
        } else {
            desk.listen();
        }
        desk
    }

    /// Whether a chunk can be worked on: the language is known or to be found out by it, and what it goes on
    /// from is there.
    pub fn can_open(task: &Task) -> bool {
        let is_settled = task.recording.language().is_some() || task.index == 0;
        is_settled && (!task.follows || task.recording.handovers().contains_key(&(task.index - 1)))
    }

    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Loses its slot and its seats: the window will be encoded again, and the attempt begins anew.
    pub fn park(&mut self) {
        self.encoded = None;
        if let Work::Decoding { chunk, attempt } = &mut self.work
            && let Some(request) = chunk.request()
        {
            **attempt = Attempt::new(chunk, request);
        }
    }

    pub fn sit_at(&mut self, slot: usize) {
        self.slot = slot;
    }

    pub fn recording(&self) -> &Arc<Recording> {
        &self.task.recording
    }

    pub fn index(&self) -> usize {
        self.task.index
    }

    /// The window to encode before anything else.
    pub fn missing_window(&self) -> Option<Window> {
        let wanted = match &self.work {
            // A whole window even of short audio: what follows its end is then silence rather than nothing.
            Work::Listening(listening) => {
                Window { seek: listening.ears[listening.at].seek, frames: WINDOW_FRAMES }
            }
            Work::Asking(_, window) => *window,
            Work::Decoding { attempt, .. } => {
                Window { seek: attempt.request.seek, frames: attempt.request.frames }
            }
            Work::Aligning { request, .. } => Window { seek: request.seek, frames: request.frames },
            Work::Done(_) | Work::Left => return None,
        };
        Some(wanted).filter(|wanted| self.encoded != Some(*wanted))
    }

    pub fn mel(&mut self, window: Window, out: &mut Vec<f32>) -> Result<()> {
        let other = match &mut self.work {
            Work::Listening(listening) => listening.ears[listening.at].features.as_mut(),
            _ => None,
        };
        other.unwrap_or(&mut self.task.features).window(window.seek, window.frames, out)
    }

    pub fn has_heard(&mut self, window: Window) {
        self.encoded = Some(window);
    }

    /// What to feed to the decoder.
    pub fn rows<'a>(&'a self, out: &mut Vec<RowInput<'a>>) {
        match &self.work {
            Work::Listening(_) | Work::Asking(..) => out.push(RowInput {
                sequence: self.slot,
                window: self.slot,
                position: 0,
                tokens: &self.start,
                logits_after: &[0],
            }),
            Work::Decoding { attempt, .. } => attempt.rows(self.slot, out),
            Work::Aligning { .. } | Work::Done(_) | Work::Left => {}
        }
    }

    /// Takes the logits of all its rows, and counts the tokens chosen.
    pub fn accept(&mut self, logits: &mut [f32], model: &Model) -> Result<u64> {
        match &mut self.work {
            Work::Listening(_) => self.hear(language::guess(&model.tokenizer, logits)?, model).map(|()| 0),
            Work::Asking(..) => self.answer(&language::guess(&model.tokenizer, logits)?).map(|()| 0),
            Work::Decoding { attempt, .. } => attempt.accept(logits, model.tokenizer.special().no_speech),
            Work::Aligning { .. } | Work::Done(_) | Work::Left => Ok(0),
        }
    }

    /// What it must be given to go on.
    pub fn needs(&self) -> Needs {
        match &self.work {
            Work::Decoding { attempt, .. } => attempt.needs(),
            _ => Needs::Scores,
        }
    }

    pub fn ahead<'a>(&'a self, steps: usize, out: &mut Vec<AheadInput<'a>>) {
        if let Work::Decoding { attempt, .. } = &self.work {
            attempt.ahead(self.slot, steps, out);
        }
    }

    /// Takes what each of its sequences chose, and counts the tokens.
    pub fn take_chosen(&mut self, chosen: &[Chosen]) -> Result<u64> {
        match &mut self.work {
            Work::Decoding { attempt, .. } => attempt.take_chosen(chosen),
            _ => Ok(0),
        }
    }

    /// Seats who waits for a seat, and takes the result of an attempt that is finished. The tokens chosen, and
    /// whether a window went into another attempt.
    pub fn settle(&mut self, seats: &mut Seats, backend: &mut dyn Backend) -> Result<(u64, bool)> {
        let Work::Decoding { attempt, .. } = &mut self.work else { return Ok((0, false)) };
        let tokens = attempt.seat(self.slot, seats, backend)?;
        if !attempt.is_finished() {
            return Ok((tokens, false));
        }
        attempt.abandon(self.slot, seats);
        let Work::Decoding { mut chunk, attempt } = std::mem::replace(&mut self.work, Work::Left) else {
            return Ok((tokens, false));
        };
        let Finished { request, found, no_speech_prob } = attempt.finish();
        let result = chunk.choose(&request, &found, no_speech_prob);
        let (seek, fallbacks) = (request.seek, request.attempt);
        let outcome = chunk.accept(result);
        self.conclude(chunk, outcome, Ended { seek, fallbacks });
        Ok((tokens, outcome == Outcome::Retry && fallbacks == 0))
    }

    /// What to find in the window, if words are to be timed.
    pub fn alignment(&self, model: &Model) -> Option<AlignInput<'_>> {
        let Work::Aligning { request, .. } = &self.work else { return None };
        Some(AlignInput {
            sequence: self.slot,
            window: self.slot,
            tokens: &request.tokens,
            text: request.text.clone(),
            ticks: request.ticks(),
            n_text: model.tokenizer.special().eot as usize,
        })
    }

    pub fn take_words(&mut self, alignment: &Alignment) -> Result<()> {
        if alignment.probabilities.iter().any(|probability| probability.is_nan()) {
            return Err(Error::compute("timing words", "the model's output is not a number"));
        }
        match std::mem::replace(&mut self.work, Work::Left) {
            Work::Aligning { mut chunk, ended, .. } => {
                let outcome = chunk.take_words(alignment);
                self.conclude(chunk, outcome, ended);
            }
            other => self.work = other,
        }
        Ok(())
    }

    /// Tells what came of a window, and goes on.
    fn conclude(&mut self, chunk: Box<Chunk>, outcome: Outcome, ended: Ended) {
        if outcome == Outcome::Aligning
            && let Some(request) = chunk.alignment()
        {
            self.work = Work::Aligning { chunk, request, ended };
            return;
        }
        if let Outcome::Segments(count) = outcome {
            let segments = chunk.segments();
            self.tell(Event::Segments(segments[segments.len() - count..].to_vec()));
        }
        if outcome != Outcome::Retry {
            let Ended { seek, fallbacks } = ended;
            let taken = chunk.decisions().last().cloned().unwrap_or_default();
            self.tell(Event::WindowDone(WindowDone {
                seek,
                frames: chunk.frames_done().saturating_sub(chunk.frames_before(seek)),
                fallbacks,
                temperature: taken.temperature,
                rejected: taken.rejected,
                is_silence: outcome == Outcome::Silence,
            }));
        }
        self.next(chunk);
    }

    pub fn is_done(&self) -> bool {
        matches!(self.work, Work::Done(_) | Work::Left)
    }

    /// What came of the chunk if it is finished; all that the desk held is let go of.
    pub fn finish(self) -> Option<Finish> {
        let Work::Done(decoded) = self.work else { return None };
        let Task { recording, index, .. } = self.task;
        Some(Finish { recording, index, decoded, opened: self.opened })
    }

    /// Leaves the slot in the midst of its work.
    pub fn abandon(&mut self, seats: &mut Seats) {
        if let Work::Decoding { attempt, .. } = &mut self.work {
            attempt.abandon(self.slot, seats);
        }
        if !matches!(self.work, Work::Done(_)) {
            self.work = Work::Left;
        }
    }

    fn listen(&mut self) {
        let mut ears = self.task.recording.take_ears();
        let first = self.task.stretch.first;
        // Its own windows need not be encoded twice.
        ears.iter_mut().filter(|ear| ear.seek == first).for_each(|ear| ear.features = None);
        if ears.is_empty() {
            ears.push(Ear { seek: first, features: None });
        }
        self.work = Work::Listening(Listening { ears, at: 0, heard: Vec::new() });
    }

    /// One more vote on the recording's language.
    fn hear(&mut self, guess: LanguageGuess, model: &Model) -> Result<()> {
        let Work::Listening(listening) = &mut self.work else { return Ok(()) };
        listening.heard.push(guess);
        if listening.ears[listening.at].features.is_some() {
            // No window of the chunk's own.
            self.encoded = None;
        }
        listening.at += 1;
        let are_all = listening.at == listening.ears.len();
        let threshold = self.task.recording.options.language_detection_threshold;
        if let Some(guess) = language::verdict(&listening.heard, threshold, are_all) {
            let language = guess.language;
            self.task.recording.settle_language(language);
            self.tell(Event::LanguageDetected(guess));
            self.begin(language, model);
        }
        Ok(())
    }

    /// The language of one window; where it is not clear, that of the recording.
    fn answer(&mut self, guess: &LanguageGuess) -> Result<()> {
        let Work::Asking(mut chunk, _) = std::mem::replace(&mut self.work, Work::Left) else { return Ok(()) };
        let recording = &self.task.recording;
        let is_sure = guess.probability() > recording.options.language_detection_threshold;
        chunk.speak(recording.language().filter(|_| !is_sure).unwrap_or(guess.language));
        self.decode(chunk);
        Ok(())
    }

    fn begin(&mut self, language: Language, model: &Model) {
        let Task { recording, stretch, follows, index, .. } = &self.task;
        let from = if *follows { recording.handovers().remove(&(index - 1)) } else { None };
        let (tokenizer, options) = (Arc::clone(&model.tokenizer), Arc::clone(&recording.options));
        let chunk = Chunk::new(tokenizer, options, language, model.n_text_ctx, *stretch, from);
        self.next(Box::new(chunk));
    }

    /// The next window, or the end.
    fn next(&mut self, chunk: Box<Chunk>) {
        match chunk.request() {
            Some(request) if self.task.recording.options.multilingual && request.attempt == 0 => {
                self.work = Work::Asking(chunk, Window { seek: request.seek, frames: request.frames });
            }
            _ => self.decode(chunk),
        }
    }

    fn decode(&mut self, chunk: Box<Chunk>) {
        self.work = match chunk.request() {
            Some(request) => {
                let attempt = Box::new(Attempt::new(&chunk, request));
                Work::Decoding { chunk, attempt }
            }
            None => {
                let decoded = chunk.finish();
                self.task.recording.hand_over(self.task.index, decoded.handover.clone());
                Work::Done(decoded)
            }
        };
    }

    fn tell(&self, event: Event) {
        self.task.recording.tell(self.task.index, event);
    }
}
