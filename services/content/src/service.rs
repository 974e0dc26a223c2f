//! The use cases.

use std::time::Duration;

use freshet_domain::{ClientId, EntryStatus, Timestamp};
use freshet_kit::Error;
use freshet_proto::content::v1 as pb;
use freshet_proto::convert;
use futures::Stream;

use crate::model::{Entry, FeedQuery, IngestContext};
use crate::store::Accepted;
use crate::wire;
use crate::{ContentDeps, token, watch};

/// Content in one answer of `BatchGetEntries`; leaves room for what goes with it.
const BATCH_BYTES_MAX: usize = 28 << 20;

/// The use cases over what they are made of.
#[derive(Clone)]
pub(crate) struct Service {
    deps: ContentDeps,
}

impl Service {
    pub(crate) fn new(deps: ContentDeps) -> Self {
        Self { deps }
    }

    fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// How long a source's content is kept. One that is not in the catalogue is looked for once more: validation, which
    /// has judged its delivery, may have read a newer edition.
    async fn content_ttl(&self, client: &str, source: &str) -> Result<Duration, Error> {
        let known = || {
            let catalogue = self.deps.catalogue.get();
            let found = catalogue.client(client).ok_or_else(|| Error::missing(format!("the client `{client}`")))?;
            if !found.sources.contains_key(source) {
                return Err(unknown_source(client, source));
            }
            Ok(found.content_ttl)
        };
        match known() {
            Ok(content_ttl) => Ok(content_ttl),
            Err(_) if self.deps.catalogue.look_now().await => known(),
            Err(_) => {
                Err(Error::unavailable("the catalogue cannot be looked at, and that of before has no such source"))
            }
        }
    }

    pub(crate) async fn ingest_delivery(
        &self,
        request: pb::IngestDeliveryRequest,
    ) -> Result<pb::IngestDeliveryResponse, Error> {
        let content_ttl = self.content_ttl(&request.client_id, &request.source_id).await?;
        let context = IngestContext { now: self.now(), content_ttl };
        let accepted = if request.may_defer {
            self.deps.store.accept(request, context).await?
        } else {
            Accepted::Applied(self.deps.store.ingest(wire::delivery_from_proto(request, &context)?).await?)
        };
        Ok(match accepted {
            Accepted::Applied(ingested) => pb::IngestDeliveryResponse {
                delivery_id: ingested.delivery.to_string(),
                duplicate: ingested.duplicate,
                outcomes: ingested.outcomes.iter().map(convert::outcome_to_proto).collect(),
                deferred: false,
            },
            Accepted::Durable(id) => pb::IngestDeliveryResponse {
                delivery_id: id.to_string(),
                deferred: true,
                ..pb::IngestDeliveryResponse::default()
            },
        })
    }

    pub(crate) async fn get_entry(&self, request: pb::GetEntryRequest) -> Result<pb::GetEntryResponse, Error> {
        let client: ClientId = convert::id("client_id", &request.client_id)?;
        let key = request.key.ok_or_else(|| Error::invalid("key", "is missing"))?;
        let key = convert::key_from_proto(key).map_err(|error| error.within("key"))?;
        let visible = Visible::new(self.now(), request.include_deleted, request.include_expired);
        let found = self.deps.store.get_entries(&client, vec![key.clone()]).await?.pop().flatten();
        match found {
            Some(entry) if visible.shows(&entry) => {
                Ok(pb::GetEntryResponse { entry: Some(wire::entry_to_proto(entry)) })
            }
            Some(entry) if entry.status != EntryStatus::Deleted => {
                Err(Error::missing(format!("a fresh entry `{key}` (it expired at {})", entry.expires_at)))
            }
            _ => Err(Error::missing(format!("the entry `{key}`"))),
        }
    }

    pub(crate) async fn batch_get_entries(
        &self,
        request: pb::BatchGetEntriesRequest,
    ) -> Result<pb::BatchGetEntriesResponse, Error> {
        let client: ClientId = convert::id("client_id", &request.client_id)?;
        let keys = wire::keys_from_proto("keys", request.keys)?;
        let visible = Visible::new(self.now(), request.include_deleted, request.include_expired);
        let found = self.deps.store.get_entries(&client, keys.clone()).await?;
        let bytes = |entry: &Entry| entry.content.as_ref().map_or(0, |content| content.fields_json.len());
        if found.iter().flatten().map(bytes).sum::<usize>() > BATCH_BYTES_MAX {
            return Err(Error::invalid("keys", "name more content than fits into one answer; ask for fewer at a time"));
        }
        let mut response = pb::BatchGetEntriesResponse::default();
        for (key, entry) in keys.iter().zip(found) {
            match entry {
                Some(entry) if visible.shows(&entry) => response.entries.push(wire::entry_to_proto(entry)),
                _ => response.missing.push(convert::key_to_proto(key)),
            }
        }
        Ok(response)
    }

