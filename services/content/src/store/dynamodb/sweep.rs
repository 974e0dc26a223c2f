//! Forgetting, in bounded bits, client by client. Whatever is found is found in the order of its time, by a query.
//!
//! DynamoDB's own expiry removes dedup marks, and is the safety net for the rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use freshet_domain::{ClientId, EntryStatus, SourceId, Timestamp, Verdict};
use freshet_kit::Error;

use super::Shared;
use super::feed::{self, parts};
use super::items::{StoredDelivery, Value};
use super::keys::{self, Key, SK};
use super::list::named_entry;
use super::parts::{feed_range, stored_at};
use crate::model::{RetentionLimits, Swept};
use crate::store::codec::damaged;
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::{Item, Range, n};

/// Items that one pass removes of each sort and client.
const BIT: usize = 200;

/// Nothing is looked for again before this has passed: queries that find nothing cost too.
const ROUND: Duration = Duration::from_secs(600);

/// Where the sweeper is.
#[derive(Default)]
pub(super) struct Walked {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    round_began_at: Option<Timestamp>,
    more: bool,
    /// Bodies of deliveries up to here were looked at, by partition.
    bodies: HashMap<String, String>,
}

pub(super) async fn run(shared: &Shared, now: Timestamp, limits: RetentionLimits) -> Result<Swept, Error> {
    {
        let mut state = shared.walked.state.lock().unwrap_or_else(PoisonError::into_inner);
        let early = state.round_began_at.is_some_and(|at| now >= at && now.since(at) < ROUND);
        if early && !state.more {
            return Ok(Swept::default());
        }
        state.round_began_at = Some(now);
    }
    let mut swept = Swept::default();
    for client in (shared.clients)() {
        let sweep = Sweep { shared, client: &client, table: shared.table(&client), now, limits };
        sweep.feed(&mut swept).await?;
        sweep.deliveries(&mut swept).await?;
        sweep.bodies(&mut swept).await?;
        sweep.published(&mut swept).await?;
        sweep.tombstones(&mut swept).await?;
        sweep.requests().await?;
    }
    shared.walked.state.lock().unwrap_or_else(PoisonError::into_inner).more = swept.more;
    Ok(swept)
}

struct Sweep<'s> {
    shared: &'s Shared,
    client: &'s ClientId,
    table: String,
    now: Timestamp,
    limits: RetentionLimits,
}

