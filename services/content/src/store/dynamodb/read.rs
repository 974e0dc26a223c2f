//! Single entries and deliveries, and lists of deliveries.

use std::collections::HashMap;

use bytes::Bytes;
use freshet_domain::{ClientId, DeliveryId, EntryKey, SourceId, Timestamp, Verdict};
use freshet_kit::Error;
use futures::{StreamExt as _, TryStreamExt as _};

use super::Shared;
use super::items::{State, StoredDelivery, Value};
use super::keys::{self, Key};
use crate::model::{Delivery, DeliveryPage, DeliveryPosition, DeliveryQuery, Entry};
use crate::store::common::is_hash_of;
use freshet_aws::dynamo::Range;
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::Walk;

/// A page with more outcomes than this has no more deliveries: answers have a largest size.
const PAGE_OUTCOMES: usize = 15_000;

/// Objects that are fetched at the same time.
const PARALLEL: usize = 8;

impl Shared {
    /// The bytes of a value; `None` if it is an object that is gone.
    pub(super) async fn load(&self, value: &Value) -> Result<Option<Bytes>, Error> {
        match value {
            Value::Inline(packed) => packed.unpack().map(Some),
            Value::Object { key, compressed } => {
                let Some(object) = self.objects.get(key).await? else { return Ok(None) };
                let packed = super::items::Packed { bytes: object.body, compressed: *compressed };
                packed.unpack().map(Some)
            }
        }
    }

    /// Entries with their content, in the same order.
    pub(super) async fn entries(&self, states: Vec<State>, without_fields: bool) -> Result<Vec<Entry>, Error> {
        let loaded = futures::stream::iter(states).map(|state| async move {
            let bytes = match &state.content {
                Some(content) => self.load(&content.value).await?,
                None => None,
            };
            state.entry(bytes, without_fields)
        });
        loaded.buffered(PARALLEL).try_collect().await
    }

    /// The states of these keys, consistently; those that are not there are left out.
    pub(super) async fn states(&self, client: &ClientId, keys: &[EntryKey]) -> Result<HashMap<EntryKey, State>, Error> {
        let table = self.table(client);
        let wanted: std::collections::HashSet<(String, Key)> =
            keys.iter().map(|key| (table.clone(), keys::entry(key))).collect();
        let mut states = HashMap::new();
        for item in self.db.get_all(wanted.into_iter().collect()).await?.values() {
            let state = State::read(item)?;
            states.insert(state.key.clone(), state);
        }
        Ok(states)
    }

    /// Sources and types that there are, in order.
    pub(super) async fn types(
        &self,
        client: &ClientId,
        source: Option<&SourceId>,
    ) -> Result<Vec<(SourceId, String)>, Error> {
        self.there_is(client, keys::TYPES, source).await
    }

    /// Sources and verdicts that the client has deliveries of.
    pub(super) async fn verdicts(&self, client: &ClientId) -> Result<Vec<(SourceId, Verdict)>, Error> {
        let there = self.there_is(client, keys::VERDICTS, None).await?;
        let parse = |verdict: String| verdict.parse().ok().and_then(Verdict::from_code);
        Ok(there.into_iter().filter_map(|(source, verdict)| Some((source, parse(verdict)?))).collect())
    }

    async fn there_is(
        &self,
        client: &ClientId,
        partition: &str,
        source: Option<&SourceId>,
    ) -> Result<Vec<(SourceId, String)>, Error> {
        let mut range = Range::of(&self.table(client), partition);
        if let Some(source) = source {
            range = range.starting(&keys::prefix(&[source.as_str()]));
        }
        let mut found = Vec::new();
        for item in self.db.all(&range).await? {
            let parts = keys::split(Row(&item).text(keys::SK)?);
            if let [source, what] = &parts[..] {
                found.push((keys::source(source)?, what.clone()));
            }
        }
        Ok(found)
    }
}

pub(super) async fn entries(
    shared: &Shared,
    client: &ClientId,
    keys: &[EntryKey],
) -> Result<Vec<Option<Entry>>, Error> {
    let mut states = shared.states(client, keys).await?;
    let order: Vec<Option<State>> = keys.iter().map(|key| states.get(key).cloned()).collect();
    states.clear();
    let present: Vec<State> = order.iter().flatten().cloned().collect();
    let mut entries = shared.entries(present, false).await?.into_iter();
    Ok(order.into_iter().map(|state| state.and_then(|_| entries.next())).collect())
}

