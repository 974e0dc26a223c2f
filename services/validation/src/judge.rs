//! The judgement of one delivery, step by step.

use std::time::Duration;

use bytes::Bytes;
use freshet_domain::{Change, Header, Retention, Timestamp, Verdict};
use freshet_providers::{Descriptor, Proof, RawDelivery, Refusal, Registry};

use crate::locate::{Located, locate, unknown};
use crate::prepared::Prepared;

/// What came in.
pub(crate) struct Incoming<'a> {
    pub(crate) provider: &'a str,
    pub(crate) source: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path_and_query: &'a str,
    pub(crate) api_key: &'a str,
    pub(crate) headers: &'a [Header],
    pub(crate) body: &'a Bytes,
    pub(crate) received_at: Timestamp,
    pub(crate) replayed: bool,
}

/// What was decided.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) http_status: u16,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) field: String,
    pub(crate) retry_after: Option<Duration>,
    /// Client and source, where the delivery is genuine and must be kept.
    pub(crate) owner: Option<(String, String)>,
    pub(crate) event: String,
    pub(crate) dedup_keys: Vec<String>,
    pub(crate) dedup_horizon: Duration,
    pub(crate) changes: Vec<Change>,
    pub(crate) retention: Retention,
    pub(crate) proof: String,
    pub(crate) archived_headers: Vec<Header>,
}

/// Longest event name that is kept.
const EVENT_BYTES_MAX: usize = 100;

pub(crate) fn judge(registry: &Registry, prepared: &Prepared, incoming: &Incoming<'_>, now: Timestamp) -> Judgement {
    let Some(adapter) = registry.get(incoming.provider) else {
        return refused(
            None,
            unknown("UNKNOWN_PROVIDER", "there is no provider of that name; see `freshet providers`"),
        );
    };
    let descriptor = adapter.descriptor();
    let located = match locate(prepared, incoming.provider, incoming.source, incoming.api_key) {
        Ok(located) => located,
        Err(refusal) => return refused(Some(descriptor), refusal),
    };
    match judge_located(descriptor, &located, incoming, now) {
        Ok(judgement) => judgement,
        Err(refusal) => refused(Some(descriptor), refusal),
    }
}

fn judge_located(
    descriptor: &'static Descriptor,
    located: &Located<'_>,
    incoming: &Incoming<'_>,
    now: Timestamp,
) -> Result<Judgement, Refusal> {
    let delivery = RawDelivery {
        method: incoming.method,
        path_and_query: incoming.path_and_query,
        headers: incoming.headers,
        body: incoming.body,
        received_at: incoming.received_at,
        now: if incoming.replayed { incoming.received_at } else { now },
        has_api_key: located.key.is_some(),
    };
    check_size(descriptor, incoming.body)?;
    check_media_type(descriptor, &delivery)?;
    let proof = located.ready.adapter.verify(&delivery)?;

    // Charged only now: whoever cannot prove himself cannot use up a source's rate.
    if !incoming.replayed
        && let Err(wait) = located.ready.charge()
    {
        let refusal = Refusal {
            verdict: Verdict::RateLimited,
            reason: "RATE_LIMITED",
            field: "".into(),
            detail: "too many deliveries; try again later".into(),
        };
        let mut judgement = refused(Some(descriptor), refusal);
        judgement.retry_after = Some(wait);
        return Ok(judgement);
    }

    let kept = proof != Proof::NotNeeded;
    let source = &located.ready.source;
    let archived =
        || incoming.headers.iter().filter(|header| descriptor.archived_headers.contains(&header.name.as_str()));
    let mut judgement = match located.ready.adapter.normalise(&delivery) {
        Ok(normalised) => {
            let verdict = if normalised.ignored.is_some() { Verdict::Ignored } else { Verdict::Accepted };
            let (reason, detail) = normalised
                .ignored
                .map_or_else(Default::default, |ignored| (ignored.reason.to_owned(), ignored.detail.into_owned()));
            Judgement {
                verdict,
                http_status: descriptor.http_status(verdict, &normalised.event),
                reason,
                detail,
                event: normalised.event,
                dedup_keys: normalised.dedup_keys,
                changes: normalised.changes,
                retention: normalised.retention,
                ..empty(descriptor, verdict)
            }
        }
        Err(refusal) if refusal.verdict == Verdict::Quarantined => {
            // Some providers tell by a header what happened to what the body names, so equal bodies can be two events.
            let mut parts: Vec<&[u8]> = vec![b"quarantined", incoming.body];
            parts.extend(archived().flat_map(|header| [header.name.as_bytes(), &header.value]));
            let key = freshet_providers::signature::dedup_key(&parts);
            Judgement { event: "unknown".into(), dedup_keys: vec![key], ..refused(Some(descriptor), refusal) }
        }
        Err(refusal) => return Err(refusal),
    };
    truncate(&mut judgement.event, EVENT_BYTES_MAX);
    judgement.owner = kept.then(|| (source.client.to_string(), source.id.to_string()));
    judgement.proof = match (&located.key, proof) {
        (Some(key), Proof::ApiKey) => format!("key:{}", key.name),
        (Some(key), proof) => format!("key:{}+{proof}", key.name),
        (None, proof) => proof.to_string(),
    };
    judgement.archived_headers = archived().cloned().collect();
    Ok(judgement)
}

