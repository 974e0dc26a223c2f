//! Pictures of products and collections, and their tags. Nothing here fails: all of it is optional.

use std::borrow::Cow;

use freshet_domain::Asset;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Value;

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    src: Option<&'a RawValue>,
    #[serde(borrow, default)]
    alt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    width: Option<&'a RawValue>,
    #[serde(borrow, default)]
    height: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text(raw: Option<&RawValue>) -> String {
    raw.and_then(|raw| serde_json::from_str::<Text<'_>>(raw.get()).ok())
        .map_or_else(String::new, |Text(text)| text.into_owned())
}

fn pixels(raw: Option<&RawValue>) -> u32 {
    raw.and_then(|raw| raw.get().parse().ok()).unwrap_or(0)
}

fn asset(image: &Image<'_>) -> Option<Asset> {
    let url = text(image.src);
    if url.is_empty() {
        return None;
    }
    Some(Asset {
        url,
        mime: String::new(),
        width: pixels(image.width),
        height: pixels(image.height),
        alt: text(image.alt),
    })
}

/// The pictures of a list.
pub(super) fn of_list(list: Option<Value<'_>>) -> Vec<Asset> {
    let images: Vec<Image<'_>> = list.and_then(|list| serde_json::from_str(list.raw()).ok()).unwrap_or_default();
    images.iter().filter_map(asset).collect()
}

/// One picture.
pub(super) fn of_one(image: Option<Value<'_>>) -> Vec<Asset> {
    let image: Option<Image<'_>> = image.and_then(|image| serde_json::from_str(image.raw()).ok());
    image.as_ref().and_then(asset).into_iter().collect()
}

/// Tags: one text with commas, or a list of texts.
pub(super) fn tags(value: Option<Value<'_>>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    match value.as_array() {
        Ok(items) => items.iter().filter_map(|item| item.as_str().ok()).map(Cow::into_owned).collect(),
        Err(_) => {
            let text = value.as_str().unwrap_or_default();
            text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        }
    }
}
