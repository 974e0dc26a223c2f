//! A content service that exports what it was given.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use freshet_kit::rpc::{Channel, in_process};
use freshet_kit::{CatalogueHandle, Error};
use freshet_proto::common::v1::{EntryContent, EntryKey};
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::content::v1::content_service_server::{ContentService, ContentServiceServer};
use freshet_proto::content::v1::*;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub(crate) struct FakeContent {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    entries: Mutex<BTreeMap<(String, String), Entry>>,
    exports: AtomicUsize,
    broken: AtomicBool,
}

impl FakeContent {
    pub(crate) fn client(&self, catalogue: CatalogueHandle) -> ContentServiceClient<Channel> {
        ContentServiceClient::new(in_process(ContentServiceServer::new(self.clone()), catalogue))
    }

    /// Publishes articles whose slugs are their ids.
    pub(crate) fn publish(&self, client: &str, ids: &[String]) {
        let mut entries = self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            let content = EntryContent {
                title: format!("Article {id}"),
                slug: id.clone(),
                fields_json: format!(r#"{{"body":"Text of {id}.","number":12345678901234567890}}"#).into(),
                ..Default::default()
            };
            let key =
                EntryKey { source_id: "blog".into(), r#type: "article".into(), id: id.clone(), ..Default::default() };
            let entry = Entry { key: Some(key), kind: 1, status: 1, content: Some(content), ..Default::default() };
            entries.insert((client.to_owned(), id.clone()), entry);
        }
    }

    /// Adds a draft, which no snapshot should show.
    pub(crate) fn add_draft(&self, client: &str, id: &str) {
        self.publish(client, &[id.to_owned()]);
        let mut entries = self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&(client.to_owned(), id.to_owned())) {
            entry.status = 2;
        }
    }

    fn entries_of(&self, client: &str) -> Vec<Entry> {
        let entries = self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|((of, _), _)| of == client).map(|(_, entry)| entry.clone()).collect()
    }

    pub(crate) fn exports(&self) -> usize {
        self.shared.exports.load(Ordering::SeqCst)
    }

    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.shared.broken.store(is_broken, Ordering::SeqCst);
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn not_here<T>() -> Answer<T> {
    Err(Error::internal("not part of this test").into())
}

#[tonic::async_trait]
impl ContentService for FakeContent {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;
    type ExportSnapshotStream = Pin<Box<dyn Stream<Item = Result<ExportSnapshotResponse, Status>> + Send>>;

    async fn export_snapshot(&self, request: Request<ExportSnapshotRequest>) -> Answer<Self::ExportSnapshotStream> {
        if self.shared.broken.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the content store is down").into());
        }
        self.shared.exports.fetch_add(1, Ordering::SeqCst);
        let request = request.into_inner();
        assert_eq!(request.source_ids, ["blog"]);
        let parts: Vec<_> = self
            .entries_of(&request.client_id)
            .chunks(500)
            .map(|part| Ok(ExportSnapshotResponse { entries: part.to_vec(), resume_token: "1".into() }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn ingest_delivery(&self, _: Request<IngestDeliveryRequest>) -> Answer<IngestDeliveryResponse> {
        not_here()
    }

    async fn get_entry(&self, _: Request<GetEntryRequest>) -> Answer<GetEntryResponse> {
        not_here()
    }

    async fn batch_get_entries(&self, _: Request<BatchGetEntriesRequest>) -> Answer<BatchGetEntriesResponse> {
        not_here()
    }

    async fn list_entries(&self, request: Request<ListEntriesRequest>) -> Answer<ListEntriesResponse> {
        let request = request.into_inner();
        let mut entries = self.entries_of(&request.client_id);
        entries.retain(|entry| entry.status == request.status);
        Ok(Response::new(ListEntriesResponse { entries, ..ListEntriesResponse::default() }))
    }

    async fn watch_changes(&self, _: Request<WatchChangesRequest>) -> Answer<Self::WatchChangesStream> {
        not_here()
    }

    async fn invalidate_entries(&self, _: Request<InvalidateEntriesRequest>) -> Answer<InvalidateEntriesResponse> {
        not_here()
    }

    async fn get_delivery(&self, _: Request<GetDeliveryRequest>) -> Answer<GetDeliveryResponse> {
        not_here()
    }

    async fn list_deliveries(&self, _: Request<ListDeliveriesRequest>) -> Answer<ListDeliveriesResponse> {
        not_here()
    }
}
