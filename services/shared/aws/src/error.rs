//! What an AWS error means: our kinds, in one table.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use freshet_kit::{Error, ErrorKind};

/// The kind of a failed call.
///
/// `TimedOut` and `Unavailable` leave open whether the call had its effect.
pub fn kind<E, R>(error: &SdkError<E, R>) -> ErrorKind
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => ErrorKind::Internal,
        SdkError::TimeoutError(_) => ErrorKind::TimedOut,
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => ErrorKind::Unavailable,
        SdkError::ServiceError(service) => of_code(service.err().code().unwrap_or_default()),
        _ => ErrorKind::Unavailable,
    }
}

/// The service's own code, such as `ThrottlingException`; empty if the call did not reach the service.
pub fn code<E, R>(error: &SdkError<E, R>) -> &str
where
    E: ProvideErrorMetadata,
{
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// The error for a caller: the operation, the service's code and message. AWS puts no secret into its messages.
pub fn error<E, R>(operation: &str, failed: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let what = match failed.as_service_error() {
        Some(service) => format!(
            "{operation}: {} {}",
            service.code().unwrap_or("without a code"),
            service.message().unwrap_or_default()
        ),
        None => operation.to_owned(),
    };
    Error::new(kind(&failed), "AWS_CALL_FAILED", what).with_source(failed)
}

fn of_code(code: &str) -> ErrorKind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "TooManyRequestsException"
        | "SlowDown"
        | "AccountLimitExceededException"
        | "KmsThrottled"
        | "KMSThrottlingException"
        | "OverLimit" => ErrorKind::Busy,
        "TransactionConflictException" | "TransactionInProgressException" | "ConditionalCheckFailedException" => {
            ErrorKind::Conflict
        }
        "ResourceNotFoundException"
        | "NoSuchKey"
        | "NoSuchBucket"
        | "NotFound"
        | "NotFoundException"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => ErrorKind::Missing,
        "AccessDenied" | "AccessDeniedException" | "AuthorizationError" | "AuthorizationErrorException" => {
            ErrorKind::Forbidden
        }
        "ValidationException" | "InvalidParameterException" | "InvalidParameter" | "InvalidInputException" => {
            ErrorKind::Invalid
        }
        "RequestTimeout" | "RequestTimeoutException" => ErrorKind::TimedOut,
        _ => ErrorKind::Unavailable,
    }
}
