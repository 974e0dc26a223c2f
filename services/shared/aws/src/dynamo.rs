//! What the stores on DynamoDB share: calls with the parts that a batch left undone, items, and typed reads of them.

#[cfg(any(test, feature = "testkit"))]
pub mod provision;
mod walk;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, ErrorKind};
use futures::{StreamExt as _, TryStreamExt as _};

pub use walk::Walk;

/// What a page of a range may take at least, in one attempt and in all: it can have a megabyte, and no provider waits.
const PAGE_ATTEMPT: Duration = Duration::from_secs(5);
const PAGE_MAX: Duration = Duration::from_secs(15);

/// Names of the key attributes of every table.
pub const PK: &str = "pk";
/// The sort key.
pub const SK: &str = "sk";

/// The keys of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

impl Key {
    /// Both keys.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }
}

/// An item as DynamoDB has it.
pub type Item = HashMap<String, AttributeValue>;

/// Keys that one BatchGetItem takes.
const GET_MAX: usize = 100;

/// Actions that one transaction takes.
pub const TRANSACTION_MAX: usize = 100;

/// Calls of one reading that are under way at the same time.
const PARALLEL: usize = 8;

/// Attempts for the rest of a batch, and for what was throttled.
const ATTEMPTS: u32 = 8;

const PAUSE: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_secs(1) };

/// Waits before the attempt after this one.
pub async fn pause(attempt: u32) {
    tokio::time::sleep(PAUSE.jittered(attempt, chance())).await;
}

/// One page of a query.
pub struct Page {
    /// The items; may be none although more follow.
    pub items: Vec<Item>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Item>,
}

/// A range of one partition.
#[derive(Clone, Debug)]
pub struct Range {
    /// The table.
    pub table: String,
    /// An index of it.
    pub index: Option<&'static str>,
    /// Names of the partition key and the sort key.
    pub names: (&'static str, &'static str),
    /// The partition key.
    pub pk: String,
    /// Smallest and largest sort key, both included.
    pub between: Option<(String, String)>,
    /// From large to small.
    pub descending: bool,
    /// Items in one page at the most.
    pub limit: usize,
}

impl Range {
    /// A whole partition of a table, ascending.
    pub fn of(table: &str, pk: impl Into<String>) -> Self {
        Self {
            table: table.to_owned(),
            index: None,
            names: (PK, SK),
            pk: pk.into(),
            between: None,
            descending: false,
            limit: 500,
        }
    }

    /// In an index, whose keys have these names.
    #[must_use]
    pub fn index(mut self, index: &'static str, names: (&'static str, &'static str)) -> Self {
        self.index = Some(index);
        self.names = names;
        self
    }

    /// Only sort keys from here to there, both included; neither is empty.
    #[must_use]
    pub fn between(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.between = Some((from.into(), to.into()));
        self
    }

    /// Only sort keys that begin so.
    #[must_use]
    pub fn starting(self, prefix: &str) -> Self {
        let to = format!("{prefix}\u{10ffff}");
        self.between(prefix, to)
    }

    /// From large to small.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// At most so many items in one page.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }
}

/// Why a transaction had no effect.
#[derive(Debug)]
pub enum Cancelled {
    /// The condition of the action with this number does not hold; the item as it is.
    Condition(usize, Option<Item>),
    /// Another writer or too much at once: the same again may work.
    Again,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Transacted {
    /// All of it.
    Done,
    /// Nothing of it, and why.
    Cancelled(Cancelled),
}

/// The client with what every call needs.
#[derive(Clone, Debug)]
pub struct Db {
    /// For calls that are made here only.
    pub client: Client,
}

/// A text as a value.
pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number as a value.
pub fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl Key {
    /// The key as an item of its own.
    pub fn item(&self) -> Item {
        HashMap::from([(PK.to_owned(), s(&self.pk)), (SK.to_owned(), s(&self.sk))])
    }

    /// The key of an item.
    pub fn of(item: &Item) -> Option<Self> {
        let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        Some(Self { pk: text(PK)?, sk: text(SK)? })
    }
}

impl Db {
    /// One item, consistently.
    pub async fn get(&self, table: &str, key: &Key) -> Result<Option<Item>, Error> {
        let call = self.client.get_item().table_name(table).set_key(Some(key.item())).consistent_read(true);
        Ok(call.send().await.map_err(|error| failed("GetItem", error))?.item)
    }

    /// Items by table and key, consistently. Those that are not there are left out.
    pub async fn get_all(&self, keys: Vec<(String, Key)>) -> Result<HashMap<(String, Key), Item>, Error> {
        let chunks: Vec<Vec<(String, Key)>> = keys.chunks(GET_MAX).map(<[_]>::to_vec).collect();
        let parts = futures::stream::iter(chunks).map(|chunk| self.get_chunk(chunk)).buffer_unordered(PARALLEL);
        let parts: Vec<_> = parts.try_collect().await?;
        Ok(parts.into_iter().flatten().collect())
    }

