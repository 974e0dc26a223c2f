//! Deliveries as Shopify sends them, from a small shop named Tidewater.

mod bodies;
mod goods;
mod product;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_domain::Timestamp;
use sha2::{Digest, Sha256};

use crate::signature::HmacKey;
use crate::{SampleDelivery, SampleRequest};
use goods::{ARTICLES, Article};

/// Events of `shopify_basic`.
pub(super) const BASIC_EVENTS: &[&str] = &[
    "products/update",
    "products/create",
    "products/delete",
    "collections/update",
    "collections/delete",
    "metaobjects/update",
    "customers/data_request",
    "customers/redact",
];

/// Events of `shopify_advanced`.
pub(super) const ADVANCED_EVENTS: &[&str] = &[
    "products/update",
    "products/create",
    "products/delete",
    "collections/update",
    "collections/delete",
    "metaobjects/update",
    "inventory_levels/update",
    "variants/in_stock",
    "variants/out_of_stock",
    "orders/create",
    "locations/update",
    "customers/data_request",
    "customers/redact",
];

/// Which article in which state.
struct Story<'a> {
    article: &'static Article,
    number: u64,
    revision: u64,
    /// The revision where it is a price or a quantity.
    amount: u64,
    /// Empty for the first eight, ` No. 9` and so on for the others.
    suffix: String,
    /// When this state came about.
    at: String,
    /// When the shop opened.
    opened: String,
    asset_base: &'a str,
    shop: &'a str,
}

impl<'a> Story<'a> {
    fn new(request: &SampleRequest<'a>, shop: &'a str) -> Self {
        let count = ARTICLES.len() as u64;
        // An hour back, so that the first revisions are in the past for whoever receives them.
        let seconds = i64::try_from(request.later()).unwrap_or(0) - 3600;
        Self {
            article: &ARTICLES[usize::try_from(request.number % count).unwrap_or_default()],
            number: request.number,
            revision: request.revision,
            amount: request.amount(),
            suffix: if request.number < count { String::new() } else { format!(" No. {}", request.number + 1) },
            at: time(Timestamp::from_secs(request.now.as_secs().saturating_add(seconds))),
            opened: time(Timestamp::from_secs(request.now.as_secs().saturating_sub(180 * 24 * 3600))),
            asset_base: request.asset_base,
            shop,
        }
    }

    /// An id beyond 2^53, as Shopify's can be.
    fn id(&self, base: u64, place: u64) -> u64 {
        base.wrapping_add(self.number.wrapping_mul(1_000)).wrapping_add(place)
    }

    fn product_id(&self) -> u64 {
        self.id(741_953_208_417_000_001, 0)
    }

    fn handle(&self) -> String {
        format!("{}{}", self.article.handle, self.suffix.to_lowercase().replace([' ', '.'], "-").replace("--", "-"))
    }

    fn title(&self) -> String {
        format!("{}{}", self.article.title, self.suffix)
    }
}

/// A delivery of the event, if it is one of them.
pub(super) fn sample(request: &SampleRequest<'_>, events: &[&str]) -> Option<SampleDelivery> {
    if !events.contains(&request.event) {
        return None;
    }
    let shop = request.settings.text("shop").unwrap_or("tidewater.myshopify.com");
    let story = Story::new(request, shop);
    let body = match request.event {
        "products/update" | "products/create" => product::product(&story),
        "collections/update" => bodies::collection(&story),
        "metaobjects/update" => bodies::metaobject(&story),
        "products/delete" => format!(r#"{{"id":{}}}"#, story.product_id()),
        "collections/delete" => bodies::collection_deleted(&story),
        "inventory_levels/update" => bodies::inventory_level(&story),
        "variants/in_stock" => bodies::variant(&story, 12),
        "variants/out_of_stock" => bodies::variant(&story, 0),
        "orders/create" => bodies::order(&story),
        "locations/update" => bodies::location(&story),
        "customers/data_request" => bodies::privacy(&story, "orders_requested"),
        "customers/redact" => bodies::privacy(&story, "orders_to_redact"),
        _ => return None,
    };
    let seed = format!("{} {} {} {}", request.event, request.number, request.revision, request.now.as_micros());
    let mut headers = vec![
        ("Accept".to_owned(), "*/*".to_owned()),
        ("Accept-Encoding".to_owned(), "gzip;q=1.0,deflate;q=0.6,identity;q=0.3".to_owned()),
        ("User-Agent".to_owned(), "Shopify-Captain-Hook".to_owned()),
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("X-Shopify-API-Version".to_owned(), "2026-07".to_owned()),
        ("X-Shopify-Event-Id".to_owned(), guid(&format!("event {seed}"))),
    ];
    if let Some(secret) = request.secret {
        let mac = HmacKey::new(secret.as_bytes()).sign(&[body.as_bytes()]);
        headers.push(("X-Shopify-Hmac-Sha256".to_owned(), STANDARD.encode(mac)));
    }
    headers.extend([
        ("X-Shopify-Shop-Domain".to_owned(), shop.to_owned()),
        ("X-Shopify-Topic".to_owned(), request.event.to_owned()),
        ("X-Shopify-Triggered-At".to_owned(), request.now.to_string()),
        ("X-Shopify-Webhook-Id".to_owned(), guid(&format!("webhook {seed}"))),
    ]);
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

/// Whole seconds with an offset, as Shopify writes times in bodies.
fn time(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}+00:00", text.split('.').next().unwrap_or(&text))
}

fn guid(seed: &str) -> String {
    let digits = hex::encode(&Sha256::digest(seed.as_bytes())[..16]);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// JSON text with `<`, `>` and `&` escaped, as Shopify does.
fn quoted(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
