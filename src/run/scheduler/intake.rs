//! Takes in inputs that appear while others are in flight, and lets go of those that are no longer wanted.

use std::sync::Arc;

use super::{EndedText, Scheduler};
use crate::error::{Error, InputProblem, Result};
use crate::plan::{DiscoveredFile, InputName, InputOptions, PlanRequest, PlannedInput, plan};
use crate::run::queue::PendingInput;
use crate::run::session::announce_and_sweep;
use crate::run::{FeedItem, RunEvent};

impl Scheduler<'_> {
    /// Asks the feed for what is new and queues what is left to do.
    pub(super) fn take_from_feed(&mut self) -> Result<()> {
        let Some(feed) = self.feed.as_mut().filter(|_| !self.context.is_cancelled()) else {
            return Ok(());
        };
        let mut discovered = Vec::new();
        for item in (feed.next)(self.models.leases()) {
            match item {
                FeedItem::File(file) => discovered.push(file),
                FeedItem::Input(item) => self.queue_alone(*item)?,
                FeedItem::Withdrawn(name) => self.withdraw(&name)?,
            }
        }
        if discovered.is_empty() { Ok(()) } else { self.plan_discovered(discovered) }
    }

    fn plan_discovered(&mut self, discovered: Vec<DiscoveredFile>) -> Result<()> {
        let discovery = InputOptions { discovered, ..InputOptions::default() };
        let request = PlanRequest { inputs: Vec::new(), discovery, shard: None, ..self.request.plan.clone() };
        match plan(&request, false) {
            Ok(plan) => {
                for item in announce_and_sweep(plan, self.context) {
                    self.queue_planned(item)?;
                }
            }
            Err(faults) => self.refuse(request.discovery.discovered, faults),
        }
        Ok(())
    }

    fn queue_planned(&mut self, item: PlannedInput) -> Result<()> {
        let settings = item.settings.as_ref().unwrap_or(&self.request.plan.settings);
        let model = self.models.find(&settings.model, self.context)?;
        self.queue.push_last(PendingInput { index: self.count, item, model });
        self.count += 1;
        Ok(())
    }

    /// Queues an input whose errors are its own.
    fn queue_alone(&mut self, item: PlannedInput) -> Result<()> {
        self.isolates_inputs = true;
        let name = item.name();
        self.context.emit(RunEvent::Planned { item: Box::new(item.clone()) });
        self.queue_planned(item).or_else(|error| self.fail(&name, error))
    }

    fn withdraw(&mut self, name: &InputName) -> Result<()> {
        let error = Error::input(name.clone(), InputProblem::Withdrawn);
        if let Some(PendingInput { index, .. }) = self.queue.remove(name) {
            self.fail(name, error)?;
            self.end_text(index, name.clone(), EndedText::default());
            return Ok(());
        }
        let active = self.active.iter().find(|(_, input)| input.name == *name).map(|(index, _)| *index);
        match active {
            Some(index) => {
                self.fail_active(index, error)?;
                self.close_if_ended(index)
            }
            // It has ended meanwhile.
            None => Ok(()),
        }
    }

    /// Fails all of these inputs because they cannot be planned; active inputs continue.
    fn refuse(&mut self, files: Vec<DiscoveredFile>, faults: Vec<Error>) {
        let Some(why) = faults.into_iter().next().map(Arc::new) else { return };
        for DiscoveredFile { path, .. } in files {
            let (input, error) = (path.display().to_string().into(), Arc::clone(&why));
            self.context.emit(RunEvent::Failed { input, error });
        }
    }
}
