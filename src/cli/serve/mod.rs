//! `transcribe serve`: options, and what the server prints.

mod job_options;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use clap::builder::FalseyValueParser;
use etcetera::BaseStrategy;

use self::job_options::JobOptions;
use super::args::{CliCommand, CommandLine, DurationArg, TranscribeArgs};
use super::exit::ExitCode;
use super::observers::{Observers, ReportFiles};
use super::printer::Printer;
use super::run_output::{RunOutput, TextOutput};
use super::use_threads;
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::plan::{InputOptions, ModelRequest};
use crate::run::RunRequest;
use crate::serve::{AccessRecord, ApiKeys, ServeOptions, TlsFiles, is_loopback, is_web_address, serve};

const SERVER: &str = "Server";

/// The default of `--idle-timeout`.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The least time between two times that metrics are sent.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "Examples:
  transcribe serve                                       on http://127.0.0.1:8080, with a page to drop files on
  transcribe serve --model small --device cuda
  transcribe serve --listen 0.0.0.0:8080 --api-keys keys.txt
  curl -F file=@talk.mp3 http://127.0.0.1:8080/v1/audio/transcriptions
  curl -F file=@talk.mp3 -F outputs=srt http://127.0.0.1:8080/v1/jobs

The routes are OpenAI's (/v1/audio/transcriptions), whisper.cpp's (/inference), and jobs (/v1/jobs) for long recordings.
Jobs are stored in --state-dir: after any end of the server they go on where they were. /docs and /openapi.json describe
all routes. SIGTERM ends the server: it accepts nothing more, lets running jobs go on for --drain-timeout, and exits.
The model is unloaded after --idle-timeout (default here: 5m) without work and loaded again when needed.";

/// Transcribe what is sent over HTTP: OpenAI's API, and jobs that survive restarts
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Address to listen on: a port, or an address with a port
    #[arg(long, env = "TRANSCRIBE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080",
        help_heading = SERVER)]
    listen: ListenArg,

    /// Folder for jobs, uploads and results [default: transcribe/serve in the user's state folder]
    #[arg(long, env = "TRANSCRIBE_STATE_DIR", value_name = "FOLDER", help_heading = SERVER)]
    state_dir: Option<PathBuf>,

    /// File with API keys, a line for each: its name, its scopes (submit, read, admin) and the key
    #[arg(long, env = "TRANSCRIBE_API_KEYS", value_name = "FILE", help_heading = SERVER)]
    api_keys: Option<PathBuf>,

    /// Listen on an address that other machines can reach without asking for an API key
    #[arg(long, env = "TRANSCRIBE_ALLOW_ANYONE", value_parser = FalseyValueParser::new(), conflicts_with = "api_keys",
        help_heading = SERVER)]
    allow_anyone: bool,

    /// Certificate chain for HTTPS, in PEM
    #[arg(long, env = "TRANSCRIBE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key", help_heading = SERVER)]
    tls_certificate: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(long, env = "TRANSCRIBE_TLS_KEY", value_name = "FILE", requires = "tls_certificate", help_heading = SERVER)]
    tls_key: Option<PathBuf>,

    /// Further models that requests may ask for, separated by commas, besides that of --model
    #[arg(long, env = "TRANSCRIBE_MORE_MODELS", value_name = "MODELS", value_delimiter = ',', help_heading = SERVER)]
    more_models: Vec<String>,

    /// Smaller model for jobs that name none, in place of a refusal, while less memory is free than --min-free-memory and
    /// --min-free-device-memory ask for, down to a quarter of that
    #[arg(long, env = "TRANSCRIBE_FALLBACK_MODEL", value_name = "MODEL", help_heading = SERVER)]
    fallback_model: Option<String>,

    /// Largest recording that is accepted
    #[arg(long, env = "TRANSCRIBE_MAX_UPLOAD", value_name = "SIZE", default_value = "5GB", help_heading = SERVER)]
    max_upload: ByteSize,

    /// Jobs and requests that may wait; beyond them the answer is 429
    #[arg(long, env = "TRANSCRIBE_MAX_QUEUE", value_name = "N", default_value_t = 1000, help_heading = SERVER)]
    max_queue: usize,

    /// Uploads and downloads at the same time
    #[arg(long, env = "TRANSCRIBE_MAX_TRANSFERS", value_name = "N", default_value_t = 64, help_heading = SERVER)]
    max_transfers: usize,

    /// Let jobs name a URL that the server downloads
    #[arg(long, env = "TRANSCRIBE_ALLOW_URLS", value_parser = FalseyValueParser::new(), help_heading = SERVER)]
    allow_urls: bool,

    /// Let downloads and webhooks reach private addresses
    #[arg(long, env = "TRANSCRIBE_ALLOW_PRIVATE_ADDRESSES", value_parser = FalseyValueParser::new(),
        help_heading = SERVER)]
    allow_private_addresses: bool,

    /// Let jobs name files below this folder; repeatable
    #[arg(long, env = "TRANSCRIBE_ALLOW_FOLDER", value_name = "FOLDER", help_heading = SERVER)]
    allow_folder: Vec<PathBuf>,

    /// File with the secret that webhooks are signed with
    #[arg(long, env = "TRANSCRIBE_WEBHOOK_SECRET", value_name = "FILE", help_heading = SERVER)]
    webhook_secret: Option<PathBuf>,

    /// How long jobs that have ended are kept, with their recordings
    #[arg(long, env = "TRANSCRIBE_KEEP", value_name = "TIME", default_value = "168h", help_heading = SERVER)]
    keep: DurationArg,

    /// Most space for jobs that have ended; beyond it the oldest are removed [default: unlimited]
    #[arg(long, env = "TRANSCRIBE_KEEP_SIZE", value_name = "SIZE", help_heading = SERVER)]
    keep_size: Option<ByteSize>,

    /// How long running jobs may go on when the server is asked to end; then they are interrupted and resumed at the next
    /// start
    #[arg(long, env = "TRANSCRIBE_DRAIN_TIMEOUT", value_name = "TIME", default_value = "20s", help_heading = SERVER)]
    drain_timeout: DurationArg,

    /// Address of a collector of OpenTelemetry that metrics are sent to over HTTP, such as http://localhost:4318
    #[arg(long, env = "TRANSCRIBE_OTLP_ENDPOINT", value_name = "URL", help_heading = SERVER)]
    otlp_endpoint: Option<String>,

    /// How often metrics are sent to the collector
    #[arg(long, env = "TRANSCRIBE_OTLP_INTERVAL", value_name = "TIME", default_value = "60s", help_heading = SERVER)]
    otlp_interval: DurationArg,

    #[command(flatten)]
    pub transcribe: TranscribeArgs,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy)]
