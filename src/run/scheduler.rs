//! Runs many inputs side by side: starts their front ends, collects their chunks, writes complete ones.
//!
//! Everything that happens reaches one thread as messages, and only that thread emits events.

mod finish;
mod intake;
mod start;

pub use start::decoder_threads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};

use super::active_input::ActiveInput;
use super::event::ChunkFigures;
use super::feed::Feed;
use super::front_end::{FrontEndEvent, FrontEndResult};
use super::guard::Guard;
use super::models::{ModelId, ModelSet};
use super::queue::{PendingInput, StartQueue};
use super::speakers::SpeakerSetups;
use super::vad_report::VadReport;
use super::{RunContext, RunEvent, RunRequest, TextEvents};
use crate::engine;
use crate::error::{Error, Result};
use crate::plan::{InputName, PlannedInput};
use crate::store::journal::OpenedJournal;
use crate::test_hooks;
use crate::transcript::Segment;

/// How long to wait for a message before looking for engines that have ended and for idle models.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(500);

/// What happened to one input, as its threads report it.
pub struct InputMessage {
    input: usize,
    kind: MessageKind,
}

enum MessageKind {
    FrontEnd(FrontEndEvent),
    FrontEndDone(Result<FrontEndResult>),
    Chunk(usize, engine::ChunkEvent),
}

/// What is still to be emitted of an input that has ended.
#[derive(Default)]
struct EndedText {
    segments: Vec<Segment>,
    /// Its whole output, if that is printed.
    output: Option<Arc<[u8]>>,
}

/// See the module. Inputs are named by their position in the order that was given.
pub struct Scheduler<'a> {
    request: &'a RunRequest,
    context: RunContext<'a>,
    models: &'a mut ModelSet,
    vad_report: Option<&'a mut VadReport>,
    speakers: &'a mut SpeakerSetups,
    feed: Option<Feed<'a>>,
    queue: StartQueue,
    guard: Guard,
    /// Inputs known so far.
    count: usize,
    /// Whatever goes wrong with an input fails only that one.
    isolates_inputs: bool,
    /// There was no memory for one more model beside those in use.
    is_short_of_models: bool,
    sender: Sender<InputMessage>,
    messages: Receiver<InputMessage>,
    active: BTreeMap<usize, ActiveInput>,
    /// The number of window slots in the last event about a reduction.
    reduced_slots: Option<usize>,
    /// The first input whose text is not completely emitted.
    next_text: usize,
    /// Text of later inputs that have ended already.
    pending_text: BTreeMap<usize, (InputName, EndedText)>,
    has_warned_of_journal: bool,
    has_noted_ffmpeg: bool,
    finished_inputs: usize,
    /// Seconds of audio of the finished inputs.
    finished_seconds: f64,
}

impl<'a> Scheduler<'a> {
    pub fn new(
        request: &'a RunRequest,
        context: RunContext<'a>,
        models: &'a mut ModelSet,
        speakers: &'a mut SpeakerSetups,
        vad_report: Option<&'a mut VadReport>,
    ) -> Self {
        let (sender, messages) = unbounded();
        let guard = Guard::new(request.guard.clone(), models.device().clone());
        Self {
            request,
            context,
            models,
            vad_report,
            speakers,
            feed: None,
            queue: StartQueue::default(),
            guard,
            count: 0,
            isolates_inputs: false,
            is_short_of_models: false,
            sender,
            messages,
            active: BTreeMap::new(),
            reduced_slots: None,
            next_text: 0,
            pending_text: BTreeMap::new(),
            has_warned_of_journal: false,
            has_noted_ffmpeg: false,
            finished_inputs: 0,
            finished_seconds: 0.0,
        }
    }

    /// Also transcribes the inputs that the feed supplies.
    pub fn with_feed(self, feed: Feed<'a>) -> Self {
        Self { feed: Some(feed), ..self }
    }

    /// Transcribes all inputs. The error is what ended the run early.
    pub fn run(mut self, items: Vec<(PlannedInput, ModelId)>) -> Result<()> {
        self.count = items.len();
        let pending = items.into_iter().enumerate();
        let pending: Vec<PendingInput> =
            pending.map(|(index, (item, model))| PendingInput { index, item, model }).collect();
        // Starting the longest first pays off only if several run at a time, and text must come in the given order.
        let in_order =
            self.request.jobs == Some(1) || pending.iter().any(|input| input.item.requested.is_empty());
        self.queue = StartQueue::new(pending, in_order);
        let outcome = self.run_to_end();
        if outcome.is_err() {
            self.stop();
        }
        self.context.emit(RunEvent::EngineStats(self.models.stats()));
        outcome
    }

