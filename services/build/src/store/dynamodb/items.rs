//! Items, to and from what the port speaks of.

use freshet_aws::dynamo::{Item, Row, n, s};
use freshet_domain::{BatchId, BuildId, ChangeOp, EntryKey, Lane, Timestamp};
use freshet_kit::Error;
use serde::{Deserialize, Serialize};

use crate::machine::{BatchFacts, BatchRecord, BatchState, BuildState, SiteKey, SiteState, Wake};
use crate::store::{BuildRecord, ChangeId, DecisionRecord, JoinedChange, RequestMark, Stored};

pub(super) fn damaged(what: &str) -> Error {
    Error::internal(format!("the build store has a broken value ({what})"))
}

pub(super) fn set(item: &mut Item, name: &str, value: aws_sdk_dynamodb::types::AttributeValue) {
    item.insert(name.to_owned(), value);
}

fn time(row: &Row<'_>, name: &str) -> Result<Timestamp, Error> {
    row.number(name).map(Timestamp::from_micros)
}

fn maybe_time(row: &Row<'_>, name: &str) -> Result<Option<Timestamp>, Error> {
    Ok(row.maybe_number(name)?.map(Timestamp::from_micros))
}

pub(super) fn site_key(row: &Row<'_>) -> Result<SiteKey, Error> {
    Ok(SiteKey { client: row.parse("client")?, site: row.parse("site")? })
}

pub(super) fn stored(key: &SiteKey, item: Option<&Item>) -> Result<Stored, Error> {
    let Some(item) = item else {
        return Ok(Stored { key: key.clone(), state: SiteState::default(), version: 0, wake: Wake::default() });
    };
    let row = Row(item);
    Ok(Stored {
        key: key.clone(),
        state: serde_json::from_str(row.text("state")?).map_err(|_| damaged("state"))?,
        version: row.count("version")?,
        wake: Wake { at: maybe_time(&row, "due_at")?, room_since: maybe_time(&row, "room_since")? },
    })
}

/// One change inside the item of a commit's changes.
#[derive(Debug, Serialize, Deserialize)]
struct StoredChange {
    d: String,
    i: u32,
    s: String,
    t: String,
    e: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    l: String,
    o: u8,
    q: u64,
}

pub(super) fn write_changes(changes: &[JoinedChange]) -> Result<String, Error> {
    let stored: Vec<StoredChange> = changes
        .iter()
        .map(|change| StoredChange {
            d: change.id.delivery.to_string(),
            i: change.id.index,
            s: change.key.source.as_str().to_owned(),
            t: change.key.entry_type.clone(),
            e: change.key.id.clone(),
            l: change.key.locale.clone(),
            o: change.op.code(),
            q: change.sequence,
        })
        .collect();
    serde_json::to_string(&stored).map_err(|error| Error::internal("changes cannot be written").with_source(error))
}

pub(super) fn read_changes(item: &Item) -> Result<Vec<JoinedChange>, Error> {
    let stored: Vec<StoredChange> = serde_json::from_str(Row(item).text("changes")?).map_err(|_| damaged("changes"))?;
    let read = |change: StoredChange| {
        Ok(JoinedChange {
            id: ChangeId { delivery: change.d.parse().map_err(|_| damaged("delivery"))?, index: change.i },
            key: EntryKey {
                source: change.s.parse().map_err(|_| damaged("source"))?,
                entry_type: change.t,
                id: change.e,
                locale: change.l,
            },
            op: ChangeOp::from_code(change.o).ok_or_else(|| damaged("op"))?,
            sequence: change.q,
        })
    };
    stored.into_iter().map(read).collect()
}

