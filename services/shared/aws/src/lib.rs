//! What every AWS engine shares: how clients are made, and what an AWS error means.
//!
//! Endpoints, region and credentials come from the environment as everywhere on AWS (`AWS_ENDPOINT_URL`,
//! `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_REGION`, the task role); Freshet has no settings of its own for them.

mod config;
mod counts;
pub mod dynamo;
mod error;
mod objects;
mod random;
mod secrets;
#[cfg(any(test, feature = "testkit"))]
pub mod testing;

pub use aws_config::SdkConfig;
pub use config::load;
pub use counts::{Call, CallCounts, Tally};
pub use error::{code, error, kind, of_code};
pub use objects::{Fetched, Headers, Level, Listed, Object, Objects, Page, Upload};
pub use secrets::{Fetched as FetchedSecrets, SecretsManager};
