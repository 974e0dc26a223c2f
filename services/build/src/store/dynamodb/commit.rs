//! Commits: one transaction under the condition on the site's version.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use freshet_aws::dynamo::{Cancelled, Item, Key, Row, Transacted, n, pause, put, put_if, s, update_if};
use freshet_domain::{BatchId, DeliveryId, Timestamp};
use freshet_kit::{Error, ErrorKind};

use super::keys::{self, DUE, Index, OF_CLIENT, OF_SITE, ROOM, SETTLED, WORK};
use super::{DynamoBuildStore, items};
use crate::machine::{BatchState, BuildUpdate, SiteKey};
use crate::store::{Commit, Committed};

/// Answered requests are removed by DynamoDB this long after pruning would have.
const REQUEST_SECS: i64 = 60 * 86_400;

const ATTEMPTS: u32 = 8;

/// What an action of the transaction stands for, if its condition can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Site,
    Request,
    RoomOfClient,
    RoomOfAll,
    Other,
}

impl DynamoBuildStore {
    pub(super) async fn commit_site(&self, key: &SiteKey, commit: &Commit) -> Result<Committed, Error> {
        // Names this commit, so that it is known again when its answer was lost.
        let name = DeliveryId::generate().to_string();
        for attempt in 1..=ATTEMPTS {
            let site = self.db.get(&self.table, &keys::site(key)).await?;
            let stored = items::stored(key, site.as_ref())?;
            if site.as_ref().is_some_and(|item| Row(item).maybe_text("commit") == Some(&name)) {
                return Ok(Committed::Done);
            }
            if stored.version != commit.expected {
                return Ok(Committed::Conflict);
            }
            if let Some((_, changes)) = &commit.changes {
                let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
                if self.unseen_changes(key, &ids).await?.len() != changes.len() {
                    return Ok(Committed::Conflict);
                }
            }
            let (actions, meanings) = self.actions(key, commit, stored.state.is_running(), &name).await?;
            let token = DeliveryId::generate().to_string();
            let done = self.db.transact(actions, token.trim_start_matches("dlv_")).await;
            match done {
                Ok(Transacted::Done) => return Ok(Committed::Done),
                Ok(Transacted::Cancelled(Cancelled::Condition(number, item))) => {
                    match meanings.get(number).copied().unwrap_or(Meaning::Other) {
                        // Somebody else's commit, or this one's lost answer: looked at again.
                        Meaning::Site | Meaning::Other => {}
                        Meaning::Request => return Ok(Committed::DuplicateRequest),
                        Meaning::RoomOfClient => {
                            let (running, allowed) = (count(item.as_ref())?, commit.limits.client);
                            let reason = format!("{running} of {allowed} allowed builds of the client run");
                            return Ok(Committed::NoRoom(reason));
                        }
                        Meaning::RoomOfAll => {
                            let (running, allowed) = (count(item.as_ref())?, commit.limits.global);
                            let reason = format!("{running} of {allowed} allowed builds of all clients run");
                            return Ok(Committed::NoRoom(reason));
                        }
                    }
                }
                Ok(Transacted::Cancelled(Cancelled::Again)) => {}
                Err(error) if error.kind().is_transient() => {
                    tracing::debug!(error = %freshet_kit::error::chain(&error), site = %key, "a commit is looked up");
                }
                Err(error) => return Err(error),
            }
            pause(attempt).await;
        }
        Err(Error::new(ErrorKind::Busy, "STORE_BUSY", "the build store has too many writers"))
    }

