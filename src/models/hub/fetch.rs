//! Download of one file from the hub: locating it, transferring it with resumption, verifying its checksum.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body};

use super::limits::SpeedCheck;
use super::watch::CancelWatch;
use super::{DownloadLimits, Hub, digest};
use crate::cancel::CancelToken;
use crate::error::{Cause, Error, ModelProblem, Result};

/// How often a request is attempted.
const MAX_ATTEMPTS: u32 = 4;
/// Progress after a failure that resets the number of attempts.
const PROGRESS_RESET: u64 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a read may block.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What the hub announces about a file.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    pub url: String,
    pub commit: String,
    /// The name of the blob; on huggingface.co also its checksum.
    pub etag: String,
    pub size: u64,
}

/// Sends requests for one model.
pub struct HubClient<'a> {
    model: &'a str,
    cancel: &'a CancelToken,
    authorization: Option<String>,
    limits: DownloadLimits,
    agent: Agent,
    _watch: CancelWatch,
}

/// Why a transfer ended early.
enum TransferError {
    /// It can be resumed.
    Interrupted(Cause),
    Fatal(Error),
}

pub fn url(endpoint: &str, repository: &str, revision: &str, file: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    format!("{endpoint}/{repository}/resolve/{}/{}", escaped(revision), escaped(file))
}