/// The attributes of a batch that its record decides.
pub(super) fn batch_attributes(key: &SiteKey, batch: &BatchRecord) -> Item {
    let facts = &batch.facts;
    let mut item = Item::new();
    set(&mut item, "client", s(key.client.as_str()));
    set(&mut item, "site", s(key.site.as_str()));
    set(&mut item, "batch", s(facts.batch.to_string()));
    set(&mut item, "state", n(batch.state.code()));
    set(&mut item, "opened_at", n(facts.opened_at.as_micros()));
    for (name, at) in [
        ("first_change_at", facts.first_change_at),
        ("last_change_at", facts.last_change_at),
        ("ended_at", batch.ended_at),
    ] {
        if let Some(at) = at {
            set(&mut item, name, n(at.as_micros()));
        }
    }
    set(&mut item, "changes", n(facts.changes));
    set(&mut item, "joined", n(facts.joined));
    if let Some(lane) = facts.lane {
        set(&mut item, "lane", n(lane.code()));
    }
    set(&mut item, "traceparent", s(&facts.traceparent));
    item
}

pub(super) fn batch(item: &Item) -> Result<(SiteKey, BatchRecord), Error> {
    let row = Row(item);
    let lane = match row.maybe_number("lane")? {
        None => None,
        Some(_) => Some(row.code("lane", Lane::from_code)?),
    };
    let record = BatchRecord {
        facts: BatchFacts {
            batch: row.parse("batch")?,
            opened_at: time(&row, "opened_at")?,
            first_change_at: maybe_time(&row, "first_change_at")?,
            last_change_at: maybe_time(&row, "last_change_at")?,
            changes: row.count("changes")?,
            joined: row.count("joined")?,
            lane,
            traceparent: row.maybe_text("traceparent").unwrap_or_default().to_owned(),
            // Only the state of the site needs to know.
            redacts: false,
        },
        state: row.code("state", BatchState::from_code)?,
        ended_at: maybe_time(&row, "ended_at")?,
        joined_into: row
            .maybe_text("joined_into")
            .map(str::parse::<BatchId>)
            .transpose()
            .map_err(|_| damaged("batch"))?,
    };
    Ok((site_key(&row)?, record))
}

pub(super) fn joined_at(item: &Item) -> Result<Timestamp, Error> {
    time(&Row(item), "joined_at")
}

pub(super) fn build(item: &Item) -> Result<BuildRecord, Error> {
    let row = Row(item);
    let text = |name: &str| row.maybe_text(name).unwrap_or_default().to_owned();
    Ok(BuildRecord {
        key: site_key(&row)?,
        build: row.parse("build")?,
        batch: row.parse("batch")?,
        attempt: u32::try_from(row.count("attempt")?).map_err(|_| damaged("attempt"))?,
        state: row.code("state", BuildState::from_code)?,
        create_time: time(&row, "create_time")?,
        start_time: maybe_time(&row, "start_time")?,
        end_time: maybe_time(&row, "end_time")?,
        changes: row.count("changes")?,
        entries: row.maybe_number("entries")?.and_then(|number| u64::try_from(number).ok()).unwrap_or(0),
        error: text("error"),
        log_tail: text("log_tail"),
        log_location: text("log_location"),
        traceparent: text("traceparent"),
    })
}

pub(super) fn decision(item: &Item) -> Result<DecisionRecord, Error> {
    let row = Row(item);
    Ok(DecisionRecord {
        at: time(&row, "at")?,
        build: row.maybe_text("build").map(str::parse::<BuildId>).transpose().map_err(|_| damaged("build"))?,
        code: row.text("code")?.to_owned(),
        reason: row.maybe_text("reason").unwrap_or_default().to_owned(),
    })
}

pub(super) fn request(request_id: &str, item: &Item) -> Result<RequestMark, Error> {
    let row = Row(item);
    Ok(RequestMark {
        request_id: request_id.to_owned(),
        fingerprint: row.maybe_text("fingerprint").unwrap_or_default().to_owned(),
        batch: row.maybe_text("batch").map(str::parse).transpose().map_err(|_| damaged("batch"))?,
        build: row.maybe_text("build").map(str::parse).transpose().map_err(|_| damaged("build"))?,
    })
}
