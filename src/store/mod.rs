//! What outlives a run: the journal of an unfinished input, the ledger of finished outputs, the fingerprints by which
//! both are compared, the waveforms of finished inputs, and files that are written completely or not at all.

mod atomic_file;
pub mod fingerprint;
pub mod journal;
pub mod ledger;
mod record_log;
mod text_options;
pub mod waveform_file;

pub use atomic_file::{remove_temporary_files, sync_parent_folder, write_file, write_file_unsynced};
pub use record_log::LockError;
pub use text_options::TextOptions;
