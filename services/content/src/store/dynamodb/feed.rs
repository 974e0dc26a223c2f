//! The change feed of a client, which is at the same time its outbox.
//!
//! A batch of the outbox is claimed before it is published, so that tasks do not publish the same changes side by side, and
//! given back when it was. The claim of a task that died is taken over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use freshet_domain::{ChangeEffect, ClientId, DeliveryId, Timestamp};
use freshet_kit::{Error, ErrorKind};
use tokio::time::Instant;

use super::Shared;
use super::commit::Head;
use super::keys;
use super::parts::{feed_changes, feed_range};
use crate::model::{FeedChange, FeedPage, FeedQuery, OutboxBatch, OutboxClaim};
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::{self, Cancelled, Item, Range, Transacted, n, s};

/// Publishing a batch takes seconds at the most; a task whose claim has not changed for so long is taken for dead. Measured
/// by the watcher's own clock, so that clocks may differ as they like.
const CLAIM: Duration = Duration::from_secs(15);

/// How often the feeds of clients are looked at that this task has not written to.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What this task knows of the outbox.
#[derive(Default)]
pub(super) struct Relay {
    state: Mutex<RelayState>,
}

#[derive(Default)]
struct RelayState {
    /// Clients whose feed has grown, or may have, and how often it has.
    dirty: BTreeMap<ClientId, u64>,
    last: Option<ClientId>,
    looked_at: Option<Instant>,
    /// The claims that this task holds: token and everything up to which was confirmed under it.
    held: HashMap<ClientId, String>,
    /// Commits of others up to here may have been published by them.
    old_until: HashMap<ClientId, u64>,
    /// Claims of other tasks, and since when they have been as they are.
    others: HashMap<ClientId, (Claim, Instant)>,
}

/// Who publishes a client's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    token: String,
    /// Differs from claim to claim; 0 when it was given back. For people: the time until which it was meant.
    beat: i64,
}

impl Claim {
    fn read(relay: &Item) -> Result<Option<Self>, Error> {
        let row = Row(relay);
        let Some(token) = row.maybe_text("claim") else { return Ok(None) };
        let beat = row.maybe_number("claimed_until")?.unwrap_or(0);
        Ok(Some(Self { token: token.to_owned(), beat }))
    }
}

impl RelayState {
    /// `None`: another task has the claim and lives. Else the token under which this task has had it, if it has.
    fn may_claim(&mut self, client: &ClientId, claim: Option<&Claim>) -> Option<Option<String>> {
        let held = self.held.get(client).filter(|held| claim.is_some_and(|claim| claim.token == **held)).cloned();
        if held.is_none() {
            self.held.remove(client);
        }
        let Some(claim) = claim.filter(|claim| held.is_none() && claim.beat != 0) else {
            self.others.remove(client);
            return Some(held);
        };
        match self.others.get(client) {
            Some((seen, since)) if seen == claim => (since.elapsed() >= CLAIM).then_some(None),
            _ => {
                self.others.insert(client.clone(), (claim.clone(), Instant::now()));
                None
            }
        }
    }
}

impl Relay {
    fn state(&self) -> std::sync::MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dirty(&self, client: &ClientId) {
        *self.state().dirty.entry(client.clone()).or_default() += 1;
    }

    /// The next client in turn.
    fn next(&self) -> Option<(ClientId, u64)> {
        let mut state = self.state();
        let after = state.last.as_ref().and_then(|last| state.dirty.iter().find(|(client, _)| *client > last));
        let next = after.or_else(|| state.dirty.iter().next()).map(|(client, times)| (client.clone(), *times));
        state.last = next.as_ref().map(|(client, _)| client.clone());
        next
    }

    /// Nothing is left of the client, unless its feed has grown meanwhile.
    fn clean(&self, client: &ClientId, times: u64) {
        let mut state = self.state();
        if state.dirty.get(client) == Some(&times) {
            state.dirty.remove(client);
        }
    }
}

