//! Reading JSON without building a tree.
//!
//! A tree of an 8 KiB product costs four times what a scan costs, and loses the provider's exact numbers. [`Object`]
//! scans one level and keeps every value as the bytes that came; [`Canonical`] writes them out compactly.

mod canonical;
mod object;

pub use canonical::{Canonical, DEPTH_MAX};
pub use object::{FieldError, Object, Value};