struct ListenArg(SocketAddr);

impl std::str::FromStr for ListenArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let named = || text.strip_prefix("localhost:").and_then(|port| port.parse().ok()).map(local);
        let address = port.map(local).ok().or_else(named).or_else(|| text.parse().ok());
        address
            .map(Self)
            .ok_or_else(|| "must be a port, or an address with a port such as `0.0.0.0:8080`".into())
    }
}

/// Returns what reads the options of jobs, on a server with default options; for tests.
#[cfg(feature = "testing")]
pub fn job_parser() -> crate::error::Result<Box<crate::serve::ParseSettings>> {
    let parser = JobOptions::new(&[])?;
    Ok(Box::new(move |options| parser.settings(options)))
}

impl ServeArgs {
    fn request(&self, all: &CommandLine) -> crate::error::Result<RunRequest> {
        let mut request =
            self.transcribe.request(Vec::new(), InputOptions::default(), !all.sets_word_options())?;
        request.plan.models.policy.idle_timeout.get_or_insert(DEFAULT_IDLE_TIMEOUT);
        // Recordings are measured when they come in; a job that cannot start waits for its turn.
        request.guard.max_file_size = None;
        if let Some(format) = request.plan.outputs.formats.first() {
            return Err(Error::Usage {
                what: format!("`--export {format}`"),
                why: "has no effect on a server: every request says what it wants".into(),
                hint: Some("leave it out".into()),
            });
        }
        Ok(request)
    }

