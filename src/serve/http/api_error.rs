//! Errors as answers, in the form of OpenAI's.

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, panic_message};
use crate::serve::accept::AcceptError;
use crate::serve::jobs::QueueFull;
use crate::serve::pressure::Refusal;
use crate::serve::record::{ENDING, JobFailure};

/// An error that is sent as the answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The field of the request that is wrong.
    param: Option<String>,
    retry_after: Option<u64>,
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: &'static str,
}

pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after: None }
    }

    /// Says that a request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// Says that a field of a request is wrong.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self { param: Some(name.to_owned()), ..Self::invalid(message) }
    }

    /// Names the field of the request that is wrong.
    pub fn about(self, name: &str) -> Self {
        Self { param: Some(name.to_owned()), ..self }
    }

    /// Says that a field of a request asks for something that is not allowed.
    pub fn forbidden(name: &str, message: &str) -> Self {
        Self { param: Some(name.to_owned()), ..Self::new(StatusCode::FORBIDDEN, "not_allowed", message) }
    }

    pub fn unknown_job(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "job_not_found", format!("there is no job `{id}`"))
    }

    /// Says that the first submission with a key is not received yet.
    pub fn key_in_use() -> Self {
        let message = "the first submission with this `Idempotency-Key` is still being received";
        let error = Self::new(StatusCode::CONFLICT, "idempotency_key_in_use", message);
        Self { retry_after: Some(1), ..error }
    }

    /// Says that a key was used for another submission.
    pub fn key_reused(id: &str) -> Self {
        let message = format!(
            "this `Idempotency-Key` belongs to job `{id}`, which was submitted with another recording or other settings; \
             send the same again, or choose a new key"
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
    }

    pub fn too_large(most: u64) -> Self {
        let message = format!("the recording has more than {most} bytes, the limit of this server");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// Says that something could not be written.
    pub fn storage(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                let message = "the disk of this server is full";
                Self {
                    retry_after: Some(60),
                    ..Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message)
                }
            }
            _ => Self::internal(format!("the recording cannot be stored: {error}")),
        }
    }

    /// Returns the error as the last event of a stream.
    pub fn stream_event(&self) -> serde_json::Value {
        serde_json::json!({ "type": "error", "code": self.code, "message": self.message })
    }

    /// Says why a recording could not be transcribed.
    pub fn failed(failure: &JobFailure) -> Self {
        let hint = failure.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let message = format!("{}{hint}", failure.message);
        if failure.is_ending() {
            let ending = Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message);
            return Self { retry_after: Some(5), ..ending };
        }
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "transcription_failed", message)
    }
}

/// Returns an error with what can be done about it.
fn with_hint(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}; {hint}", error.chain()),
        None => error.chain(),
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error.unshared() {
            Error::Usage { what, .. } => {
                let param = what.trim_matches('`').trim_start_matches('-').split([' ', '=']).next();
                Self { param: param.map(str::to_owned), ..Self::invalid(with_hint(&error)) }
            }
            Error::Output { source, .. } => Self::storage(source),
            _ => Self::internal(with_hint(&error)),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, code, why, retry_after) = match refusal {
            Refusal::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", ENDING.to_owned(), 5),
            Refusal::Busy { why, retry_after } => (StatusCode::TOO_MANY_REQUESTS, "busy", why, retry_after),
            Refusal::Short { why, retry_after } => {
                (StatusCode::SERVICE_UNAVAILABLE, "short_of_resources", why, retry_after)
            }
        };
        Self { retry_after: Some(retry_after), ..Self::new(status, code, why) }
    }
}

impl From<QueueFull> for ApiError {
    fn from(full: QueueFull) -> Self {
        Refusal::from(full).into()
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Options(error) | AcceptError::Store(error) => error.into(),
            AcceptError::QueueFull(full) => full.into(),
            AcceptError::Short(refusal) => refusal.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let r#type = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let Self { status, code, message, param, retry_after } = self;
        let body = Json(ErrorAnswer { error: ErrorBody { message, r#type, param, code } });
        match retry_after {
            Some(seconds) => (status, [(header::RETRY_AFTER, seconds.to_string())], body).into_response(),
            None => (status, body).into_response(),
        }
    }
}

pub async fn not_found(uri: OriginalUri) -> ApiError {
    let message = format!("there is nothing at `{}`; `/openapi.json` describes what there is", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

pub async fn method_not_allowed(method: Method, uri: OriginalUri) -> ApiError {
    let message = format!("`{}` does not answer to {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// Answers when a handler panicked; the panic hook has reported it.
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal(format!("internal error: {}", panic_message(&*panic))).into_response()
}
