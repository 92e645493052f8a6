//! The settings of the options that jobs asked for last. Most jobs ask for the same, and to read options costs milliseconds, as
//! it goes through the whole command line; jobs that share their settings also take less memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::options::JobSettings;
use crate::error::Result;

/// Settings that are kept; beyond them all are forgotten, since few servers have so many in use.
const MAX_SETTINGS: usize = 128;
/// Bytes of options whose settings are kept: long ones have a prompt of their own.
const MAX_OPTIONS: usize = 1024;

/// See the module.
#[derive(Default)]
pub struct SettingsCache(Mutex<HashMap<String, JobSettings>>);

impl SettingsCache {
    /// Returns the settings of options, which `read` makes of them.
    pub fn get(
        &self,
        options: &Map<String, Value>,
        read: impl FnOnce() -> Result<JobSettings>,
    ) -> Result<JobSettings> {
        // A map of JSON can always be serialized.
        let key = serde_json::to_string(options).unwrap_or_default();
        if let Some(known) = self.known().get(&key) {
            return Ok(known.clone());
        }
        let settings = read()?;
        if key.len() <= MAX_OPTIONS {
            let mut known = self.known();
            if known.len() >= MAX_SETTINGS {
                known.clear();
            }
            known.insert(key, settings.clone());
        }
        Ok(settings)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, JobSettings>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::error::Error;
    use crate::export::ExportOptions;
    use crate::plan::{InputSettings, ModelRequest};

    #[test]
    fn jobs_that_ask_for_the_same_share_their_settings() {
        let cache = SettingsCache::default();
        let made = || {
            let input = Arc::new(InputSettings::new(ModelRequest::named("demo")));
            Ok(JobSettings { input, export: ExportOptions::default() })
        };
        let get = |options: Value| {
            let Value::Object(options) = options else { panic!() };
            cache.get(&options, made).unwrap().input
        };
        let first = get(json!({ "language": "de" }));
        assert!(Arc::ptr_eq(&first, &get(json!({ "language": "de" }))));
        assert!(!Arc::ptr_eq(&first, &get(json!({ "language": "en" }))));
        let long = || json!({ "initial-prompt": "x".repeat(2000) });
        assert!(!Arc::ptr_eq(&get(long()), &get(long())));
        (0..1000).for_each(|n| drop(get(json!({ "offset": n }))));
        assert!(cache.known().len() <= MAX_SETTINGS);
        // Faults are found again.
        let Value::Object(wrong) = json!({ "language": "klingon" }) else { panic!() };
        for _ in 0..2 {
            assert!(cache.get(&wrong, || Err(Error::usage("`language`", "is unknown"))).is_err());
        }
    }
}
