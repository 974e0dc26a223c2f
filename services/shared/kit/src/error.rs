//! One closed list of error kinds, mapped once to gRPC and to HTTP.

use std::fmt;
use std::time::Duration;

use freshet_proto::convert::InvalidField;
use tonic_types::{ErrorDetails, StatusExt};

/// What sort of failure it is. Says what the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A field breaks its promise. Do not retry.
    Invalid,
    /// There is no such thing.
    Missing,
    /// There already is such a thing.
    Exists,
    /// The thing changed meanwhile: read again, then retry.
    Conflict,
    /// The thing is in a state that forbids this.
    WrongState,
    /// A position that is no longer kept.
    OutOfRange,
    /// No credentials, or unknown ones.
    Unauthenticated,
    /// Known credentials that do not allow this.
    Forbidden,
    /// Too much at once: retry after the time given.
    Busy,
    /// A dependency is down: reads may be retried, and writes that have a request id.
    Unavailable,
    /// Not done in time: as for [`ErrorKind::Unavailable`].
    TimedOut,
    /// A bug or a broken store. The id in the message finds the log line.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [ErrorKind; 12] = [
        ErrorKind::Invalid,
        ErrorKind::Missing,
        ErrorKind::Exists,
        ErrorKind::Conflict,
        ErrorKind::WrongState,
        ErrorKind::OutOfRange,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
        ErrorKind::Busy,
        ErrorKind::Unavailable,
        ErrorKind::TimedOut,
        ErrorKind::Internal,
    ];

    /// The gRPC code.
    pub const fn grpc(self) -> tonic::Code {
        match self {
            ErrorKind::Invalid => tonic::Code::InvalidArgument,
            ErrorKind::Missing => tonic::Code::NotFound,
            ErrorKind::Exists => tonic::Code::AlreadyExists,
            ErrorKind::Conflict => tonic::Code::Aborted,
            ErrorKind::WrongState => tonic::Code::FailedPrecondition,
            ErrorKind::OutOfRange => tonic::Code::OutOfRange,
            ErrorKind::Unauthenticated => tonic::Code::Unauthenticated,
            ErrorKind::Forbidden => tonic::Code::PermissionDenied,
            ErrorKind::Busy => tonic::Code::ResourceExhausted,
            ErrorKind::Unavailable => tonic::Code::Unavailable,
            ErrorKind::TimedOut => tonic::Code::DeadlineExceeded,
            ErrorKind::Internal => tonic::Code::Internal,
        }
    }

    /// The HTTP status code.
    pub const fn http(self) -> u16 {
        match self {
            ErrorKind::Invalid | ErrorKind::OutOfRange => 400,
            ErrorKind::Missing => 404,
            ErrorKind::Exists | ErrorKind::Conflict | ErrorKind::WrongState => 409,
            ErrorKind::Unauthenticated => 401,
            ErrorKind::Forbidden => 403,
            ErrorKind::Busy => 429,
            ErrorKind::Unavailable => 503,
            ErrorKind::TimedOut => 504,
            ErrorKind::Internal => 500,
        }
    }

    /// From a gRPC code. Over TCP an expired deadline arrives as CANCELLED, in process as DEADLINE_EXCEEDED: both
    /// mean the same.
    pub const fn from_grpc(code: tonic::Code) -> Self {
        match code {
            tonic::Code::InvalidArgument => ErrorKind::Invalid,
            tonic::Code::NotFound => ErrorKind::Missing,
            tonic::Code::AlreadyExists => ErrorKind::Exists,
            tonic::Code::Aborted => ErrorKind::Conflict,
            tonic::Code::FailedPrecondition => ErrorKind::WrongState,
            tonic::Code::OutOfRange => ErrorKind::OutOfRange,
            tonic::Code::Unauthenticated => ErrorKind::Unauthenticated,
            tonic::Code::PermissionDenied => ErrorKind::Forbidden,
            tonic::Code::ResourceExhausted => ErrorKind::Busy,
            tonic::Code::Unavailable => ErrorKind::Unavailable,
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => ErrorKind::TimedOut,
            tonic::Code::Ok
            | tonic::Code::Unknown
            | tonic::Code::Unimplemented
            | tonic::Code::Internal
            | tonic::Code::DataLoss => ErrorKind::Internal,
        }
    }

    /// True if the same call may succeed later without anything else being changed.
    pub const fn is_transient(self) -> bool {
        match self {
            ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::TimedOut => true,
            ErrorKind::Invalid
            | ErrorKind::Missing
            | ErrorKind::Exists
            | ErrorKind::Conflict
            | ErrorKind::WrongState
            | ErrorKind::OutOfRange
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::Internal => false,
        }
    }
}

