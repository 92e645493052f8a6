//! Many inputs at a time through one engine: starts their front ends, hears of their chunks, writes what is
//! complete. All that happens comes to one thread, which alone tells about it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::file::File;
use super::frontend::{FrontEnd, Keeping, Reading, Told};
use super::journal::{Journal, Opened};
use super::output;
use super::partial;
use super::permits::Permits;
use super::plan::Item;
use super::voice_report::VoiceReport;
use super::work::Basis;
use super::{Event, Job, Summary, concerns_all};
use crate::cancel::CancelToken;
use crate::decode::DecodeOptions;
use crate::engine::{self, Engine, Recording};
use crate::error::{Error, Result};
use crate::export::{self, sweep_unfinished};
use crate::probe;
use crate::transcript::{ModelIdentity, Quality};

/// Chunks made ahead of the engine's slots.
const AHEAD: usize = 2;

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
    engine: &'a Arc<Engine>,
    identity: &'a ModelIdentity,
    basis: Arc<Basis>,
    options: Arc<DecodeOptions>,
    permits: Permits,
    sender: Sender<Message>,
    messages: Receiver<Message>,
    /// What was told of slots that memory was too short for.
    slots: Option<usize>,
    /// In flight, by their place in the order of inputs.
    files: BTreeMap<usize, File>,
    voice_report: Option<VoiceReport>,
    /// That a journal cannot be written was told once.
    has_warned: bool,
    summary: &'a mut Summary,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<'a> Conductor<'a> {
    pub fn new(
        job: &'a Job,
        cancel: &'a CancelToken,
        engine: &'a Arc<Engine>,
        identity: &'a ModelIdentity,
        basis: Basis,
        summary: &'a mut Summary,
        on_event: &'a mut dyn FnMut(Event<'_>),
    ) -> Self {
        let (sender, messages) = unbounded();
        Self {
            job,
            cancel,
            engine,
            identity,
            basis: Arc::new(basis),
            options: Arc::new(job.decode.clone()),
            permits: Permits::new(engine.capacity().windows + AHEAD),
            sender,
            messages,
            slots: None,
            files: BTreeMap::new(),
            voice_report: None,
            has_warned: false,
            summary,
            on_event,
        }
    }

    /// Tells of speech and silence there.
    pub fn reporting(self, voice_report: Option<VoiceReport>) -> Self {
        Self { voice_report, ..self }
    }

    /// Does all of them; the error is what ended the work before its time.
    pub fn run(mut self, items: Vec<Item>) -> Result<()> {
        let outcome = self.work(items);
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }

    fn work(&mut self, items: Vec<Item>) -> Result<()> {
        let language = self.engine.language_of(&self.options)?;
        let jobs = self.job.jobs.unwrap_or(self.engine.capacity().windows).max(1);
        let count = items.len();
        let mut items = items.into_iter().enumerate();
        loop {
            while self.files.len() < jobs && self.cancel.reason().is_none() {
                let Some((index, item)) = items.next() else { break };
                (self.on_event)(Event::Started { input: &item.name(), number: index + 1, count });
                let recording = self.recording(index);
                language.into_iter().for_each(|language| recording.settle_language(language));
                match self.start(index, item, recording) {
                    Ok(file) => drop(self.files.insert(index, file)),
                    Err(error) => self.failed(error)?,
                }
            }
            if self.files.is_empty() {
                return self.cancel.check();
            }
            match self.messages.recv_timeout(PATIENCE) {
                Ok(message) => self.hear(message)?,
                Err(_) if self.engine.has_ended() => {
                    let message = "its thread has ended".into();
                    return Err(Error::Panicked { during: "decoding", message });
                }
                Err(_) => {}
            }
        }
    }

    fn recording(&self, index: usize) -> Arc<Recording> {
        let sender = self.sender.clone();
        let listener = move |chunk, event| {
            // Nobody listens any more: then nobody needs to know.
            let _ = sender.send(Message { file: index, what: What::Chunk(chunk, event) });
        };
        Arc::new(Recording::new(index, Arc::clone(&self.options), Box::new(listener)))
    }

    fn start(&self, index: usize, item: Item, recording: Arc<Recording>) -> Result<File> {
        let front_end = FrontEnd {
            source: item.source.clone(),
            audio: self.job.audio.clone(),
            chunk_length: self.job.chunk_length,
            selection: self.job.selection.clone(),
            engine: Arc::clone(self.engine),
            recording: Arc::clone(&recording),
            permits: self.permits.clone(),
            cancel: self.cancel.clone(),
            keeping: Keeping {
                path: item.journal.clone(),
                basis: Arc::clone(&self.basis),
                resume: self.job.resume,
            },
            draws: output::is_drawn(&item),
        };
        let sender = self.sender.clone();
        let tell = move |what| drop(sender.send(Message { file: index, what }));
        let thread = std::thread::Builder::new()
            .name("front end".into())
            .spawn(move || {
                let read = front_end.run(|told| tell(What::FrontEnd(told)));
                tell(What::Read(read));
            })
            .map_err(|error| Error::compute("starting a thread", error))?;
        Ok(File::new(item, recording, thread))
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
            Told::Journal(Err(error)) => self.warn(index, &error),
            Told::Journal(Ok(opened)) => {
                let Opened { journal, why, fault, .. } = *opened;
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
                let outcome = file.add_chunk(chunk, decoded);
                outcome.unwrap_or_else(|error| self.warn(index, &error));
                probe::reached("chunk", self.cancel);
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

    /// Tells new text of the first input in flight; that of the others waits for its turn.
    fn tell_text(&mut self) {
        if let Some(file) = self.files.values_mut().next() {
            let segments = file.tell();
            if !segments.is_empty() {
                (self.on_event)(Event::Segments(&segments));
            }
        }
    }

    /// An input that failed; it stays in flight until its thread has ended.
    fn given_up(&mut self, index: usize, error: Error) -> Result<()> {
        self.cancel.check()?;
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        file.recording.give_up();
        match std::mem::replace(&mut file.has_failed, true) {
            true => Ok(()),
            false => self.failed(error),
        }
    }

    /// Whatever else went wrong meanwhile, a request to stop is the reason to tell.
    fn failed(&mut self, error: Error) -> Result<()> {
        self.cancel.check()?;
        if concerns_all(&error) {
            return Err(error);
        }
        (self.on_event)(Event::Failed { error: &error });
        self.summary.failures.push(error);
        Ok(())
    }

    /// Writes an input that is complete, and lets go of one that is complete or has failed.
    fn close(&mut self, index: usize) -> Result<()> {
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        if file.reading.is_none() || !(file.has_failed || file.is_complete()) {
            return Ok(());
        }
        file.join();
        if !file.has_failed {
            match self.write(index) {
                Ok(()) => self.summary.done += 1,
                Err(error) => self.failed(error)?,
            }
        }
        // The text of the one behind it may have been waiting for this; of several, one at a time.
        let was_first = self.files.keys().next() == Some(&index);
        self.files.remove(&index);
        if was_first {
            self.tell_text();
        }
        Ok(())
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        let mut transcript = file.transcript(self.identity, self.engine.tokenizer());
        let quality = Quality::of(&transcript);
        transcript.quality = Some(quality.clone());
        if let Some(journal) = &mut file.journal {
            let outputs = file.item.outputs.iter().map(|(_, path)| path.clone()).collect();
            // It is only read if the outputs are written, and it is not removed.
            let _ = journal.add_writing(outputs);
        }
        for (format, path) in &file.item.outputs {
            probe::reached("write", self.cancel);
            output::write(*format, path, &transcript, &self.job.shape, &file.item.source, self.on_event)?;
        }
        probe::reached("written", self.cancel);
        partial::sweep(&file.item.asked);
        if let Some(journal) = file.journal.take() {
            file.item.asked.iter().for_each(|path| sweep_unfinished(path));
            journal.remove();
        }
        if let Some(report) = &mut self.voice_report {
            report.add(&transcript)?;
        }
        self.summary.audio_seconds += transcript.seconds_asked_for();
        self.summary.coverage.add(&quality.coverage);
        let (input, seconds) = (&file.name, file.started.elapsed().as_secs_f64());
        let cues = export::quality(&export::cues(&transcript, &self.job.shape).list, &self.job.shape);
        let (transcript, quality, cues) = (&transcript, &quality, &cues);
        (self.on_event)(Event::Finished { input, transcript, quality, cues, seconds });
        let ratio = quality.coverage.ratio.unwrap_or(1.0);
        if let Some(least) = self.job.least_coverage.filter(|least| ratio < *least) {
            let (ratio, least) = (ratio * 100.0, least * 100.0);
            let why = format!("only {ratio:.1} % of its speech has text, and {least} % were asked for");
            let error = Error::LimitMissed { limit: format!("`{input}`"), why };
            (self.on_event)(Event::Failed { error: &error });
            self.summary.missed.push(error);
        }
        Ok(())
    }

    /// Lets go of all that is in flight. What is finished stays in the journals, and as far as it has no gap in
    /// partial outputs.
    fn stop(&mut self) {
        self.files.values().for_each(|file| file.recording.give_up());
        self.files.values_mut().for_each(File::join);
        let unheard: Vec<Message> = self.messages.try_iter().collect();
        for Message { file: index, what } in unheard {
            match (what, self.files.get_mut(&index)) {
                (What::Chunk(chunk, engine::Event::ChunkDone(decoded)), Some(file)) => {
                    let outcome = file.add_chunk(chunk, decoded);
                    outcome.unwrap_or_else(|error| self.warn(index, &error));
                }
                (What::FrontEnd(told), Some(_)) => self.hear_front_end(index, told),
                _ => {}
            }
        }
        let files = std::mem::take(&mut self.files);
        let mut kept = 0;
        for mut file in files.into_values().filter(|file| !file.has_failed) {
            kept += usize::from(file.journal.as_ref().is_some_and(Journal::is_useful));
            let Some(transcript) = file.partial(self.identity, self.engine.tokenizer()) else { continue };
            let on_event = &mut *self.on_event;
            let outcome = partial::write(&file, &transcript, &self.job.shape, on_event);
            outcome.unwrap_or_else(|error| on_event(Event::Failed { error: &error }));
        }
        if self.cancel.reason().is_some() {
            (self.on_event)(Event::Stopped { kept: kept + self.summary.done });
        }
    }

    fn progress(&mut self, index: usize) {
        let Some(file) = self.files.get(&index) else { return };
        let sum = |part: fn(&File) -> f64| self.files.values().map(part).sum::<f64>();
        (self.on_event)(Event::Progress {
            input: &file.name,
            in_flight: self.files.len(),
            done: self.summary.audio_seconds + sum(File::seconds_done),
            known: self.summary.audio_seconds + sum(|file| file.length),
            stats: self.engine.stats(),
        });
    }
}