    async fn actions(
        &self,
        key: &SiteKey,
        commit: &Commit,
        was_running: bool,
        name: &str,
    ) -> Result<(Vec<TransactWriteItem>, Vec<Meaning>), Error> {
        let version = commit.expected + 1;
        let mut actions = Actions { table: &self.table, list: Vec::new(), meanings: Vec::new() };
        actions.site(key, commit, name)?;
        if let Some(request) = &commit.request {
            let mut item = keys::request(&key.client, &request.request_id).item();
            items::set(&mut item, "fingerprint", s(&request.fingerprint));
            if let Some(batch) = request.batch {
                items::set(&mut item, "batch", s(batch.to_string()));
            }
            if let Some(build) = request.build {
                items::set(&mut item, "build", s(build.to_string()));
            }
            listed(&mut item, SETTLED, "request", format!("{}#{}", keys::instant(commit.now), key.client));
            items::set(&mut item, "ttl", n(commit.now.as_secs() + REQUEST_SECS));
            let put = put_if(&self.table, item, "attribute_not_exists(pk)", Item::new())?;
            actions.push(put, Meaning::Request);
        }
        actions.room(key, commit, was_running)?;

        let mut batches: BTreeMap<BatchId, Item> = BTreeMap::new();
        for batch in &commit.effects.batches {
            batches.entry(batch.facts.batch).or_default().extend(items::batch_attributes(key, batch));
        }
        for (from, into) in &commit.effects.joins {
            let attributes = batches.entry(*from).or_default();
            items::set(attributes, "joined_into", s(into.to_string()));
            items::set(attributes, "joined_at", n(commit.now.as_micros()));
            let mut item = keys::joined(*into, *from).item();
            items::set(&mut item, "from", s(from.to_string()));
            actions.push(put(&self.table, item)?, Meaning::Other);
        }
        for batch in commit.effects.batches.iter().filter(|batch| batch.state == BatchState::Succeeded) {
            for settled in self.chain(batch.facts.batch, &commit.effects.joins).await? {
                settle(batches.entry(settled).or_default(), settled, commit.now);
            }
        }
        for (batch, attributes) in batches {
            let update = update_all(&self.table, &keys::batch(batch), attributes, HashMap::new())?;
            actions.push(update, Meaning::Other);
        }
        for build in &commit.effects.builds {
            actions.build(key, build)?;
        }
        for (number, decision) in commit.effects.decisions.iter().enumerate() {
            let mut item = keys::decision(decision.batch, version, number).item();
            items::set(&mut item, "at", n(decision.at.as_micros()));
            items::set(&mut item, "code", s(decision.code));
            items::set(&mut item, "reason", s(&decision.reason));
            if let Some(build) = decision.build {
                items::set(&mut item, "build", s(build.to_string()));
            }
            actions.push(put(&self.table, item)?, Meaning::Other);
        }
        if let Some((batch, changes)) = commit.changes.as_ref().filter(|(_, changes)| !changes.is_empty()) {
            let mut item = keys::changes(*batch, version).item();
            items::set(&mut item, "changes", s(items::write_changes(changes)?));
            items::set(&mut item, "joined_at", n(commit.now.as_micros()));
            actions.push(put(&self.table, item)?, Meaning::Other);
            let mut places: BTreeMap<DeliveryId, Vec<AttributeValue>> = BTreeMap::new();
            for change in changes {
                places.entry(change.id.delivery).or_default().push(n(change.id.index));
            }
            for (delivery, positions) in places {
                let mut item = keys::place(key, delivery, *batch, version).item();
                items::set(&mut item, "positions", AttributeValue::L(positions));
                items::set(&mut item, "batch", s(batch.to_string()));
                items::set(&mut item, "joined_at", n(commit.now.as_micros()));
                actions.push(put(&self.table, item)?, Meaning::Other);
            }
        }
        Ok((actions.list, actions.meanings))
    }

    /// The batch and every batch that joined it, also indirectly: as stored, and by what is being committed.
    pub(super) async fn chain(&self, batch: BatchId, joins: &[(BatchId, BatchId)]) -> Result<Vec<BatchId>, Error> {
        let (mut chain, mut next) = (vec![batch], 0);
        while let Some(batch) = chain.get(next).copied() {
            next += 1;
            let mut all: Vec<BatchId> =
                joins.iter().filter(|(_, into)| *into == batch).map(|(from, _)| *from).collect();
            for item in self.of_batch(batch, "j#").await? {
                all.push(Row(&item).parse("from")?);
            }
            for from in all {
                if !chain.contains(&from) {
                    chain.push(from);
                }
            }
        }
        Ok(chain)
    }
}

fn count(item: Option<&Item>) -> Result<u64, Error> {
    item.map_or(Ok(0), |item| Row(item).count("running"))
}

fn listed(item: &mut Item, index: Index, pk: &str, sk: String) {
    items::set(item, index.names.0, s(pk));
    items::set(item, index.names.1, s(sk));
}

fn settle(attributes: &mut Item, batch: BatchId, now: Timestamp) {
    items::set(attributes, "settled_at", n(now.as_micros()));
    listed(attributes, SETTLED, "settled", format!("{}#{batch}", keys::instant(now)));
}

/// Sets attributes of an item, which need not be there; those in `defaults` only if it has none.
fn update_all(table: &str, key: &Key, values: Item, defaults: Item) -> Result<TransactWriteItem, Error> {
    let (mut parts, mut names, mut all) = (Vec::new(), HashMap::new(), HashMap::new());
    let always = values.into_iter().map(|(name, value)| (name, value, false));
    let else_ = defaults.into_iter().map(|(name, value)| (name, value, true));
    for (number, (name, value, only_if_none)) in always.chain(else_).enumerate() {
        parts.push(match only_if_none {
            true => format!("#a{number} = if_not_exists(#a{number}, :v{number})"),
            false => format!("#a{number} = :v{number}"),
        });
        names.insert(format!("#a{number}"), name);
        all.insert(format!(":v{number}"), value);
    }
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key.item()))
        .update_expression(format!("SET {}", parts.join(", ")))
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(all))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None)
        .build();
    let update = update.map_err(|error| Error::internal("a write could not be built").with_source(error))?;
    Ok(TransactWriteItem::builder().update(update).build())
}

