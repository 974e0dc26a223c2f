//! What a group of deliveries does to what is stored, decided in memory.
//!
//! Deliveries are applied one after the other to the entries as they were read; at the end each entry, tag and part of
//! the feed is written once. Nothing here calls DynamoDB.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_dynamodb::types::TransactWriteItem;
use freshet_domain::{ChangeEffect, ChangeOp, ClientId, EntryKey, EntryStatus, Kind, Timestamp};
use freshet_kit::Error;

use super::items::{NewContent, State, StoredDelivery};
use super::keys::{self, FEED_PART, Key};
use super::parts::{FeedOf, FeedRow};
use crate::model::NewDelivery;
use crate::rules::{self, Decision, Incoming, Write};
use crate::store::codec::{Outcome, Outcomes};
use crate::store::common::{covers, tombstone_until};
use freshet_aws::dynamo::blob;
use freshet_aws::dynamo::{self, Item, n, s};

/// DynamoDB itself forgets deliveries that nobody swept.
pub(super) const KEEP_SECS: i64 = 60 * 86_400;

/// A change whose content is ready to be written.
#[derive(Clone, Debug)]
pub(super) struct NewChange {
    pub(super) key: EntryKey,
    pub(super) incoming: Incoming,
    pub(super) kind: Kind,
    pub(super) lane: u8,
    pub(super) content: Option<NewContent>,
}

impl NewChange {
    pub(super) fn names_everything(&self) -> bool {
        self.key.entry_type == EntryKey::ANY || self.key.id == EntryKey::ANY
    }

    /// The entry that it changes, if it changes just one that must be read before.
    pub(super) fn entry(&self) -> Option<&EntryKey> {
        let one = match self.incoming.op {
            ChangeOp::Upsert | ChangeOp::Delete => true,
            ChangeOp::Touch => !self.names_everything(),
            ChangeOp::Redact => false,
        };
        one.then_some(&self.key)
    }
}

/// A delivery that is ready to be applied.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Without changes, headers and body.
    pub(super) delivery: NewDelivery,
    pub(super) marks: Vec<[u8; 16]>,
    pub(super) headers: Vec<u8>,
    pub(super) changes: Vec<NewChange>,
    /// Without outcomes.
    pub(super) stored: StoredDelivery,
    pub(super) redacts: bool,
}

/// What was removed before the plan of a redaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Removed {
    /// An earlier step or attempt may have removed published content.
    pub(super) published: bool,
    /// Raw bodies were removed.
    pub(super) bodies: bool,
}

/// The entries that a group works on, and what it has done so far.
#[derive(Clone)]
pub(super) struct Plan<'a> {
    table: &'a str,
    deliveries_table: &'a str,
    client: &'a ClientId,
    /// Position of the last change.
    position: u64,
    /// As they were read.
    before: &'a HashMap<EntryKey, State>,
    /// As they are now.
    now: BTreeMap<EntryKey, State>,
    known: &'a HashSet<Key>,
    /// What there is that was not there before.
    there_is: HashSet<Key>,
    feed: Vec<Item>,
    marks: Vec<Item>,
    deliveries: Vec<(Item, bool)>,
    bytes: usize,
}

