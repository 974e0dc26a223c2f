//! Batch calls whose entries succeed and fail one by one.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, ErrorKind};

/// Attempts for an entry, the first included. The SDK has retried whole calls before that.
const ATTEMPTS: u32 = 4;
const PAUSES: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

/// What a batch call says of the entries that it does not confirm, by their position in the batch.
pub(super) type Failures = BTreeMap<usize, Error>;

/// Sends a batch until each entry succeeded, failed for good, or failed too often. `send` is given the positions that
/// are left and answers with those that failed; an `Err` means that all of them did.
pub(super) async fn each_entry<F>(count: usize, mut send: impl FnMut(Vec<usize>) -> F) -> Failures
where
    F: Future<Output = Result<Failures, Error>>,
{
    let mut left: Vec<usize> = (0..count).collect();
    let mut failed = Failures::new();
    for attempt in 1..=ATTEMPTS {
        let failures = match send(left.clone()).await {
            Ok(failures) => failures,
            Err(error) => left.iter().map(|position| (*position, again(&error))).collect(),
        };
        left =
            failures.iter().filter(|(_, error)| error.kind().is_transient()).map(|(position, _)| *position).collect();
        for position in failed.keys().copied().collect::<Vec<_>>() {
            // What failed before and is not named now has succeeded.
            if failed[&position].kind().is_transient() {
                failed.remove(&position);
            }
        }
        failed.extend(failures);
        if left.is_empty() || attempt == ATTEMPTS {
            break;
        }
        tokio::time::sleep(PAUSES.jittered(attempt, chance())).await;
    }
    failed
}

/// One error of a call is the error of each of its entries.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), "BUS_CALL_FAILED", error.message())
}

/// The error of one entry.
pub(super) fn entry_error(operation: &str, code: &str, message: Option<&str>, sender_fault: bool) -> Error {
    // Being throttled counts as the sender's fault too, and passes.
    let otherwise = if sender_fault { ErrorKind::Invalid } else { ErrorKind::Unavailable };
    let kind = freshet_aws::of_code(code).unwrap_or(otherwise);
    Error::new(kind, "BUS_ENTRY_FAILED", format!("{operation}: {code} {}", message.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: ErrorKind) -> Error {
        Error::new(kind, "TEST", "failed")
    }

    #[test]
    fn an_entry_that_was_throttled_may_be_sent_again() {
        assert!(entry_error("x", "Throttling", None, true).kind().is_transient());
        assert!(!entry_error("x", "Nonsense", None, true).kind().is_transient());
        assert!(entry_error("x", "Nonsense", None, false).kind().is_transient());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_is_sent_again() {
        let mut calls = Vec::new();
        let failed = each_entry(3, |positions| {
            calls.push(positions);
            let first = calls.len() == 1;
            async move {
                Ok(if first {
                    Failures::from([(0, failure(ErrorKind::Unavailable)), (2, failure(ErrorKind::Invalid))])
                } else {
                    Failures::new()
                })
            }
        })
        .await;
        assert_eq!(calls, [vec![0, 1, 2], vec![0]]);
        assert_eq!(failed.keys().copied().collect::<Vec<_>>(), [2], "refused for good, and said so");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_fails_each_entry_and_is_tried_a_few_times() {
        let mut calls = 0;
        let failed = each_entry(2, |_| {
            calls += 1;
            async { Err(failure(ErrorKind::TimedOut)) }
        })
        .await;
        assert_eq!((calls, failed.len()), (ATTEMPTS, 2));
        let mut calls = 0;
        let failed = each_entry(2, |_| {
            calls += 1;
            async { Err(failure(ErrorKind::Forbidden)) }
        })
        .await;
        assert_eq!((calls, failed.len()), (1, 2), "what cannot succeed is not repeated");
    }
}