pub(super) async fn head(shared: &Shared, client: &ClientId) -> Result<Head, Error> {
    Head::read(shared.db.get(&shared.table(client), &keys::head()).await?.as_ref())
}

pub(super) async fn page(shared: &Shared, query: &FeedQuery) -> Result<FeedPage, Error> {
    let head = head(shared, &query.client).await?;
    if query.after < head.floor || query.after > head.position {
        let message = "the feed does not have this position any more; export a snapshot and continue from its token";
        return Err(Error::new(ErrorKind::OutOfRange, "FEED_POSITION_GONE", message));
    }
    let changes = changes(shared, &query.client, query.after, head.position, query.limit).await?;
    let mut page = FeedPage { position: query.after, more: changes.len() >= query.limit, ..FeedPage::default() };
    for change in changes {
        page.position = change.outcome.sequence;
        let wanted = query.source.as_ref().is_none_or(|source| *source == change.outcome.key.source)
            && (query.include_all || change.outcome.effect == ChangeEffect::Published);
        if wanted {
            page.changes.push(change);
        }
    }
    if !page.more {
        page.position = head.position;
    }
    Ok(page)
}

/// The changes behind `after` up to `end`, at most `limit`.
pub(super) async fn changes(
    shared: &Shared,
    client: &ClientId,
    after: u64,
    end: u64,
    limit: usize,
) -> Result<Vec<FeedChange>, Error> {
    let mut found = Vec::new();
    for item in parts(shared, client, after, end, limit).await? {
        for change in feed_changes(client, &item)? {
            let position = change.outcome.sequence;
            if position > after && position <= end && found.len() < limit {
                found.push(change);
            }
        }
    }
    Ok(found)
}

/// The parts of the feed with the changes behind `after`, until there are `limit` of them.
pub(super) async fn parts(
    shared: &Shared,
    client: &ClientId,
    after: u64,
    end: u64,
    limit: usize,
) -> Result<Vec<Item>, Error> {
    let table = shared.table(client);
    // A part with the next change may begin before it.
    let mut from = (after + 1).saturating_sub(keys::FEED_PART as u64 - 1);
    let (mut found, mut count) = (Vec::new(), 0);
    while from <= end && count < limit {
        let range = Range::of(&table, keys::feed_block(from)).between(keys::digits(from), keys::digits(end));
        let mut next = None;
        loop {
            let page = shared.db.page(&range, next).await?;
            for item in page.items {
                let (first, last) = feed_range(&item)?;
                if last > after {
                    count += usize::try_from(last - first.max(after + 1) + 1).unwrap_or(usize::MAX);
                    found.push(item);
                }
            }
            next = page.next;
            if next.is_none() || count >= limit {
                break;
            }
        }
        from = (from / keys::BLOCK + 1) * keys::BLOCK;
    }
    Ok(found)
}

/// Finds clients whose feed has grown without this task: after a start, or by another task that died.
async fn look_around(shared: &Shared) -> Result<(), Error> {
    let due = {
        let mut state = shared.relay.state();
        let due = state.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if due {
            state.looked_at = Some(Instant::now());
        }
        due
    };
    if !due {
        return Ok(());
    }
    let clients = (shared.clients)();
    let Err(error) = look_at(shared, &clients).await else { return Ok(()) };
    // One client's table may be missing, or not be made yet: the others' changes do not wait for it.
    let mut any = false;
    for client in &clients {
        match look_at(shared, std::slice::from_ref(client)).await {
            Ok(()) => any = true,
            Err(error) => tracing::warn!(%client, %error, "the feed of the client cannot be looked at"),
        }
    }
    if any { Ok(()) } else { Err(error) }
}