    fn options(
        &self,
        all: &CommandLine,
        request: &RunRequest,
        printer: Printer,
    ) -> crate::error::Result<ServeOptions> {
        let listen = self.listen.0;
        let keys = self.api_keys.as_deref().map(ApiKeys::read).transpose()?.unwrap_or_default();
        if keys.is_empty() && !self.allow_anyone && !is_loopback(&listen) {
            return Err(Error::Usage {
                what: format!("`--listen {listen}`"),
                why: "lets other machines in, and no API key is asked for".into(),
                hint: Some("add `--api-keys FILE`, or `--allow-anyone` if everybody may use it".into()),
            });
        }
        let readable = |path: &PathBuf| {
            path.canonicalize().map_err(|error| {
                Error::usage(
                    format!("`--allow-folder {}`", path.display()),
                    format!("cannot be used: {error}"),
                )
            })
        };
        let first = request.plan.settings.model.clone();
        let further = self.more_models.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        let named =
            |name: &str| ModelRequest { name: name.to_owned(), revision: None, hub: first.hub.clone() };
        let further = further.map(named).filter(|model| model.name != first.name);
        let mut models: Vec<ModelRequest> = std::iter::once(first.clone()).chain(further).collect();
        let fallback = self.fallback_model.as_deref().map(named);
        if let Some(model) = fallback.as_ref().filter(|model| model.name == first.name) {
            return Err(Error::Usage {
                what: format!("`--fallback-model {}`", model.name),
                why: "is the model that it would take the place of".into(),
                hint: Some("name a smaller one, such as `tiny`".into()),
            });
        }
        if let Some(fallback) =
            fallback.as_ref().filter(|fallback| models.iter().all(|model| model.name != fallback.name))
        {
            models.push(fallback.clone());
        }
        let parser = JobOptions::new(all.explicit_options())?;
        Ok(ServeOptions {
            listen,
            state_dir: self.state_dir()?,
            keys,
            tls: self
                .tls_certificate
                .clone()
                .zip(self.tls_key.clone())
                .map(|(certificate, key)| TlsFiles { certificate, key }),
            models,
            fallback,
            max_upload: self.max_upload.as_u64(),
            max_queue: self.max_queue.max(1),
            max_transfers: self.max_transfers.max(1),
            guard: request.guard.clone(),
            allows_urls: self.allow_urls,
            allows_private_addresses: self.allow_private_addresses,
            folders: self.allow_folder.iter().map(readable).collect::<crate::error::Result<_>>()?,
            webhook_secret: self.webhook_secret()?,
            keep: self.keep.0,
            keep_bytes: self.keep_size.map(|size| size.as_u64()),
            drain_timeout: self.drain_timeout.0,
            collector: self.collector()?,
            parser: Box::new(move |options| parser.settings(options)),
            log: Box::new(move |access| log_access(printer, access)),
            warn: Box::new(move |text| printer.warning(text)),
        })
    }

    fn state_dir(&self) -> crate::error::Result<PathBuf> {
        if let Some(folder) = &self.state_dir {
            return Ok(folder.clone());
        }
        let base = etcetera::choose_base_strategy().map_err(|error| Error::Usage {
            what: "`--state-dir`".into(),
            why: format!("has no default here: {error}"),
            hint: Some("name a folder".into()),
        })?;
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(state.join(env!("CARGO_PKG_NAME")).join("serve"))
    }

    fn collector(&self) -> crate::error::Result<Option<(String, Duration)>> {
        // A pause of nothing would take a processor.
        let interval = self.otlp_interval.0.max(SHORTEST_INTERVAL);
        match &self.otlp_endpoint {
            Some(url) if !is_web_address(url) => Err(Error::usage(
                format!("`--otlp-endpoint {url}`"),
                "does not begin with `http://` or `https://`",
            )),
            url => Ok(url.clone().map(|url| (url, interval))),
        }
    }

    fn webhook_secret(&self) -> crate::error::Result<Option<Vec<u8>>> {
        let Some(path) = &self.webhook_secret else { return Ok(None) };
        let fault = |why: String| Error::usage(format!("`--webhook-secret {}`", path.display()), why);
        let secret = std::fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        match secret.trim_ascii() {
            [] => Err(fault("is empty".into())),
            secret => Ok(Some(secret.to_vec())),
        }
    }
}

/// Prints a line of the access log.
fn log_access(printer: Printer, access: &AccessRecord) {
    let AccessRecord { id, method, path, status, seconds, caller, peer } = access;
    let fields = serde_json::json!({
        "request": id,
        "method": method,
        "path": path,
        "status": status,
        "seconds": (seconds * 1e4).round() / 1e4,
        "caller": caller,
        "peer": peer.map(|peer| peer.ip().to_string()),
    });
    printer.access(&format!("{method} {path} {status} {:.0} ms", seconds * 1e3), &fields);
}

pub fn run(all: &CommandLine, args: &ServeArgs, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    let rebuild = |other: &CommandLine| match &other.command {
        Some(CliCommand::Serve(serve)) => serve.request(other).map(drop),
        _ => Ok(()),
    };
    let request = args.request(all).map_err(|error| all.locate(error, rebuild))?;
    use_threads(args.transcribe.threads())?;
    let options = args.options(all, &request, printer)?;
    let reporting = &args.transcribe.reporting;
    let files = ReportFiles {
        report: reporting.report.clone(),
        metrics: reporting.metrics_file.clone(),
        info: all.run_info(),
    };
    let output = RunOutput::new(printer, reporting.progress, TextOutput::default(), cancel);
    let mut observers = Observers::new(output, &files, cancel)?;
    let outcome = observers.observe(|context| {
        serve(request, options, context, &|url| printer.notice(&format!("listening on {url}")))
    });
    let outcome = outcome.map_err(|error| vec![error]);
    // What became of single jobs is theirs to know.
    Ok(match observers.finish(&outcome) {
        ExitCode::SomeFailed if outcome.is_ok() => ExitCode::Done,
        code => code,
    })
}