fn check_size(descriptor: &Descriptor, body: &Bytes) -> Result<(), Refusal> {
    let max = descriptor.capabilities.body_bytes_max;
    if body.len() as u64 <= max {
        return Ok(());
    }
    Err(Refusal {
        verdict: Verdict::TooLarge,
        reason: "BODY_TOO_LARGE",
        field: "".into(),
        detail: format!("the body has {} bytes; {} sends at most {max}", body.len(), descriptor.title).into(),
    })
}

fn check_media_type(descriptor: &Descriptor, delivery: &RawDelivery<'_>) -> Result<(), Refusal> {
    let given = delivery.header_text("content-type").unwrap_or_default();
    if given.is_empty() || descriptor.media_types.is_empty() {
        return Ok(());
    }
    // Users can add headers of their own at some providers, which joins values: `text/plain, application/json`.
    let mut types = given.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    if types.any(|given| descriptor.media_types.iter().any(|known| known.eq_ignore_ascii_case(given))) {
        return Ok(());
    }
    Err(Refusal {
        verdict: Verdict::UnsupportedMedia,
        reason: "UNSUPPORTED_MEDIA_TYPE",
        field: "content-type".into(),
        detail: format!("{} sends {}", descriptor.title, descriptor.media_types.join(" or ")).into(),
    })
}

fn refused(descriptor: Option<&Descriptor>, refusal: Refusal) -> Judgement {
    let http_status = match descriptor {
        Some(descriptor) => descriptor.http_status(refusal.verdict, ""),
        None => refusal.verdict.default_http_status(),
    };
    Judgement {
        http_status,
        reason: refusal.reason.to_owned(),
        detail: refusal.detail.into_owned(),
        field: refusal.field.into_owned(),
        dedup_horizon: descriptor.map_or(Duration::ZERO, |descriptor| descriptor.dedup_horizon),
        ..blank(refusal.verdict)
    }
}

fn empty(descriptor: &Descriptor, verdict: Verdict) -> Judgement {
    Judgement { dedup_horizon: descriptor.dedup_horizon, ..blank(verdict) }
}

fn blank(verdict: Verdict) -> Judgement {
    Judgement {
        verdict,
        http_status: verdict.default_http_status(),
        reason: String::new(),
        detail: String::new(),
        field: String::new(),
        retry_after: None,
        owner: None,
        event: String::new(),
        dedup_keys: Vec::new(),
        dedup_horizon: Duration::ZERO,
        changes: Vec::new(),
        retention: Retention::Body,
        proof: String::new(),
        archived_headers: Vec::new(),
    }
}

fn truncate(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
