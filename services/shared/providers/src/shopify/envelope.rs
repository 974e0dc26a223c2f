//! The headers around a body, of either family. None of them is signed.

use freshet_domain::Timestamp;

use super::topic::Topic;
use crate::{RawDelivery, Refusal};

/// Which names the headers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `x-shopify-*`.
    Webhooks,
    /// `shopify-*`, of the newer Events.
    Events,
}

impl Family {
    /// Events wins if both are there, as in Shopify's own libraries.
    pub(super) fn of(delivery: &RawDelivery<'_>) -> Result<Self, Refusal> {
        let is_event = delivery.header(Family::Events.signature())?.is_some();
        Ok(if is_event { Family::Events } else { Family::Webhooks })
    }

    /// The header with the signature.
    pub(super) const fn signature(self) -> &'static str {
        match self {
            Family::Webhooks => "x-shopify-hmac-sha256",
            Family::Events => "shopify-hmac-sha256",
        }
    }

    /// The header with the shop's domain.
    pub(super) const fn shop(self) -> &'static str {
        match self {
            Family::Webhooks => "x-shopify-shop-domain",
            Family::Events => "shopify-shop-domain",
        }
    }

    /// The header with the topic.
    pub(super) const fn topic(self) -> &'static str {
        match self {
            Family::Webhooks => "x-shopify-topic",
            Family::Events => "shopify-topic",
        }
    }
}

/// The headers around a body.
pub(super) struct Envelope<'a> {
    pub(super) topic: Topic<'a>,
    /// The shop's domain in lower case; empty if it is missing.
    pub(super) shop: String,
    pub(super) webhook_id: Option<&'a str>,
    /// Shared by all deliveries that one action of the merchant causes.
    pub(super) event_id: Option<&'a str>,
    pub(super) triggered_at: Option<Timestamp>,
    /// What an Event is about, a GID.
    pub(super) resource_id: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// Reads the headers.
    pub(super) fn read(delivery: &RawDelivery<'a>) -> Result<Self, Refusal> {
        let family = Family::of(delivery)?;
        let text = |webhooks: &'static str, events: &'static str| {
            let name = if family == Family::Events { events } else { webhooks };
            delivery.header_text(name).filter(|text| !text.is_empty())
        };
        let header = family.topic();
        // Asked for its own sake: a topic that came twice is not a missing one.
        delivery.header(header)?;
        let Some(name) = text("x-shopify-topic", "shopify-topic") else {
            return Err(Refusal::malformed("MISSING_HEADER", header, "the header that names the topic is missing"));
        };
        let topic = match family {
            Family::Webhooks => Topic::of_webhook(name),
            Family::Events => Topic::of_event(name, delivery.header_text("shopify-action").unwrap_or_default()),
        };
        Ok(Self {
            topic,
            shop: text("x-shopify-shop-domain", "shopify-shop-domain").unwrap_or_default().to_ascii_lowercase(),
            webhook_id: text("x-shopify-webhook-id", "shopify-webhook-id"),
            event_id: text("x-shopify-event-id", "shopify-event-id"),
            triggered_at: text("x-shopify-triggered-at", "shopify-triggered-at").and_then(Timestamp::parse_rfc3339),
            resource_id: text("x-shopify-resource-id", "shopify-resource-id"),
        })
    }
}
