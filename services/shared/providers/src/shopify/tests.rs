//! Both adapters, through what they do with deliveries.

mod privacy;
mod products;
mod proof;
mod topics;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_domain::{Change, ChangeOp};

use super::{ShopifyAdvanced, ShopifyBasic};
use crate::signature::HmacKey;
use crate::testing::{TestDelivery, prepared};
use crate::{Normalised, PreparedSource, Refusal};

const SECRET: &str = "shpss_tidewater";
const SHOP: &str = "tidewater.myshopify.com";

fn mac(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(HmacKey::new(secret.as_bytes()).sign(&[body]))
}

fn basic(settings: &[(&str, &str)]) -> Box<dyn PreparedSource> {
    prepared(&ShopifyBasic, &["old", SECRET], settings)
}

fn advanced(settings: &[(&str, &str)]) -> Box<dyn PreparedSource> {
    prepared(&ShopifyAdvanced, &["old", SECRET], settings)
}

fn delivery(topic: &str, body: &str) -> TestDelivery {
    TestDelivery::new(
        &[
            ("content-type", "application/json"),
            ("x-shopify-topic", topic),
            ("x-shopify-hmac-sha256", &mac(SECRET, body.as_bytes())),
            ("x-shopify-shop-domain", SHOP),
            ("x-shopify-webhook-id", "w1"),
            ("x-shopify-event-id", "e1"),
            ("x-shopify-triggered-at", "2026-11-23T11:59:59.123456789Z"),
        ],
        body.to_owned(),
    )
}

/// An Event: the other family of headers.
fn event(topic: &str, action: &str, resource_id: &str, body: &str) -> TestDelivery {
    TestDelivery::new(
        &[
            ("shopify-topic", topic),
            ("shopify-action", action),
            ("shopify-hmac-sha256", &mac(SECRET, body.as_bytes())),
            ("shopify-shop-domain", SHOP),
            ("shopify-webhook-id", "w1"),
            ("shopify-event-id", "e1"),
            ("shopify-resource-id", resource_id),
        ],
        body.to_owned(),
    )
}

fn normalise(topic: &str, body: &str) -> Result<Normalised, Refusal> {
    delivery(topic, body).normalise(&*advanced(&[]))
}

fn one(topic: &str, body: &str) -> Change {
    let normalised = normalise(topic, body).expect("understood");
    assert_eq!(normalised.changes.len(), 1, "{normalised:?}");
    normalised.changes[0].clone()
}

fn reason(normalised: &Normalised) -> &'static str {
    normalised.ignored.as_ref().map_or("", |ignored| ignored.reason)
}

fn fields(change: &Change) -> String {
    let content = change.content.as_ref().expect("content");
    String::from_utf8(content.fields_json.to_vec()).expect("text")
}

/// `upsert product/1`.
fn summary(change: &Change) -> String {
    format!("{} {}/{}", change.op, change.key.entry_type, change.key.id)
}

fn is_op(change: &Change, op: ChangeOp) -> bool {
    change.op == op
}