    fn run_to_end(&mut self) -> Result<()> {
        loop {
            self.take_from_feed()?;
            self.start_ready_inputs()?;
            let is_drained = self.queue.is_empty() || self.context.is_cancelled();
            if self.active.is_empty() && is_drained {
                return self.context.check();
            }
            self.wait_for_message()?;
        }
    }

    /// Handles the next message; returns without one if there is news in the feed, or none for some time.
    fn wait_for_message(&mut self) -> Result<()> {
        let wake = self.feed.as_ref().map_or_else(never, |feed| feed.wake.clone());
        let message = select! {
            recv(self.messages) -> message => message.ok(),
            recv(wake) -> _ => return Ok(()),
            default(MESSAGE_TIMEOUT) => None,
        };
        match message {
            Some(message) => self.on_message(message),
            None => {
                self.fail_inputs_of_ended_engines()?;
                self.models.close_idle(self.context);
                Ok(())
            }
        }
    }

    /// Fails inputs whose engine has ended and will never answer.
    fn fail_inputs_of_ended_engines(&mut self) -> Result<()> {
        let lost = self.active.iter().filter(|(_, input)| input.model.engine.has_ended());
        let lost: Vec<usize> = lost.map(|(index, _)| *index).collect();
        for index in lost {
            let message = "its thread has ended".into();
            self.fail_active(index, Error::Panicked { during: "decoding", message })?;
            self.close_if_ended(index)?;
        }
        Ok(())
    }

    fn on_message(&mut self, InputMessage { input: index, kind }: InputMessage) -> Result<()> {
        let Some(input) = self.active.get_mut(&index) else { return Ok(()) };
        match kind {
            MessageKind::FrontEnd(event) => self.on_front_end(index, event),
            MessageKind::FrontEndDone(Ok(result)) => {
                input.set_length(result.duration, result.skipped_frames());
                let name = &input.name;
                if !result.split.missed_clips.is_empty() {
                    let (clips, duration) = (result.split.missed_clips.clone(), result.duration);
                    self.context.emit(RunEvent::ClipsOutOfRange { input: name.clone(), clips, duration });
                }
                if result.damage.any() {
                    let damage = result.damage.clone();
                    self.context.emit(RunEvent::Damaged { input: name.clone(), damage });
                }
                input.front_end = Some(result);
            }
            MessageKind::FrontEndDone(Err(error)) => {
                input.front_end = Some(FrontEndResult::default());
                let title = input.item.title.as_ref().map(|_| input.name.clone());
                let error = title.into_iter().fold(error, Error::about_input);
                self.fail_active(index, error)?;
            }
            MessageKind::Chunk(chunk, event) => self.on_chunk(index, chunk, event)?,
        }
        self.emit_progress(index);
        self.close_if_ended(index)
    }

    fn on_front_end(&mut self, index: usize, event: FrontEndEvent) {
        let Some(input) = self.active.get_mut(&index) else { return };
        match event {
            FrontEndEvent::Progress { read, claimed, skipped } => {
                input.set_length(claimed.unwrap_or(0.0).max(read), skipped);
            }
            // Once is enough to know.
            FrontEndEvent::FfmpegUsed if self.has_noted_ffmpeg => {}
            FrontEndEvent::FfmpegUsed => {
                self.has_noted_ffmpeg = true;
                let text =
                    "decoded with `ffmpeg`, as all inputs that the built-in decoders do not know".into();
                self.context.emit(RunEvent::Note { input: input.name.clone(), text });
            }
            FrontEndEvent::LanguageResumed(guess) => input.guess = Some(*guess),
            FrontEndEvent::Fingerprinted(origin) => input.origin = Some(*origin),
            FrontEndEvent::JournalOpened(Err(error)) => self.warn_of_journal(index, &error),
            FrontEndEvent::JournalOpened(Ok(opened)) => {
                let OpenedJournal { journal, discard_reason, write_error, .. } = *opened;
                let (name, keeps_some) = (input.name.clone(), journal.is_resumable());
                input.journal = Some(journal);
                if let Some(why) = discard_reason {
                    self.context.emit(RunEvent::ResumeDiscarded { input: name, why, keeps_some });
                }
                write_error.into_iter().for_each(|error| self.warn_of_journal(index, &error));
            }
            FrontEndEvent::ChunkMade(chunk, span) => input.add_span(chunk, span),
            FrontEndEvent::ChunkResumed(finished) => {
                if !input.has_resumed() {
                    self.context.emit(RunEvent::Resumed { input: input.name.clone() });
                }
                input.add_span(finished.index, finished.span);
                let figures = ChunkFigures::of(&finished.decoded);
                self.context.emit(input.chunk_done(finished.index, figures, true));
                input.add_resumed(*finished);
                self.emit_text();
            }
            FrontEndEvent::ResumeEnded(from) => {
                let why = "the audio is cut differently";
                let (name, keeps_some) = (input.name.clone(), from > 0);
                let outcome = input.journal.as_mut().map_or(Ok(()), |journal| journal.append_discard(from));
                self.context.emit(RunEvent::ResumeDiscarded { input: name, why, keeps_some });
                outcome.unwrap_or_else(|error| self.warn_of_journal(index, &error));
            }
        }
    }

