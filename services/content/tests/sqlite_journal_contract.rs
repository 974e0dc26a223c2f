//! The embedded engine passes the store's contract also when every delivery goes through its journal, is answered before
//! it is applied, and is read at once.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_content::SqliteStore;
use freshet_content::model::{
    Delivery, DeliveryPage, DeliveryQuery, Entry, EntryPage, EntryQuery, ExportQuery, FeedPage, FeedQuery, Ingested,
    Invalidation, NewDelivery, OutboxBatch, RetentionLimits, Swept,
};
use freshet_content::store::contract::Made;
use freshet_content::store::contract::support::request_of;
use freshet_content::store::{Accepted, Export, FeedSignal, Store};
use freshet_domain::{ClientId, DeliveryId, EntryKey, Timestamp};
use freshet_kit::Error;
use freshet_sqlite::{Db, DbOptions};

/// Accepts what it is to ingest, and reads what became of it.
struct Accepting(SqliteStore);

#[async_trait]
impl Store for Accepting {
    async fn ingest(&self, delivery: NewDelivery) -> Result<Ingested, Error> {
        let client = delivery.client.clone();
        let (request, context) = request_of(&delivery);
        match self.0.accept(request, context).await? {
            Accepted::Applied(ingested) => Ok(ingested),
            Accepted::Durable(id) => {
                let (stored, _) = self.0.get_delivery(&client, id, false).await?.expect("what is durable is read");
                Ok(Ingested { delivery: id, duplicate: false, outcomes: stored.outcomes })
            }
        }
    }

    async fn get_entries(&self, client: &ClientId, keys: Vec<EntryKey>) -> Result<Vec<Option<Entry>>, Error> {
        self.0.get_entries(client, keys).await
    }

    async fn list_entries(&self, query: EntryQuery) -> Result<EntryPage, Error> {
        self.0.list_entries(query).await
    }

    async fn export(&self, query: ExportQuery) -> Result<Export, Error> {
        self.0.export(query).await
    }

    async fn invalidate(&self, invalidation: Invalidation) -> Result<u64, Error> {
        self.0.invalidate(invalidation).await
    }

    async fn get_delivery(
        &self,
        client: &ClientId,
        delivery: DeliveryId,
        include_body: bool,
    ) -> Result<Option<(Delivery, Option<Bytes>)>, Error> {
        self.0.get_delivery(client, delivery, include_body).await
    }

    async fn list_deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error> {
        self.0.list_deliveries(query).await
    }

    async fn feed_end(&self, client: &ClientId) -> Result<u64, Error> {
        self.0.feed_end(client).await
    }

    async fn read_feed(&self, query: FeedQuery) -> Result<FeedPage, Error> {
        self.0.read_feed(query).await
    }

    async fn read_outbox(&self, limit: usize) -> Result<OutboxBatch, Error> {
        self.0.read_outbox(limit).await
    }

    async fn finish_outbox(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), Error> {
        self.0.finish_outbox(batch, at).await
    }

    async fn sweep(&self, now: Timestamp, limits: RetentionLimits) -> Result<Swept, Error> {
        self.0.sweep(now, limits).await
    }

    fn signal(&self) -> &FeedSignal {
        self.0.signal()
    }
}

async fn make() -> Made {
    let folder = tempfile::tempdir().expect("folder");
    let db = Db::open(&folder.path().join("freshet.db"), &[freshet_content::MIGRATIONS], DbOptions::default());
    let store = SqliteStore::open(db.expect("opens"), &folder.path().join("bodies")).expect("opens");
    Made { store: Arc::new(Accepting(store.journaling_always())), guard: Box::new(folder) }
}

freshet_content::store_contract!(make);
