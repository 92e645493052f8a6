//! Starts inputs: which one, when, and with what.

use std::sync::Arc;
use std::time::Instant;

use super::{EndedText, InputMessage, MessageKind, Scheduler};
use crate::decode::DecodeOptions;
use crate::device::SelectedDevice;
use crate::engine::{EngineGroup, InputContext};
use crate::error::{Error, InputProblem, Result};
use crate::plan::PlannedInput;
use crate::run::active_input::{ActiveInput, TextEmission};
use crate::run::front_end::{FrontEnd, JournalRequest};
use crate::run::guard::GuardDecision;
use crate::run::models::{LeasedModel, ModelId, is_memory_shortage};
use crate::run::output;
use crate::run::queue::PendingInput;
use crate::run::{RunEvent, TextEvents};
use crate::store::fingerprint::RunFingerprint;

/// More decoder threads than this outrun the rest of the front end.
const MAX_DECODER_THREADS: usize = 4;

impl Scheduler<'_> {
    /// Starts queued inputs as long as the guard, the model pool and `--jobs` allow.
    pub(super) fn start_ready_inputs(&mut self) -> Result<()> {
        let most = self.request.jobs.unwrap_or(usize::MAX);
        while !self.context.is_cancelled() && self.active.len() < most && self.guard.is_due(Instant::now()) {
            let Some(pending) = self.next_pending() else { break };
            match self.guard.check(&pending.item, Instant::now()) {
                GuardDecision::Start => {}
                GuardDecision::Refuse(error) => {
                    self.emit_started(&pending);
                    self.fail(&pending.item.name(), error)?;
                    self.end_text(pending.index, pending.item.name(), EndedText::default());
                    continue;
                }
                GuardDecision::Wait(why) => {
                    let input = pending.item.name();
                    why.into_iter().for_each(|why| {
                        self.context.emit(RunEvent::Waiting { input: input.clone(), why });
                    });
                    self.queue.push_first(pending);
                    break;
                }
            }
            match self.models.lease(pending.model, self.context) {
                Ok(model) => {
                    self.emit_started(&pending);
                    self.start(pending, model)?;
                }
                // An active input may release its model's memory when it ends.
                Err(error) if is_memory_shortage(&error) && !self.active.is_empty() => {
                    self.is_short_of_models = true;
                    self.queue.push_first(pending);
                }
                // Inputs that want another model can still be done.
                Err(error) if self.models.count() > 1 || self.isolates_inputs => {
                    self.emit_started(&pending);
                    self.fail_one(&pending.item.name(), error)?;
                    self.end_text(pending.index, pending.item.name(), EndedText::default());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes the next input whose model is in use with free slots, or may be loaded beside the others.
    fn next_pending(&mut self) -> Option<PendingInput> {
        let mut in_use: Vec<(ModelId, &EngineGroup, usize)> = Vec::new();
        for input in self.active.values() {
            match in_use.iter_mut().find(|(id, ..)| *id == input.model.id) {
                Some((.., inputs)) => *inputs += 1,
                None => in_use.push((input.model.id, &input.model.engine, 1)),
            }
        }
        let (is_short, max_models) = (self.is_short_of_models, self.models.max_models());
        let has_job_limit = self.request.jobs.is_some();
        self.queue.take(|model| match in_use.iter().find(|(id, ..)| *id == model) {
            Some((_, engine, inputs)) => has_job_limit || *inputs < engine.capacity().windows.max(1),
            None => in_use.is_empty() || (!is_short && in_use.len() < max_models),
        })
    }

    fn emit_started(&self, PendingInput { index, item, .. }: &PendingInput) {
        let (input, number, count) = (item.name(), index + 1, self.count);
        self.context.emit(RunEvent::Started { input, number, count });
    }

    fn start(&mut self, PendingInput { index, item, .. }: PendingInput, model: LeasedModel) -> Result<()> {
        let settings = item.settings.as_ref().unwrap_or(&self.request.plan.settings);
        let (name, options) = (item.name(), Arc::new(settings.decode.clone()));
        let language = match model.engine.requested_language(&options) {
            // Settings of one input's own fail only that input.
            Err(Error::Usage { what, why, .. }) if item.settings.is_some() => {
                let why = InputProblem::UnsupportedRequest { why: format!("{what}: {why}") };
                self.fail(&name, Error::input(name.clone(), why))?;
                self.end_text(index, name, EndedText::default());
                return Ok(());
            }
            language => language?,
        };
        let engine_input = self.engine_input(index, options);
        language.into_iter().for_each(|language| engine_input.set_language(language));
        match self.spawn_front_end(index, item, model, engine_input) {
            Ok(input) => drop(self.active.insert(index, input)),
            Err(error) => {
                self.fail(&name, error)?;
                self.end_text(index, name, EndedText::default());
            }
        }
        Ok(())
    }

    fn engine_input(&self, index: usize, options: Arc<DecodeOptions>) -> Arc<InputContext> {
        let sender = self.sender.clone();
        let on_event = move |chunk, event| {
            // A closed channel means that the run has ended and nobody needs the event.
            let _ = sender.send(InputMessage { input: index, kind: MessageKind::Chunk(chunk, event) });
        };
        Arc::new(InputContext::new(index, options, Box::new(on_event)))
    }

    fn spawn_front_end(
        &mut self,
        index: usize,
        item: PlannedInput,
        model: LeasedModel,
        engine_input: Arc<InputContext>,
    ) -> Result<ActiveInput> {
        let plan = &self.request.plan;
        let settings = item.settings.as_ref().unwrap_or(&plan.settings);
        let speakers = self.speakers.prepare(settings.speakers.as_ref(), self.context.cancel)?;
        let front_end = FrontEnd {
            source: item.source.clone(),
            audio: settings.audio.clone(),
            stream_limit: self.request.guard.max_file_size,
            decoder_threads: decoder_threads(self.models.device(), self.count),
            chunk_length: settings.chunk_length,
            selection: settings.selection.clone(),
            engine: Arc::clone(&model.engine),
            engine_input: Arc::clone(&engine_input),
            budget: model.budget.clone(),
            cancel: self.context.cancel.clone(),
            journal: JournalRequest {
                path: item.journal.clone(),
                run: RunFingerprint::new(&settings.text_options(), &model.identity, &model.device),
                resume: plan.resume,
                // Only a watch shares its inbox with other processes that make the same outputs.
                unchanged: if self.feed.is_some() { item.modified_before.clone() } else { Vec::new() },
            },
            needs_waveform: output::needs_waveform(&item),
            speakers: speakers.clone(),
        };
        let sender = self.sender.clone();
        let send = move |kind| drop(sender.send(InputMessage { input: index, kind }));
        let thread = std::thread::Builder::new()
            .name("front end".into())
            .spawn(move || {
                let result = front_end.run(|event| send(MessageKind::FrontEnd(event)));
                send(MessageKind::FrontEndDone(result));
            })
            .map_err(|error| Error::compute("starting a thread", error))?;
        let has_files = !item.requested.is_empty() && self.request.text == TextEvents::Printed;
        let text = match (item.printed.is_none() && !has_files, &speakers) {
            (false, _) => TextEmission::Never,
            (true, None) => TextEmission::Live,
            (true, Some(_)) => TextEmission::AtTheEnd,
        };
        let names = speakers.map_or_else(Vec::new, |speakers| speakers.names().to_vec());
        Ok(ActiveInput::new(item, model, engine_input, thread, text, names))
    }
}

/// Returns how many threads may decode one of so many inputs: an accelerator outruns a single decoder, while the CPU
/// backend needs the threads itself.
pub fn decoder_threads(device: &SelectedDevice, inputs: usize) -> usize {
    match device.is_accelerator() {
        true => (rayon::current_num_threads() / inputs.max(1)).clamp(1, MAX_DECODER_THREADS),
        false => 1,
    }
}
