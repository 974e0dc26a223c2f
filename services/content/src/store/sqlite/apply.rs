//! One change against the stored entry: reads its head, asks the rules, writes what they say.

use freshet_domain::{Change, ChangeEffect, ChangeOp, EntryKey, EntryStatus, PartsHash, SourceVersion};
use freshet_sqlite::DbError;
use prost::Message as _;
use rusqlite::{ToSql, params};

use super::batch::Batch;
use super::feed::number;
use super::late::Words;
use super::packed::Packed;
use super::redact::{self, Erased};
use super::{rows, sql};
use crate::model::NewDelivery;
use crate::rules::{self, Decision, Incoming, Stored, Write};
use crate::store::codec::{Details, Outcome};
use crate::store::common::tombstone_until;

/// A change whose every byte is ready to be written.
pub(super) struct PreparedChange {
    pub(super) key: EntryKey,
    pub(super) incoming: Incoming,
    kind: u8,
    lane: u8,
    content: Option<PreparedContent>,
}

struct PreparedContent {
    title: String,
    slug: Option<String>,
    tags: Vec<String>,
    tags_print: i64,
    details: Vec<u8>,
    fields: Packed,
    updated_at: Option<i64>,
}

impl PreparedChange {
    pub(super) fn new(change: Change) -> Self {
        let incoming = Incoming::of(&change);
        let content = change.content.map(|mut content| {
            let details = Details::take(&mut content);
            PreparedContent {
                details: details.encode_to_vec(),
                tags_print: tags_print(&details.tags),
                tags: details.tags,
                title: content.title,
                slug: Some(content.slug).filter(|slug| !slug.is_empty()),
                fields: Packed::new(content.fields_json),
                updated_at: content.provider_updated_at.map(|at| at.as_micros()),
            }
        });
        Self { key: change.key, incoming, kind: change.kind.code(), lane: change.lane.code(), content }
    }

    /// The fields of its content, if it has some.
    pub(super) fn fields(&self) -> Option<&Packed> {
        self.content.as_ref().map(|content| &content.fields)
    }

    fn names_everything(&self) -> bool {
        self.key.entry_type == EntryKey::ANY || self.key.id == EntryKey::ANY
    }
}

/// The stored head of an entry.
struct Head {
    stored: Stored,
    revision: i64,
    content_no: Option<i64>,
    tags_print: i64,
    slug: Option<String>,
}

/// Applies the changes of one delivery, in order.
pub(super) struct Applier<'a, 'c> {
    pub(super) batch: &'a Batch<'c>,
    pub(super) delivery: &'a NewDelivery,
    pub(super) delivery_no: i64,
    pub(super) erased: &'a Erased,
}

impl Applier<'_, '_> {
    pub(super) fn apply(&self, position: usize, change: &PreparedChange) -> Result<Outcome, DbError> {
        let decision = match change.incoming.op {
            ChangeOp::Redact => self.redact(change)?,
            ChangeOp::Touch if change.names_everything() => rules::decide_touch_of_all(change.incoming.build_relevant),
            ChangeOp::Upsert | ChangeOp::Delete | ChangeOp::Touch => {
                let head = self.head(&change.key)?;
                let decision = rules::decide(head.as_ref().map(|head| head.stored), &change.incoming);
                self.write(change, head, decision)?;
                decision
            }
        };
        let hash = match (change.incoming.op, decision.effect) {
            (ChangeOp::Upsert, ChangeEffect::Published | ChangeEffect::Stored | ChangeEffect::Unchanged) => {
                change.incoming.content_hash
            }
            _ => None,
        };
        let sequence = match decision.effect {
            ChangeEffect::Published | ChangeEffect::Stored => {
                let sequence = self.batch.next_change();
                self.batch.statement(sql::CHANGE_PUT)?.execute(params![
                    sequence,
                    self.delivery.client.as_str(),
                    self.delivery_no,
                    position as i64,
                    change.key.entry_type,
                    change.key.id,
                    change.key.locale,
                    change.kind,
                    change.incoming.op.code(),
                    decision.effect.code(),
                    decision.reason.code(),
                    change.lane,
                    hash.as_ref().map(|hash| &hash.0[..]),
                ])?;
                sequence
            }
            ChangeEffect::Unchanged | ChangeEffect::Stale => 0,
        };
        Ok(Outcome {
            entry_type: change.key.entry_type.clone(),
            id: change.key.id.clone(),
            locale: change.key.locale.clone(),
            kind: u32::from(change.kind),
            op: u32::from(change.incoming.op.code()),
            effect: u32::from(decision.effect.code()),
            reason: u32::from(decision.reason.code()),
            content_hash: hash.map(|hash| hash.0.to_vec()).unwrap_or_default(),
            sequence: u64::try_from(sequence).unwrap_or(0),
        })
    }

