//! Receives multipart forms: text fields into memory, the recording to disk as it comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::time::timeout;

use super::api_error::{ApiError, ApiResult};
use crate::digest::hex;
use crate::serve::Server;
use crate::serve::pressure::{Refusal, UPLOAD_TIMEOUT};
use crate::serve::record::JobId;
use crate::serve::state_dir::{IncomingFolder, safe_name};

/// Bytes of a text field, and text fields of a form.
const MAX_TEXT: usize = 64 << 10;
const MAX_FIELDS: usize = 64;
const BUFFER: usize = 256 << 10;

/// What becomes of a recording that is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    Store,
    /// It is stored, and its digest is computed.
    StoreWithDigest,
    /// Only its digest is computed.
    DigestOnly,
}

/// A received form.
pub struct Upload {
    pub id: JobId,
    pub folder: IncomingFolder,
    /// The safe part of the recording's name, if there was one.
    pub name: Option<String>,
    /// The digest of the recording, if it was asked for.
    pub digest: Option<String>,
    fields: BTreeMap<String, Vec<String>>,
}

impl Upload {
    /// Returns the upload of a job whose recording comes from elsewhere.
    pub fn without_recording(id: JobId, folder: IncomingFolder) -> Self {
        Self { id, folder, name: None, digest: None, fields: BTreeMap::new() }
    }

    /// Removes a field and returns its value; a field that is given twice is an error.
    pub fn take(&mut self, name: &str) -> ApiResult<Option<String>> {
        match self.fields.remove(name) {
            None => Ok(None),
            Some(mut values) if values.len() == 1 => Ok(values.pop()),
            Some(_) => Err(ApiError::field(name, format!("`{name}` is given more than once"))),
        }
    }

    /// Removes a field that may be given more than once, and returns its values.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        self.fields.remove(name).unwrap_or_default()
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Removes all remaining fields: they are options of the command line.
    pub fn take_options(&mut self) -> ApiResult<Map<String, Value>> {
        let mut options = Map::new();
        while let Some(name) = self.fields.keys().next().cloned() {
            options.extend(self.take(&name)?.map(|value| (name, Value::String(value))));
        }
        Ok(options)
    }

    /// Returns the name of the recording, or an error that it is missing.
    pub fn recording(&self) -> ApiResult<String> {
        self.name.clone().ok_or_else(|| ApiError::field("file", "the form has no `file`"))
    }
}

/// Fails if nothing can be accepted now. The length is what the client announces.
pub fn admit(server: &Server, headers: &HeaderMap) -> ApiResult<()> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes: u64 = length.unwrap_or(0);
    let most = server.options.max_upload;
    // A form is a little larger than its recording.
    if bytes > most.saturating_add(1 << 20) {
        server.jobs.counters.refused("too_large");
        return Err(ApiError::too_large(most));
    }
    server.pressure.admit(&server.jobs, &server.status, bytes).map_err(|refusal| refuse(server, refusal))
}

fn refuse(server: &Server, refusal: Refusal) -> ApiError {
    server.jobs.counters.refused(refusal.reason());
    refusal.into()
}

/// Receives a form. Whatever was received is removed if that fails, or if the client goes away.
pub async fn receive(server: &Arc<Server>, mut form: Multipart, receiving: Receiving) -> ApiResult<Upload> {
    let busy = || {
        let retry_after = server.jobs.retry_after();
        refuse(server, Refusal::Busy { why: "too many uploads at the same time".into(), retry_after })
    };
    let _permit = server.transfers.try_acquire().map_err(|_| busy())?;
    let id = JobId::new();
    let folder = server.jobs.state().incoming(&id).map_err(|error| ApiError::storage(&error))?;
    let mut upload = Upload { id, folder, name: None, digest: None, fields: BTreeMap::new() };
    let mut count = 0;
    while let Some(field) = within(form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        count += 1;
        if count > MAX_FIELDS {
            return Err(ApiError::invalid(format!("the form has more than {MAX_FIELDS} fields")));
        }
        if name == "file" {
            if upload.name.is_some() {
                return Err(ApiError::field("file", "a request takes one `file`; send a request for each"));
            }
            receive_file(server, &mut upload, field, receiving).await?;
        } else {
            let text = receive_text(&name, field).await?;
            upload.fields.entry(name).or_default().push(text);
        }
    }
    Ok(upload)
}

async fn receive_text(name: &str, mut field: Field<'_>) -> ApiResult<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = within(field.chunk()).await? {
        if bytes.len() + chunk.len() > MAX_TEXT {
            return Err(ApiError::field(name, format!("`{name}` has more than {MAX_TEXT} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::field(name, format!("`{name}` is not UTF-8")))
}

async fn receive_file(
    server: &Server,
    upload: &mut Upload,
    mut field: Field<'_>,
    receiving: Receiving,
) -> ApiResult<()> {
    let name = safe_name(field.file_name().unwrap_or_default());
    let path =
        upload.folder.recording(&name).ok_or_else(|| ApiError::internal("the upload has no folder"))?;
    let stored = |error: std::io::Error| ApiError::storage(&error);
    let mut file = match receiving {
        Receiving::DigestOnly => None,
        Receiving::Store | Receiving::StoreWithDigest => {
            Some(BufWriter::with_capacity(BUFFER, File::create(&path).await.map_err(stored)?))
        }
    };
    let mut digest = (receiving != Receiving::Store).then(Sha256::new);
    let (mut total, most) = (0_u64, server.options.max_upload);
    while let Some(chunk) = within(field.chunk()).await? {
        total += chunk.len() as u64;
        if total > most {
            server.jobs.counters.refused("too_large");
            return Err(ApiError::too_large(most));
        }
        digest.iter_mut().for_each(|digest| digest.update(&chunk));
        if let Some(file) = &mut file {
            file.write_all(&chunk).await.map_err(stored)?;
        }
    }
    if let Some(file) = &mut file {
        file.flush().await.map_err(stored)?;
    }
    server.jobs.counters.uploaded(total);
    if total == 0 {
        return Err(ApiError::field("file", "the `file` is empty"));
    }
    (upload.name, upload.digest) = (Some(name), digest.map(|digest| hex(&digest.finalize())));
    Ok(())
}

/// Waits for the client, but not for ever.
async fn within<T>(next: impl Future<Output = Result<T, MultipartError>>) -> ApiResult<T> {
    match timeout(UPLOAD_TIMEOUT, next).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let status = error.status();
            Err(ApiError::new(
                if status.is_server_error() { StatusCode::BAD_REQUEST } else { status },
                "invalid_form",
                format!("the form cannot be read: {}", error.body_text()),
            ))
        }
        Err(_) => {
            let message = format!("nothing was received for {} seconds", UPLOAD_TIMEOUT.as_secs());
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "upload_timeout", message))
        }
    }
}
