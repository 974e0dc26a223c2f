//! Reading JSON without building a tree.
//!
//! A tree of an 8 KiB product costs four times what a scan costs, and loses the provider's exact numbers. [`Object`]
//! scans one level and keeps every value as the bytes that came; [`Canonical`] writes them out compactly. Both step over
//! the text with a `Scanner`; `serde_json` decodes what has escapes, and words the errors.

mod canonical;
mod object;
mod path;
mod rows;
mod scan;

pub use canonical::{Canonical, DEPTH_MAX};
pub use object::{FieldError, Object, Value};
pub(crate) use rows::rows;
pub(crate) use scan::{Scanner, text_of};
