//! GitHub: `X-Hub-Signature-256` over the raw body, and complete lists of files except in huge pushes.

use freshet_domain::Timestamp;

use super::proof;
use super::push::{Event, Push, Received, commits, id_header, looks_like_push};
use crate::json::{Object, Value};
use crate::signature::HmacKey;
use crate::{Proof, RawDelivery, Refusal};

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";

/// GitHub lists at most this many commits.
const COMMITS_MAX: usize = 2048;
/// GitHub lists at most this many files in each list of a commit.
const FILES_MAX: usize = 3000;

/// The signature covers the raw body, also of forms.
pub(super) fn verify(delivery: &RawDelivery<'_>, keys: &[HmacKey]) -> Result<Proof, Refusal> {
    // Gitea and Forgejo send GitHub's headers too, with other rules for what is signed.
    for name in ["x-gitea-event", "x-forgejo-event", "x-gitea-delivery", "x-forgejo-delivery"] {
        if delivery.header(name)?.is_some() {
            return Err(Refusal::unauthenticated(
                "HOST_MISMATCH",
                name,
                "the delivery comes from Gitea or Forgejo; set `host` of the source to gitea or forgejo",
            ));
        }
    }
    if let Some(proof) = proof::prefixed(delivery, SIGNATURE, delivery.body, keys)? {
        return Ok(proof);
    }
    if delivery.header("x-hub-signature")?.is_some_and(|value| value.starts_with(b"sha1=")) {
        return Err(Refusal::unauthenticated(
            "MISSING_SIGNATURE",
            SIGNATURE,
            "the delivery has only the old SHA-1 signature, which proves too little; let the SHA-256 header through",
        ));
    }
    Err(proof::missing(SIGNATURE))
}

/// Reads a delivery that was proved genuine.
pub(super) fn read<'a>(delivery: &RawDelivery<'a>, body: &'a [u8]) -> Result<Received<'a>, Refusal> {
    let body = Object::parse(body)?;
    let Some(name) = id_header(delivery, EVENT) else {
        return Err(Refusal::malformed("MISSING_HEADER", EVENT, "the header that names the event is missing"));
    };
    check_event(name, EVENT, &body)?;
    let event = match name {
        "push" => Event::Pushes(vec![read_push(&body)?]),
        "ping" => Event::Ping,
        _ => Event::Other,
    };
    Ok(Received { name: name.into(), delivery_id: id_header(delivery, "x-github-delivery"), event })
}

/// The header that names the event is not signed; a push must look like one, and nothing else may.
pub(super) fn check_event(name: &str, header: &'static str, body: &Object<'_>) -> Result<(), Refusal> {
    if name != "push" && looks_like_push(body) {
        return Err(Refusal::malformed(
            "EVENT_MISMATCH",
            header,
            "the body is a push, but the header, which is not signed, names another event",
        ));
    }
    Ok(())
}

fn read_push<'a>(body: &Object<'a>) -> Result<Push<'a>, Refusal> {
    let repository = body.object("repository")?;
    let after = body.str("after")?;
    let (commits, all_read) = commits(body, &after);
    let is_forced = body.opt_bool("forced").ok().flatten().unwrap_or(false);
    let is_created = body.opt_bool("created").ok().flatten().unwrap_or(false);
    let is_cut = commits.len() >= COMMITS_MAX || commits.iter().any(|commit| commit.longest_list >= FILES_MAX);
    let pushed_at = repository.get("pushed_at");
    Ok(Push {
        repository: repository.str("full_name")?,
        default_branch: repository.opt_str("default_branch").ok().flatten(),
        reference: body.str("ref")?,
        before: body.str("before")?,
        after,
        commits,
        complete: all_read && !is_cut && !is_forced && !is_created,
        pushed_at: pushed_at.as_ref().and_then(epoch_or_rfc3339),
        moment: pushed_at.as_ref().map(Value::raw),
    })
}

/// GitHub writes `pushed_at` as seconds in pushes and as a text in every other event.
fn epoch_or_rfc3339(value: &Value<'_>) -> Option<Timestamp> {
    value.as_i64().ok().map(Timestamp::from_secs).or_else(|| value.as_time().ok())
}
