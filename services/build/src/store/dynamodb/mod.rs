//! The store of the build service on DynamoDB: one table for all clients.

mod commit;
mod items;
mod keys;
mod lease;
#[cfg(any(test, feature = "testkit"))]
pub mod provision;

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use freshet_aws::dynamo::{Db, Item, Key, Range, Row};
use freshet_domain::{BatchId, BuildId, ClientId, DeliveryId, EntryKey, Timestamp};
use freshet_kit::Error;

pub use self::lease::DynamoLease;

use self::keys::{DUE, Index, OF_CLIENT, OF_SITE, ROOM, SETTLED, WORK};
use super::{
    BatchView, BuildQuery, BuildRecord, BuildStore, BuildView, ChangeId, ChangedKey, Commit, Committed, DecisionRecord,
    DeliveryBatch, RequestMark, Stored,
};
use crate::machine::{BatchRecord, SiteKey};

/// Changes that one commit takes: each can need an item of its own, and a transaction has 100.
const CHANGES_MAX: usize = 80;

/// The store over DynamoDB.
pub struct DynamoBuildStore {
    db: Db,
    table: String,
}

/// The name of a site that sorts as its key does.
fn work_name(key: &SiteKey) -> String {
    // Neither name has a character below `-`.
    format!("{}!{}", key.client, key.site)
}

impl DynamoBuildStore {
    /// Makes no call.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { db: Db { client }, table: table.into() }
    }

    /// Says by name if the table is missing.
    pub async fn check(&self) -> Result<(), Error> {
        self.db.check(&self.table).await
    }

    fn range(&self, pk: &str) -> Range {
        Range::of(&self.table, pk)
    }

    /// The items of a batch whose sort keys begin so, in order.
    async fn of_batch(&self, batch: BatchId, prefix: &str) -> Result<Vec<Item>, Error> {
        self.db.all(&self.range(&keys::of_batch(batch)).starting(prefix)).await
    }

    async fn unseen_changes(&self, key: &SiteKey, changes: &[ChangeId]) -> Result<Vec<usize>, Error> {
        let deliveries: HashSet<DeliveryId> = changes.iter().map(|change| change.delivery).collect();
        let mut seen: HashSet<ChangeId> = HashSet::new();
        for delivery in deliveries {
            let range = self.range(&keys::of_delivery(&key.client, delivery)).starting(&keys::place_of(key));
            for item in self.db.all(&range).await? {
                seen.extend(positions(&item)?.into_iter().map(|index| ChangeId { delivery, index }));
            }
        }
        // A change that is named twice is new once.
        Ok(changes
            .iter()
            .enumerate()
            .filter(|(_, change)| seen.insert(**change))
            .map(|(position, _)| position)
            .collect())
    }

    /// Sites of a sparse index up to a sort key, in its order.
    async fn sites(&self, index: Index, pk: &str, to: Option<String>, max: usize) -> Result<Vec<SiteKey>, Error> {
        let range = self.range(pk).index(index.name, index.names).limit(max.min(1_000));
        let range = range.between("0", to.unwrap_or_else(|| "\u{10ffff}".to_owned()));
        let items = self.db.page(&range, None).await?.items;
        items.iter().take(max).map(|item| items::site_key(&Row(item))).collect()
    }

    async fn batch_record(&self, batch: BatchId) -> Result<Option<(SiteKey, BatchRecord, Item)>, Error> {
        let Some(item) = self.db.get(&self.table, &keys::batch(batch)).await? else { return Ok(None) };
        let (key, record) = items::batch(&item)?;
        Ok(Some((key, record, item)))
    }

    async fn decisions(&self, batch: BatchId) -> Result<Vec<DecisionRecord>, Error> {
        self.of_batch(batch, "x#").await?.iter().map(items::decision).collect()
    }

    async fn builds_of(&self, batch: BatchId) -> Result<Vec<BuildId>, Error> {
        self.of_batch(batch, "r#").await?.iter().map(|item| Row(item).parse("build")).collect()
    }

    /// Removes a batch with everything of it.
    async fn forget(&self, key: &SiteKey, batch: BatchId, builds: &[BuildId]) -> Result<(), Error> {
        let items = self.db.all(&self.range(&keys::of_batch(batch))).await?;
        let mut gone: Vec<Key> = builds.iter().map(|build| keys::build(*build)).collect();
        for item in &items {
            if let Some(own) = Key::of(item) {
                if let Some(version) = own.sk.strip_prefix("c#").and_then(|version| version.parse().ok()) {
                    let deliveries: HashSet<DeliveryId> =
                        items::read_changes(item)?.iter().map(|change| change.id.delivery).collect();
                    gone.extend(deliveries.into_iter().map(|delivery| keys::place(key, delivery, batch, version)));
                }
                gone.push(own);
            }
        }
        self.db.delete_all(&self.table, &gone).await
    }
}

