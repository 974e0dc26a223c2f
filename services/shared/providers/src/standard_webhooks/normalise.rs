//! From `{"type", "timestamp", "data"}` to one change.

use std::collections::HashSet;

use freshet_domain::{Asset, Change, EntryKey, Kind, SourceId, SourceVersion, Timestamp};

use super::mapping::Mapping;
use crate::content::ContentBuilder;
use crate::editorial::{cut, tags, title, words};
use crate::json::{Object, Value};
use crate::signature::dedup_key;
use crate::{Normalised, RawDelivery, Refusal};

/// Members that change although nothing that a visitor could see does.
const VOLATILE: [&str; 2] = ["updated_at", "updatedAt"];
/// Members that usually hold pictures.
const PICTURES: [&str; 9] =
    ["image", "image_url", "imageUrl", "cover", "cover_image", "coverImage", "thumbnail", "images", "media"];

pub(super) fn normalise(
    source: &SourceId,
    mapping: &Mapping,
    delivery: &RawDelivery<'_>,
) -> Result<Normalised, Refusal> {
    let body = Object::parse(delivery.body)?;
    let event = body.str("type")?;
    let event = cut(&event, 100);
    let dedup_keys = match delivery.header("webhook-id")? {
        Some(id) if !id.is_empty() => vec![dedup_key(&[b"standard", id])],
        _ => vec![dedup_key(&[b"standard", b"", delivery.body])],
    };
    let sent_at = sent_at(&body, delivery);
    let entry_type = mapping.entry_type(event);
    let data = body.get("data").filter(Value::is_object).map(|data| data.as_object()).transpose()?;
    let id = data.as_ref().and_then(|data| data.get(&mapping.id_field)?.as_id().ok());
    let change = match (data, id) {
        (Some(data), Some(id)) => {
            let key = EntryKey::new(source.clone(), entry_type, id);
            let updated_at = VOLATILE.iter().find_map(|name| data.get(name)?.as_time().ok());
            if mapping.is_delete(event) {
                // What is deleted still shows the time of its last update; the event's own time is later.
                let at = updated_at.map_or(sent_at, |updated_at| updated_at.max(sent_at));
                Change::delete(key, mapping.kind, SourceVersion::deleted_at(at))
            } else {
                let version = SourceVersion::at(updated_at.unwrap_or(sent_at));
                let content = content(mapping, &data, updated_at)?;
                Change::upsert(key, mapping.kind, version, content)
            }
        }
        // Which entry it was is unknown, but that one of this type changed is not.
        _ => Change::touch(
            EntryKey::new(source.clone(), entry_type, EntryKey::ANY),
            mapping.kind,
            SourceVersion::at(sent_at),
        ),
    };
    let change = if mapping.kind == Kind::Order { change.without_build() } else { change };
    Ok(Normalised::changes(event, dedup_keys, vec![change]))
}

/// When the event happened: `timestamp` in the body, which a retry repeats; else the signed time, which it renews.
fn sent_at(body: &Object<'_>, delivery: &RawDelivery<'_>) -> Timestamp {
    body.get("timestamp")
        .and_then(|value| value.as_time().ok())
        .or_else(|| {
            let seconds = delivery.header_text("webhook-timestamp")?.parse().ok()?;
            Some(Timestamp::from_secs(seconds))
        })
        .unwrap_or(delivery.received_at)
}

fn content(
    mapping: &Mapping,
    data: &Object<'_>,
    updated_at: Option<Timestamp>,
) -> Result<freshet_domain::EntryContent, Refusal> {
    let member = |name: &str| data.get(name).and_then(|value| words(&value)).unwrap_or_default();
    let builder = ContentBuilder {
        title: mapping.title_field.as_deref().map_or_else(|| title(data), member),
        slug: member(&mapping.slug_field),
        tags: tags(data, &["tags", "categories", "category"]),
        assets: assets(data),
        created_at: ["created_at", "createdAt"].iter().find_map(|name| data.get(name)?.as_time().ok()),
        updated_at,
        ..ContentBuilder::default()
    };
    Ok(builder.finish(data, &[], &VOLATILE)?)
}

/// Pictures: an address, an object with an address, or a list of either.
fn assets(data: &Object<'_>) -> Vec<Asset> {
    let (mut assets, mut seen) = (Vec::new(), HashSet::new());
    let mut add = |value: &Value<'_>| {
        if let Some(asset) = asset(value)
            && seen.insert(asset.url.clone())
        {
            assets.push(asset);
        }
    };
    for value in PICTURES.iter().filter_map(|name| data.get(name)) {
        match value.as_array() {
            Ok(items) => items.iter().for_each(&mut add),
            Err(_) => add(&value),
        }
    }
    assets
}

fn asset(value: &Value<'_>) -> Option<Asset> {
    if value.is_object() {
        let object = value.as_object().ok()?;
        let url = ["url", "src"].iter().find_map(|name| address(&object.get(name)?))?;
        let pixels = |name: &str| object.get(name).map_or(0, |value| value.as_u32_or_zero());
        let text = |names: [&str; 2]| {
            let found = names.iter().map(|name| object.text_or_empty(name)).find(|text| !text.is_empty());
            found.unwrap_or_default().into_owned()
        };
        return Some(Asset {
            url,
            mime: text(["mime", "mime_type"]),
            width: pixels("width"),
            height: pixels("height"),
            alt: text(["alt", "alt_text"]),
        });
    }
    Some(Asset { url: address(value)?, ..Asset::default() })
}

fn address(value: &Value<'_>) -> Option<String> {
    let text = value.as_str().ok()?;
    let is_address = text.starts_with("https://") || text.starts_with("http://") || text.starts_with('/');
    is_address.then(|| text.into_owned())
}
