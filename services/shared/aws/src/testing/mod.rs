//! What tests against the emulator share. Nothing here is meant for production.

use std::io::Write as _;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};

/// The variable with the emulator's address, such as `http://127.0.0.1:4711`.
pub const ENDPOINT: &str = "FRESHET_TEST_AWS";

/// The emulator's address, or `None` where no emulator runs and tests may be skipped.
///
/// # Panics
///
/// If there is none and `FRESHET_REQUIRE_ALL=1` says that no test may be skipped.
pub fn endpoint() -> Option<String> {
    if let Ok(endpoint) = std::env::var(ENDPOINT)
        && !endpoint.is_empty()
    {
        return Some(endpoint.trim_end_matches('/').to_owned());
    }
    let all = std::env::var("FRESHET_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!all, "{ENDPOINT} is not set, and FRESHET_REQUIRE_ALL=1 forbids to skip a test");
    // Not through a macro: what those print is hidden when the test passes.
    let note = format!("skipped: {ENDPOINT} is not set (scripts/test starts the emulator)\n");
    let _ = std::io::stderr().write_all(note.as_bytes());
    None
}

/// The configuration of all clients for the emulator, or `None` where the test is to be skipped.
///
/// The time limits are generous: the emulator shares two cores with the tests. S3 addresses buckets by path by itself
/// because the endpoint is an IP address. Each call makes a pool of connections of its own, because every test has a
/// runtime of its own and connections die with the runtime that made them.
pub fn config() -> Option<SdkConfig> {
    endpoint().map(|endpoint| config_for(&endpoint))
}

/// The configuration of all clients for an endpoint.
pub fn config_for(endpoint: &str) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(60))
        .build();
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(timeouts)
        .build()
}

/// A name that no other test uses: the prefix, a hyphen and twelve hexadecimal digits.
pub fn name(prefix: &str) -> String {
    format!("{prefix}-{}", &crate::random::hex()[..12])
}

/// Posts JSON to the emulator itself: its faults, how builds go.
///
/// # Panics
///
/// If it does not take it.
pub async fn tell(path: &str, body: &str) {
    tell_at(&endpoint().unwrap_or_default(), path, body).await;
}

/// Posts JSON to the emulator at this address.
///
/// # Panics
///
/// If it does not take it.
pub async fn tell_at(endpoint: &str, path: &str, body: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    let request = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let mut answer = String::new();
    let told = async {
        let mut stream = tokio::net::TcpStream::connect(host).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_string(&mut answer).await
    };
    let told = told.await;
    let is_taken = answer.split_whitespace().nth(1).is_some_and(|status| status.starts_with('2'));
    assert!(told.is_ok() && is_taken, "{path} {body}: {told:?} {answer}");
}

/// A bucket of its own for a test.
///
/// # Panics
///
/// If it cannot be made.
pub async fn bucket(config: &SdkConfig, prefix: &str) -> crate::Objects {
    let objects = crate::Objects::new(config, name(prefix));
    let made = aws_sdk_s3::Client::new(config).create_bucket().bucket(objects.bucket()).send().await;
    assert!(made.is_ok(), "{made:?}");
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_keep_their_prefix() {
        let (left, right) = (name("table"), name("table"));
        assert_ne!(left, right);
        assert_eq!(left.len(), "table-".len() + 12);
        assert!(left.starts_with("table-"));
    }

    #[tokio::test]
    async fn a_client_of_the_configuration_reaches_the_emulator() {
        let Some(config) = config() else { return };
        let s3 = aws_sdk_s3::Client::new(&config);
        let bucket = name("bucket");
        s3.create_bucket().bucket(&bucket).send().await.expect("created");
        s3.delete_bucket().bucket(&bucket).send().await.expect("deleted");
    }
}