    /// Emits that a journal cannot be written: a reason to warn once, not to stop.
    fn warn_of_journal(&mut self, index: usize, error: &std::io::Error) {
        if let Some(input) = self.active.get(&index).filter(|_| !self.has_warned_of_journal) {
            self.has_warned_of_journal = true;
            let (input, why) = (input.name.clone(), error.to_string());
            self.context.emit(RunEvent::JournalUnavailable { input, why });
        }
    }

    fn on_chunk(&mut self, index: usize, chunk: usize, event: engine::ChunkEvent) -> Result<()> {
        let Some(input) = self.active.get_mut(&index) else { return Ok(()) };
        let name = || input.name.clone();
        match event {
            engine::ChunkEvent::LanguageDetected(guess) => {
                self.context.emit(RunEvent::LanguageDetected { input: name(), guess: guess.clone() });
                let outcome = input.set_language(guess);
                outcome.unwrap_or_else(|error| self.warn_of_journal(index, &error));
            }
            engine::ChunkEvent::Segments(segments) => input.add_segments(chunk, segments),
            engine::ChunkEvent::WindowDone(window) => {
                let frames = window.frames;
                self.context.emit(RunEvent::WindowDone { input: name(), window });
                input.add_frames(frames);
            }
            engine::ChunkEvent::ChunkDone(decoded) => {
                self.context.emit(input.chunk_done(chunk, ChunkFigures::of(&decoded), false));
                let outcome = input.add_chunk(chunk, decoded);
                outcome.unwrap_or_else(|error| self.warn_of_journal(index, &error));
                test_hooks::reached("chunk", self.context.cancel);
            }
            engine::ChunkEvent::Released(footprint) => {
                self.context.emit(RunEvent::MemoryReleased { input: name(), chunk, footprint });
            }
            engine::ChunkEvent::SlotsReduced { slots } => {
                if self.reduced_slots.replace(slots) != Some(slots) {
                    self.context.emit(RunEvent::SlotsReduced { slots });
                }
            }
            engine::ChunkEvent::Failed(error) => return self.fail_active(index, error),
        }
        self.emit_text();
        Ok(())
    }

    /// Emits new text of the first input that has not ended; the text of later ones waits for its turn, if it has to.
    fn emit_text(&mut self) {
        if self.request.text == TextEvents::AllAtOnce {
            for input in self.active.values_mut() {
                let (input, segments) = (input.name.clone(), input.take_text());
                if !segments.is_empty() {
                    self.context.emit(RunEvent::Segments { input, segments });
                }
            }
            return;
        }
        loop {
            let (name, text, has_ended) = match self.active.get_mut(&self.next_text) {
                Some(input) => {
                    let text = EndedText { segments: input.take_text(), output: None };
                    (input.name.clone(), text, false)
                }
                None => match self.pending_text.remove(&self.next_text) {
                    Some((name, rest)) => (name, rest, true),
                    None => return,
                },
            };
            let EndedText { segments, output } = text;
            if !segments.is_empty() {
                self.context.emit(RunEvent::Segments { input: name.clone(), segments });
            }
            if let Some(content) = output {
                self.context.emit(RunEvent::Printed { input: name, content });
            }
            if !has_ended {
                return;
            }
            self.next_text += 1;
        }
    }

    /// Notes that an input has ended, with what is still to be emitted when its turn comes.
    fn end_text(&mut self, index: usize, name: InputName, rest: EndedText) {
        if self.request.text == TextEvents::AllAtOnce {
            if !rest.segments.is_empty() {
                self.context.emit(RunEvent::Segments { input: name, segments: rest.segments });
            }
            return;
        }
        self.pending_text.insert(index, (name, rest));
        self.emit_text();
    }

    fn emit_progress(&mut self, index: usize) {
        let Some(input) = self.active.get(&index) else { return };
        let sum = |part: fn(&ActiveInput) -> f64| self.active.values().map(part).sum::<f64>();
        self.context.emit(RunEvent::Progress {
            input: input.name.clone(),
            in_flight: self.active.len(),
            done: self.finished_seconds + sum(ActiveInput::seconds_done),
            known: self.finished_seconds + sum(ActiveInput::length),
            input_done: input.seconds_done(),
            input_known: input.length(),
            stats: self.models.stats(),
        });
    }
}