/// What a finished plan asks for.
pub(super) struct Written {
    pub(super) actions: Vec<TransactWriteItem>,
    pub(super) position: u64,
    pub(super) there_is: HashSet<Key>,
    /// Objects that no entry refers to any more.
    pub(super) garbage: Vec<String>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        (table, deliveries_table): (&'a str, &'a str),
        client: &'a ClientId,
        position: u64,
        before: &'a HashMap<EntryKey, State>,
        known: &'a HashSet<Key>,
    ) -> Self {
        Self {
            table,
            deliveries_table,
            client,
            position,
            before,
            now: BTreeMap::new(),
            known,
            there_is: HashSet::new(),
            feed: Vec::new(),
            marks: Vec::new(),
            deliveries: Vec::new(),
            bytes: 0,
        }
    }

    fn state(&self, key: &EntryKey) -> Option<&State> {
        self.now.get(key).or_else(|| self.before.get(key))
    }

    /// Every entry that is known, as it is now.
    fn states(&self) -> impl Iterator<Item = &State> {
        let unchanged = self.before.iter().filter(|(key, _)| !self.now.contains_key(*key)).map(|(_, state)| state);
        unchanged.chain(self.now.values())
    }

    /// Actions and bytes that it has come to; the head of the feed is one more.
    pub(super) fn size(&self) -> (usize, usize) {
        let mut actions = 1 + self.feed.len() + self.marks.len() + self.deliveries.len() + self.there_is.len();
        for (key, state) in &self.now {
            let tags = self.before.get(key).map_or(&[][..], State::tags);
            actions += 1 + usize::from(state.status == EntryStatus::Deleted);
            actions += tags.iter().filter(|tag| !state.tags().contains(tag)).count();
            actions += state.tags().iter().filter(|tag| !tags.contains(tag)).count();
        }
        (actions, self.bytes)
    }

    /// Applies some changes of a delivery and puts its feed. Gives what they did.
    pub(super) fn apply(&mut self, prepared: &Prepared, from: usize, count: usize, removed: Removed) -> Vec<Outcome> {
        let (mut outcomes, mut rows, mut first) = (Vec::new(), Vec::new(), self.position + 1);
        let changes = prepared.changes.iter().enumerate().skip(from).take(count);
        for (index, change) in changes {
            let decision = self.change(prepared, change, removed);
            let hash = match (change.incoming.op, decision.effect) {
                (ChangeOp::Upsert, ChangeEffect::Published | ChangeEffect::Stored | ChangeEffect::Unchanged) => {
                    change.incoming.content_hash.map(|hash| hash.0.to_vec()).unwrap_or_default()
                }
                _ => Vec::new(),
            };
            let effective = matches!(decision.effect, ChangeEffect::Published | ChangeEffect::Stored);
            let outcome = Outcome {
                entry_type: change.key.entry_type.clone(),
                id: change.key.id.clone(),
                locale: change.key.locale.clone(),
                kind: change.kind.code().into(),
                op: change.incoming.op.code().into(),
                effect: decision.effect.code().into(),
                reason: decision.reason.code().into(),
                content_hash: hash,
                sequence: if effective { self.position + 1 } else { 0 },
            };
            if effective {
                self.position += 1;
                rows.push(FeedRow {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    entry_type: outcome.entry_type.clone(),
                    id: outcome.id.clone(),
                    locale: outcome.locale.clone(),
                    kind: outcome.kind,
                    op: outcome.op,
                    effect: outcome.effect,
                    reason: outcome.reason,
                    lane: change.lane.into(),
                    hash: outcome.content_hash.clone(),
                });
                if rows.len() == FEED_PART {
                    self.put_feed(prepared, first, &std::mem::take(&mut rows));
                    first = self.position + 1;
                }
            }
            outcomes.push(outcome);
        }
        if !rows.is_empty() {
            self.put_feed(prepared, first, &rows);
        }
        outcomes
    }

    fn put_feed(&mut self, prepared: &Prepared, first: u64, rows: &[FeedRow]) {
        let delivery = &prepared.delivery;
        let of = FeedOf {
            delivery: delivery.delivery,
            source: &delivery.source,
            received_at: delivery.received_at,
            stored_at: delivery.stored_at,
            traceparent: &delivery.traceparent,
        };
        self.feed.push(of.item(first, rows));
        self.bytes += rows.len() * 200;
    }

    /// Puts the delivery with what its changes did. `new`: only if there is none of that id.
    pub(super) fn put_delivery(&mut self, prepared: &Prepared, outcomes: &Outcomes, partial: Option<usize>, new: bool) {
        let published =
            outcomes.list.iter().find(|outcome| outcome.effect == u32::from(ChangeEffect::Published.code()));
        let stored = StoredDelivery {
            first_published: published.map(|outcome| outcome.sequence),
            partial,
            marks: prepared.marks.iter().map(|mark| keys::hex(mark)).collect(),
            ..prepared.stored.clone()
        };
        let item = stored.item(outcomes, &prepared.headers, KEEP_SECS);
        self.bytes += 2_000 + size_of_value(&stored) + outcomes.list.len() * 20;
        self.deliveries.push((item, new));
        let delivery = &prepared.delivery;
        let verdict = delivery.verdict.code().to_string();
        self.there_is(keys::there_is(keys::VERDICTS, delivery.source.as_str(), &verdict));
    }

    /// Remembers the delivery's keys.
    pub(super) fn put_marks(&mut self, prepared: &Prepared) {
        let expires_at = prepared.delivery.stored_at.plus(prepared.delivery.dedup_horizon);
        for mark in &prepared.marks {
            let mut item = keys::mark(mark).item();
            item.insert("delivery".into(), s(prepared.delivery.delivery.to_string()));
            item.insert("expires_at".into(), n(expires_at.as_micros()));
            item.insert("ttl".into(), n(expires_at.as_secs() + 86_400));
            self.marks.push(item);
        }
    }

    fn there_is(&mut self, key: Key) {
        if !self.known.contains(&key) {
            self.there_is.insert(key);
        }
    }

    fn change(&mut self, prepared: &Prepared, change: &NewChange, removed: Removed) -> Decision {
        match change.incoming.op {
            ChangeOp::Redact => self.redact(prepared, change, removed),
            ChangeOp::Touch if change.names_everything() => rules::decide_touch_of_all(change.incoming.build_relevant),
            ChangeOp::Upsert | ChangeOp::Delete | ChangeOp::Touch => {
                let decision = rules::decide(self.state(&change.key).map(State::stored), &change.incoming);
                self.write(prepared, change, decision.write);
                decision
            }
        }
    }

    fn write(&mut self, prepared: &Prepared, change: &NewChange, write: Write) {
        let delivery = &prepared.delivery;
        let fresh_until = delivery.stored_at.plus(delivery.content_ttl);
        let version = change.incoming.version;
        let stored = self.state(&change.key).cloned();
        match (write, stored) {
            (Write::Nothing, _) => {}
            (Write::Confirm, Some(mut state)) => {
                state.version = version;
                state.expires_at = fresh_until;
                state.touched = false;
                if let Some(content) = &mut state.content {
                    content.updated_at = change.content.as_ref().and_then(|content| content.updated_at);
                }
                self.set(state);
            }
            (Write::TombstoneVersion, Some(mut state)) => {
                state.version = version;
                state.expires_at = state.expires_at.max(tombstone_until(delivery));
                self.set(state);
            }
            (Write::Touch, Some(mut state)) => {
                if state.status == EntryStatus::Deleted {
                    state.status = EntryStatus::Published;
                }
                state.version = version;
                state.stored_at = delivery.stored_at;
                state.expires_at = fresh_until;
                state.delivery = delivery.delivery;
                state.revision += 1;
                state.touched = true;
                self.set(state);
            }
            (Write::Touch, None) => self.put_whole(delivery, change, None, EntryStatus::Published),
            (Write::Tombstone, stored) => self.put_whole(delivery, change, stored, EntryStatus::Deleted),
            (Write::Content | Write::Confirm | Write::TombstoneVersion, stored) => {
                self.put_whole(delivery, change, stored, change.incoming.status);
            }
        }
    }

    /// The whole entry: with the change's content if it has some, else without.
    fn put_whole(&mut self, delivery: &NewDelivery, change: &NewChange, stored: Option<State>, status: EntryStatus) {
        let content = change.content.clone();
        self.set(State {
            key: change.key.clone(),
            kind: change.kind,
            status,
            version: change.incoming.version,
            stored_at: delivery.stored_at,
            expires_at: match status {
                EntryStatus::Deleted => tombstone_until(delivery),
                EntryStatus::Published | EntryStatus::Draft => delivery.stored_at.plus(delivery.content_ttl),
            },
            delivery: delivery.delivery,
            revision: stored.map_or(1, |state| state.revision + 1),
            touched: change.incoming.op == ChangeOp::Touch,
            hash: change.incoming.content_hash.filter(|_| content.is_some()),
            content,
        });
    }

    fn set(&mut self, state: State) {
        self.there_is(keys::there_is(keys::TYPES, state.key.source.as_str(), &state.key.entry_type));
        self.bytes += 1_000 + state.content.as_ref().map_or(0, |content| size_of(&content.value));
        self.now.insert(state.key.clone(), state);
    }

    /// Tombstones in place of what the key covers, whatever its version.
    fn redact(&mut self, prepared: &Prepared, change: &NewChange, removed: Removed) -> Decision {
        let key = &change.key;
        let covered: Vec<State> = self
            .states()
            .filter(|state| state.key.source == key.source)
            .filter(|state| covers(key, &state.key.entry_type, &state.key.id, &state.key.locale))
            .cloned()
            .collect();
        let left = |status: EntryStatus| covered.iter().any(|state| state.status == status);
        let published = left(EntryStatus::Published) || removed.published;
        let anything = published || left(EntryStatus::Draft) || removed.bodies;
        let itself = covered.iter().any(|state| state.key == *key);
        for state in covered.into_iter().filter(|state| state.status != EntryStatus::Deleted) {
            self.bury(&prepared.delivery, change, state.key.clone(), state.kind, Some(state));
        }
        if !change.names_everything() && !itself {
            self.bury(&prepared.delivery, change, key.clone(), change.kind, None);
        }
        rules::decide_redaction(published, anything, change.incoming.build_relevant)
    }

    fn bury(&mut self, delivery: &NewDelivery, of: &NewChange, key: EntryKey, kind: Kind, stored: Option<State>) {
        let version = of.incoming.version;
        let incoming = Incoming::tombstone(stored.as_ref().map_or(version, |state| state.version.max(version)));
        let change = NewChange { key, incoming, kind, lane: 0, content: None };
        self.put_whole(delivery, &change, stored, EntryStatus::Deleted);
    }

    /// Removes what the delivery's redactions cover, without a word in the feed.
    pub(super) fn remove_only(&mut self, prepared: &Prepared) {
        for change in prepared.changes.iter().filter(|change| change.incoming.op == ChangeOp::Redact) {
            self.redact(prepared, change, Removed::default());
        }
    }

    /// Takes entries that were changed out of the plan until so many actions are left; they are written in a later step.
    pub(super) fn postpone(&mut self, actions_max: usize) -> bool {
        let mut postponed = false;
        while self.size().0 > actions_max {
            if self.now.pop_last().is_none() {
                break;
            }
            postponed = true;
        }
        postponed
    }

    /// The actions. The first one is the head of the feed, under the condition that nobody has committed since `commit`.
    pub(super) fn finish(self, commit: u64, at: Timestamp) -> Result<Written, Error> {
        let condition = if commit == 0 { "attribute_not_exists(pk)" } else { "commits = :expected" };
        let mut values = Item::from([
            (":position".into(), n(self.position)),
            (":commits".into(), n(commit + 1)),
            (":at".into(), n(at.as_micros())),
        ]);
        if commit != 0 {
            values.insert(":expected".into(), n(commit));
        }
        let mut actions = vec![dynamo::update_if(
            self.table,
            &keys::head(),
            "SET last_position = :position, commits = :commits, committed_at = :at",
            condition,
            values,
        )?];
        let mut garbage = Vec::new();
        for (key, state) in &self.now {
            let before = self.before.get(key);
            let tags = before.map_or(&[][..], State::tags);
            for tag in tags.iter().filter(|tag| !state.tags().contains(tag)) {
                actions.push(dynamo::delete(self.table, &Key::new(keys::tag(tag), keys::entry_sk(key)))?);
            }
            for tag in state.tags().iter().filter(|tag| !tags.contains(tag)) {
                actions.push(dynamo::put(self.table, tag_item(tag, key))?);
            }
            if state.status == EntryStatus::Deleted {
                actions.push(dynamo::put(self.table, tombstone_item(state))?);
            }
            if let Some(object) = before.and_then(State::object).filter(|object| state.object() != Some(*object)) {
                garbage.push(object.to_owned());
            }
            actions.push(dynamo::put(self.table, state.item())?);
        }
        for item in self.feed.into_iter().chain(self.marks) {
            actions.push(dynamo::put(self.table, item)?);
        }
        for key in &self.there_is {
            actions.push(dynamo::put(self.table, key.item())?);
        }
        for (item, new) in self.deliveries {
            let values = Item::from([(":client".into(), s(self.client.as_str()))]);
            actions.push(match new {
                true => dynamo::put_if(self.deliveries_table, item, "attribute_not_exists(pk)", Item::new())?,
                false => dynamo::put_if(self.deliveries_table, item, "client = :client", values)?,
            });
        }
        Ok(Written { actions, position: self.position, there_is: self.there_is, garbage })
    }
}