/// Notes which of these clients have changes that were not published.
async fn look_at(shared: &Shared, clients: &[ClientId]) -> Result<(), Error> {
    let wanted = clients.iter().flat_map(|client| {
        let table = shared.table(client);
        [(table.clone(), keys::head()), (table, keys::relay())]
    });
    let items = shared.db.get_all(wanted.collect()).await?;
    for client in clients {
        let table = shared.table(client);
        let head = Head::read(items.get(&(table.clone(), keys::head())))?;
        let through = through(items.get(&(table, keys::relay())))?;
        if head.position > through {
            shared.relay.dirty(client);
        }
    }
    Ok(())
}

/// Everything up to here was published.
pub(super) async fn through_of(shared: &Shared, client: &ClientId) -> Result<u64, Error> {
    through(shared.db.get(&shared.table(client), &keys::relay()).await?.as_ref())
}

fn through(relay: Option<&Item>) -> Result<u64, Error> {
    match relay {
        None => Ok(0),
        Some(item) => Ok(Row(item).maybe_number("through")?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)),
    }
}

pub(super) async fn outbox(shared: &Shared, limit: usize) -> Result<OutboxBatch, Error> {
    look_around(shared).await?;
    let mut held = BTreeSet::new();
    while let Some((client, times)) = shared.relay.next() {
        match outbox_of(shared, &client, limit).await? {
            Part::Batch(batch) => return Ok(batch),
            Part::Nothing => shared.relay.clean(&client, times),
            // Stays in line; once every client in line was asked, the caller waits.
            Part::Held if !held.insert(client) => break,
            Part::Held => {}
        }
    }
    Ok(OutboxBatch { is_empty: true, ..OutboxBatch::default() })
}

/// What a client has for the relay.
enum Part {
    Batch(OutboxBatch),
    Nothing,
    /// Another task publishes.
    Held,
}

/// The client's part, if it has one that nobody else publishes right now.
async fn outbox_of(shared: &Shared, client: &ClientId, limit: usize) -> Result<Part, Error> {
    let table = shared.table(client);
    let items = shared.db.get_all(vec![(table.clone(), keys::head()), (table.clone(), keys::relay())]).await?;
    let relay = items.get(&(table.clone(), keys::relay()));
    let mut end = Head::read(items.get(&(table, keys::head())))?.position;
    if through(relay)? >= end {
        return Ok(Part::Nothing);
    }
    let claim = relay.map(Claim::read).transpose()?.flatten();
    let held = shared.relay.state().may_claim(client, claim.as_ref());
    let Some(held) = held else { return Ok(Part::Held) };
    let is_ours = held.is_some();
    // The same token as long as nobody else has claimed: a batch that was read before can still be confirmed.
    let token = held.unwrap_or_else(|| DeliveryId::generate().to_string());
    let Some(claimed) = take(shared, client, claim.as_ref(), &token).await? else { return Ok(Part::Held) };
    let from = through(Some(&claimed))?;
    if !is_ours {
        // Whoever had it may have published what is there by now.
        end = head(shared, client).await?.position;
    }
    let old_until = {
        let mut state = shared.relay.state();
        state.held.insert(client.clone(), token.clone());
        if !is_ours {
            state.old_until.insert(client.clone(), end);
        }
        state.old_until.get(client).copied().unwrap_or(0)
    };
    let changes = changes(shared, client, from, end, limit).await?;
    let Some(last) = changes.last() else {
        return Err(crate::store::codec::damaged("feed"));
    };
    let through = last.outcome.sequence;
    let changes = changes.into_iter().filter(|change| change.outcome.effect == ChangeEffect::Published).collect();
    let claim = Some(OutboxClaim { client: client.clone(), from, token });
    Ok(Part::Batch(OutboxBatch { changes, through, is_empty: false, old_until, claim }))
}

