//! What an AWS error means: our kinds, in one table.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use freshet_kit::{Error, ErrorKind};

/// The kind of a failed call.
///
/// `TimedOut` and `Unavailable` leave open whether the call had its effect.
pub fn kind<E>(error: &SdkError<E, HttpResponse>) -> ErrorKind
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => ErrorKind::Internal,
        SdkError::TimeoutError(_) => ErrorKind::TimedOut,
        SdkError::DispatchFailure(_) => ErrorKind::Unavailable,
        // An answer that cannot be read: something between us and the service cut or replaced it.
        SdkError::ResponseError(_) => ErrorKind::Unavailable,
        SdkError::ServiceError(service) => of_code(service.err().code().unwrap_or_default())
            .unwrap_or_else(|| of_status(service.raw().status().as_u16())),
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
pub fn error<E>(operation: &str, failed: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let what = match failed.as_service_error() {
        Some(service) => format!(
            "{operation}: {} {}",
            service.code().unwrap_or("without a code"),
            service.message().unwrap_or_default()
        ),
        None => operation.to_owned(),
    };
    Error::new(kind(&failed), "AWS_CALL_FAILED", what.trim_end()).with_source(failed)
}

/// The kind of a service's code, also of a code inside an answer (a failed entry of a batch). `None` for codes that
/// the table does not know.
pub fn of_code(code: &str) -> Option<ErrorKind> {
    TABLE.iter().find(|(_, codes)| codes.contains(&code)).map(|(kind, _)| *kind)
}

/// For codes that are not in the table.
fn of_status(status: u16) -> ErrorKind {
    match status {
        429 => ErrorKind::Busy,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::Missing,
        // Not our fault, or not certainly.
        408 | 500.. => ErrorKind::Unavailable,
        // A request that AWS does not understand will not be understood the second time.
        400..500 => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    }
}

/// What each code means, by kind. A code stands in one row only.
const TABLE: [(ErrorKind, &[&str]); 9] = [
    (
        ErrorKind::Busy,
        &[
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "SlowDown",
            "AccountLimitExceededException",
            "LimitExceededException",
            "KmsThrottled",
            "KMSThrottling",
            "KMSThrottlingException",
            "OverLimit",
            "TooManyInvalidationsInProgress",
        ],
    ),
    (
        ErrorKind::Conflict,
        &[
            "TransactionConflictException",
            "TransactionInProgressException",
            "ConditionalCheckFailedException",
            "PreconditionFailed",
            "ConditionalRequestConflict",
            "OperationAborted",
        ],
    ),
    (
        ErrorKind::Missing,
        &[
            "ResourceNotFoundException",
            "NoSuchKey",
            "NoSuchUpload",
            "NoSuchDistribution",
            "NotFound",
            "NotFoundException",
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            "ReceiptHandleIsInvalid",
        ],
    ),
    (
        ErrorKind::Forbidden,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
            "AuthorizationErrorException",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
            "KMSAccessDenied",
            "KMSAccessDeniedException",
            "DecryptionFailure",
        ],
    ),
    (
        ErrorKind::Invalid,
        &[
            "ValidationException",
            "ValidationError",
            "InvalidParameterException",
            "InvalidParameterValueException",
            "InvalidParameter",
            "InvalidInputException",
            "InvalidArgument",
            "EntityTooLarge",
            "BatchRequestTooLong",
            "ItemCollectionSizeLimitExceededException",
        ],
    ),
    (ErrorKind::TimedOut, &["RequestTimeout", "RequestTimeoutException"]),
    (ErrorKind::WrongState, &["InvalidRequestException", "ResourceInUseException"]),
    (ErrorKind::Exists, &["ResourceExistsException", "ResourceAlreadyExistsException"]),
    (
        ErrorKind::Unavailable,
        &[
            // A bucket that is not there is an outage, not an answer: nobody asked for a bucket.
            "NoSuchBucket",
            "InternalError",
            "InternalErrorException",
            "InternalFailure",
            "InternalServerError",
            "InternalServiceError",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        ],
    ),
];

#[cfg(test)]
mod tests;
