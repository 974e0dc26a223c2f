//! Notices of the imaginary shop "Tidewater", as a system of its own would send them.

use freshet_domain::Timestamp;
use secrecy::SecretString;

use super::mapping::Mapping;
use super::verify::StandardKeys;
use crate::signature::dedup_key;
use crate::{SampleDelivery, SampleRequest};

/// What can be made.
pub(super) const EVENTS: &[&str] = &["article.updated", "article.created", "article.deleted"];

/// Title, slug, text, picture, tag.
const NOTICES: [[&str; 5]; 6] = [
    [
        "Open late on Thursdays",
        "open-late-on-thursdays",
        "From this week the workshop stays open until nine, with soup on the stove and every lamp lit.",
        "hero.svg",
        "Workshop",
    ],
    [
        "A second life for chipped mugs",
        "a-second-life-for-chipped-mugs",
        "Bring us yours. We mend the lip with lacquer and gold dust while you look around.",
        "mug.svg",
        "Repairs",
    ],
    [
        "The harbour chair is back",
        "the-harbour-chair-is-back",
        "Forty chairs in steamed ash left the bench on Monday. Twelve are still looking for a kitchen.",
        "chair.svg",
        "News",
    ],
    [
        "Lamp class: places in March",
        "lamp-class-places-in-march",
        "Two evenings, one shade, all the wire you can bend. Beginners are welcome and tea is included.",
        "lamp.svg",
        "Workshop",
    ],
    [
        "We deliver by cargo bike",
        "we-deliver-by-cargo-bike",
        "Anything smaller than a sofa reaches you the same afternoon, without a single litre of diesel.",
        "hero.svg",
        "News",
    ],
    [
        "Notes on a quiet glaze",
        "notes-on-a-quiet-glaze",
        "Ash, feldspar and a little patience: how the grey of low tide found its way onto our cups.",
        "mug.svg",
        "Craft",
    ],
];

pub(super) fn make(request: &SampleRequest<'_>) -> Option<SampleDelivery> {
    if !EVENTS.contains(&request.event) {
        return None;
    }
    let mapping = Mapping::read(request.settings).ok()?;
    let number = request.number.to_be_bytes();
    let revision = request.revision.to_be_bytes();
    let id = format!("art_{}", &dedup_key(&[b"tidewater", &number])[..20]);
    let updated_at = request.now.plus(std::time::Duration::from_millis(request.later()));
    let body = if request.event == "article.deleted" {
        format!(
            r#"{{"type":"article.deleted","timestamp":"{}","data":{{{}:"{id}"}}}}"#,
            updated_at,
            quoted(&mapping.id_field)
        )
    } else {
        article(request, &mapping, &id, updated_at)
    };
    let message_id =
        format!("msg_{}", &dedup_key(&[request.event.as_bytes(), &number, &revision, body.as_bytes()])[..27]);
    let timestamp = request.now.as_secs().to_string();
    let mut headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), "tidewater-notices/2.1".to_owned()),
        ("webhook-id".to_owned(), message_id.clone()),
        ("webhook-timestamp".to_owned(), timestamp.clone()),
    ];
    // A public key cannot sign: a source that has nothing else gets an unsigned delivery.
    let keys = request.secret.map(|secret| StandardKeys::from_secrets(&[SecretString::from(secret.to_owned())]));
    if let Some(Ok(keys)) = keys
        && let Some(signature) = keys.sign(&message_id, &timestamp, body.as_bytes())
    {
        headers.push(("webhook-signature".to_owned(), signature));
    }
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

fn article(request: &SampleRequest<'_>, mapping: &Mapping, id: &str, updated_at: Timestamp) -> String {
    let round = request.number / NOTICES.len() as u64;
    let [title, slug, text, picture, tag] = NOTICES[(request.number % NOTICES.len() as u64) as usize];
    let (title, slug) = if round == 0 {
        (title.to_owned(), slug.to_owned())
    } else {
        (format!("{title}, no. {}", round + 1), format!("{slug}-{}", round + 1))
    };
    let text = if request.revision == 0 {
        text.to_owned()
    } else {
        format!("{text} (Update {}: we have added the opening hours.)", request.revision)
    };
    let title_field = mapping.title_field.as_deref().unwrap_or("title");
    format!(
        r#"{{"type":"{}","timestamp":"{updated_at}","data":{{{}:"{id}",{}:{},{}:{},"body":{},"tags":[{}],"image":{{"url":{},"alt":{},"width":960,"height":640}},"updated_at":"{updated_at}"}}}}"#,
        request.event,
        quoted(&mapping.id_field),
        quoted(title_field),
        quoted(&title),
        quoted(&mapping.slug_field),
        quoted(&slug),
        quoted(&text),
        quoted(tag),
        quoted(&format!("{}/{picture}", request.asset_base)),
        quoted(&title),
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