/// Claims the client's outbox, if the claim is still as it was seen. Gives the relay as it is now.
async fn take(shared: &Shared, client: &ClientId, seen: Option<&Claim>, token: &str) -> Result<Option<Item>, Error> {
    let call = shared
        .db
        .client
        .update_item()
        .table_name(shared.table(client))
        .set_key(Some(keys::relay().item()))
        .update_expression("SET claim = :token, claimed_until = :until")
        .expression_attribute_values(":token", s(token))
        .expression_attribute_values(":until", n(Timestamp::now().plus(CLAIM).as_micros()))
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew);
    let call = match seen {
        None => call.condition_expression("attribute_not_exists(claim)"),
        Some(seen) => call
            .condition_expression("claim = :seen AND claimed_until = :beat")
            .expression_attribute_values(":seen", s(&seen.token))
            .expression_attribute_values(":beat", n(seen.beat)),
    };
    match call.send().await {
        Ok(done) => Ok(Some(done.attributes.unwrap_or_default())),
        // Another task was quicker.
        Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => Ok(None),
        Err(error) => Err(freshet_aws::dynamo::failed("UpdateItem", error)),
    }
}

pub(super) async fn finish(shared: &Shared, batch: &OutboxBatch, at: Timestamp) -> Result<(), Error> {
    let Some(claim) = &batch.claim else { return Ok(()) };
    let table = shared.table(&claim.client);
    let mut published = keys::published(batch.through).item();
    published.insert("at".into(), n(at.as_micros()));
    let actions = vec![
        dynamo::update_if(
            &table,
            &keys::relay(),
            // Given back at once: another task need not wait to publish what it has committed.
            "SET through = :through, claimed_until = :over",
            "claim = :token AND (attribute_not_exists(through) OR through < :through)",
            Item::from([
                (":through".into(), n(batch.through)),
                (":token".into(), s(&claim.token)),
                (":over".into(), n(0)),
            ]),
        )?,
        dynamo::put(&table, published)?,
    ];
    for attempt in 1..=8 {
        let token = DeliveryId::generate().to_string();
        match shared.db.transact(actions.clone(), token.trim_start_matches("dlv_")).await? {
            Transacted::Done => {
                let state = &mut *shared.relay.state();
                if state.old_until.get(&claim.client).is_some_and(|old| *old <= batch.through) {
                    state.old_until.remove(&claim.client);
                }
                return Ok(());
            }
            // Confirmed before, or somebody else has taken over.
            Transacted::Cancelled(Cancelled::Condition(..)) => return Ok(()),
            Transacted::Cancelled(Cancelled::Again) => freshet_aws::dynamo::pause(attempt).await,
        }
    }
    Err(Error::new(ErrorKind::Busy, "STORE_BUSY", "the outbox has too many writers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(token: &str, beat: i64) -> Claim {
        Claim { token: token.into(), beat }
    }

    /// No clock but this task's own says who is dead.
    #[tokio::test(start_paused = true)]
    async fn p4_a_claim_is_taken_over_once_its_holder_shows_no_sign_of_life() {
        let client = ClientId::new("acme").expect("a client");
        let mut state = RelayState::default();
        assert_eq!(state.may_claim(&client, None), Some(None), "nobody ever had it");
        assert_eq!(state.may_claim(&client, Some(&claim("other", 0))), Some(None), "given back");
        // A beat of a clock that is far ahead, and of one that is far behind.
        for beat in [i64::MAX, 1] {
            assert_eq!(state.may_claim(&client, Some(&claim("other", beat))), None, "it may live");
            tokio::time::advance(CLAIM / 2).await;
            assert_eq!(state.may_claim(&client, Some(&claim("other", beat))), None);
        }
        assert_eq!(state.may_claim(&client, Some(&claim("third", 1))), None, "another one");
        tokio::time::advance(CLAIM).await;
        assert_eq!(state.may_claim(&client, Some(&claim("third", 1))), Some(None), "it is dead");
        state.held.insert(client.clone(), "ours".into());
        assert_eq!(state.may_claim(&client, Some(&claim("ours", 7))), Some(Some("ours".into())));
        assert_eq!(state.may_claim(&client, Some(&claim("other", 8))), None, "taken from us");
        assert!(state.held.is_empty());
    }
}