fn positions(item: &Item) -> Result<Vec<u32>, Error> {
    let list = item.get("positions").and_then(|value| value.as_l().ok()).ok_or_else(|| items::damaged("positions"))?;
    list.iter()
        .map(|number| number.as_n().ok().and_then(|text| text.parse().ok()).ok_or_else(|| items::damaged("positions")))
        .collect()
}

#[async_trait]
impl BuildStore for DynamoBuildStore {
    fn changes_max(&self) -> usize {
        CHANGES_MAX
    }

    async fn load(&self, site: &SiteKey) -> Result<Stored, Error> {
        items::stored(site, self.db.get(&self.table, &keys::site(site)).await?.as_ref())
    }

    async fn unseen(&self, site: &SiteKey, changes: Vec<ChangeId>) -> Result<Vec<usize>, Error> {
        self.unseen_changes(site, &changes).await
    }

    async fn commit(&self, site: &SiteKey, commit: Commit) -> Result<Committed, Error> {
        self.commit_site(site, &commit).await
    }

    async fn due(&self, now: Timestamp, max: usize) -> Result<Vec<SiteKey>, Error> {
        self.sites(DUE, "due", Some(format!("{}#\u{10ffff}", keys::instant(now))), max).await
    }

    async fn waiting_for_room(&self, max: usize) -> Result<Vec<SiteKey>, Error> {
        self.sites(ROOM, "room", None, max).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, Error> {
        let range = self.range("due").index(DUE.name, DUE.names).limit(1);
        let items = self.db.page(&range, None).await?.items;
        items.first().map(|item| Row(item).number("due_at").map(Timestamp::from_micros)).transpose()
    }

    async fn sites_with_work(&self, after: Option<SiteKey>, max: usize) -> Result<Vec<SiteKey>, Error> {
        // The smallest name behind another one continues it.
        let from = after.map_or_else(|| "!".to_owned(), |key| format!("{}\u{1}", work_name(&key)));
        let range = self.range("work").index(WORK.name, WORK.names).between(from, "\u{10ffff}").limit(max.min(1_000));
        let items = self.db.page(&range, None).await?.items;
        items.iter().take(max).map(|item| items::site_key(&Row(item))).collect()
    }

    async fn batch(&self, client: &ClientId, batch: BatchId) -> Result<Option<BatchView>, Error> {
        let Some((key, record, _)) = self.batch_record(batch).await?.filter(|(key, ..)| key.client == *client) else {
            return Ok(None);
        };
        let (builds, decisions) = (self.builds_of(batch).await?, self.decisions(batch).await?);
        Ok(Some(BatchView { key, record, builds, decisions }))
    }

    async fn changed_keys(&self, client: &ClientId, batch: BatchId, max: usize) -> Result<Vec<ChangedKey>, Error> {
        let mut latest: BTreeMap<EntryKey, (u64, ChangedKey)> = BTreeMap::new();
        for batch in self.chain(batch, &[]).await? {
            if self.batch_record(batch).await?.is_none_or(|(key, ..)| key.client != *client) {
                continue;
            }
            for item in self.of_batch(batch, "c#").await? {
                for change in items::read_changes(&item)? {
                    let newer = latest.get(&change.key).is_none_or(|(sequence, _)| change.sequence >= *sequence);
                    if newer {
                        let changed = ChangedKey { key: change.key.clone(), op: change.op };
                        latest.insert(change.key, (change.sequence, changed));
                    }
                }
            }
        }
        Ok(latest.into_values().take(max).map(|(_, changed)| changed).collect())
    }

    async fn build(&self, client: &ClientId, build: BuildId) -> Result<Option<BuildView>, Error> {
        let Some(item) = self.db.get(&self.table, &keys::build(build)).await? else { return Ok(None) };
        let record = items::build(&item)?;
        if record.key.client != *client {
            return Ok(None);
        }
        let mut decisions = self.decisions(record.batch).await?;
        decisions.retain(|decision| decision.build == Some(build));
        Ok(Some(BuildView { record, decisions }))
    }

    async fn builds(&self, query: BuildQuery) -> Result<Vec<BuildRecord>, Error> {
        let (index, pk) = match &query.site {
            None => (OF_CLIENT, query.client.to_string()),
            Some(site) => (OF_SITE, SiteKey::new(query.client.clone(), site.clone()).to_string()),
        };
        let before = query.before.map_or_else(|| "\u{10ffff}".to_owned(), |build| build.to_string());
        let range = self.range(&pk).index(index.name, index.names).between("0", before.clone()).descending();
        let range = range.limit(query.max.clamp(1, 200) + 1);
        let (mut builds, mut from) = (Vec::new(), None);
        loop {
            let page = self.db.page(&range, from).await?;
            for item in &page.items {
                let mut record = items::build(item)?;
                let wanted = query.state.is_none_or(|state| state == record.state);
                // The bound of the range is included.
                if wanted && record.build.to_string() != before && builds.len() < query.max {
                    record.log_tail = String::new();
                    builds.push(record);
                }
            }
            from = page.next;
            if from.is_none() || builds.len() >= query.max {
                return Ok(builds);
            }
        }
    }

    async fn delivery_batches(&self, client: &ClientId, delivery: DeliveryId) -> Result<Vec<DeliveryBatch>, Error> {
        let mut found: BTreeMap<BatchId, DeliveryBatch> = BTreeMap::new();
        let mut add = |batch: BatchId, indexes: &[u32], at: Timestamp| {
            let entry = found.entry(batch).or_insert(DeliveryBatch { batch, indexes: Vec::new(), joined_at: at });
            entry.indexes.extend_from_slice(indexes);
            entry.joined_at = entry.joined_at.min(at);
        };
        let mut by_batch: BTreeMap<BatchId, Vec<u32>> = BTreeMap::new();
        for item in self.db.all(&self.range(&keys::of_delivery(client, delivery))).await? {
            let (batch, positions) = (Row(&item).parse("batch")?, positions(&item)?);
            add(batch, &positions, items::joined_at(&item)?);
            by_batch.entry(batch).or_default().extend(positions);
        }
        let mut into: HashMap<BatchId, Option<(BatchId, Timestamp)>> = HashMap::new();
        for (batch, positions) in by_batch {
            let mut next = batch;
            loop {
                let joined = match into.get(&next) {
                    Some(known) => *known,
                    None => {
                        let record = self.batch_record(next).await?;
                        let joined =
                            match record.as_ref().and_then(|(_, record, item)| Some((record.joined_into?, item))) {
                                Some((batch, item)) => Some((batch, items::joined_at(item)?)),
                                None => None,
                            };
                        into.insert(next, joined);
                        joined
                    }
                };
                let Some((batch, at)) = joined else { break };
                add(batch, &positions, at);
                next = batch;
            }
        }
        let mut batches: Vec<DeliveryBatch> = found.into_values().collect();
        for batch in &mut batches {
            batch.indexes.sort_unstable();
            batch.indexes.dedup();
        }
        Ok(batches)
    }

    async fn request(&self, client: &ClientId, request_id: &str) -> Result<Option<RequestMark>, Error> {
        let item = self.db.get(&self.table, &keys::request(client, request_id)).await?;
        item.as_ref().map(|item| items::request(request_id, item)).transpose()
    }

    async fn prune(&self, before: Timestamp, max: usize) -> Result<u64, Error> {
        let old = |pk: &str| {
            let range = self.range(pk).index(SETTLED.name, SETTLED.names).between("0", keys::instant(before));
            range.limit(max.min(1_000))
        };
        let requests = self.db.page(&old("request"), None).await?.items;
        let requests: Vec<Key> = requests.iter().filter_map(Key::of).collect();
        self.db.delete_all(&self.table, &requests).await?;

        let (mut forgotten, mut from) = (0, None);
        loop {
            let page = self.db.page(&old("settled"), from).await?;
            for item in &page.items {
                // The index may be behind.
                let Some((key, record, _)) = self.batch_record(Row(item).parse("batch")?).await? else { continue };
                let builds = self.builds_of(record.facts.batch).await?;
                let live = self.load(&key).await?.state.live;
                if live.is_none_or(|live| !builds.contains(&live)) {
                    self.forget(&key, record.facts.batch, &builds).await?;
                    forgotten += 1;
                }
                if forgotten >= max as u64 {
                    return Ok(forgotten);
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(forgotten);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_call_scans() {
        for source in [include_str!("commit.rs"), include_str!("mod.rs")] {
            assert!(!source.contains(concat!(".sc", "an(")));
        }
    }
}
