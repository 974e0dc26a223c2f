//! Deliveries as TinaCloud sends them.

use sha2::{Digest, Sha256};

use super::settings;
use crate::git::{self, Folders};
use crate::{SampleDelivery, SampleRequest};

/// TinaCloud's three events.
pub(super) const SAMPLE_EVENTS: &[&str] = &["content.modified", "content.added", "content.removed"];

const PATHS: [&str; 8] = [
    "products/stoneware-mug",
    "products/harbour-lounge-chair",
    "products/storm-lantern-lamp",
    "posts/how-we-glaze",
    "posts/a-table-for-eight",
    "products/linen-tea-towel",
    "products/driftwood-shelf",
    "pages/visit-the-workshop",
];

/// A delivery of the event. With `host` in the settings it is the push that causes it, as the git host announces it.
pub(super) fn sample(request: &SampleRequest<'_>) -> Option<SampleDelivery> {
    if !SAMPLE_EVENTS.contains(&request.event) {
        return None;
    }
    if settings::is_git(request.settings) {
        let event = if request.event == "content.removed" { "push-removed" } else { "push" };
        return git::sample(&SampleRequest { event, ..*request });
    }
    let count = PATHS.len() as u64;
    let path = PATHS[usize::try_from(request.number % count).unwrap_or_default()];
    let folders = Folders::read(request.settings);
    let folder = folders.first().unwrap_or("content");
    let path = if request.number < count {
        format!("{folder}/{path}")
    } else {
        format!("{folder}/{path}-{}", request.number + 1)
    };
    let branch = request.settings.text("branch").unwrap_or("main");
    let seed = format!("{} {path} {} {}", request.event, request.revision, request.now.as_micros());
    let id = hex::encode(&Sha256::digest(seed.as_bytes())[..16]);
    let event_id = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]);
    let body = format!(
        r#"{{"clientId":"27c1f7d0-4c1b-4e5e-9a5e-6f0c7a2f9b11","branch":{},"paths":[{}],"type":"{}","eventId":"{event_id}"}}"#,
        quoted(branch),
        quoted(&path),
        request.event,
    );
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    if let Some(secret) = request.secret {
        headers.push((settings::header(request.settings), secret.to_owned()));
    }
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
