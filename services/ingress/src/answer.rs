//! Answers: small JSON for what was kept, RFC 9457 problem documents for what was not.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// What a provider is told about a delivery that was kept.
#[derive(Serialize)]
pub(crate) struct Kept<'a> {
    pub(crate) delivery_id: &'a str,
    /// `accepted`, `duplicate`, `ignored`, `quarantined` or `spooled`.
    pub(crate) status: &'static str,
    /// Changes that altered something; absent when they were not applied yet, because many deliveries came at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changes: Option<usize>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) reason: &'a str,
}

impl Kept<'_> {
    pub(crate) fn response(&self, status: u16) -> Response {
        json(status, "application/json", self)
    }
}

/// Why a delivery was not kept.
#[derive(Serialize)]
pub(crate) struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(status: u16, reason: &str, detail: &'a str) -> Self {
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        let kind = reason.to_ascii_lowercase().replace('_', "-");
        Self { r#type: format!("urn:freshet:problem:{kind}"), title, status, detail, field: "", retry_after: None }
    }

    pub(crate) fn field(mut self, field: &'a str) -> Self {
        self.field = field;
        self
    }

    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = json(self.status, "application/problem+json", self);
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: a sender that comes back earlier would be refused again.
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        if self.status == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The process cannot take more now.
pub(crate) fn overloaded() -> Response {
    Problem::new(503, "OVERLOADED", "too many requests at once; try again")
        .retry_after(Duration::from_secs(1))
        .response()
}

/// The process has not read its catalogue yet, or could not reach its spool.
pub(crate) fn not_ready() -> Response {
    Problem::new(503, "NOT_READY", "this server is starting; try again").retry_after(Duration::from_secs(5)).response()
}

/// For everything that is not a route.
pub(crate) async fn no_such_route() -> Response {
    Problem::new(404, "NO_SUCH_ROUTE", "webhooks are posted to /webhook/{provider}/{source}").response()
}

fn json(status: u16, media_type: &'static str, value: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