pub(super) async fn delivery(
    shared: &Shared,
    client: &ClientId,
    id: DeliveryId,
    include_body: bool,
) -> Result<Option<(Delivery, Option<Bytes>)>, Error> {
    let Some(item) = shared.db.get(&shared.deliveries, &keys::delivery(id)).await? else { return Ok(None) };
    let stored = StoredDelivery::read(&item)?;
    if stored.delivery.client != *client {
        return Ok(None);
    }
    let mut delivery = stored.delivery;
    let mut body = None;
    if let Some(value) = stored.body.filter(|_| include_body) {
        body = shared.load(&value).await?.filter(|body| is_hash_of(&delivery.body_hash, body));
        delivery.body_kept = body.is_some();
    }
    if let Some(position) = stored.first_published {
        delivery.published_at = published_at(shared, client, position, position).await?.of(position);
    }
    Ok(Some((delivery, body)))
}

/// When positions were published.
struct PublishedAt(Vec<(u64, Timestamp)>);

impl PublishedAt {
    fn of(&self, position: u64) -> Option<Timestamp> {
        let after = self.0.partition_point(|(through, _)| *through < position);
        self.0.get(after).map(|(_, at)| *at)
    }
}

/// What is known of the positions from `first` to `last`.
async fn published_at(shared: &Shared, client: &ClientId, first: u64, last: u64) -> Result<PublishedAt, Error> {
    let range = Range::of(&shared.table(client), keys::PUBLISHED).between(keys::digits(first), keys::digits(u64::MAX));
    let range = if first == last { range.limit(1) } else { range };
    let (mut known, mut from) = (Vec::new(), None);
    loop {
        let page = shared.db.page(&range, from).await?;
        for item in &page.items {
            let through: u64 =
                Row(item).text(keys::SK)?.parse().map_err(|_| crate::store::codec::damaged("through"))?;
            known.push((through, Timestamp::from_micros(Row(item).number("at")?)));
        }
        from = page.next;
        if from.is_none() || known.last().is_some_and(|(through, _)| *through >= last) {
            return Ok(PublishedAt(known));
        }
    }
}

pub(super) async fn deliveries(shared: &Shared, query: &DeliveryQuery) -> Result<DeliveryPage, Error> {
    let there = shared.there_is(&query.client, keys::VERDICTS, query.source.as_ref()).await?;
    let since = query.received_since.map_or_else(|| "0".to_owned(), keys::instant);
    let to = query.after.map(|after| keys::received_sk(after.received_at, after.delivery));
    let to = to.unwrap_or_else(|| "\u{10ffff}".to_owned());
    let mut ranges = Vec::new();
    for (source, verdict) in there {
        let Some(verdict) = verdict.parse().ok().and_then(Verdict::from_code) else { continue };
        if query.verdict.is_none_or(|wanted| wanted == verdict) {
            let pk = keys::received(&query.client, source.as_str(), verdict.code());
            let range = Range::of(&shared.deliveries, pk).index(keys::RECEIVED, (keys::RECEIVED_PK, keys::RECEIVED_SK));
            ranges.push(range.between(since.clone(), to.clone()).descending().limit(query.limit.min(200) + 1));
        }
    }
    let mut walk = Walk::new(&shared.db, ranges, |item| Ok(Row(item).text(keys::RECEIVED_SK)?.to_owned()));
    let (mut page, mut outcomes, mut last) = (DeliveryPage::default(), 0, None);
    let mut first_published = Vec::new();
    'page: loop {
        let ids = walk.take(100.min(query.limit - page.deliveries.len() + 1)).await?;
        if ids.is_empty() {
            last = None;
            break;
        }
        let ids: Vec<Key> = ids.iter().filter_map(|(_, item)| Key::of(item)).collect();
        let wanted = ids.iter().map(|key| (shared.deliveries.clone(), key.clone())).collect();
        let mut items = shared.db.get_all(wanted).await?;
        for key in ids {
            let Some(item) = items.remove(&(shared.deliveries.clone(), key)) else { continue };
            let stored = StoredDelivery::read(&item)?;
            let position =
                DeliveryPosition { received_at: stored.delivery.received_at, delivery: stored.delivery.delivery };
            // The bound of the range is included, and the position itself was on the page before.
            if query.after == Some(position) {
                continue;
            }
            if page.deliveries.len() >= query.limit || outcomes >= PAGE_OUTCOMES {
                break 'page;
            }
            outcomes += stored.delivery.outcomes.len();
            last = Some(position);
            first_published.push(stored.first_published);
            page.deliveries.push(stored.delivery);
        }
    }
    page.next = last;
    let known: Vec<u64> = first_published.iter().flatten().copied().collect();
    if let (Some(first), Some(last)) = (known.iter().min(), known.iter().max()) {
        let published = published_at(shared, &query.client, *first, *last).await?;
        for (delivery, position) in page.deliveries.iter_mut().zip(first_published) {
            delivery.published_at = position.and_then(|position| published.of(position));
        }
    }
    Ok(page)
}
