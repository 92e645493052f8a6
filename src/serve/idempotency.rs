//! Keys that clients choose so that a repeated submission is the same job.
//!
//! A client whose connection broke off cannot know whether its job was accepted. It sends the same again with the same
//! `Idempotency-Key`: if there is a job of that key, that is the answer. The key is stored with the job, so it lasts as
//! long as the job does, and each owner has keys of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::record::JobId;

/// Characters of a key.
const MAX_KEY: usize = 255;

/// The key of a job, and what was submitted with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub key: String,
    /// A digest of everything that was asked for, the recording included.
    pub digest: String,
}

/// The keys that are in use, by owner.
#[derive(Debug, Default)]
pub struct SubmissionKeys(Mutex<HashMap<OwnedKey, KeyUse>>);

type OwnedKey = (Option<String>, String);

#[derive(Debug, PartialEq, Eq)]
enum KeyUse {
    /// The first submission is still being received.
    Receiving,
    Job(JobId),
}

/// What a key means for a submission that has it.
pub enum KeyClaim {
    /// It is the first one.
    New(ReservedKey),
    /// The first one is still being received.
    InUse,
    /// There is a job of this key.
    Known(JobId),
}

/// A key whose first submission is being received. Dropping it frees the key, unless a job has it by then.
pub struct ReservedKey {
    keys: Arc<SubmissionKeys>,
    name: OwnedKey,
}

/// Whether a text can be a key.
pub fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

impl SubmissionKeys {
    fn uses(&self) -> MutexGuard<'_, HashMap<OwnedKey, KeyUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a key for a submission.
    pub fn claim(self: &Arc<Self>, owner: Option<String>, key: String) -> KeyClaim {
        let name = (owner, key);
        let mut uses = self.uses();
        match uses.get(&name) {
            Some(KeyUse::Receiving) => KeyClaim::InUse,
            Some(KeyUse::Job(id)) => KeyClaim::Known(id.clone()),
            None => {
                uses.insert(name.clone(), KeyUse::Receiving);
                KeyClaim::New(ReservedKey { keys: Arc::clone(self), name })
            }
        }
    }

    /// Notes that a job has a key.
    pub fn assign(&self, owner: Option<String>, key: String, id: JobId) {
        self.uses().insert((owner, key), KeyUse::Job(id));
    }

    /// Frees the key of a job that is removed.
    pub fn free(&self, owner: Option<String>, key: String, id: &JobId) {
        let name = (owner, key);
        let mut uses = self.uses();
        if uses.get(&name).is_some_and(|known| *known == KeyUse::Job(id.clone())) {
            uses.remove(&name);
        }
    }
}

impl Drop for ReservedKey {
    fn drop(&mut self) {
        let mut uses = self.keys.uses();
        if uses.get(&self.name) == Some(&KeyUse::Receiving) {
            uses.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_job_per_owner() {
        let keys = Arc::new(SubmissionKeys::default());
        let claim = |owner: &str| keys.claim(Some(owner.into()), "a key".into());
        let KeyClaim::New(first) = claim("anna") else { panic!() };
        assert!(matches!(claim("anna"), KeyClaim::InUse));
        assert!(matches!(claim("bert"), KeyClaim::New(_)));
        drop(first);
        // It was cut off, so the next one is the first.
        let KeyClaim::New(second) = claim("anna") else { panic!() };
        let id = JobId::new();
        keys.assign(Some("anna".into()), "a key".into(), id.clone());
        drop(second);
        assert!(matches!(claim("anna"), KeyClaim::Known(known) if known == id));
        keys.free(Some("anna".into()), "a key".into(), &JobId::new());
        assert!(matches!(claim("anna"), KeyClaim::Known(_)));
        keys.free(Some("anna".into()), "a key".into(), &id);
        assert!(matches!(claim("anna"), KeyClaim::New(_)));
    }

    #[test]
    fn keys_are_short_and_printable() {
        assert!(is_key("8e03978e-40d5-43dd-bc93-6894a57f9324") && is_key(&"x".repeat(255)));
        for text in ["", "a\nb", "ü", &"x".repeat(256)] {
            assert!(!is_key(text), "{text}");
        }
    }
}