struct Actions<'t> {
    table: &'t str,
    list: Vec<TransactWriteItem>,
    meanings: Vec<Meaning>,
}

impl Actions<'_> {
    fn push(&mut self, action: TransactWriteItem, meaning: Meaning) {
        self.list.push(action);
        self.meanings.push(meaning);
    }

    fn site(&mut self, key: &SiteKey, commit: &Commit, name: &str) -> Result<(), Error> {
        let state = serde_json::to_string(&commit.state)
            .map_err(|error| Error::internal("a state cannot be written").with_source(error))?;
        let mut item = keys::site(key).item();
        items::set(&mut item, "client", s(key.client.as_str()));
        items::set(&mut item, "site", s(key.site.as_str()));
        items::set(&mut item, "version", n(commit.expected + 1));
        items::set(&mut item, "state", s(state));
        items::set(&mut item, "commit", s(name));
        if let Some(at) = commit.wake.at {
            items::set(&mut item, "due_at", n(at.as_micros()));
            listed(&mut item, DUE, "due", format!("{}#{key}", keys::instant(at)));
        }
        if let Some(since) = commit.wake.room_since {
            items::set(&mut item, "room_since", n(since.as_micros()));
            listed(&mut item, ROOM, "room", format!("{}#{key}", keys::instant(since)));
        }
        if commit.state.has_work() {
            listed(&mut item, WORK, "work", super::work_name(key));
        }
        let (condition, values) = match commit.expected {
            0 => ("attribute_not_exists(pk)", Item::new()),
            expected => ("version = :expected", Item::from([(":expected".into(), n(expected))])),
        };
        let put = put_if(self.table, item, condition, values)?;
        self.push(put, Meaning::Site);
        Ok(())
    }

    /// Takes or frees a place.
    fn room(&mut self, key: &SiteKey, commit: &Commit, was_running: bool) -> Result<(), Error> {
        let places = [
            (keys::running_of(&key.client), commit.limits.client, Meaning::RoomOfClient),
            (keys::running(), commit.limits.global, Meaning::RoomOfAll),
        ];
        for (place, limit, meaning) in places {
            match (was_running, commit.state.is_running()) {
                (false, true) => {
                    // Not there yet means that none runs; a limit of 0 never lets one in.
                    let condition = if limit == 0 {
                        "running < :limit"
                    } else {
                        "attribute_not_exists(running) OR running < :limit"
                    };
                    let values = Item::from([(":limit".into(), n(limit)), (":one".into(), n(1))]);
                    self.push(update_if(self.table, &place, "ADD running :one", condition, values)?, meaning);
                }
                (true, false) => {
                    let values = Item::from([(":one".into(), n(-1)), (":none".into(), n(0))]);
                    let update = update_if(self.table, &place, "ADD running :one", "running > :none", values)?;
                    self.push(update, Meaning::Other);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn build(&mut self, key: &SiteKey, build: &BuildUpdate) -> Result<(), Error> {
        let mut values = Item::new();
        items::set(&mut values, "client", s(key.client.as_str()));
        items::set(&mut values, "site", s(key.site.as_str()));
        items::set(&mut values, "build", s(build.build.to_string()));
        items::set(&mut values, "state", n(build.state.code()));
        for (name, at) in [("start_time", build.start_time), ("end_time", build.end_time)] {
            if let Some(at) = at {
                items::set(&mut values, name, n(at.as_micros()));
            }
        }
        if let Some(entries) = build.entries {
            items::set(&mut values, "entries", n(entries));
        }
        for (name, text) in [
            ("error", &build.error),
            ("log_tail", &build.log_tail),
            ("log_location", &build.log_location),
            ("traceparent", &build.traceparent),
        ] {
            if let Some(text) = text {
                items::set(&mut values, name, s(text));
            }
        }
        listed(&mut values, OF_CLIENT, key.client.as_str(), build.build.to_string());
        listed(&mut values, OF_SITE, &key.to_string(), build.build.to_string());
        let defaults = Item::from([
            ("batch".into(), s(build.batch.to_string())),
            ("attempt".into(), n(build.attempt)),
            ("create_time".into(), n(build.create_time.as_micros())),
            ("changes".into(), n(build.changes)),
        ]);
        self.push(update_all(self.table, &keys::build(build.build), values, defaults)?, Meaning::Other);
        let mut pointer = keys::build_of(build.batch, build.build).item();
        items::set(&mut pointer, "build", s(build.build.to_string()));
        self.push(put(self.table, pointer)?, Meaning::Other);
        Ok(())
    }
}
