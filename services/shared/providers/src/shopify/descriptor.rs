//! What Shopify's webhooks can do.

use std::time::Duration;

use super::settings;
use crate::descriptor::{BODY_BYTES_DEFAULT, DEDUP_HORIZON_DEFAULT};
use crate::{Capabilities, Descriptor};

const CAPABILITIES: Capabilities = Capabilities {
    signs: true,
    signs_time: false,
    sends_deletes: true,
    sends_drafts: true,
    sends_full_content: true,
    can_fetch: true,
    has_delivery_id: true,
    // Eight retries.
    retry_horizon: Duration::from_secs(4 * 3600),
    answer_budget: Duration::from_secs(5),
    replay_window: Duration::ZERO,
    body_bytes_max: BODY_BYTES_DEFAULT,
};

const ARCHIVED_HEADERS: &[&str] = &[
    "content-type",
    "shopify-action",
    "shopify-api-version",
    "shopify-event-id",
    "shopify-handle",
    "shopify-hmac-sha256",
    "shopify-resource-id",
    "shopify-shop-domain",
    "shopify-topic",
    "shopify-triggered-at",
    "shopify-webhook-id",
    "user-agent",
    "x-shopify-api-version",
    "x-shopify-event-id",
    "x-shopify-hmac-sha256",
    "x-shopify-name",
    "x-shopify-shop-domain",
    "x-shopify-topic",
    "x-shopify-triggered-at",
    "x-shopify-webhook-id",
];

pub(super) static BASIC: Descriptor = Descriptor {
    name: "shopify_basic",
    title: "Shopify (content)",
    capabilities: CAPABILITIES,
    media_types: &["application/json"],
    events: &[
        "products/*",
        "collections/*",
        "product_listings/*",
        "collection_listings/*",
        "product_publications/*",
        "collection_publications/*",
        "metaobjects/*",
        "shop/update",
        "themes/publish",
        "locales/*",
        "domains/*",
        "app/uninstalled",
        "customers/data_request",
        "customers/redact",
        "shop/redact",
    ],
    settings: settings::SETTINGS,
    archived_headers: ARCHIVED_HEADERS,
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

pub(super) static ADVANCED: Descriptor = Descriptor {
    name: "shopify_advanced",
    title: "Shopify (content, stock, orders, markets)",
    capabilities: CAPABILITIES,
    media_types: &["application/json"],
    events: &[
        "products/*",
        "collections/*",
        "product_listings/*",
        "collection_listings/*",
        "product_publications/*",
        "collection_publications/*",
        "metaobjects/*",
        "shop/update",
        "themes/publish",
        "locales/*",
        "domains/*",
        "inventory_levels/*",
        "inventory_items/*",
        "variants/in_stock",
        "variants/out_of_stock",
        "orders/*",
        "markets/*",
        "locations/*",
        "product_feeds/*",
        "bulk_operations/finish",
        "app/uninstalled",
        "customers/data_request",
        "customers/redact",
        "shop/redact",
    ],
    settings: settings::SETTINGS,
    archived_headers: ARCHIVED_HEADERS,
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};
