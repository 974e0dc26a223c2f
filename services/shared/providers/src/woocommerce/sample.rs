//! Goods of the imaginary shop "Tidewater", as WooCommerce sends them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use freshet_domain::Timestamp;

use super::secret::wp_specialchars_decode;
use crate::signature::{HmacKey, dedup_key};
use crate::{SampleDelivery, SampleRequest};

/// What can be made.
pub(super) const EVENTS: &[&str] = &["product.updated", "product.created", "product.deleted", "order.created", "ping"];

/// How long a delivery waits in the shop's queue.
const QUEUED: Duration = Duration::from_secs(5);
const SHOP: &str = "https://shop.tidewater.example";

struct Product {
    name: &'static str,
    slug: &'static str,
    text: &'static str,
    short: &'static str,
    cents: u64,
    picture: &'static str,
    category: &'static str,
    tag: &'static str,
}

const PRODUCTS: [Product; 6] = [
    Product {
        name: "Low Tide Mug",
        slug: "low-tide-mug",
        text: "Wide at the foot, thin at the lip and glazed in the grey of wet sand. Holds 320 ml and one long think.",
        short: "Stoneware mug, 320 ml.",
        cents: 2_400,
        picture: "mug.svg",
        category: "Kitchen & Table",
        tag: "Stoneware",
    },
    Product {
        name: "Harbour Chair",
        slug: "harbour-chair",
        text: "Steam-bent ash, no screws, eleven minutes of heat and forty seconds of nerve.",
        short: "Dining chair in ash.",
        cents: 28_900,
        picture: "chair.svg",
        category: "Furniture",
        tag: "Ash wood",
    },
    Product {
        name: "Fog Lamp",
        slug: "fog-lamp",
        text: "A paper shade over a brass ring. Makes a room a little smaller and a lot warmer.",
        short: "Pendant lamp, paper and brass.",
        cents: 11_950,
        picture: "lamp.svg",
        category: "Light",
        tag: "Paper",
    },
    Product {
        name: "Quay Print No. 4",
        slug: "quay-print-no-4",
        text: "The harbour at six in the morning, in four colours of linocut. Edition of 120, each with its own rain.",
        short: "Linocut, 50 × 70 cm.",
        cents: 7_500,
        picture: "hero.svg",
        category: "Prints",
        tag: "Limited",
    },
    Product {
        name: "Ferry Cook’s Cup",
        slug: "ferry-cooks-cup",
        text: "Does not tip, does not chip, does not mind the seven o’clock swell.",
        short: "Heavy cup, 180 ml.",
        cents: 1_850,
        picture: "mug.svg",
        category: "Kitchen & Table",
        tag: "Stoneware",
    },
    Product {
        name: "Net Loft Stool",
        slug: "net-loft-stool",
        text: "Three legs stand on any floor. The seat is woven from the cord that mends the nets.",
        short: "Stool in oak and cord.",
        cents: 13_400,
        picture: "chair.svg",
        category: "Furniture",
        tag: "Oak",
    },
];

