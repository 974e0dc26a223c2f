//! What every AWS engine shares: how clients are made, and what an AWS error means.
//!
//! Endpoints, region and credentials come from the environment as everywhere on AWS (`AWS_ENDPOINT_URL`,
//! `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_REGION`, the task role); Freshet has no settings of its own for them.

mod config;
mod error;
#[cfg(any(test, feature = "testkit"))]
pub mod testing;

pub use config::load;
pub use error::{code, error, kind};
