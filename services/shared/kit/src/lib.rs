//! What every service needs and no service is about.
//!
//! **Invariants**
//! - `tonic::Status` values are made here only ([`error`]), so that every error has a kind, a reason and a bounded size.
//! - The in-process path and the TCP path pass through the same [`rpc`] stack.

pub mod catalogue;
pub mod clock;
pub mod config;
#[cfg(any(test, feature = "testkit"))]
mod contract;
pub mod error;
pub mod lifecycle;
pub mod logging;
pub mod page;
pub mod priority;
pub mod processors;
pub mod retry;
pub mod rpc;
pub mod secret;
mod stop;
pub mod telemetry;

pub use catalogue::CatalogueHandle;
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind};
pub use lifecycle::{Readiness, Shutdown};
pub use priority::{GiveWay, Priority};
pub use stop::StopSignal;