fn escaped(part: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    part.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl<'a> HubClient<'a> {
    pub fn new(model: &'a str, hub: &Hub, cancel: &'a CancelToken) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .timeout_recv_response(Some(hub.limits.response))
            .build();
        let authorization = hub.token.as_ref().map(|token| format!("Bearer {token}"));
        let agent = Agent::from(config);
        let (limits, watch) = (hub.limits, CancelWatch::start(&agent, cancel));
        Self { model, cancel, authorization, limits, _watch: watch, agent }
    }

    /// Requests the location of a file; `None` if the repository has no such file.
    pub fn locate(&self, url: &str) -> Result<Option<RemoteFile>> {
        let mut url = url.to_owned();
        for _redirect in 0..5 {
            let response = self.head_with_retries(&url)?;
            let status = response.status().as_u16();
            let text = |name: &str| text(response.headers(), name);
            match status {
                200..400 => {}
                404 if text("x-error-code").is_none_or(|code| code == "EntryNotFound") => return Ok(None),
                _ => return Err(self.refused(&url, status, text("x-error-code"), text("x-error-message"))),
            }
            // A renamed repository redirects to another path on the same host. A redirect to the store of large files
            // already has the headers needed here.
            if let Some(path) = text("location").filter(|to| status >= 300 && to.starts_with('/')) {
                url = origin(&url).to_owned() + path;
                continue;
            }
            let lacks = |what: &str| {
                self.download_error(format!("{}: the response has no {what}", without_credentials(&url)))
            };
            let etag = text("x-linked-etag").or_else(|| text("etag")).ok_or_else(|| lacks("ETag"))?;
            let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
            if etag.is_empty() || !etag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
                return Err(lacks("usable ETag"));
            }
            let commit = text("x-repo-commit").filter(|commit| super::is_commit(commit));
            let commit = commit.ok_or_else(|| lacks("X-Repo-Commit"))?.to_owned();
            let size =
                text("x-linked-size").or_else(|| text("content-length")).and_then(|size| size.parse().ok());
            let size = size.ok_or_else(|| lacks("size"))?;
            return Ok(Some(RemoteFile { url, commit, etag, size }));
        }
        Err(self.download_error(format!("{}: too many redirects", without_credentials(&url))))
    }

    fn head(&self, url: &str) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.head(url).config().max_redirects(0).max_redirects_will_error(false).build();
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value).call(),
            None => request.call(),
        }
    }

    /// Repeats a small request while its failure looks transient.
    fn head_with_retries(&self, url: &str) -> Result<Response<Body>> {
        let mut attempt = 1;
        loop {
            self.cancel.check()?;
            match self.head(url) {
                Ok(response) if attempt == MAX_ATTEMPTS || !is_transient(response.status().as_u16()) => {
                    return Ok(response);
                }
                Err(error) if attempt == MAX_ATTEMPTS || is_unreachable(&error) => {
                    self.cancel.check()?;
                    return Err(self.download_error(format!("{}: {error}", without_credentials(url))));
                }
                _ => self.pause(attempt)?,
            }
            attempt += 1;
        }
    }

    fn pause(&self, attempt: u32) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(50);
        let mut left = self.limits.pause * 2_u32.pow(attempt - 1);
        while !left.is_zero() {
            self.cancel.check()?;
            sleep(left.min(SLICE));
            left = left.saturating_sub(SLICE);
        }
        Ok(())
    }

    /// Rejects a file that announces more bytes than any of its kind has.
    pub fn check_size(&self, file: &str, remote: &RemoteFile) -> Result<()> {
        let limit = self.limits.size(file);
        if remote.size <= limit {
            return Ok(());
        }
        Err(Error::model(self.model, ModelProblem::TooLarge { file: file.to_owned(), limit }))
    }

    /// Locks a blob, waiting while another process downloads it.
    pub fn lock(&self, path: &Path) -> Result<File> {
        let file = File::create(path).map_err(|e| self.unwritable(path, e))?;
        loop {
            self.cancel.check()?;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(100)),
                Err(TryLockError::Error(error)) => return Err(self.unwritable(path, error)),
            }
        }
    }

    /// Makes `blob` hold the file: keeps it if its checksum is right, else resumes or restarts the download.
    pub fn fetch(
        &self,
        file: &str,
        remote: &RemoteFile,
        blob: &Path,
        report: &mut dyn FnMut(u64),
    ) -> Result<()> {
        if blob.is_file() && self.mismatch(blob, remote)?.is_none() {
            return Ok(());
        }
        let mut partial = blob.as_os_str().to_owned();
        partial.push(".incomplete");
        let partial = PathBuf::from(partial);
        let resumed = partial.metadata().is_ok_and(|found| found.len() > 0);
        self.transfer(remote, &partial, report)?;
        let mut mismatch = self.mismatch(&partial, remote)?;
        if mismatch.is_some() && resumed {
            // The partial file may have belonged to another version.
            self.remove(&partial)?;
            self.transfer(remote, &partial, report)?;
            mismatch = self.mismatch(&partial, remote)?;
        }
        if let Some(why) = mismatch {
            self.remove(&partial)?;
            let why = format!("{why}; the download was deleted");
            return Err(Error::model(self.model, ModelProblem::Damaged { file: file.to_owned(), why }));
        }
        std::fs::rename(&partial, blob).map_err(|e| self.unwritable(blob, e))
    }

    /// Appends to `path` until it has the announced length, reconnecting as often as needed.
    fn transfer(&self, remote: &RemoteFile, path: &Path, report: &mut dyn FnMut(u64)) -> Result<()> {
        let unwritable = |e| self.unwritable(path, e);
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(unwritable)?;
        let mut done = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        if done > remote.size {
            file.set_len(0).map_err(unwritable)?;
            done = 0;
        }
        let mut attempt = 1;
        while done < remote.size {
            let before = done;
            let cause = match self.receive(remote, path, &mut file, &mut done, report) {
                Ok(()) => continue,
                Err(TransferError::Fatal(error)) => return Err(error),
                Err(TransferError::Interrupted(cause)) => cause,
            };
            if done >= before.saturating_add(PROGRESS_RESET) {
                attempt = 1;
            }
            self.cancel.check()?;
            if attempt == MAX_ATTEMPTS {
                return Err(Error::model(self.model, ModelProblem::Download(cause)));
            }
            self.pause(attempt)?;
            attempt += 1;
        }
        file.sync_all().map_err(unwritable)
    }

    /// Receives bytes from offset `done` on until the connection ends.
    fn receive(
        &self,
        remote: &RemoteFile,
        path: &Path,
        file: &mut File,
        done: &mut u64,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), TransferError> {
        self.cancel.check()?;
        let mut request = self.agent.get(&remote.url);
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        if *done > 0 {
            request = request.header(header::RANGE, format!("bytes={done}-"));
        }
        let shown = without_credentials(&remote.url);
        let interrupted =
            |why: &dyn std::fmt::Display| TransferError::Interrupted(format!("{shown}: {why}").into());
        let response = request.call().map_err(|e| interrupted(&e))?;
        let status = response.status().as_u16();
        let range = text(response.headers(), "content-range");
        let resumes =
            status == 206 && range.is_some_and(|range| range.starts_with(&format!("bytes {done}-")));
        if !resumes {
            match status {
                200 | 206 | 416 => {}
                _ if is_transient(status) => {
                    return Err(interrupted(&format!("status {status}")));
                }
                _ => return Err(TransferError::Fatal(self.refused(&remote.url, status, None, None))),
            }
            // The server does not resume; start over.
            *done = 0;
            file.set_len(0).map_err(|e| TransferError::Fatal(self.unwritable(path, e)))?;
            if status != 200 {
                return Err(interrupted(&"the server sent the wrong range"));
            }
        }
        file.seek(SeekFrom::Start(*done)).map_err(|e| TransferError::Fatal(self.unwritable(path, e)))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut speed = SpeedCheck::start(&self.limits);
        report(*done);
        loop {
            self.cancel.check()?;
            let read = body.read(&mut buffer).map_err(|e| interrupted(&e))?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(|e| TransferError::Fatal(self.unwritable(path, e)))?;
            *done += read as u64;
            if *done > remote.size {
                break;
            }
            report(*done);
            speed.add(read as u64).map_err(|why| interrupted(&why))?;
        }
        match (*done).cmp(&remote.size) {
            std::cmp::Ordering::Less => Err(interrupted(&"the connection was closed")),
            // An excess is reported by the verification of the whole file.
            _ => Ok(()),
        }
    }

    /// Returns how a file differs from what the hub announced, if it does.
    fn mismatch(&self, path: &Path, remote: &RemoteFile) -> Result<Option<String>> {
        let unreadable = |e| crate::models::checkpoint::unreadable(self.model, path, e);
        let length = path.metadata().map_err(unreadable)?.len();
        if length != remote.size {
            return Ok(Some(format!("it has {length} bytes instead of {}", remote.size)));
        }
        digest::mismatch(self.model, path, &remote.etag, self.cancel, &mut |_| {})
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(|e| self.unwritable(path, e))
    }

    /// Translates a final error response.
    fn refused(&self, url: &str, status: u16, code: Option<&str>, message: Option<&str>) -> Error {
        let problem = match (status, code) {
            (401 | 403, _) => ModelProblem::NoAccess { gated: code == Some("GatedRepo") },
            (404, Some("RevisionNotFound")) => {
                ModelProblem::NotFound(Some("the hub has no such revision".into()))
            }
            (404, _) => ModelProblem::NotFound(Some("the hub has no such repository".into())),
            _ => {
                let message = message.map(|message| format!(", {message}")).unwrap_or_default();
                return self
                    .download_error(format!("{}: status {status}{message}", without_credentials(url)));
            }
        };
        Error::model(self.model, problem)
    }

    fn download_error(&self, cause: String) -> Error {
        Error::model(self.model, ModelProblem::Download(cause.into()))
    }

    fn unwritable(&self, path: &Path, source: std::io::Error) -> Error {
        Error::model(self.model, ModelProblem::CacheUnwritable { path: path.display().to_string(), source })
    }
}

impl From<Error> for TransferError {
    fn from(error: Error) -> Self {
        TransferError::Fatal(error)
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Returns a URL as it may be shown: without a user's name and password.
pub fn without_credentials(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    match url[start..end].rfind('@') {
        Some(at) => format!("{}{}", &url[..start], &url[start + at + 1..]),
        None => url.to_owned(),
    }
}

/// Returns the scheme and the host of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether an error means that there is no network, so that retrying is pointless.
fn is_unreachable(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::BadUri(_) => true,
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_urls() {
        assert_eq!(
            url("https://hub.example/", "o/n", "refs/pr/1", "a b.json"),
            "https://hub.example/o/n/resolve/refs%2Fpr%2F1/a%20b.json"
        );
        assert_eq!(origin("https://hub.example/o/n"), "https://hub.example");
        assert_eq!(origin("http://127.0.0.1:80"), "http://127.0.0.1:80");
    }

    #[test]
    fn urls_are_shown_without_credentials() {
        for (url, shown) in [
            ("https://hub.example/a@b", "https://hub.example/a@b"),
            ("https://me:pass@word@hub.example:80/o", "https://hub.example:80/o"),
            ("me:pass@hub.example", "hub.example"),
            ("https://me@", "https://"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
