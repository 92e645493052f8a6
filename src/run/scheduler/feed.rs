//! Inputs that come while others are in work.

use std::sync::Arc;

use super::Conductor;
use crate::error::{Error, Result};
use crate::plan::Job;
use crate::plan::{InputOptions, plan};
use crate::run::Event;
use crate::run::queue::Waiting;
use crate::run::session::{Known, announce};

impl Conductor<'_> {
    /// Asks whether there are more, and plans them.
    pub(super) fn take_more(&mut self) -> Result<()> {
        let Some(feed) = self.feed.as_deref_mut().filter(|_| self.cancel.reason().is_none()) else {
            return Ok(());
        };
        let known = feed(self.models.leases());
        if known.is_empty() {
            return Ok(());
        }
        let finding = InputOptions { known, ..InputOptions::default() };
        let job = Job { inputs: Vec::new(), finding, shard: None, ..self.job.clone() };
        match plan(&job, false) {
            Ok(plan) => {
                let todo = announce(plan, self.summary, self.on_event);
                for item in todo {
                    let settings = item.settings.as_ref().unwrap_or(&self.job.settings);
                    let model = self.models.find(&settings.model, self.cancel, self.on_event)?;
                    self.queue.add(Waiting { index: self.count, item, model });
                    self.count += 1;
                }
            }
            Err(faults) => self.refuse(job.finding.known, faults),
        }
        Ok(())
    }

    /// Nothing of these can be done; what is in work goes on.
    fn refuse(&mut self, known: Known, faults: Vec<Error>) {
        let Some(why) = faults.into_iter().next().map(Arc::new) else { return };
        for (path, _) in known {
            let error = Error::Shared(Arc::clone(&why));
            (self.on_event)(Event::Failed { input: &path.display().to_string(), error: &error });
            self.summary.failures.push(error);
        }
    }
}
