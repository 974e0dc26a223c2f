//! One delivery, one job of the writer.
//!
//! Everything that needs no database (hashing, encoding) is done in [`Prepared::new`] on the caller's task, because
//! every other delivery waits while the writer works.

use freshet_domain::{ChangeEffect, ChangeOp, DeliveryId, Retention, SourceId};
use freshet_kit::{Error, ErrorKind};
use freshet_sqlite::DbError;
use prost::Message as _;
use rusqlite::{Connection, params};

use super::apply::{Applier, PreparedChange};
use super::batch::Batch;
use super::bodies::Place;
use super::feed::number;
use super::late::{self, Mark};
use super::packed::Packed;
use super::redact::{self, Candidates};
use super::{rows, sql};
use crate::model::NewDelivery;
use crate::store::codec::{self, Outcomes};
use crate::store::common::{body_hash, is_hash_of, mark};

/// A delivery whose every byte is ready to be written.
pub(super) struct Prepared {
    delivery: NewDelivery,
    marks: Vec<[u8; 16]>,
    body_hash: [u8; 32],
    body_bytes: u64,
    body: Packed,
    keeps_body: bool,
    headers: Vec<u8>,
    changes: Vec<PreparedChange>,
    pub(super) redacts: bool,
}

/// What the job says.
pub(super) enum Done {
    /// Stored, now or by an earlier attempt of the same request.
    Stored(Outcomes),
    /// An earlier delivery had one of its keys.
    Duplicate(DeliveryId),
}

impl Done {
    /// The last position of the feed that it wrote, 0 if none.
    pub(super) fn position(&self) -> u64 {
        match self {
            Done::Stored(outcomes) => outcomes.list.iter().map(|outcome| outcome.sequence).max().unwrap_or(0),
            Done::Duplicate(_) => 0,
        }
    }
}

impl Prepared {
    pub(super) fn new(mut delivery: NewDelivery) -> Self {
        let mut marks: Vec<[u8; 16]> = delivery.dedup_keys.iter().map(|key| mark(&delivery, key)).collect();
        marks.sort_unstable();
        marks.dedup();
        let headers = codec::write_headers(std::mem::take(&mut delivery.headers));
        let changes: Vec<PreparedChange> =
            std::mem::take(&mut delivery.changes).into_iter().map(PreparedChange::new).collect();
        let redacts = changes.iter().any(|change| change.incoming.op == ChangeOp::Redact);
        let body = std::mem::take(&mut delivery.body);
        Self {
            marks,
            body_hash: body_hash(&body),
            body_bytes: body.len() as u64,
            body: Packed::new(body),
            // A request to forget names whom to forget.
            keeps_body: delivery.retention == Retention::Body && !redacts,
            headers,
            changes,
            redacts,
            delivery,
        }
    }

    pub(super) fn id(&self) -> DeliveryId {
        self.delivery.delivery
    }

    /// How large it is, roughly.
    pub(super) fn bytes(&self) -> u64 {
        let content_bytes = self.fields().map(|(_, fields)| fields.stored().len()).sum::<usize>();
        (self.body.stored().len() + content_bytes) as u64
    }

    pub(super) fn body(&self) -> &Packed {
        &self.body
    }

    /// The fields of each change that has content, with its place in the list.
    pub(super) fn fields(&self) -> impl Iterator<Item = (usize, &Packed)> {
        self.changes.iter().enumerate().filter_map(|(index, change)| Some((index, change.fields()?)))
    }