    async fn get_chunk(&self, keys: Vec<(String, Key)>) -> Result<HashMap<(String, Key), Item>, Error> {
        let mut wanted: HashMap<String, KeysAndAttributes> = HashMap::new();
        let mut by_table: HashMap<String, Vec<Item>> = HashMap::new();
        for (table, key) in keys {
            by_table.entry(table).or_default().push(key.item());
        }
        for (table, keys) in by_table {
            let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            wanted
                .insert(table, keys.map_err(|error| Error::internal("a read could not be built").with_source(error))?);
        }
        let mut found = HashMap::new();
        for attempt in 1..=ATTEMPTS {
            let call = self.client.batch_get_item().set_request_items(Some(wanted));
            let answer = call.send().await.map_err(|error| failed("BatchGetItem", error))?;
            for (table, items) in answer.responses.unwrap_or_default() {
                found.extend(items.into_iter().filter_map(|item| Some(((table.clone(), Key::of(&item)?), item))));
            }
            wanted = answer.unprocessed_keys.unwrap_or_default();
            if wanted.is_empty() {
                return Ok(found);
            }
            pause(attempt).await;
        }
        Err(Error::new(ErrorKind::Busy, "STORE_BUSY", "the store is throttled").retry_after(Duration::from_secs(1)))
    }

