//! Many inputs at a time: starts their front ends, hears of their chunks, writes what is complete. All that
//! happens comes to one thread, which alone tells about it.

mod feed;
mod finish;
mod start;

pub use start::lanes;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::active_input::File;
use super::front_end::{Reading, Told};
use super::guard::Guard;
use super::models::{Models, Which};
use super::queue::{Queue, Waiting};
use super::session::Feed;
use super::vad_report::VoiceReport;
use super::{Event, Summary};
use crate::cancel::CancelToken;
use crate::engine;
use crate::error::{Error, Result};
use crate::plan::Job;
use crate::plan::PlannedInput;
use crate::store::journal::OpenedJournal;
use crate::test_hooks;
use crate::transcript::Segment;

/// How long to wait for news before asking whether any can come.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the threads tell, and of which input.
pub struct Message {
    file: usize,
    what: What,
}

enum What {
    FrontEnd(Told),
    Read(Result<Reading>),
    Chunk(usize, engine::Event),
}

pub struct Conductor<'a> {
    job: &'a Job,
    cancel: &'a CancelToken,
    models: &'a mut Models,
    queue: Queue,
    guard: Guard,
    /// How many inputs there are.
    count: usize,
    /// There was no room for one more model beside those in use.
    is_crowded: bool,
    sender: Sender<Message>,
    messages: Receiver<Message>,
    /// What was told of slots that memory was too short for.
    slots: Option<usize>,
    /// In flight, by their place in the order of inputs.
    files: BTreeMap<usize, File>,
    /// The first input whose text may still be to come.
    telling: usize,
    /// What those behind it that are over have to tell.
    rests: BTreeMap<usize, Vec<Segment>>,
    voice_report: Option<&'a mut VoiceReport>,
    /// Where more inputs come from.
    feed: Option<Feed<'a>>,
    /// That a journal cannot be written was told once.
    has_warned: bool,
    summary: &'a mut Summary,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<'a> Conductor<'a> {
    pub fn new(
        job: &'a Job,
        cancel: &'a CancelToken,
        models: &'a mut Models,
        summary: &'a mut Summary,
        on_event: &'a mut dyn FnMut(Event<'_>),
    ) -> Self {
        let (sender, messages) = unbounded();
        let guard = Guard::new(job.guard.clone(), models.device().clone());
        Self {
            job,
            cancel,
            models,
            queue: Queue::default(),
            guard,
            count: 0,
            is_crowded: false,
            sender,
            messages,
            slots: None,
            files: BTreeMap::new(),
            telling: 0,
            rests: BTreeMap::new(),
            voice_report: None,
            feed: None,
            has_warned: false,
            summary,
            on_event,
        }
    }

    /// Tells of speech and silence there.
    pub fn reporting(self, voice_report: Option<&'a mut VoiceReport>) -> Self {
        Self { voice_report, ..self }
    }

    /// Does what comes from there, too.
    pub fn fed(self, feed: Feed<'a>) -> Self {
        Self { feed: Some(feed), ..self }
    }

    /// Does all of them; the error is what ended the work before its time.
    pub fn run(mut self, items: Vec<(PlannedInput, Which)>) -> Result<()> {
        self.count = items.len();
        let waiting = items.into_iter().enumerate();
        let waiting = waiting.map(|(index, (item, model))| Waiting { index, item, model });
        let waiting: Vec<Waiting> = waiting.collect();
        // Which one goes first matters to the batch only if there are several at a time.
        let in_order =
            self.job.jobs == Some(1) || waiting.iter().any(|waiting| waiting.item.asked.is_empty());
        self.queue = Queue::new(waiting, in_order);
        let outcome = self.work();
        if outcome.is_err() {
            self.stop();
        }
        self.summary.stats = Some(self.models.stats());
        self.summary.cache = self.models.cache_stats();
        outcome
    }

    fn work(&mut self) -> Result<()> {
        loop {
            self.take_more()?;
            self.start_what_can()?;
            let is_over = self.queue.is_empty() || self.cancel.reason().is_some();
            if self.files.is_empty() && is_over {
                return self.cancel.check();
            }
            match self.messages.recv_timeout(PATIENCE) {
                Ok(message) => self.hear(message)?,
                Err(_) => {
                    self.miss_engines()?;
                    self.models.tidy(self.on_event);
                }
            }
        }
    }

    /// An engine that has ended will never answer; what waits for it has failed.
    fn miss_engines(&mut self) -> Result<()> {
        let lost = self.files.iter().filter(|(_, file)| file.model.engine.has_ended());
        let lost: Vec<usize> = lost.map(|(index, _)| *index).collect();
        for index in lost {
            let message = "its thread has ended".into();
            self.given_up(index, Error::Panicked { during: "decoding", message })?;
            self.close(index)?;
        }
        Ok(())
    }

    fn hear(&mut self, Message { file: index, what }: Message) -> Result<()> {
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        match what {
            What::FrontEnd(told) => self.hear_front_end(index, told),
            What::Read(Ok(reading)) => {
                file.length = reading.duration;
                file.frames_skipped = reading.skipped_frames();
                if !reading.account.missed.is_empty() {
                    let (clips, duration) = (&reading.account.missed[..], reading.duration);
                    (self.on_event)(Event::Missed { input: &file.name, clips, duration });
                }
                if reading.damage.any() {
                    (self.on_event)(Event::Damaged { input: &file.name, damage: &reading.damage });
                }
                file.reading = Some(reading);
            }
            What::Read(Err(error)) => {
                file.reading = Some(Reading::default());
                self.given_up(index, error)?;
            }
            What::Chunk(chunk, event) => self.hear_chunk(index, chunk, event)?,
        }
        self.progress(index);
        self.close(index)
    }

    fn hear_front_end(&mut self, index: usize, told: Told) {
        let Some(file) = self.files.get_mut(&index) else { return };
        match told {
            Told::Progress { read, claimed, skipped } => {
                file.length = claimed.unwrap_or(0.0).max(read);
                file.frames_skipped = skipped;
            }
            Told::Language(guess) => file.guess = Some(*guess),
            Told::Origin(origin) => file.origin = Some(*origin),
            Told::Journal(Err(error)) => self.warn(index, &error),
            Told::Journal(Ok(opened)) => {
                let OpenedJournal { journal, why, fault, .. } = *opened;
                let (input, kept) = (&file.name, journal.is_useful());
                why.into_iter().for_each(|why| (self.on_event)(Event::Renewed { input, why, kept }));
                file.journal = Some(journal);
                fault.into_iter().for_each(|error| self.warn(index, &error));
            }
            Told::Made(chunk, place) => file.add_place(chunk, place),
            Told::Kept(finished) => {
                if !file.has_resumed() {
                    (self.on_event)(Event::Resumed { input: &file.name });
                }
                file.add_place(finished.index, finished.place);
                (self.on_event)(file.chunk_done(finished.index, &finished.decoded, true));
                file.add_kept(*finished);
                self.tell_text();
            }
            Told::Discarded(from) => {
                let why = "the audio lies otherwise";
                (self.on_event)(Event::Renewed { input: &file.name, why, kept: from > 0 });
                let outcome = file.journal.as_mut().map_or(Ok(()), |journal| journal.discard(from));
                outcome.unwrap_or_else(|error| self.warn(index, &error));
            }
        }
    }

    /// A journal that cannot be written is no reason not to work.
    fn warn(&mut self, index: usize, error: &io::Error) {
        if let Some(file) = self.files.get(&index).filter(|_| !self.has_warned) {
            self.has_warned = true;
            (self.on_event)(Event::NotKept { input: &file.name, error });
        }
    }

    fn hear_chunk(&mut self, index: usize, chunk: usize, event: engine::Event) -> Result<()> {
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        match event {
            engine::Event::LanguageDetected(guess) => {
                (self.on_event)(Event::Language { input: &file.name, guess: &guess });
                let outcome = file.keep_language(guess);
                outcome.unwrap_or_else(|error| self.warn(index, &error));
            }
            engine::Event::Segments(segments) => file.add_segments(chunk, segments),
            engine::Event::WindowDone(window) => {
                file.add_frames(window.frames);
                (self.on_event)(Event::Window { input: &file.name, window });
            }
            engine::Event::ChunkDone(decoded) => {
                (self.on_event)(file.chunk_done(chunk, &decoded, false));
                let outcome = file.add_chunk(chunk, decoded);
                outcome.unwrap_or_else(|error| self.warn(index, &error));
                test_hooks::reached("chunk", self.cancel);
            }
            engine::Event::Released(footprint) => {
                self.summary.peak(&footprint.memory);
                (self.on_event)(Event::Released { input: &file.name, chunk, footprint });
            }
            engine::Event::SlotsReduced { slots } => {
                if self.slots.replace(slots) != Some(slots) {
                    (self.on_event)(Event::SlotsReduced { slots });
                }
            }
            engine::Event::Failed(error) => return self.given_up(index, error),
        }
        self.tell_text();
        Ok(())
    }

    /// Tells new text of the first input that is not over; that of the others waits for its turn.
    fn tell_text(&mut self) {
        loop {
            let (segments, is_over) = match self.files.get_mut(&self.telling) {
                Some(file) => (file.tell(), false),
                None => match self.rests.remove(&self.telling) {
                    Some(rest) => (rest, true),
                    None => return,
                },
            };
            if !segments.is_empty() {
                (self.on_event)(Event::Segments(&segments));
            }
            if !is_over {
                return;
            }
            self.telling += 1;
        }
    }

    /// The input is over, and this is what it has still to tell when its turn comes.
    fn is_over(&mut self, index: usize, rest: Vec<Segment>) {
        self.rests.insert(index, rest);
        self.tell_text();
    }

    fn progress(&mut self, index: usize) {
        let Some(file) = self.files.get(&index) else { return };
        let sum = |part: fn(&File) -> f64| self.files.values().map(part).sum::<f64>();
        (self.on_event)(Event::Progress {
            input: &file.name,
            in_flight: self.files.len(),
            done: self.summary.audio_seconds + sum(File::seconds_done),
            known: self.summary.audio_seconds + sum(|file| file.length),
            input_done: file.seconds_done(),
            input_known: file.length,
            stats: self.models.stats(),
        });
    }
}
