//! Prices and variants, as Shopify, WooCommerce and most others write them.

use serde::Serialize;
use serde_json::{Map, Value};

/// What a product costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Price {
    /// `€24.00`, `from €24.00`.
    pub(super) now: String,
    /// The price before a reduction; empty if there is none.
    pub(super) before: String,
}

/// One form in which a product is sold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Variant {
    pub(super) title: String,
    pub(super) sku: String,
    pub(super) price: String,
    pub(super) before: String,
    /// `Some(false)`: sold out.
    pub(super) available: Option<bool>,
}

/// What a product costs and in which forms it is sold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) price: Option<Price>,
    pub(super) variants: Vec<Variant>,
    pub(super) available: Option<bool>,
}

const VARIANTS_MAX: usize = 250;

/// Reads the offer. `currency` is the shop's, where it is known; a product's own wins.
pub(super) fn offer(fields: &Map<String, Value>, currency: &str) -> Offer {
    let own = ["currency", "currency_code", "currencyCode"].iter().find_map(|name| fields.get(*name)?.as_str());
    let currency = own.unwrap_or(currency);
    let listed = fields.get("variants").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read: Vec<(Variant, Option<String>)> = listed
        .iter()
        .filter_map(Value::as_object)
        .take(VARIANTS_MAX)
        .map(|variant| (read_variant(variant, currency), amount(variant.get("price"))))
        .collect();
    let price = if read.is_empty() { own_price(fields, currency) } else { price_of(&read, currency) };
    let variants: Vec<Variant> = read.into_iter().map(|(variant, _)| variant).collect();
    let available = match variants.is_empty() {
        true => stock(fields),
        false if variants.iter().all(|variant| variant.available == Some(false)) => Some(false),
        false => variants.iter().any(|variant| variant.available == Some(true)).then_some(true),
    };
    // A single variant is the product itself.
    let variants = if variants.len() > 1 { variants } else { Vec::new() };
    Offer { price: price.or_else(|| own_price(fields, currency)), variants, available }
}

fn read_variant(variant: &Map<String, Value>, currency: &str) -> Variant {
    let word = |name: &str| variant.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let price = amount(variant.get("price"));
    let before = amount(variant.get("compare_at_price"))
        .filter(|before| price.as_ref().is_some_and(|price| number(before) > number(price)));
    Variant {
        title: if word("title") == "Default Title" { String::new() } else { word("title") },
        sku: word("sku"),
        price: price.map(|price| format(&price, currency)).unwrap_or_default(),
        before: before.map(|before| format(&before, currency)).unwrap_or_default(),
        available: variant.get("available").and_then(Value::as_bool).or_else(|| stock(variant)),
    }
}

fn stock(fields: &Map<String, Value>) -> Option<bool> {
    if let Some(status) = fields.get("stock_status").and_then(Value::as_str) {
        return Some(status != "outofstock");
    }
    if fields.get("inventory_policy").and_then(Value::as_str) == Some("continue") {
        return Some(true);
    }
    let is_managed = fields.get("inventory_management").is_some_and(|by| !by.is_null());
    let left = fields.get("inventory_quantity").and_then(Value::as_i64).filter(|_| is_managed)?;
    Some(left > 0)
}

fn price_of(read: &[(Variant, Option<String>)], currency: &str) -> Option<Price> {
    let mut amounts: Vec<&String> = read.iter().filter_map(|(_, amount)| amount.as_ref()).collect();
    amounts.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let (lowest, highest) = (amounts.first()?, amounts.last()?);
    let shown = format(lowest, currency);
    let differs = number(lowest) < number(highest);
    let before = read.iter().find(|(_, amount)| amount.as_ref() == Some(lowest)).map(|(variant, _)| &variant.before);
    Some(Price {
        now: if differs { format!("from {shown}") } else { shown },
        before: before.filter(|_| !differs).cloned().unwrap_or_default(),
    })
}

fn own_price(fields: &Map<String, Value>, currency: &str) -> Option<Price> {
    let now = ["price", "sale_price", "regular_price"].iter().find_map(|name| amount(fields.get(*name)))?;
    let before = ["regular_price", "compare_at_price", "compareAtPrice"]
        .iter()
        .find_map(|name| amount(fields.get(*name)))
        .filter(|before| number(before) > number(&now));
    Some(Price {
        now: format(&now, currency),
        before: before.map(|before| format(&before, currency)).unwrap_or_default(),
    })
}

/// A decimal as text. Not a float: `19.90` must not become `19.9`.
fn amount(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Object(money) => return amount(money.get("amount")),
        Value::Null | Value::Bool(_) | Value::Array(_) => return None,
    };
    let is_decimal = !text.is_empty()
        && text.len() <= 20
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.parse::<f64>().is_ok();
    is_decimal.then_some(text)
}

fn number(amount: &str) -> f64 {
    amount.parse().unwrap_or(0.0)
}

fn format(amount: &str, currency: &str) -> String {
    let currency = currency.to_ascii_uppercase();
    let is_whole = matches!(currency.as_str(), "JPY" | "KRW" | "VND" | "CLP" | "ISK");
    let (units, cents) = amount.split_once('.').unwrap_or((amount, ""));
    let units = if units.is_empty() { "0" } else { units };
    let number = if is_whole && cents.bytes().all(|byte| byte == b'0') {
        grouped(units)
    } else {
        format!("{}.{cents:0<2}", grouped(units))
    };
    match currency.as_str() {
        "EUR" => format!("€{number}"),
        "USD" => format!("${number}"),
        "GBP" => format!("£{number}"),
        "JPY" => format!("¥{number}"),
        "" => number,
        code if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => format!("{number} {code}"),
        _ => number,
    }
}

fn grouped(units: &str) -> String {
    let mut out = String::new();
    for (position, digit) in units.chars().enumerate() {
        if position > 0 && (units.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, currency: &str) -> Offer {
        offer(&serde_json::from_str(json).expect("an object"), currency)
    }

    #[test]
    fn prices_of_both_shops_are_read() {
        let shopify = read(
            r#"{"variants":[{"title":"S","price":"1290.00","compare_at_price":"1500.00"},{"title":"L","price":"1490.5","inventory_management":"shopify","inventory_quantity":0}]}"#,
            "EUR",
        );
        assert_eq!(shopify.price.expect("a price").now, "from €1,290.00");
        assert_eq!(shopify.variants[0].before, "€1,500.00");
        assert_eq!((shopify.variants[1].price.as_str(), shopify.variants[1].available), ("€1,490.50", Some(false)));
        let woo = read(r#"{"price":"19.9","regular_price":"25","on_sale":true,"stock_status":"instock"}"#, "");
        assert_eq!(woo.price, Some(Price { now: "19.90".into(), before: "25.00".into() }));
        assert_eq!(woo.available, Some(true));
        assert_eq!(read(r#"{"price":1200,"currency":"jpy"}"#, "EUR").price.expect("a price").now, "¥1,200");
    }

    #[test]
    fn nonsense_has_no_price() {
        for json in [
            r#"{}"#,
            r#"{"price":"<b>1</b>"}"#,
            r#"{"price":""}"#,
            r#"{"variants":[{"price":null}]}"#,
            r#"{"price":-1}"#,
        ] {
            assert_eq!(read(json, "EUR").price, None, "{json}");
        }
    }
}
