//! Starting inputs: which one, when, and with what.

use std::sync::Arc;
use std::time::Instant;

use super::{Conductor, Message, What};
use crate::decode::DecodeOptions;
use crate::device::Selected;
use crate::engine::{Recording, Team};
use crate::error::{Error, InputProblem, Result};
use crate::plan::PlannedInput;
use crate::run::Event;
use crate::run::active_input::File;
use crate::run::front_end::{FrontEnd, Keeping};
use crate::run::guard::Verdict;
use crate::run::models::{InUse, Which, is_shortage};
use crate::run::output;
use crate::run::queue::Waiting;
use crate::store::fingerprint::RunFingerprint;

/// More threads than this decode no faster than the rest of the front end works.
const MOST_LANES: usize = 4;

impl Conductor<'_> {
    pub(super) fn start_what_can(&mut self) -> Result<()> {
        let most = self.job.jobs.unwrap_or(usize::MAX);
        while self.cancel.reason().is_none() && self.files.len() < most && self.guard.is_due(Instant::now()) {
            let Some(waiting) = self.next() else { break };
            match self.guard.judge(&waiting.item, Instant::now()) {
                Verdict::Start => {}
                Verdict::Refuse(error) => {
                    self.announce(&waiting);
                    self.failed(&waiting.item.name(), error)?;
                    self.is_over(waiting.index, Vec::new());
                    continue;
                }
                Verdict::Wait(why) => {
                    let input = &waiting.item.name();
                    why.iter().for_each(|why| (self.on_event)(Event::Waiting { input, why }));
                    self.queue.put_back(waiting);
                    break;
                }
            }
            match self.models.borrow(waiting.model, self.cancel, self.on_event) {
                Ok(model) => {
                    self.announce(&waiting);
                    self.begin(waiting, model)?;
                }
                // When one of those in flight is done, there may be room.
                Err(error) if is_shortage(&error) && !self.files.is_empty() => {
                    self.is_crowded = true;
                    self.queue.put_back(waiting);
                }
                // Inputs that want another model are not concerned.
                Err(error) if self.models.count() > 1 => {
                    self.announce(&waiting);
                    self.failed_alone(&waiting.item.name(), error)?;
                    self.is_over(waiting.index, Vec::new());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next input for which there is a place.
    fn next(&mut self) -> Option<Waiting> {
        let mut in_use: Vec<(Which, &Team, usize)> = Vec::new();
        for file in self.files.values() {
            match in_use.iter_mut().find(|(which, ..)| *which == file.model.which) {
                Some((.., inputs)) => *inputs += 1,
                None => in_use.push((file.model.which, &file.model.engine, 1)),
            }
        }
        let (is_crowded, side_by_side, jobs) = (self.is_crowded, self.models.side_by_side(), self.job.jobs);
        self.queue.take(|model| match in_use.iter().find(|(which, ..)| *which == model) {
            Some((_, engine, inputs)) => jobs.is_some() || *inputs < engine.capacity().windows.max(1),
            None => in_use.is_empty() || (!is_crowded && in_use.len() < side_by_side),
        })
    }

    fn announce(&mut self, Waiting { index, item, .. }: &Waiting) {
        (self.on_event)(Event::Started { input: &item.name(), number: index + 1, count: self.count });
    }

    fn begin(&mut self, Waiting { index, item, .. }: Waiting, model: InUse) -> Result<()> {
        let settings = item.settings.as_ref().unwrap_or(&self.job.settings);
        let (name, options) = (item.name(), Arc::new(settings.decode.clone()));
        let language = match model.engine.language_of(&options) {
            // What one input asks for is that one's affair.
            Err(Error::Usage { what, why, .. }) if item.settings.is_some() => {
                let why = InputProblem::UnsupportedRequest { why: format!("{what}: {why}") };
                self.failed(&name, Error::input(name.clone(), why))?;
                self.is_over(index, Vec::new());
                return Ok(());
            }
            language => language?,
        };
        let recording = self.recording(index, options);
        language.into_iter().for_each(|language| recording.settle_language(language));
        match self.start(index, item, model, recording) {
            Ok(file) => drop(self.files.insert(index, file)),
            Err(error) => {
                self.failed(&name, error)?;
                self.is_over(index, Vec::new());
            }
        }
        Ok(())
    }

    fn recording(&self, index: usize, options: Arc<DecodeOptions>) -> Arc<Recording> {
        let sender = self.sender.clone();
        let listener = move |chunk, event| {
            // Nobody listens any more: then nobody needs to know.
            let _ = sender.send(Message { file: index, what: What::Chunk(chunk, event) });
        };
        Arc::new(Recording::new(index, options, Box::new(listener)))
    }

    fn start(
        &self,
        index: usize,
        item: PlannedInput,
        model: InUse,
        recording: Arc<Recording>,
    ) -> Result<File> {
        let settings = item.settings.as_ref().unwrap_or(&self.job.settings);
        let basis = RunFingerprint::new(self.job, settings, &model.identity, &model.device);
        let front_end = FrontEnd {
            source: item.source.clone(),
            audio: self.job.audio.clone(),
            lanes: lanes(self.models.device(), self.count),
            chunk_length: self.job.chunk_length,
            selection: settings.selection.clone(),
            engine: Arc::clone(&model.engine),
            recording: Arc::clone(&recording),
            permits: model.permits.clone(),
            cancel: self.cancel.clone(),
            keeping: Keeping {
                path: item.journal.clone(),
                basis: Arc::new(basis),
                resume: self.job.resume,
                // Several watches may share an inbox.
                before: if self.feed.is_some() { item.before.clone() } else { Vec::new() },
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
        Ok(File::new(item, model, recording, thread))
    }
}

/// How many threads may decode one of so many inputs: a device outruns a single one, and the processor itself does not
/// but needs its threads.
pub fn lanes(device: &Selected, inputs: usize) -> usize {
    match device.is_accelerator() {
        true => (rayon::current_num_threads() / inputs.max(1)).clamp(1, MOST_LANES),
        false => 1,
    }
}
