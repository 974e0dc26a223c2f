//! Removing for good: content and raw bodies, in the tables and in S3.
//!
//! Objects and bodies go first, and the entries' tombstones after them: a crash in between leaves entries whose content
//! is gone, which are read as if they had none, and a request that was not answered and comes again.

use std::collections::HashMap;

use freshet_domain::{ChangeOp, ClientId, EntryKey, Verdict};
use freshet_kit::Error;

use super::Shared;
use super::items::{State, StoredDelivery, Value, outcomes, value_names};
use super::keys::{self, Key};
use super::plan::Prepared;
use crate::store::common::covers_delivery;
use freshet_aws::dynamo::{Item, Range, s};

fn redacted(prepared: &Prepared) -> Vec<EntryKey> {
    let redacted = prepared.changes.iter().filter(|change| change.incoming.op == ChangeOp::Redact);
    redacted.map(|change| change.key.clone()).collect()
}

/// Removes the raw bodies of deliveries that carried what must go, and counts them.
pub(super) async fn erase_bodies(shared: &Shared, prepared: &Prepared) -> Result<u64, Error> {
    let keys = redacted(prepared);
    let delivery = &prepared.delivery;
    let mut erased = 0;
    for verdict in [Verdict::Accepted, Verdict::Ignored, Verdict::Quarantined] {
        let pk = keys::received(&delivery.client, delivery.source.as_str(), verdict.code());
        let range = Range::of(&shared.deliveries, pk).index(keys::RECEIVED, (keys::RECEIVED_PK, keys::RECEIVED_SK));
        let mut from = None;
        loop {
            let page = shared.db.page(&range, from).await?;
            let found = page.items.iter().filter_map(Key::of);
            let found = found.map(|key| (shared.deliveries.clone(), key)).collect();
            for item in shared.db.get_all(found).await?.values() {
                if covers_delivery(&keys, &outcomes(item)?) {
                    erased += u64::from(erase_body(shared, item).await?);
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
    }
    Ok(erased)
}

/// Removes the raw body of a delivery, if it has one that is kept.
pub(super) async fn erase_body(shared: &Shared, item: &Item) -> Result<bool, Error> {
    let stored = StoredDelivery::read(item)?;
    let Some(body) = stored.body else { return Ok(false) };
    if let Value::Object { key, .. } = &body {
        shared.objects.delete(key).await?;
    }
    let names = value_names("body");
    let update = format!("REMOVE {}", names.join(", "));
    let call = shared
        .db
        .client
        .update_item()
        .table_name(&shared.deliveries)
        .set_key(Some(keys::delivery(stored.delivery.delivery).item()))
        .update_expression(update)
        .condition_expression("client = :client")
        .expression_attribute_values(":client", s(stored.delivery.client.as_str()));
    match call.send().await {
        Ok(_) => Ok(true),
        // Forgotten meanwhile.
        Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => Ok(false),
        Err(error) => Err(freshet_aws::dynamo::failed("UpdateItem", error)),
    }
}

/// The stored entries that the delivery's redactions cover, tombstones included.
pub(super) async fn covered(
    shared: &Shared,
    client: &ClientId,
    prepared: &Prepared,
) -> Result<HashMap<EntryKey, State>, Error> {
    let table = shared.table(client);
    let mut states = HashMap::new();
    for key in redacted(prepared) {
        let types = match key.entry_type.as_str() {
            EntryKey::ANY => shared.types(client, Some(&key.source)).await?.into_iter().map(|(_, name)| name).collect(),
            name => vec![name.to_owned()],
        };
        for entry_type in types {
            let of = |shard| Range::of(&table, keys::entries(key.source.as_str(), &entry_type, shard));
            let ranges: Vec<Range> = match key.id.as_str() {
                EntryKey::ANY => (0..keys::SHARDS).map(of).collect(),
                id => vec![of(keys::shard_of(id)).starting(&keys::prefix(&[id]))],
            };
            for range in ranges {
                for item in shared.db.all(&range).await? {
                    let state = State::read(&item)?;
                    states.insert(state.key.clone(), state);
                }
            }
        }
    }
    Ok(states)
}

/// Removes the content in S3 of what the redactions cover.
pub(super) async fn erase_objects(
    shared: &Shared,
    prepared: &Prepared,
    states: &HashMap<EntryKey, State>,
) -> Result<(), Error> {
    let keys = redacted(prepared);
    let covered = states.values().filter(|state| {
        keys.iter().any(|key| {
            key.source == state.key.source
                && crate::store::common::covers(key, &state.key.entry_type, &state.key.id, &state.key.locale)
        })
    });
    let objects: Vec<String> = covered.filter_map(|state| state.object().map(str::to_owned)).collect();
    shared.objects.delete_all(&objects).await
}
