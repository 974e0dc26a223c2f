//! Traces and metrics: what is measured, and how one trace follows a change through every service.
//!
//! Nothing here costs more than a check of a flag until [`otlp`] was started. Without it the trace context that a
//! sender gave is handed on as it came.

// Instruments are made by the exporter alone.
#[cfg_attr(not(feature = "otlp"), allow(dead_code))]
mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod trace;

pub use metrics::{Instrument, Metrics, Observation, attribute, inventory, metrics, observe};
