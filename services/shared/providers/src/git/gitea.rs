//! Gitea and Forgejo: a signature over the JSON text, however that is wrapped, and lists cut after five commits.

use super::github::check_event;
use super::proof;
use super::push::{Event, Push, Received, commits, id_header};
use crate::json::{Object, Value};
use crate::signature::HmacKey;
use crate::{Proof, RawDelivery, Refusal};

/// What signs, what is signed, and where it says so, by preference. Both hosts send GitHub's names as well.
const EVENTS: [&str; 3] = ["x-forgejo-event", "x-gitea-event", "x-github-event"];
const DELIVERIES: [&str; 3] = ["x-forgejo-delivery", "x-gitea-delivery", "x-github-delivery"];

/// The signature covers the JSON text, also where that came in a form or a query.
pub(super) fn verify(delivery: &RawDelivery<'_>, json: &[u8], keys: &[HmacKey]) -> Result<Proof, Refusal> {
    for header in ["x-forgejo-signature", "x-gitea-signature"] {
        if let Some(proof) = proof::bare(delivery, header, json, keys)? {
            return Ok(proof);
        }
    }
    if let Some(proof) = proof::prefixed(delivery, "x-hub-signature-256", json, keys)? {
        return Ok(proof);
    }
    Err(proof::missing("x-gitea-signature"))
}

/// Reads a delivery that was proved genuine.
pub(super) fn read<'a>(delivery: &RawDelivery<'a>, body: &'a [u8]) -> Result<Received<'a>, Refusal> {
    let body = Object::parse(body)?;
    let Some((header, name)) = EVENTS.iter().find_map(|header| Some((*header, id_header(delivery, header)?))) else {
        return Err(Refusal::malformed(
            "MISSING_HEADER",
            "x-gitea-event",
            "the header that names the event is missing",
        ));
    };
    check_event(name, header, &body)?;
    let event = if name == "push" { Event::Pushes(vec![read_push(&body)?]) } else { Event::Other };
    let delivery_id = DELIVERIES.iter().find_map(|header| id_header(delivery, header));
    Ok(Received { name: name.into(), delivery_id, event })
}

fn read_push<'a>(body: &Object<'a>) -> Result<Push<'a>, Refusal> {
    let repository = body.object("repository")?;
    let after = body.str("after")?;
    let (commits, all_read) = commits(body, &after);
    // Versions before `total_commits` cut the list without saying so.
    let total = body.get("total_commits").and_then(|value| value.as_i64().ok());
    let is_whole = total == i64::try_from(commits.len()).ok();
    Ok(Push {
        repository: repository.str("full_name")?,
        default_branch: repository.opt_str("default_branch").ok().flatten(),
        reference: body.str("ref")?,
        before: body.str("before")?,
        after,
        commits,
        complete: all_read && is_whole,
        pushed_at: None,
        moment: repository.get("updated_at").as_ref().map(Value::raw),
    })
}