    /// The marks and the id: no two deliveries share one of them without one having to know of the other.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8; 16]> {
        self.marks.iter().chain([self.delivery.delivery.as_bytes()])
    }

    pub(super) fn source(&self) -> &SourceId {
        &self.delivery.source
    }

    /// What it is remembered by.
    pub(super) fn marks(&self) -> &[[u8; 16]] {
        &self.marks
    }

    /// The source and the keys to redact.
    pub(super) fn redaction(&self) -> redact::Redaction {
        let redacted = self.changes.iter().filter(|change| change.incoming.op == ChangeOp::Redact);
        redact::Redaction {
            client: self.delivery.client.clone(),
            source: self.delivery.source.clone(),
            keys: redacted.map(|change| change.key.clone()).collect(),
        }
    }

    /// The job. Whoever knows that no delivery of its id is there and none with one of its marks says that it `is_new`,
    /// which saves look-ups.
    pub(super) fn write(&self, batch: &Batch<'_>, candidates: &Candidates, is_new: bool) -> Result<Done, DbError> {
        batch.names.add(self);
        if !is_new && let Some(answer) = self.own_answer(batch)? {
            return Ok(answer);
        }
        let mark = Mark {
            delivery: self.delivery.delivery,
            expires_at: self.delivery.stored_at.plus(self.delivery.dedup_horizon),
        };
        let mut late_marks = None;
        if is_new && batch.defer_marks(&self.marks, mark) {
            late_marks = (!self.marks.is_empty()).then(|| late::write_claim(&self.marks, mark.expires_at));
        } else if let Some(duplicate) = self.remember(batch, mark)? {
            return Ok(duplicate);
        }
        let redacted = if self.redacts {
            redact::erase_bodies(batch.connection, batch.bodies, &self.redaction(), candidates)?
        } else {
            redact::Erased::default()
        };
        let delivery_no = batch.next_delivery();
        let applier = Applier { batch, delivery: &self.delivery, delivery_no, erased: &redacted };
        let mut outcomes = Outcomes { list: Vec::with_capacity(self.changes.len()) };
        for (position, change) in self.changes.iter().enumerate() {
            outcomes.list.push(applier.apply(position, change)?);
        }
        self.write_row(batch, delivery_no, &outcomes, late_marks)?;
        Ok(Done::Stored(outcomes))
    }

    /// The answer of an earlier attempt of this very request.
    fn own_answer(&self, batch: &Batch<'_>) -> Result<Option<Done>, DbError> {
        let id = &self.delivery.delivery.as_bytes()[..];
        let (outcomes, kept) = {
            let mut statement = batch.statement(sql::DELIVERY_ANSWER)?;
            let mut found = statement.query([id])?;
            let Some(row) = found.next()? else { return Ok(None) };
            let owner = (rows::text(row, 0)?, rows::text(row, 1)?);
            if owner != (self.delivery.client.as_str(), self.delivery.source.as_str()) {
                let message = "`delivery_id` is the id of a delivery of another source";
                return Err(Error::new(ErrorKind::Exists, "DELIVERY_EXISTS", message).into());
            }
            let hash = rows::bytes(row, 3)?;
            let same_body = hash == self.body_hash || is_hash_of(hash, &self.body.plain()?);
            (Outcomes::read(rows::bytes(row, 2)?)?, rows::kept_body(row, 4)?.filter(|_| same_body))
        };
        // A power cut after the first attempt may have left the row and taken the body, see `bodies`.
        if let Some(kept) = kept.filter(|_| self.keeps_body) {
            // The first attempt may be in the same transaction.
            batch.bodies.flush().map_err(body_error)?;
            let found = kept.read(batch.bodies).map_err(body_error)?;
            if found.is_some_and(|found| body_hash(&found) == self.body_hash) {
                return Ok(Some(Done::Stored(outcomes)));
            }
            // What is left of it is nobody's now, and no redaction would find it.
            batch.bodies.erase(kept.place).map_err(body_error)?;
            let place = self.keep_body(batch)?;
            let (segment, offset) = (number(place.segment), number(place.offset));
            batch.statement(sql::DELIVERY_BODY_AGAIN)?.execute(params![id, segment, offset, self.packed_bytes()])?;
        }
        Ok(Some(Done::Stored(outcomes)))
    }

    /// Writes the marks. If one of them is another delivery's, takes back what it wrote and names that delivery.
    ///
    /// Writing first and asking only when a mark is taken saves the look-up that almost always finds nothing.
    fn remember(&self, batch: &Batch<'_>, own: Mark) -> Result<Option<Done>, DbError> {
        let id = &own.delivery.as_bytes()[..];
        let stored_at = self.delivery.stored_at;
        let mut put = batch.statement(sql::DEDUP_PUT)?;
        for (number, mark) in self.marks.iter().enumerate() {
            // An expired mark is nobody's any more, and a mark of its own is of a row that was kept long enough.
            let first = match batch.late_mark(mark) {
                Some(late) if late.expires_at > stored_at && late.delivery != own.delivery => late.delivery,
                late => {
                    if late.is_some() {
                        batch.remove_late_mark(mark);
                    }
                    let columns = params![&mark[..], id, own.expires_at.as_micros(), stored_at.as_micros()];
                    if put.execute(columns)? > 0 {
                        continue;
                    }
                    let mut find = batch.statement(sql::DEDUP_FIND)?;
                    let mut found = find.query([&mark[..]])?;
                    let row = found.next()?.ok_or_else(|| codec::damaged("mark"))?;
                    rows::delivery_id(row, 0)?
                }
            };
            for written in &self.marks[..number] {
                batch.statement(sql::DEDUP_TAKE_BACK)?.execute(params![&written[..], id])?;
            }
            batch.statement(sql::DELIVERY_AGAIN)?.execute([&first.as_bytes()[..]])?;
            return Ok(Some(Done::Duplicate(first)));
        }
        Ok(None)
    }

    fn write_row(
        &self,
        batch: &Batch<'_>,
        delivery_no: i64,
        outcomes: &Outcomes,
        late_marks: Option<Vec<u8>>,
    ) -> Result<(), DbError> {
        let delivery = &self.delivery;
        let place = if self.keeps_body { Some(self.keep_body(batch)?) } else { None };
        let first_published = outcomes
            .list
            .iter()
            .find(|outcome| outcome.effect == u32::from(ChangeEffect::Published.code()))
            .map(|outcome| number(outcome.sequence));
        batch.statement(sql::DELIVERY_PUT)?.execute(params![
            delivery_no,
            &delivery.delivery.as_bytes()[..],
            delivery.client.as_str(),
            delivery.source.as_str(),
            delivery.verdict.code(),
            delivery.received_at.as_micros(),
            delivery.stored_at.as_micros(),
            delivery.provider,
            delivery.event,
            delivery.reason,
            delivery.detail,
            delivery.proof,
            delivery.traceparent,
            self.headers,
            number(self.body_bytes),
            &self.body_hash[..],
            place.map(|place| number(place.segment)),
            place.map_or(0, |place| number(place.offset)),
            first_published,
            outcomes.encode_to_vec(),
            late_marks,
            place.and(self.packed_bytes()),
        ])?;
        Ok(())
    }

    fn keep_body(&self, batch: &Batch<'_>) -> Result<Place, DbError> {
        batch.bodies.append(self.body.stored(), self.delivery.stored_at).map_err(body_error)
    }

    /// How many bytes the body has in its log, if it is compressed there.
    fn packed_bytes(&self) -> Option<i64> {
        self.body.plain_bytes().map(|_| number(self.body.stored().len() as u64))
    }
}

/// The largest number of a table, 0 if it is empty.
pub(super) fn last(connection: &Connection, sql: sql::Sql) -> rusqlite::Result<i64> {
    Ok(sql.on(connection)?.query_row([], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0))
}

/// A failure of the body log, which is the disk's.
pub(super) fn body_error(error: std::io::Error) -> DbError {
    let (reason, message) = if error.kind() == std::io::ErrorKind::StorageFull {
        ("STORE_FULL", "the store's disk is full; free some space")
    } else {
        ("STORE_IO", "the store's disk does not answer")
    };
    DbError::Job(Error::new(ErrorKind::Unavailable, reason, message).with_source(error))
}
