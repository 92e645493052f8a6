//! What outlives a run: the journal of an unfinished input, the ledger of finished outputs, the fingerprints they are
//! compared by, and files that are written whole or not at all.

mod atomic_file;
pub mod fingerprint;
pub mod journal;
pub mod ledger;

pub use atomic_file::{remove_temporary_files, sync_parent_folder, write_file, write_file_unsynced};
