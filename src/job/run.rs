//! Does the job: finds and loads the model once, then takes one input after the other.
//!
//! One input that fails does not keep the others from being done; what concerns them all ends the job.

use std::io::{self, Read};
use std::time::Instant;

use super::frontend::{FrontEnd, measure};
use super::plan::{Item, Plan, Source, plan};
use super::{AUTO, Event, Job};
use crate::audio::AudioInput;
use crate::backend::hub::Download;
use crate::backend::{Capacity, Model, load, source};
use crate::cancel::CancelToken;
use crate::device;
use crate::engine::{self, Decoded};
use crate::error::{Error, Result};
use crate::export::write_file;
use crate::time::{seconds_of_frames, seconds_of_samples};
use crate::transcript::{Damage, ModelIdentity, Transcript};

/// What became of the inputs.
#[derive(Debug, Default)]
pub struct Summary {
    pub done: usize,
    pub skipped: usize,
    /// Of the inputs that were given up; each was told in an event.
    pub failures: Vec<Error>,
}

/// Does all of it. The error is what ended the job before its time, several faults if the plan is wrong.
pub fn run(
    job: &Job,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, Vec<Error>> {
    let Plan { items } = plan(&job.inputs, &job.plan)?;
    let mut summary = Summary::default();
    let (done, todo): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.is_done);
    for item in &done {
        on_event(Event::Skipped { input: &item.name() });
        summary.skipped += 1;
    }
    if todo.is_empty() {
        return Ok(summary);
    }
    let mut worker = Worker::prepare(job, cancel, on_event).map_err(|error| vec![error])?;
    for (index, item) in todo.iter().enumerate() {
        let input = item.name();
        on_event(Event::Started { input: &input, number: index + 1, count: todo.len() });
        // Whatever else went wrong meanwhile, a request to stop is the reason to tell.
        match worker.transcribe(item, on_event).map_err(|error| cancel.check().err().unwrap_or(error)) {
            Ok(()) => summary.done += 1,
            Err(error) if concerns_all(&error) => return Err(vec![error]),
            Err(error) => {
                on_event(Event::Failed { error: &error });
                summary.failures.push(error);
            }
        }
    }
    Ok(summary)
}

/// Whether the next input would fare no better.
fn concerns_all(error: &Error) -> bool {
    match error {
        Error::Input { .. }
        | Error::Output { .. }
        | Error::Compute { .. }
        | Error::Panicked { .. }
        | Error::Closed { .. }
        | Error::Close { .. } => false,
        Error::Usage { .. }
        | Error::Model { .. }
        | Error::Device { .. }
        | Error::OutOfMemory { .. }
        | Error::Cancelled(_) => true,
        Error::Shared(error) => concerns_all(error),
    }
}

/// The loaded model and what it is to do with every input.
struct Worker<'a> {
    job: &'a Job,
    cancel: &'a CancelToken,
    model: Model,
    identity: ModelIdentity,
}

impl<'a> Worker<'a> {
    fn prepare(job: &'a Job, cancel: &'a CancelToken, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Self> {
        let device = device::select(job.device)?;
        let name = match job.model.name.as_str() {
            AUTO if device.is_accelerator() => "large-v3-turbo",
            AUTO => "base",
            name => name,
        };
        let revision = job.model.revision.as_deref();
        let mut on_download = |download: Download<'_>| on_event(Event::Download(download));
        let checkpoint = source::find(name, revision, &job.model.hub, cancel, &mut on_download)?;
        cancel.check()?;
        on_event(Event::Loading { model: &checkpoint.name, device: &device.name });
        let started = Instant::now();
        let revision = Some(checkpoint.identity.clone());
        let identity = ModelIdentity { name: checkpoint.name.clone(), revision };
        let samples_needed = job.decode.temperatures.iter().any(|t| *t > 0.0);
        let sequences = job.decode.best_of.filter(|_| samples_needed).unwrap_or(1);
        let model = load(checkpoint, &device, Capacity { windows: 1, sequences })?;
        let seconds = started.elapsed().as_secs_f64();
        on_event(Event::Loaded { identity: &identity, device: &device.name, seconds });
        Ok(Self { job, cancel, model, identity })
    }

    /// One input, from its bytes to its files.
    fn transcribe(&mut self, item: &Item, on_event: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        self.cancel.check()?;
        let started = Instant::now();
        let audio = match &item.source {
            Source::File(path) => AudioInput::file(path)?,
            Source::Stdin => {
                AudioInput::reader("-", Stoppable { from: io::stdin().lock(), cancel: self.cancel })?
            }
        };
        let transcript = self.listen(&audio, on_event)?;
        for (format, path) in &item.outputs {
            write_file(path, &format.exporter().write(&transcript))?;
            on_event(Event::Written { path });
        }
        let seconds = started.elapsed().as_secs_f64();
        on_event(Event::Finished { input: audio.name(), transcript: &transcript, seconds });
        Ok(())
    }

    fn listen(&mut self, audio: &AudioInput, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Transcript> {
        let input = audio.name();
        let bins = self.model.backend.spec().n_mels;
        let mut reader = audio.open(&self.job.audio)?;
        let claimed = reader.duration_hint();
        let extent = measure(&mut reader, bins, self.cancel, |samples| {
            on_event(Event::Measured { input, seconds: seconds_of_samples(samples), claimed });
        })?;
        let damage = reader.damage().clone();
        drop(reader);
        if damage.any() {
            on_event(Event::Damaged { input, damage: &damage });
        }
        on_event(Event::Listening { input, total: seconds_of_frames(extent.frames) });
        let mut features = FrontEnd::start(audio.open(&self.job.audio)?, input, bins, extent, self.cancel)?;
        let decoded = engine::transcribe(
            &mut *self.model.backend,
            &self.model.tokenizer,
            &mut features,
            &self.job.decode,
            self.cancel,
            &mut |event| on_event(told(input, event)),
        )?;
        let Decoded { text, segments, language, .. } = decoded;
        Ok(Transcript {
            source: input.to_owned(),
            duration: seconds_of_samples(extent.samples),
            model: self.identity.clone(),
            language: language.code().to_owned(),
            text,
            segments,
            damage: Damage { packets: damage.packets, truncated: damage.incomplete },
        })
    }
}

/// What the engine tells, as the job tells it.
fn told<'e>(input: &'e str, event: engine::Event<'e>) -> Event<'e> {
    match event {
        engine::Event::LanguageDetected(guess) => Event::Language { input, guess },
        engine::Event::Segments(segments) => Event::Segments(segments),
        engine::Event::WindowDone(window) => Event::Window {
            input,
            seconds: seconds_of_frames(window.frames_done as u64),
            total: seconds_of_frames(window.content_frames as u64),
            window,
        },
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
