//! What the server is asked to do, and what a job may ask for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::keys::ApiKeys;
use crate::error::Result;
use crate::export::ExportOptions;
use crate::plan::{InputSettings, ModelRequest};
use crate::run::GuardOptions;

/// How the server works; see `transcribe serve --help`.
pub struct ServeOptions {
    pub listen: SocketAddr,
    pub state_dir: PathBuf,
    pub keys: ApiKeys,
    pub tls: Option<TlsFiles>,
    /// The models that jobs may ask for; the first is used if they do not.
    pub models: Vec<ModelRequest>,
    /// The one of them that takes the place of the first while memory is short.
    pub fallback: Option<ModelRequest>,
    /// The largest recording in bytes.
    pub max_upload: u64,
    /// Jobs and requests that may wait.
    pub max_queue: usize,
    /// Uploads and downloads at the same time.
    pub max_transfers: usize,
    pub guard: GuardOptions,
    /// Jobs may name a URL to download.
    pub allows_urls: bool,
    /// Downloads and webhooks may reach private addresses.
    pub allows_private_addresses: bool,
    /// Jobs may name files below these folders.
    pub folders: Vec<PathBuf>,
    /// The key that webhooks are signed with.
    pub webhook_secret: Option<Vec<u8>>,
    /// How long jobs that have ended are kept, and how many bytes of them.
    pub keep: Duration,
    pub keep_bytes: Option<u64>,
    /// How long running jobs may go on once the server is asked to end.
    pub drain_timeout: Duration,
    /// Address of a collector of metrics, and how often they are sent to it.
    pub collector: Option<(String, Duration)>,
    pub parser: Box<ParseSettings>,
    /// Called for every answered request.
    pub log: Box<dyn Fn(&AccessRecord) + Send + Sync>,
    /// Called with what whoever started the server should know.
    pub warn: Box<dyn Fn(&str) + Send + Sync>,
}

/// Files with the certificate chain and the private key, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Turns options of the command line, by name, into settings. An error names the option.
pub type ParseSettings = dyn Fn(&Map<String, Value>) -> Result<JobSettings> + Send + Sync;

/// What the options of one job come to.
#[derive(Debug, Clone)]
pub struct JobSettings {
    pub input: Arc<InputSettings>,
    pub export: ExportOptions,
}

/// One answered request, for the access log.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    pub id: String,
    pub method: String,
    pub path: String,
    pub status: u16,
    pub seconds: f64,
    /// Name of the API key.
    pub caller: Option<String>,
    pub peer: Option<SocketAddr>,
}