pub(super) fn make(request: &SampleRequest<'_>) -> Option<SampleDelivery> {
    let event = EVENTS.iter().copied().find(|event| *event == request.event)?;
    let mut headers: Vec<(String, String)> = [
        ("User-Agent", "WooCommerce/11.0.1 Hookshot (WordPress/7.0.4)"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "deflate, gzip, br, zstd"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    if event == "ping" {
        add("Connection", "close");
        add("Content-Type", "application/x-www-form-urlencoded");
        let body = format!("webhook_id={}", 87 + request.number);
        return Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() });
    }
    let (resource, verb) = event.split_once('.')?;
    // Dates have a resolution of one second, and a delivery leaves the queue a few seconds after the save.
    let modified_at = request.now.minus(QUEUED).plus(Duration::from_secs(request.later()));
    let body = match (resource, verb) {
        (_, "deleted") => format!(r#"{{"id":{}}}"#, id(request.number)),
        ("order", _) => order(request, modified_at),
        _ => product(request, modified_at),
    };
    add("Content-Type", "application/json");
    add("X-WC-Webhook-Source", &format!("{SHOP}/"));
    add("X-WC-Webhook-Topic", event);
    add("X-WC-Webhook-Resource", resource);
    add("X-WC-Webhook-Event", verb);
    if let Some(secret) = request.secret {
        let key = HmacKey::new(wp_specialchars_decode(secret).as_bytes());
        add("X-WC-Webhook-Signature", &STANDARD.encode(key.sign(&[body.as_bytes()])));
    }
    add("X-WC-Webhook-ID", "87");
    // One for all deliveries of a webhook in the same second.
    add("X-WC-Webhook-Delivery-ID", &dedup_key(&[b"87", &request.now.as_secs().to_be_bytes()]));
    add("Connection", "close");
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

fn id(number: u64) -> u64 {
    number.saturating_add(301)
}

fn product(request: &SampleRequest<'_>, modified_at: Timestamp) -> String {
    let count = PRODUCTS.len() as u64;
    let product = &PRODUCTS[(request.number % count) as usize];
    let (name, slug) = match request.number / count {
        0 => (product.name.to_owned(), product.slug.to_owned()),
        round => (format!("{}, batch {}", product.name, round + 1), format!("{}-{}", product.slug, round + 1)),
    };
    let text = match request.revision {
        0 => format!("<p>{}</p>\n", product.text),
        revision => format!("<p>{}</p>\n<p>Batch {} has just left the kiln.</p>\n", product.text, revision + 1),
    };
    let price = euros(product.cents + request.amount() * 50);
    let created_at = civil(request.now.minus(Duration::from_secs(30 * 24 * 3600)));
    let modified_at = civil(modified_at);
    let id = id(request.number);
    let permalink = format!("{SHOP}/product/{slug}/");
    let src = format!("{}/{}", request.asset_base, product.picture);
    let category_slug = product.category.to_lowercase().replace(" & ", "-").replace(' ', "-");
    let tag_slug = product.tag.to_lowercase().replace(' ', "-");
    let stock = 12_u64.saturating_sub(request.revision % 12);
    [
        format!(r#"{{"id":{id},"name":{},"slug":{},"permalink":{},"#, php(&name), php(&slug), php(&permalink)),
        format!(r#""date_created":"{created_at}","date_created_gmt":"{created_at}","#),
        format!(r#""date_modified":"{modified_at}","date_modified_gmt":"{modified_at}","type":"simple","#),
        format!(r#""status":"publish","featured":false,"catalog_visibility":"visible","description":{},"#, php(&text)),
        format!(
            r#""short_description":{},"sku":"TW-{id}","price":"{price}","#,
            php(&format!("<p>{}</p>\n", product.short))
        ),
        format!(r#""regular_price":"{price}","sale_price":"","on_sale":false,"purchasable":true,"#),
        format!(
            r#""total_sales":{},"virtual":false,"downloadable":false,"tax_status":"taxable","#,
            40 + request.amount()
        ),
        format!(r#""manage_stock":true,"stock_quantity":{stock},"backorders":"no","weight":"","#),
        r#""reviews_allowed":true,"average_rating":"4.80","rating_count":25,"upsell_ids":[],"cross_sell_ids":[],"#
            .to_owned(),
        format!(
            r#""parent_id":0,"categories":[{{"id":20,"name":{},"slug":"{category_slug}"}}],"brands":[],"#,
            php(&product.category.replace('&', "&amp;"))
        ),
        format!(
            r#""tags":[{{"id":31,"name":{},"slug":"{tag_slug}"}}],"images":[{{"id":{},"#,
            php(product.tag),
            id + 5000
        ),
        format!(r#""date_created":"{created_at}","date_created_gmt":"{created_at}","src":{},"#, php(&src)),
        format!(r#""name":{},"alt":{}}}],"attributes":[],"variations":[],"#, php(product.picture), php(product.short)),
        format!(r#""grouped_products":[],"menu_order":0,"price_html":{},"#, php(&price_html(&price))),
        r#""related_ids":[],"meta_data":[],"stock_status":"instock","has_options":false,"#.to_owned(),
        format!(r#""_links":{{"self":[{{"href":{}}}]}}}}"#, php(&format!("{SHOP}/wp-json/wc/v3/products/{id}"))),
    ]
    .concat()
}

fn order(request: &SampleRequest<'_>, modified_at: Timestamp) -> String {
    let id = id(request.number) + 9000;
    let product = &PRODUCTS[(request.number % PRODUCTS.len() as u64) as usize];
    let quantity = 1 + request.number % 3 + request.amount();
    let total = euros(product.cents * quantity);
    let at = civil(modified_at);
    [
        format!(r#"{{"id":{id},"parent_id":0,"status":"processing","currency":"EUR","version":"11.0.1","#),
        format!(r#""prices_include_tax":false,"date_created":"{at}","date_modified":"{at}","discount_total":"0.00","#),
        format!(r#""discount_tax":"0.00","shipping_total":"4.90","shipping_tax":"0.00","cart_tax":"0.00","total":"{total}","#),
        r#""total_tax":"0.00","customer_id":6,"order_key":"wc_order_k3mVtW0qLx9Zb","#.to_owned(),
        format!(r#""billing":{{"first_name":"Ada","last_name":{},"address_1":"Kai 3","city":{},"#, php("Wöhler"), php("Köln")),
        r#""postcode":"50667","country":"DE","email":"ada@example.test","phone":"+49 221 1"},"#.to_owned(),
        format!(r#""customer_note":"","number":"{id}","line_items":[{{"id":19,"name":{},"#, php(product.name)),
        format!(r#""product_id":{},"variation_id":0,"quantity":{quantity},"#, 301 + request.number % PRODUCTS.len() as u64),
        format!(r#""subtotal":"{total}","total":"{total}","total_tax":"0.00","taxes":[],"meta_data":[]}}],"#),
        format!(r#""refunds":[],"date_created_gmt":"{at}","date_modified_gmt":"{at}","date_completed_gmt":null,"#),
        format!(r#""date_paid_gmt":"{at}","currency_symbol":"\u20ac"}}"#),
    ]
    .concat()
}

fn price_html(price: &str) -> String {
    format!(
        "<span class=\"woocommerce-Price-amount amount\"><bdi><span class=\"woocommerce-Price-currencySymbol\">&euro;\
         </span>{price}</bdi></span>"
    )
}

fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Date and time without offset, as WordPress writes them.
fn civil(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(start, _)| start.to_owned())
}

/// A JSON string as PHP writes it: `\/`, and `\uXXXX` for everything beyond ASCII.
fn php(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string().replace('/', "\\/");
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
