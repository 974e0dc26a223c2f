//! One configuration for all clients.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The tightest answer budget of a provider is 2 s, and validation and the answer need some of it.
const ATTEMPT_MAX: Duration = Duration::from_millis(900);
const OPERATION_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// The SDK's attempts, the first included. Loops that know more (transactions, batches) retry above this.
const ATTEMPTS: u32 = 3;
/// How AWS's logs and bills name us.
const APP: &str = concat!("freshet-", env!("CARGO_PKG_VERSION"));

/// Loads the configuration of all clients from the environment: one pool of connections, bounded attempts.
///
/// Calls that wait on purpose (an SQS long poll) or move much data ([`crate::Objects`]) override the time limits.
/// [`crate::CallCounts::attach`] counts the calls.
pub async fn load() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_MAX)
        .operation_attempt_timeout(ATTEMPT_MAX)
        .operation_timeout(OPERATION_MAX)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts);
    if let Ok(app) = AppName::new(APP) {
        loader = loader.app_name(app);
    }
    loader.load().await
}
