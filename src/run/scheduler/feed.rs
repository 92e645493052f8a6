//! Takes in inputs that appear while others are in flight.

use std::sync::Arc;

use super::Scheduler;
use crate::error::{Error, Result};
use crate::plan::{DiscoveredFile, InputOptions, PlanRequest, plan};
use crate::run::RunEvent;
use crate::run::queue::PendingInput;
use crate::run::session::announce_and_sweep;

impl Scheduler<'_> {
    /// Asks the feed for more inputs, plans them and queues what is left to do.
    pub(super) fn take_from_feed(&mut self) -> Result<()> {
        let Some(feed) = self.feed.as_deref_mut().filter(|_| !self.context.is_cancelled()) else {
            return Ok(());
        };
        let discovered = feed(self.models.leases());
        if discovered.is_empty() {
            return Ok(());
        }
        let discovery = InputOptions { discovered, ..InputOptions::default() };
        let request = PlanRequest { inputs: Vec::new(), discovery, shard: None, ..self.request.plan.clone() };
        match plan(&request, false) {
            Ok(plan) => {
                for item in announce_and_sweep(plan, self.context) {
                    let settings = item.settings.as_ref().unwrap_or(&self.request.plan.settings);
                    let model = self.models.find(&settings.model, self.context)?;
                    self.queue.push_last(PendingInput { index: self.count, item, model });
                    self.count += 1;
                }
            }
            Err(faults) => self.refuse(request.discovery.discovered, faults),
        }
        Ok(())
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
