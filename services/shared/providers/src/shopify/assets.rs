//! Pictures of products and collections, and their tags. Nothing here fails: all of it is optional.

use std::borrow::Cow;

use freshet_domain::Asset;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Value, rows, text_of};

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

fn text(raw: Option<&str>) -> String {
    raw.and_then(text_of).map_or_else(String::new, Cow::into_owned)
}

fn pixels(raw: Option<&str>) -> u32 {
    raw.and_then(|raw| raw.parse().ok()).unwrap_or(0)
}

/// From the raw texts of `src`, `alt`, `width` and `height`.
fn asset([src, alt, width, height]: [Option<&str>; 4]) -> Option<Asset> {
    let url = text(src);
    if url.is_empty() {
        return None;
    }
    Some(Asset { url, mime: String::new(), width: pixels(width), height: pixels(height), alt: text(alt) })
}

impl Image<'_> {
    fn asset(&self) -> Option<Asset> {
        asset([self.src, self.alt, self.width, self.height].map(|raw| raw.map(RawValue::get)))
    }
}

/// The pictures of a list.
pub(super) fn of_list(list: Option<Value<'_>>) -> Vec<Asset> {
    let Some(list) = list else { return Vec::new() };
    let mut assets = Vec::new();
    if rows(list.raw(), ["src", "alt", "width", "height"], &mut |image| assets.extend(asset(image))).is_some() {
        return assets;
    }
    let images: Vec<Image<'_>> = serde_json::from_str(list.raw()).unwrap_or_default();
    images.iter().filter_map(Image::asset).collect()
}

/// One picture.
pub(super) fn of_one(image: Option<Value<'_>>) -> Vec<Asset> {
    let image: Option<Image<'_>> = image.and_then(|image| serde_json::from_str(image.raw()).ok());
    image.as_ref().and_then(Image::asset).into_iter().collect()
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