    fn head(&self, key: &EntryKey) -> Result<Option<Head>, DbError> {
        let mut statement = self.batch.statement(sql::ENTRY_HEAD)?;
        let mut found = statement.query(key_of(self.delivery, key))?;
        let Some(row) = found.next()? else { return Ok(None) };
        Ok(Some(Head {
            stored: Stored {
                status: rows::code(row, 0, EntryStatus::from_code, "status")?,
                version: rows::version(row, 1)?,
                content_hash: rows::content_hash(row, 3)?,
            },
            revision: row.get(4)?,
            content_no: row.get(5)?,
            tags_print: row.get(6)?,
            slug: row.get(7)?,
        }))
    }

    fn write(&self, change: &PreparedChange, head: Option<Head>, decision: Decision) -> Result<(), DbError> {
        match decision.write {
            Write::Nothing => Ok(()),
            Write::Confirm => self.confirm(change),
            Write::Content => self.put(change, head, change.incoming.status),
            Write::Tombstone => self.put(change, head, EntryStatus::Deleted),
            Write::TombstoneVersion => {
                let SourceVersion { micros, rank } = change.incoming.version;
                self.update(
                    sql::ENTRY_TOMBSTONE_VERSION,
                    &change.key,
                    &[&micros, &rank, &tombstone_until(self.delivery).as_micros()],
                )
            }
            Write::Touch => match head {
                Some(head) => self.touch(change, &head),
                None => self.put(change, None, EntryStatus::Published),
            },
        }
    }

    fn confirm(&self, change: &PreparedChange) -> Result<(), DbError> {
        let SourceVersion { micros, rank } = change.incoming.version;
        let updated_at = change.content.as_ref().and_then(|content| content.updated_at);
        self.update(sql::ENTRY_CONFIRM, &change.key, &[&micros, &rank, &self.fresh_until(), &updated_at])
    }

    fn touch(&self, change: &PreparedChange, head: &Head) -> Result<(), DbError> {
        let SourceVersion { micros, rank } = change.incoming.version;
        let status = match head.stored.status {
            EntryStatus::Deleted => EntryStatus::Published,
            status => status,
        };
        self.update(
            sql::ENTRY_TOUCH,
            &change.key,
            &[
                &status.code(),
                &micros,
                &rank,
                &self.delivery.stored_at.as_micros(),
                &self.fresh_until(),
                &&self.delivery.delivery.as_bytes()[..],
            ],
        )
    }

    fn fresh_until(&self) -> i64 {
        self.delivery.stored_at.plus(self.delivery.content_ttl).as_micros()
    }

    fn update(&self, sql: sql::Sql, key: &EntryKey, values: &[&dyn ToSql]) -> Result<(), DbError> {
        let key = key_of(self.delivery, key);
        let all: Vec<&dyn ToSql> = key.iter().map(|part| part as &dyn ToSql).chain(values.iter().copied()).collect();
        self.batch.statement(sql)?.execute(&all[..])?;
        Ok(())
    }

    fn put_tombstone(&self, key: &EntryKey, kind: u8, version: SourceVersion) -> Result<(), DbError> {
        let head = self.head(key)?;
        let version = head.as_ref().map_or(version, |head| head.stored.version.max(version));
        let incoming = Incoming::tombstone(version);
        let change = PreparedChange { key: key.clone(), incoming, kind, lane: 0, content: None };
        self.put(&change, head, EntryStatus::Deleted)
    }

    /// Writes the whole entry: with the change's content if it has some, else without.
    fn put(&self, change: &PreparedChange, head: Option<Head>, status: EntryStatus) -> Result<(), DbError> {
        let key = key_of(self.delivery, &change.key);
        let content = change.content.as_ref();
        let tags_print = content.map_or(0, |content| content.tags_print);
        if head.as_ref().map_or(0, |head| head.tags_print) != tags_print {
            self.put_tags(&change.key, head.as_ref(), content.map_or(&[], |content| &content.tags))?;
        }
        let content_no = self.put_content(content, head.as_ref().and_then(|head| head.content_no))?;
        let slug = content.and_then(|content| content.slug.as_deref());
        let stored_slug = head.as_ref().and_then(|head| head.slug.as_deref());
        self.put_words(Words::Slugs, &change.key, stored_slug.as_slice(), slug.as_slice())?;
        let SourceVersion { micros, rank } = change.incoming.version;
        let expires_at = match status {
            EntryStatus::Deleted => tombstone_until(self.delivery).as_micros(),
            EntryStatus::Published | EntryStatus::Draft => self.fresh_until(),
        };
        let hash = change.incoming.content_hash.filter(|_| content.is_some());
        let hash = hash.as_ref().map(|hash| &hash.0[..]);
        let delivery = &self.delivery.delivery.as_bytes()[..];
        let stored_at = self.delivery.stored_at.as_micros();
        let updated_at = content.and_then(|content| content.updated_at);
        let touched = change.incoming.op == ChangeOp::Touch;
        let revision = head.as_ref().map_or(1, |head| head.revision + 1);
        let sql = if head.is_some() { sql::ENTRY_SET } else { sql::ENTRY_PUT };
        self.batch.statement(sql)?.execute(params![
            key[0],
            key[1],
            key[2],
            key[3],
            key[4],
            change.kind,
            status.code(),
            micros,
            rank,
            stored_at,
            expires_at,
            delivery,
            revision,
            touched,
            tags_print,
            updated_at,
            hash,
            slug,
            content_no,
        ])?;
        Ok(())
    }