    /// One page of a range, consistently where it is no index.
    pub async fn page(&self, range: &Range, from: Option<Item>) -> Result<Page, Error> {
        let mut call = self
            .client
            .query()
            .table_name(&range.table)
            .expression_attribute_names("#p", range.names.0)
            .expression_attribute_values(":p", s(&range.pk))
            .scan_index_forward(!range.descending)
            .limit(i32::try_from(range.limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(from);
        call = match range.index {
            Some(index) => call.index_name(index),
            None => call.consistent_read(true),
        };
        call = match &range.between {
            None => call.key_condition_expression("#p = :p"),
            Some((from, to)) => call
                .key_condition_expression("#p = :p AND #s BETWEEN :from AND :to")
                .expression_attribute_names("#s", range.names.1)
                .expression_attribute_values(":from", s(from))
                .expression_attribute_values(":to", s(to)),
        };
        let limits = aws_sdk_dynamodb::config::Config::builder().timeout_config(self.page_limits());
        let answer = call.customize().config_override(limits).send().await.map_err(|error| failed("Query", error))?;
        let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
        Ok(Page { items: answer.items.unwrap_or_default(), next })
    }

    /// The time limits of a page: never tighter than those of the other calls.
    fn page_limits(&self) -> TimeoutConfig {
        let general = self.client.config().timeout_config();
        let attempt = general.and_then(TimeoutConfig::operation_attempt_timeout);
        let operation = general.and_then(TimeoutConfig::operation_timeout);
        TimeoutConfig::builder()
            .operation_attempt_timeout(attempt.map_or(PAGE_ATTEMPT, |limit| limit.max(PAGE_ATTEMPT)))
            .operation_timeout(operation.map_or(PAGE_MAX, |limit| limit.max(PAGE_MAX)))
            .build()
    }

    /// Every item of a range.
    pub async fn all(&self, range: &Range) -> Result<Vec<Item>, Error> {
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let page = self.page(range, from).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// All or nothing. The token makes the same call again within ten minutes have no second effect. `Err` with
    /// `TimedOut` or `Unavailable` leaves open whether it had its effect.
    pub async fn transact(&self, actions: Vec<TransactWriteItem>, token: &str) -> Result<Transacted, Error> {
        let call = self.client.transact_write_items().set_transact_items(Some(actions)).client_request_token(token);
        let error = match call.send().await {
            Ok(_) => return Ok(Transacted::Done),
            Err(error) => error,
        };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
            return Ok(Transacted::Cancelled(why(cancelled.cancellation_reasons())?));
        }
        match crate::kind(&error) {
            ErrorKind::Busy | ErrorKind::Conflict => Ok(Transacted::Cancelled(Cancelled::Again)),
            _ => Err(failed("TransactWriteItems", error)),
        }
    }

    /// Deletes items, in any order.
    pub async fn delete_all(&self, table: &str, keys: &[Key]) -> Result<(), Error> {
        let deletes = futures::stream::iter(keys.to_vec()).map(|key| async move {
            let call = self.client.delete_item().table_name(table).set_key(Some(key.item()));
            call.send().await.map(drop).map_err(|error| failed("DeleteItem", error))
        });
        deletes.buffer_unordered(PARALLEL).try_collect().await
    }

    /// Says by name that a table is missing or not usable yet.
    pub async fn check(&self, table: &str) -> Result<(), Error> {
        let found = self.client.describe_table().table_name(table).send().await;
        let described = found.map_err(|error| match crate::kind(&error) {
            ErrorKind::Missing => Error::unavailable(format!("the table {table} is not there")),
            _ => crate::error(&format!("DescribeTable {table}"), error),
        })?;
        let status = described.table.and_then(|table| table.table_status);
        match status {
            Some(aws_sdk_dynamodb::types::TableStatus::Active | aws_sdk_dynamodb::types::TableStatus::Updating) => {
                Ok(())
            }
            status => Err(Error::unavailable(format!("the table {table} is not usable: {status:?}"))),
        }
    }
}

fn why(reasons: &[CancellationReason]) -> Result<Cancelled, Error> {
    for (number, reason) in reasons.iter().enumerate() {
        if reason.code() == Some("ConditionalCheckFailed") {
            return Ok(Cancelled::Condition(number, reason.item.clone()));
        }
    }
    for reason in reasons {
        match reason.code().unwrap_or("None") {
            "None" | "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded" => {}
            code => {
                let message = reason.message().unwrap_or_default();
                return Err(Error::internal(format!("a transaction was refused: {code} {message}")));
            }
        }
    }
    Ok(Cancelled::Again)
}

/// Writes an item whole.
pub fn put(table: &str, item: Item) -> Result<TransactWriteItem, Error> {
    let put = aws_sdk_dynamodb::types::Put::builder().table_name(table).set_item(Some(item)).build();
    Ok(TransactWriteItem::builder().put(put.map_err(unbuilt)?).build())
}

/// Writes an item whole if the condition holds.
pub fn put_if(table: &str, item: Item, condition: &str, values: Item) -> Result<TransactWriteItem, Error> {
    let put = aws_sdk_dynamodb::types::Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression(condition)
        .set_expression_attribute_values((!values.is_empty()).then_some(values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build();
    Ok(TransactWriteItem::builder().put(put.map_err(unbuilt)?).build())
}

/// Changes parts of an item if the condition holds.
pub fn update_if(
    table: &str,
    key: &Key,
    update: &str,
    condition: &str,
    values: Item,
) -> Result<TransactWriteItem, Error> {
    let update = aws_sdk_dynamodb::types::Update::builder()
        .table_name(table)
        .set_key(Some(key.item()))
        .update_expression(update)
        .condition_expression(condition)
        .set_expression_attribute_values((!values.is_empty()).then_some(values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build();
    Ok(TransactWriteItem::builder().update(update.map_err(unbuilt)?).build())
}

/// Removes an item.
pub fn delete(table: &str, key: &Key) -> Result<TransactWriteItem, Error> {
    let delete = aws_sdk_dynamodb::types::Delete::builder().table_name(table).set_key(Some(key.item())).build();
    Ok(TransactWriteItem::builder().delete(delete.map_err(unbuilt)?).build())
}

fn unbuilt(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::internal("a write could not be built").with_source(error)
}

/// Typed reads of an item.
pub struct Row<'i>(
    /// The item.
    pub &'i Item,
);

impl<'i> Row<'i> {
    /// Text that must be there.
    pub fn text(&self, name: &str) -> Result<&'i str, Error> {
        self.maybe_text(name).ok_or_else(|| damaged(name))
    }

    /// Text.
    pub fn maybe_text(&self, name: &str) -> Option<&'i str> {
        self.0.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    /// Bytes.
    pub fn maybe_bytes(&self, name: &str) -> Option<&'i [u8]> {
        self.0.get(name).and_then(|value| value.as_b().ok()).map(Blob::as_ref)
    }

    /// A number that must be there.
    pub fn number(&self, name: &str) -> Result<i64, Error> {
        self.maybe_number(name)?.ok_or_else(|| damaged(name))
    }

    /// A number.
    pub fn maybe_number(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_n().ok().and_then(|text| text.parse().ok());
                number.map(Some).ok_or_else(|| damaged(name))
            }
        }
    }

    /// A number that is not negative.
    pub fn count(&self, name: &str) -> Result<u64, Error> {
        u64::try_from(self.number(name)?).map_err(|_| damaged(name))
    }

    /// A stored code.
    pub fn code<T>(&self, name: &str, of: impl Fn(u8) -> Option<T>) -> Result<T, Error> {
        u8::try_from(self.number(name)?).ok().and_then(of).ok_or_else(|| damaged(name))
    }

    /// An id or name.
    pub fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<T, Error> {
        self.text(name)?.parse().map_err(|_| damaged(name))
    }
}

/// A value that this program never wrote.
fn damaged(what: &str) -> Error {
    Error::internal(format!("the store has a broken value ({what})"))
}

/// Bytes as a value.
pub fn blob(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// The error of a call on items. A table that is not there is an outage, not an answer: nobody asked for a table.
pub fn failed<E>(operation: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match crate::kind(&error) {
        ErrorKind::Missing => Error::unavailable(format!("{operation}: a table is not there")).with_source(error),
        _ => crate::error(operation, error),
    }
}
