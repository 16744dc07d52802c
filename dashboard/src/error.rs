//! What goes wrong for a reader, as problem details (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use store::{LedgerError, LogError};

/// The content type of every error.
pub(crate) const PROBLEM: &str = "application/problem+json";

/// A refusal with its status and one sentence.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: detail.into() }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into() }
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, detail: detail.into() }
    }

    pub(crate) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// The problem as JSON.
    pub(crate) fn body(&self) -> String {
        let title = self.status.canonical_reason().unwrap_or("error");
        let status = self.status.as_u16();
        serde_json::json!({"type": "about:blank", "title": title, "status": status, "detail": self.detail}).to_string()
    }
}

impl From<LedgerError> for Problem {
    fn from(cause: LedgerError) -> Self {
        tracing::warn!("answer a reader: {cause}");
        Self { status: StatusCode::SERVICE_UNAVAILABLE, detail: cause.to_string() }
    }
}

impl From<LogError> for Problem {
    fn from(cause: LogError) -> Self {
        tracing::warn!("answer a reader: {cause}");
        // The path of the file is nobody's business out there.
        Self { status: StatusCode::SERVICE_UNAVAILABLE, detail: format!("the log cannot be read: {}", cause.cause) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, PROBLEM)], self.body()).into_response()
    }
}