    /// Writes the difference between the stored tags and the new ones.
    fn put_tags(&self, key: &EntryKey, head: Option<&Head>, tags: &[String]) -> Result<(), DbError> {
        let stored = match head.filter(|head| head.tags_print != 0).and_then(|head| head.content_no) {
            Some(number) => {
                let mut statement = self.batch.statement(sql::CONTENT_DETAILS)?;
                let mut found = statement.query([number])?;
                match found.next()? {
                    Some(row) => Details::read(rows::bytes(row, 0)?)?.tags,
                    None => Vec::new(),
                }
            }
            None => Vec::new(),
        };
        self.put_words(Words::Tags, key, &stored, tags)
    }

    /// Writes the difference between the words that list an entry and those that shall.
    fn put_words(
        &self,
        words: Words,
        key: &EntryKey,
        stored: &[impl AsRef<str>],
        wanted: &[impl AsRef<str>],
    ) -> Result<(), DbError> {
        let [client, source, entry_type, id, locale] = key_of(self.delivery, key);
        let columns = |word| [client, word, source, entry_type, id, locale];
        for word in stored.iter().map(AsRef::as_ref).filter(|word| wanted.iter().all(|other| other.as_ref() != *word)) {
            self.batch.remove_word(words, columns(word))?;
        }
        for word in wanted.iter().map(AsRef::as_ref).filter(|word| stored.iter().all(|other| other.as_ref() != *word)) {
            self.batch.put_word(words, columns(word))?;
        }
        Ok(())
    }

    /// Removes what the key covers, whatever its version.
    fn redact(&self, change: &PreparedChange) -> Result<Decision, DbError> {
        let covered = redact::covered_entries(self.batch.connection, &self.delivery.client, &change.key)?;
        let left = |status: EntryStatus| covered.iter().any(|entry| entry.status == status);
        let published = left(EntryStatus::Published);
        let anything = published || left(EntryStatus::Draft) || self.erased.bodies > 0;
        for entry in covered.iter().filter(|entry| entry.status != EntryStatus::Deleted) {
            self.put_tombstone(&entry.key, entry.kind, change.incoming.version)?;
        }
        if !change.names_everything() && !covered.iter().any(|entry| entry.key == change.key) {
            self.put_tombstone(&change.key, change.kind, change.incoming.version)?;
        }
        Ok(rules::decide_redaction(published, anything, change.incoming.build_relevant))
    }

    fn put_content(&self, content: Option<&PreparedContent>, stored: Option<i64>) -> Result<Option<i64>, DbError> {
        match (content, stored) {
            (Some(content), Some(content_no)) => {
                let PreparedContent { title, details, fields, .. } = content;
                let (stored, plain_bytes) = (&fields.stored()[..], fields.plain_bytes().map(number));
                let columns = params![content_no, title, details, stored, plain_bytes];
                self.batch.statement(sql::CONTENT_SET)?.execute(columns)?;
                Ok(Some(content_no))
            }
            (Some(content), None) => {
                let PreparedContent { title, details, fields, .. } = content;
                let (stored, plain_bytes) = (&fields.stored()[..], fields.plain_bytes().map(number));
                self.batch.statement(sql::CONTENT_PUT)?.execute(params![title, details, stored, plain_bytes])?;
                Ok(Some(self.batch.connection.last_insert_rowid()))
            }
            (None, Some(content_no)) => {
                self.batch.statement(sql::CONTENT_DELETE)?.execute([content_no])?;
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }
}

/// Equal for equal tags, 0 for none.
fn tags_print(tags: &[String]) -> i64 {
    if tags.is_empty() {
        return 0;
    }
    let parts: Vec<&[u8]> = tags.iter().map(String::as_bytes).collect();
    i64::from_be_bytes(PartsHash::of(&parts).finish()) | 1
}

/// The five columns of an entry's key.
pub(super) fn key_of<'k>(delivery: &'k NewDelivery, key: &'k EntryKey) -> [&'k str; 5] {
    [delivery.client.as_str(), key.source.as_str(), &key.entry_type, &key.id, &key.locale]
}
