//! The end of jobs that have ended: removed on request, by age, or for the space that they take.

use std::time::Duration;

use super::Jobs;
use crate::serve::job::Job;
use crate::serve::record::{JobId, seconds_since};

impl Jobs {
    /// Removes a job with all its files, at once or when the run has let go of it.
    pub fn remove(&self, id: &JobId) {
        self.cancel(id);
        let is_free = {
            let mut table = self.table();
            let Some(job) = table.jobs.get_mut(id) else { return };
            job.is_removed = true;
            if let Some(submission) = &job.record.submission {
                self.keys.free(job.record.owner.clone(), submission.key.clone(), id);
            }
            !job.is_handed_over
        };
        if is_free {
            self.forget(id);
        }
    }

    pub(super) fn forget(&self, id: &JobId) {
        let job = self.table().jobs.remove(id);
        if let Some(job) = job {
            // What stays takes up space until the next start.
            let _ = self.state.remove(id, job.is_kept);
        }
    }

    /// Removes jobs that ended longer ago than `keep`, and the oldest ones until the rest take at most `most` bytes.
    pub fn sweep(&self, keep: Duration, most: Option<u64>) {
        let mut ended: Vec<(JobId, f64)> = {
            let table = self.table();
            let ended = table.jobs.values().filter(|job| job.is_kept && job.record.state.is_ended());
            let age = |job: &Job| job.record.finished.as_deref().and_then(seconds_since).unwrap_or_default();
            ended.map(|job| (job.id().clone(), age(job))).collect()
        };
        ended.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (old, mut rest): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|(_, age)| *age > keep.as_secs_f64());
        old.iter().for_each(|(id, _)| self.remove(id));
        if let Some(most) = most {
            let sizes: Vec<u64> = rest.iter().map(|(id, _)| self.state.size(id)).collect();
            let mut total: u64 = sizes.iter().sum();
            for ((id, _), size) in rest.drain(..).zip(sizes) {
                if total <= most {
                    break;
                }
                self.remove(&id);
                total -= size;
            }
        }
    }
}
