//! Bitbucket Cloud: SHA-256 in `X-Hub-Signature`, and pushes that name no files at all.

use std::borrow::Cow;

use super::proof;
use super::push::{Event, Push, Received, id_header};
use crate::json::Object;
use crate::signature::HmacKey;
use crate::{Proof, RawDelivery, Refusal};

/// GitHub's name for SHA-1; here SHA-256 is inside.
const SIGNATURE: &str = "x-hub-signature";
const EVENT: &str = "x-event-key";
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// The signature covers the raw body.
pub(super) fn verify(delivery: &RawDelivery<'_>, keys: &[HmacKey]) -> Result<Proof, Refusal> {
    proof::prefixed(delivery, SIGNATURE, delivery.body, keys)?.ok_or_else(|| proof::missing(SIGNATURE))
}

/// Reads a delivery that was proved genuine.
pub(super) fn read<'a>(delivery: &RawDelivery<'a>, body: &'a [u8]) -> Result<Received<'a>, Refusal> {
    let body = Object::parse(body)?;
    let Some(name) = id_header(delivery, EVENT) else {
        return Err(Refusal::malformed("MISSING_HEADER", EVENT, "the header that names the event is missing"));
    };
    let event = match name {
        "repo:push" => Event::Pushes(read_pushes(&body)?),
        _ if body.has("push") => {
            return Err(Refusal::malformed(
                "EVENT_MISMATCH",
                EVENT,
                "the body is a push, but the header, which is not signed, names another event",
            ));
        }
        "diagnostics:ping" => Event::Ping,
        _ => Event::Other,
    };
    Ok(Received { name: name.into(), delivery_id: id_header(delivery, "x-request-uuid"), event })
}

fn read_pushes<'a>(body: &Object<'a>) -> Result<Vec<Push<'a>>, Refusal> {
    let repository = body.object("repository")?;
    let full_name = repository.str("full_name")?;
    let main_branch = repository.opt_object("mainbranch").ok().flatten();
    let default_branch = main_branch.and_then(|branch| branch.opt_str("name").ok().flatten());
    let push = body.object("push")?;
    push.require("changes")?;
    let mut pushes = Vec::new();
    for change in push.array("changes")? {
        let change = change.as_object()?;
        // A new branch has no old state, a removed one no new state.
        let (old, new) = (change.opt_object("old")?, change.opt_object("new")?);
        let Some(named) = new.as_ref().or(old.as_ref()) else {
            return Err(change.error("new", "is missing, and so is `old`").into());
        };
        let folder = if named.text_or_empty("type").contains("tag") { "tags" } else { "heads" };
        pushes.push(Push {
            repository: full_name.clone(),
            default_branch: default_branch.clone(),
            reference: Cow::Owned(format!("refs/{folder}/{}", named.str("name")?)),
            before: commit(old.as_ref())?,
            after: commit(new.as_ref())?,
            commits: Vec::new(),
            complete: false,
            pushed_at: None,
            moment: None,
        });
    }
    Ok(pushes)
}

fn commit<'a>(state: Option<&Object<'a>>) -> Result<Cow<'a, str>, Refusal> {
    match state {
        Some(state) => Ok(state.object("target")?.str("hash")?),
        None => Ok(Cow::Borrowed(NO_COMMIT)),
    }
}