    pub(crate) async fn list_entries(&self, request: pb::ListEntriesRequest) -> Result<pb::ListEntriesResponse, Error> {
        let (query, filters) = wire::entry_query(request, self.now())?;
        let page = self.deps.store.list_entries(query).await?;
        let next = page.next.map(|position| token::entries(&wire::slices(&filters), &position));
        Ok(pb::ListEntriesResponse {
            entries: page.entries.into_iter().map(wire::entry_to_proto).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(crate) async fn watch_changes(
        &self,
        request: pb::WatchChangesRequest,
    ) -> Result<impl Stream<Item = Result<pb::WatchChangesResponse, Error>> + Send + 'static + use<>, Error> {
        let client: ClientId = convert::id("client_id", &request.client_id)?;
        let source = match request.source_id.as_str() {
            "" => None,
            text => Some(convert::id("source_id", text)?),
        };
        let after = match token::feed_position(client.as_str(), &request.resume_token)? {
            Some(position) => position,
            None => self.deps.store.feed_end(&client).await?,
        };
        let query = FeedQuery { client, source, include_all: request.include_all, after, limit: watch::PAGE_ROWS };
        watch::start(self.deps.store.clone(), query).await
    }

    pub(crate) async fn export_snapshot(
        &self,
        request: pb::ExportSnapshotRequest,
    ) -> Result<impl Stream<Item = Result<pb::ExportSnapshotResponse, Error>> + Send + 'static + use<>, Error> {
        let query = wire::export_query(request)?;
        let catalogue = self.deps.catalogue.get();
        for source in &query.sources {
            if catalogue.source(query.client.as_str(), source.as_str()).is_none() {
                return Err(unknown_source(query.client.as_str(), source.as_str()));
            }
        }
        let resume_token_client = query.client.clone();
        let export = self.deps.store.export(query).await?;
        let resume_token = token::feed(resume_token_client.as_str(), export.position);
        Ok(crate::snapshot::responses(export, resume_token))
    }

    pub(crate) async fn invalidate_entries(
        &self,
        request: pb::InvalidateEntriesRequest,
    ) -> Result<pb::InvalidateEntriesResponse, Error> {
        let invalidation = wire::invalidation(request, self.now())?;
        let invalidated = self.deps.store.invalidate(invalidation).await?;
        Ok(pb::InvalidateEntriesResponse { invalidated })
    }

    pub(crate) async fn get_delivery(&self, request: pb::GetDeliveryRequest) -> Result<pb::GetDeliveryResponse, Error> {
        let client: ClientId = convert::id("client_id", &request.client_id)?;
        let id = wire::delivery_id(&request.delivery_id)?;
        let found = self.deps.store.get_delivery(&client, id, request.include_body).await?;
        let (delivery, body) = found.ok_or_else(|| Error::missing(format!("the delivery `{id}`")))?;
        Ok(pb::GetDeliveryResponse {
            delivery: Some(wire::delivery_to_proto(delivery)),
            body: body.unwrap_or_default(),
        })
    }

    pub(crate) async fn list_deliveries(
        &self,
        request: pb::ListDeliveriesRequest,
    ) -> Result<pb::ListDeliveriesResponse, Error> {
        let (query, filters) = wire::delivery_query(&request)?;
        let page = self.deps.store.list_deliveries(query).await?;
        let next = page.next.map(|position| token::deliveries(&wire::slices(&filters), &position));
        Ok(pb::ListDeliveriesResponse {
            deliveries: page.deliveries.into_iter().map(wire::delivery_to_proto).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }
}

fn unknown_source(client: &str, source: &str) -> Error {
    Error::missing(format!("the source `{source}` of the client `{client}`"))
}

/// Which of the stored entries a caller gets to see.
struct Visible {
    now: Timestamp,
    deleted: bool,
    expired: bool,
}

impl Visible {
    fn new(now: Timestamp, deleted: bool, expired: bool) -> Self {
        Self { now, deleted, expired }
    }

    fn shows(&self, entry: &Entry) -> bool {
        match entry.status {
            EntryStatus::Deleted => self.deleted,
            EntryStatus::Published | EntryStatus::Draft => self.expired || entry.expires_at > self.now,
        }
    }
}
