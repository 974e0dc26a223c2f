//! The embedded engine's store: one SQLite database, shared with other components or not.

mod read;
mod rows;
mod schema;
mod write;

use async_trait::async_trait;
use freshet_domain::{BatchId, BuildId, ClientId, DeliveryId, Timestamp};
use freshet_kit::Error;
use freshet_sqlite::Db;

pub use schema::MIGRATIONS;

use super::{
    BatchView, BuildQuery, BuildRecord, BuildStore, BuildView, ChangeId, ChangedKey, Commit, Committed, DeliveryBatch,
    RequestMark, Stored,
};
use crate::machine::SiteKey;

/// The store in SQLite.
#[derive(Clone)]
pub struct SqliteBuildStore {
    db: Db,
}

impl SqliteBuildStore {
    /// Over a database that was opened with [`MIGRATIONS`].
    pub fn open(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl BuildStore for SqliteBuildStore {
    async fn load(&self, site: &SiteKey) -> Result<Stored, Error> {
        let site = site.clone();
        self.db.read(move |connection| read::load(connection, &site)).await
    }

    async fn unseen(&self, site: &SiteKey, changes: Vec<ChangeId>) -> Result<Vec<usize>, Error> {
        let site = site.clone();
        self.db.read(move |connection| read::unseen(connection, &site, &changes)).await
    }

    async fn commit(&self, site: &SiteKey, commit: Commit) -> Result<Committed, Error> {
        let site = site.clone();
        self.db.write(move |connection| write::commit(connection, &site, &commit)).await
    }

    async fn due(&self, now: Timestamp, max: usize) -> Result<Vec<SiteKey>, Error> {
        self.db.read(move |connection| read::due(connection, now, max)).await
    }

    async fn waiting_for_room(&self, max: usize) -> Result<Vec<SiteKey>, Error> {
        self.db.read(move |connection| read::waiting_for_room(connection, max)).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, Error> {
        self.db.read(|connection| read::next_wake(connection)).await
    }

    async fn sites_with_work(&self, after: Option<SiteKey>, max: usize) -> Result<Vec<SiteKey>, Error> {
        self.db.read(move |connection| read::sites_with_work(connection, after.as_ref(), max)).await
    }

    async fn batch(&self, client: &ClientId, batch: BatchId) -> Result<Option<BatchView>, Error> {
        let client = client.clone();
        self.db.read(move |connection| read::batch(connection, &client, batch)).await
    }

    async fn changed_keys(&self, client: &ClientId, batch: BatchId, max: usize) -> Result<Vec<ChangedKey>, Error> {
        let client = client.clone();
        self.db.read(move |connection| read::changed_keys(connection, &client, batch, max)).await
    }

    async fn build(&self, client: &ClientId, build: BuildId) -> Result<Option<BuildView>, Error> {
        let client = client.clone();
        self.db.read(move |connection| read::build(connection, &client, build)).await
    }

    async fn builds(&self, query: BuildQuery) -> Result<Vec<BuildRecord>, Error> {
        self.db.read(move |connection| read::builds(connection, &query)).await
    }

    async fn delivery_batches(&self, client: &ClientId, delivery: DeliveryId) -> Result<Vec<DeliveryBatch>, Error> {
        let client = client.clone();
        self.db.read(move |connection| read::delivery_batches(connection, &client, delivery)).await
    }

    async fn request(&self, client: &ClientId, request_id: &str) -> Result<Option<RequestMark>, Error> {
        let (client, request_id) = (client.clone(), request_id.to_owned());
        self.db.read(move |connection| read::request(connection, &client, &request_id)).await
    }

    async fn prune(&self, before: Timestamp, max: usize) -> Result<u64, Error> {
        self.db.write(move |connection| write::prune(connection, before, max)).await
    }
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::*;

    async fn open() -> (SqliteBuildStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("build.db"), &[MIGRATIONS], freshet_sqlite::DbOptions::default());
        (SqliteBuildStore::open(db.expect("opens")), folder)
    }

    crate::build_store_contract!(open);
}
