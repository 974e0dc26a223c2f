//! Stories of the imaginary journal "Tidewater", as Sanity sends them with the documented projection.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freshet_domain::Timestamp;

use crate::signature::{HmacKey, dedup_key};
use crate::{SampleDelivery, SampleRequest};

/// What can be made.
pub(super) const EVENTS: &[&str] = &["update", "create", "delete"];

const PROJECT: &str = "tw7kq2ma";

/// Title, slug, excerpt, two paragraphs, picture, tag.
const STORIES: [[&str; 7]; 6] = [
    [
        "Four walls and a river",
        "four-walls-and-a-river",
        "Inside the boathouse that became our studio.",
        "For sixty years the boathouse kept rowing eights dry. Then the club moved upstream and the roof began to \
         let the sky in.",
        "We kept the slipway, the smell of varnish and one oar. Everything else had to learn to be a workshop.",
        "hero.svg",
        "Studio",
    ],
    [
        "The mug that would not tip",
        "the-mug-that-would-not-tip",
        "How a ferry cook gave us our best-selling shape.",
        "Anneke cooks on the seven o'clock ferry, and her rule is simple: if it tips, it goes.",
        "Eleven prototypes went. The twelfth is low, wide at the foot and still aboard.",
        "mug.svg",
        "Design",
    ],
    [
        "Sitting, according to carpenters",
        "sitting-according-to-carpenters",
        "Three makers, one question: what is a chair for?",
        "\"For getting up from,\" says the oldest, and refuses to explain.",
        "The youngest measures the distance between a table and a good conversation: twenty-nine centimetres.",
        "chair.svg",
        "Makers",
    ],
    [
        "A field guide to evening light",
        "a-field-guide-to-evening-light",
        "Seven ways to lose the ceiling lamp.",
        "Put the light where the hands are. Then take away half of it.",
        "A lamp below eye level makes a room larger; one in the corner makes it older; a candle makes it quiet.",
        "lamp.svg",
        "At home",
    ],
    [
        "Postcards from the clay pit",
        "postcards-from-the-clay-pit",
        "A day among people who know forty words for mud.",
        "The pit is the colour of strong tea and sounds like one too, once the pumps start.",
        "By noon everybody is the same shade. By five nobody remembers who owns which boots.",
        "hero.svg",
        "Places",
    ],
    [
        "How to keep a linen shirt for life",
        "how-to-keep-a-linen-shirt-for-life",
        "Wash less, mend early, dry in the wind.",
        "Linen does not wear out, it wears in. What ruins it is heat, haste and fabric softener.",
        "Sew on a button before it falls. It takes four minutes and saves a shirt.",
        "mug.svg",
        "Care",
    ],
];

pub(super) fn make(request: &SampleRequest<'_>) -> Option<SampleDelivery> {
    let event = EVENTS.iter().copied().find(|event| *event == request.event)?;
    let project = request.settings.text("project").unwrap_or(PROJECT);
    let dataset = request.settings.text("dataset").unwrap_or("production");
    let number = request.number.to_be_bytes();
    let hash = dedup_key(&[b"story", &number]);
    let id = format!("{}-{}-4{}-a{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32]);
    // `_updatedAt` has a resolution of one second.
    let updated_at = request.now.plus(Duration::from_secs(request.later()));
    let revision =
        dedup_key(&[b"revision", &number, &request.revision.to_be_bytes(), &updated_at.as_micros().to_be_bytes()]);
    let tail = format!(r#""op":"{event}","dataset":"{dataset}","projectId":"{project}""#);
    let head = format!(
        r#""_createdAt":"{}","_id":"{id}","_rev":"{}","_type":"story","_updatedAt":"{}""#,
        seconds(request.now.minus(Duration::from_secs(9 * 24 * 3600))),
        &revision[..22],
        seconds(updated_at),
    );
    let body = match event {
        "delete" => format!("{{{head},{tail}}}"),
        _ => format!("{{{head},{},{tail}}}", story(request)),
    };
    let attempt = dedup_key(&[b"attempt", event.as_bytes(), revision.as_bytes()]);
    let mut headers: Vec<(String, String)> = [
        ("connection", "close"),
        ("accept-encoding", "gzip"),
        ("idempotency-key", &attempt[..22]),
        ("content-type", "application/json"),
        ("user-agent", "Sanity.io webhook delivery"),
        ("sanity-transaction-id", &revision[..22]),
        ("sanity-transaction-time", &updated_at.to_string()),
        ("sanity-dataset", dataset),
        ("sanity-document-id", &id),
        ("sanity-project-id", project),
        ("sanity-webhook-id", "tWpQ3nVb7KdR1xZc"),
        ("sanity-operation", event),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    if let Some(secret) = request.secret {
        let time = request.now.as_millis().to_string();
        let mac = HmacKey::new(secret.as_bytes()).sign(&[time.as_bytes(), b".", body.as_bytes()]);
        let value = format!("t={time},v1={}", URL_SAFE_NO_PAD.encode(mac));
        headers.push(("sanity-webhook-signature".to_owned(), value));
    }
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

fn story(request: &SampleRequest<'_>) -> String {
    let count = STORIES.len() as u64;
    let round = request.number / count;
    let [title, slug, excerpt, first, second, picture, tag] = STORIES[(request.number % count) as usize];
    let (title, slug) = match round {
        0 => (title.to_owned(), slug.to_owned()),
        round => (format!("{title} ({})", round + 1), format!("{slug}-{}", round + 1)),
    };
    let mut blocks = vec![block(1, first), block(2, second)];
    if request.revision > 0 {
        blocks.push(block(3, &format!("Revised for the {}. time: thank you for all the letters.", request.revision)));
    }
    format!(
        r#""body":[{}],"excerpt":{},"mainImage":{{"_type":"image","alt":{},"asset":{{"_id":"image-{}-960x640-svg","_type":"sanity.imageAsset","metadata":{{"dimensions":{{"height":640,"width":960}}}},"mimeType":"image/svg+xml","url":{}}}}},"slug":{{"_type":"slug","current":"{slug}"}},"tags":[{}],"title":{}"#,
        blocks.join(","),
        quoted(excerpt),
        quoted(excerpt),
        &dedup_key(&[picture.as_bytes()]),
        quoted(&format!("{}/{picture}", request.asset_base)),
        quoted(tag),
        quoted(&title),
    )
}

/// A paragraph as Portable Text.
fn block(number: u32, text: &str) -> String {
    format!(
        r#"{{"_key":"b{number}","_type":"block","children":[{{"_key":"s{number}","_type":"span","marks":[],"text":{}}}],"markDefs":[],"style":"normal"}}"#,
        quoted(text)
    )
}

/// RFC 3339 without fractions, as Sanity writes it.
fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