fn tag_item(tag: &str, key: &EntryKey) -> Item {
    let mut item = Key::new(keys::tag(tag), keys::entry_sk(key)).item();
    item.extend(key_attributes(key));
    item
}

fn tombstone_item(state: &State) -> Item {
    let mut item = keys::tombstone(state.expires_at, &state.key).item();
    item.extend(key_attributes(&state.key));
    item.insert("ttl".into(), n(state.expires_at.as_secs() + KEEP_SECS));
    item
}

/// The key of the entry that an item is about.
fn key_attributes(key: &EntryKey) -> [(String, aws_sdk_dynamodb::types::AttributeValue); 4] {
    [
        ("source".into(), s(key.source.as_str())),
        ("type".into(), s(&key.entry_type)),
        ("id".into(), s(&key.id)),
        ("locale".into(), s(&key.locale)),
    ]
}

/// An answered request, as an item.
pub(super) fn request_item(id: &str, fingerprint: &[u8], invalidated: u64, at: Timestamp, keep_secs: i64) -> Item {
    let mut item = keys::request(id).item();
    item.insert("fingerprint".into(), blob(fingerprint));
    item.insert("invalidated".into(), n(invalidated));
    item.insert("at".into(), n(at.as_micros()));
    item.insert("ttl".into(), n(at.as_secs() + keep_secs));
    item
}

fn size_of(value: &super::items::Value) -> usize {
    match value {
        super::items::Value::Inline(packed) => packed.bytes.len(),
        super::items::Value::Object { key, .. } => key.len(),
    }
}

fn size_of_value(stored: &StoredDelivery) -> usize {
    stored.body.as_ref().map_or(0, size_of)
}
