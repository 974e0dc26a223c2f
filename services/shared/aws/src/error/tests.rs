use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;

use super::*;

#[test]
fn a_code_stands_in_one_row() {
    let mut seen = BTreeSet::new();
    for code in TABLE.iter().flat_map(|(_, codes)| codes.iter()) {
        assert!(seen.insert(code), "{code} is there twice");
    }
}

/// The kind of an answer as it comes over the wire, and how often the SDK sent the request.
async fn answered(status: u16, code: &str) -> (ErrorKind, usize) {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"no"}}"#);
    let rule = mock!(Client::get_item)
        .sequence()
        .http_response(move || HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body.clone())));
    let rule = rule.repeatedly().build();
    let retries =
        RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1));
    let client =
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&rule], |config| config.retry_config(retries.clone()));
    let call = client.get_item().table_name("t").key("pk", aws_sdk_dynamodb::types::AttributeValue::S("1".into()));
    (kind(&call.send().await.expect_err("an error")), rule.num_calls())
}

#[tokio::test]
async fn every_row_of_the_table_is_what_the_sdk_reads_from_the_wire() {
    for (kind, codes) in TABLE {
        for code in codes {
            assert_eq!(answered(400, code).await.0, kind, "{code}");
        }
    }
}

/// What is tried again: by the SDK within a call, and above it by whoever sees a transient kind. What conflicts is decided
/// anew, which only the stores can do.
#[tokio::test]
async fn the_retry_table_holds_row_by_row() {
    use ErrorKind::{Busy, Conflict, Forbidden, Internal, Invalid, Missing, Unavailable};
    let rows = [
        // status, code, kind, transient, requests of the SDK
        (400, "ThrottlingException", Busy, true, 3),
        (400, "ProvisionedThroughputExceededException", Busy, true, 3),
        (400, "RequestLimitExceeded", Busy, true, 3),
        (400, "TransactionInProgressException", Conflict, false, 3),
        (400, "TransactionConflictException", Conflict, false, 1),
        (400, "ConditionalCheckFailedException", Conflict, false, 1),
        (500, "InternalServerError", Unavailable, true, 3),
        (503, "ServiceUnavailable", Unavailable, true, 3),
        (502, "", Unavailable, true, 3),
        (504, "Nonsense", Unavailable, true, 3),
        (429, "Nonsense", Busy, true, 1),
        (400, "ValidationException", Invalid, false, 1),
        (400, "AccessDeniedException", Forbidden, false, 1),
        (400, "ExpiredTokenException", Forbidden, false, 1),
        (400, "ResourceNotFoundException", Missing, false, 1),
        (400, "Nonsense", Internal, false, 1),
    ];
    for (status, code, kind, transient, requests) in rows {
        let (got, sent) = answered(status, code).await;
        assert_eq!((got, got.is_transient(), sent), (kind, transient, requests), "{status} {code}");
    }
}

/// On items, a missing table is an outage: deliveries wait for it in the spool instead of being refused.
#[tokio::test]
async fn a_missing_table_is_an_outage() {
    let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}"#;
    let rule = mock!(Client::get_item)
        .then_http_response(move || HttpResponse::new(400.try_into().expect("a status"), SdkBody::from(body)));
    let client = mock_client!(aws_sdk_dynamodb, [&rule]);
    let error = crate::dynamo::Db { client }.get("t", &crate::dynamo::Key::new("a", "b")).await.expect_err("none");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