/// An error with a text for the outside and a cause for the log. The cause never reaches a caller.
pub struct Error {
    kind: ErrorKind,
    reason: &'static str,
    message: String,
    fields: Vec<InvalidField>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind, with a machine-readable UPPER_SNAKE reason and a sentence for the caller.
    pub fn new(kind: ErrorKind, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), fields: Vec::new(), retry_after: None, source: None }
    }

    /// A field that breaks its promise.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        InvalidField::new(field, problem).into()
    }

    /// There is no such thing.
    pub fn missing(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Missing, "NOT_FOUND", format!("{what} does not exist"))
    }

    /// A dependency is down.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, "UNAVAILABLE", message)
    }

    /// A bug or a broken store.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, "INTERNAL", message)
    }

    /// The same error with its cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with the time after which a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What sort of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Machine-readable reason.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// The sentence for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An error that another service answered with.
    pub fn from_status(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let mut error =
            Self::new(ErrorKind::from_grpc(status.code()), "REMOTE", cut(status.message(), MESSAGE_BYTES_MAX));
        error.retry_after = details.retry_info().and_then(|info| info.retry_delay);
        if let Some(bad) = details.bad_request() {
            error.fields = bad
                .field_violations
                .iter()
                .map(|violation| InvalidField::new(violation.field.clone(), violation.description.clone()))
                .collect();
        }
        error
    }

    /// To a status that fits on every transport; an internal error is logged with an id and answered with that id.
    pub fn into_status(self) -> tonic::Status {
        let message = if self.kind == ErrorKind::Internal {
            let id = freshet_domain::DeliveryId::generate().to_string().replace("dlv_", "err_");
            tracing::error!(error.id = %id, error.reason = self.reason, error = %chain(&self), "internal error");
            format!("{} ({id})", self.message)
        } else {
            self.message
        };
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason, "freshet", std::collections::HashMap::new());
        if let Some(after) = self.retry_after {
            details.set_retry_info(Some(after));
        }
        for field in self.fields.into_iter().take(8) {
            details.add_bad_request_violation(cut(&field.field, 200), cut(&field.problem, 200));
        }
        tonic::Status::with_error_details(self.kind.grpc(), cut(&message, MESSAGE_BYTES_MAX), details)
    }
}

/// A status message beyond about 16 KB breaks an HTTP/2 stream; in process it would pass unnoticed.
const MESSAGE_BYTES_MAX: usize = 1024;

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub(3);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

/// The error and its causes, joined by colons, for one log line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.kind, self.reason, chain(self))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<InvalidField> for Error {
    fn from(field: InvalidField) -> Self {
        let mut error = Self::new(ErrorKind::Invalid, "INVALID_FIELD", field.to_string());
        error.fields.push(field);
        error
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        error.into_status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_wire() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_grpc(kind.grpc()), kind);
        }
    }

    #[test]
    fn a_huge_message_is_cut_and_the_cause_stays_inside() {
        let error = Error::unavailable("ä".repeat(100_000)).with_source("the password is hunter2");
        let status = error.into_status();
        assert!(status.message().len() <= MESSAGE_BYTES_MAX);
        assert!(!format!("{status:?}").contains("hunter2"));
    }

    #[test]
    fn fields_and_retry_times_arrive() {
        let status = Error::invalid("key.type", "is missing").retry_after(Duration::from_secs(2)).into_status();
        let back = Error::from_status(&status);
        assert_eq!(back.kind(), ErrorKind::Invalid);
        assert_eq!(back.fields, [InvalidField::new("key.type", "is missing")]);
        assert_eq!(back.retry_after, Some(Duration::from_secs(2)));
    }
}
