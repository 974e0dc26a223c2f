//! What Freshet knows about each provider.
//!
//! An [`Adapter`] tells whether a delivery is genuine and what it means, as values: it reads no clock, opens no
//! connection and stores nothing. One folder per provider; [`Registry`] has them all.
//!
//! **Invariants**
//! - Bytes are verified as they came, before anything is parsed. (Gitea's form posts are the documented exception.)
//! - No input makes an adapter panic.
//! - No message has a secret or content in it: it names the field and what to do.

pub mod adapter;
pub mod content;
pub mod decap;
pub mod descriptor;
mod editorial;
pub mod form;
mod git;
pub mod json;
pub mod registry;
pub mod sample;
pub mod sanity;
pub mod shopify;
pub mod signature;
pub mod standard_webhooks;
pub mod strapi;
#[cfg(test)]
mod testing;
pub mod tina;
mod walk;
pub mod woocommerce;

pub use adapter::{Adapter, Normalised, PreparedSource, Proof, RawDelivery, Refusal};
pub use descriptor::{AnswerCode, Capabilities, Descriptor};
pub use registry::Registry;
pub use sample::{SampleDelivery, SampleRequest};