impl Sweep<'_> {
    /// Parts of the feed that were published and kept long enough.
    async fn feed(&self, swept: &mut Swept) -> Result<(), Error> {
        let head = feed::head(self.shared, self.client).await?;
        let through = feed::through_of(self.shared, self.client).await?;
        let cutoff = self.now.minus(self.limits.feed);
        let (mut old, mut floor) = (Vec::new(), head.floor);
        for item in parts(self.shared, self.client, head.floor, through, BIT).await? {
            let (first, last) = feed_range(&item)?;
            if last > through || stored_at(&item)? > cutoff {
                break;
            }
            swept.changes += last - first + 1;
            floor = last;
            old.push(Key::of(&item).ok_or_else(|| damaged("key"))?);
        }
        if old.is_empty() {
            return Ok(());
        }
        swept.more |= old.len() >= BIT;
        // First that it is gone, then gone: a reader in between is told so, instead of finding a gap.
        let call = self
            .shared
            .db
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::head().item()))
            .update_expression("SET floor = :floor")
            .condition_expression("attribute_not_exists(floor) OR floor < :floor")
            .expression_attribute_values(":floor", n(floor));
        match call.send().await {
            Ok(_) => {}
            Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => {}
            Err(error) => return Err(freshet_aws::dynamo::failed("UpdateItem", error)),
        }
        self.shared.db.delete_all(&self.table, &old).await
    }

    /// The partitions of the client's deliveries.
    async fn partitions(&self) -> Result<Vec<String>, Error> {
        let mut partitions = Vec::new();
        for (source, verdict) in self.shared.verdicts(self.client).await? {
            partitions.push(keys::received(self.client, SourceId::as_str(&source), Verdict::code(verdict)));
        }
        Ok(partitions)
    }

    async fn oldest(&self, pk: &str, from: &str, cutoff: Timestamp) -> Result<Vec<Item>, Error> {
        let range = Range::of(&self.shared.deliveries, pk)
            .index(keys::RECEIVED, (keys::RECEIVED_PK, keys::RECEIVED_SK))
            .between(from, keys::instant(cutoff))
            .limit(BIT);
        let named = self.shared.db.page(&range, None).await?.items;
        let keys: Vec<Key> = named.iter().filter_map(Key::of).collect();
        let wanted = keys.iter().map(|key| (self.shared.deliveries.clone(), key.clone())).collect();
        let mut items = self.shared.db.get_all(wanted).await?;
        Ok(keys.into_iter().filter_map(|key| items.remove(&(self.shared.deliveries.clone(), key))).collect())
    }

    /// Deliveries whose changes are not in the feed any more.
    async fn deliveries(&self, swept: &mut Swept) -> Result<(), Error> {
        let floor = feed::head(self.shared, self.client).await?.floor;
        let cutoff = self.now.minus(self.limits.deliveries);
        for pk in self.partitions().await? {
            let mut gone = Vec::new();
            for item in self.oldest(&pk, "0", cutoff).await? {
                let stored = StoredDelivery::read(&item)?;
                let needed = stored.delivery.outcomes.iter().any(|outcome| outcome.sequence > floor);
                if needed || stored.delivery.stored_at > cutoff {
                    continue;
                }
                if let Some(Value::Object { key, .. }) = &stored.body {
                    self.shared.objects.delete(key).await?;
                }
                swept.dedup_marks += self.marks(&stored).await?;
                gone.push(keys::delivery(stored.delivery.delivery));
            }
            swept.deliveries += gone.len() as u64;
            swept.more |= gone.len() >= BIT;
            self.shared.db.delete_all(&self.shared.deliveries, &gone).await?;
        }
        Ok(())
    }

    async fn marks(&self, stored: &StoredDelivery) -> Result<u64, Error> {
        let mut removed = 0;
        for mark in &stored.marks {
            let call = self
                .shared
                .db
                .client
                .delete_item()
                .table_name(&self.table)
                .set_key(Some(Key::new(keys::join(&["m", mark]), "-").item()))
                .condition_expression("expires_at <= :now")
                .expression_attribute_values(":now", n(self.now.as_micros()));
            match call.send().await {
                Ok(_) => removed += 1,
                Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => {}
                Err(error) => return Err(freshet_aws::dynamo::failed("DeleteItem", error)),
            }
        }
        Ok(removed)
    }

    /// Raw bodies that were kept long enough.
    async fn bodies(&self, swept: &mut Swept) -> Result<(), Error> {
        let cutoff = self.now.minus(self.limits.bodies);
        for pk in self.partitions().await? {
            let from = {
                let state = self.shared.walked.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.bodies.get(&pk).cloned().unwrap_or_else(|| "0".to_owned())
            };
            let items = self.oldest(&pk, &from, cutoff).await?;
            let mut last = None;
            for item in &items {
                let stored = StoredDelivery::read(item)?;
                if stored.delivery.stored_at > cutoff {
                    break;
                }
                last = Some(Row(item).text(keys::RECEIVED_SK)?.to_owned());
                swept.body_segments += u64::from(super::redact::erase_body(self.shared, item).await?);
            }
            swept.more |= items.len() >= BIT && last.as_ref().is_some_and(|last| *last > from);
            if let Some(last) = last {
                self.shared.walked.state.lock().unwrap_or_else(PoisonError::into_inner).bodies.insert(pk, last);
            }
        }
        Ok(())
    }

    /// When things were published, as long as deliveries that ask for it are kept; never the last.
    async fn published(&self, swept: &mut Swept) -> Result<(), Error> {
        let cutoff = self.now.minus(self.limits.deliveries);
        let mut items = self.shared.db.page(&Range::of(&self.table, keys::PUBLISHED).limit(BIT), None).await?.items;
        items.pop();
        let mut old = Vec::new();
        for item in items {
            if Timestamp::from_micros(Row(&item).number("at")?) > cutoff {
                break;
            }
            old.push(Key::of(&item).ok_or_else(|| damaged("key"))?);
        }
        swept.more |= old.len() + 1 >= BIT;
        self.shared.db.delete_all(&self.table, &old).await
    }

    /// Answers to requests that were kept long enough.
    async fn requests(&self) -> Result<(), Error> {
        let cutoff = self.now.minus(self.limits.requests);
        let mut old = Vec::new();
        for item in self.shared.db.all(&Range::of(&self.table, keys::REQUESTS)).await? {
            if Timestamp::from_micros(Row(&item).number("at")?) <= cutoff {
                old.push(Key::of(&item).ok_or_else(|| damaged("key"))?);
            }
        }
        self.shared.db.delete_all(&self.table, &old).await
    }

    /// Tombstones that may be forgotten.
    async fn tombstones(&self, swept: &mut Swept) -> Result<(), Error> {
        let range = Range::of(&self.table, keys::TOMBSTONES)
            .between("0", format!("{}\u{1}\u{10ffff}", keys::instant(self.now)))
            .limit(BIT);
        let items = self.shared.db.page(&range, None).await?.items;
        swept.more |= items.len() >= BIT;
        for item in items {
            let call = self
                .shared
                .db
                .client
                .delete_item()
                .table_name(&self.table)
                .set_key(Some(keys::entry(&named_entry(&item)?).item()))
                .condition_expression("#status = :deleted AND expires_at <= :now")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":deleted", n(EntryStatus::Deleted.code()))
                .expression_attribute_values(":now", n(self.now.as_micros()));
            match call.send().await {
                Ok(_) => swept.tombstones += 1,
                // It came back to life, or lives longer; then a later item says so.
                Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => {}
                Err(error) => return Err(freshet_aws::dynamo::failed("DeleteItem", error)),
            }
            let key = Key { pk: keys::TOMBSTONES.to_owned(), sk: Row(&item).text(SK)?.to_owned() };
            self.shared.db.delete_all(&self.table, &[key]).await?;
        }
        Ok(())
    }
}
