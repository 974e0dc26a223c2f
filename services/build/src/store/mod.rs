//! Where states, batches, changes and builds are kept: the port and its written contract.

#[cfg(feature = "testkit")]
pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod sqlite;

use async_trait::async_trait;
use freshet_domain::{BatchId, BuildId, ChangeOp, ClientId, DeliveryId, EntryKey, SiteId, Timestamp};
use freshet_kit::Error;

use crate::machine::{BatchRecord, BuildState, Effects, SiteKey, SiteState, Wake};

/// The store of the build service.
///
/// Every read sees every commit that was answered before it began.
#[async_trait]
pub trait BuildStore: Send + Sync {
    /// The most changes that one commit takes.
    fn changes_max(&self) -> usize {
        usize::MAX
    }

    /// The state of a site; a site that was never stored is idle, with version 0.
    async fn load(&self, site: &SiteKey) -> Result<Stored, Error>;

    /// Of these changes, the positions of those that the site has never taken, each named once. Only meaningful
    /// together with a version that was loaded before: changes join a site in commits only.
    async fn unseen(&self, site: &SiteKey, changes: Vec<ChangeId>) -> Result<Vec<usize>, Error>;

    /// Commits what one input did, all of it or nothing. Durable when it returns [`Committed::Done`].
    ///
    /// In this order: if the stored version is not [`Commit::expected`], or one of the changes is already there, the
    /// answer is [`Committed::Conflict`]. If the request id is known, [`Committed::DuplicateRequest`]. If the site did
    /// not occupy a place before and does now, and a limit of [`Commit::limits`] is reached, [`Committed::NoRoom`].
    async fn commit(&self, site: &SiteKey, commit: Commit) -> Result<Committed, Error>;

    /// Sites whose wake time has come, the earliest first.
    async fn due(&self, now: Timestamp, max: usize) -> Result<Vec<SiteKey>, Error>;

    /// Sites that wait for room, the one that has waited longest first.
    async fn waiting_for_room(&self, max: usize) -> Result<Vec<SiteKey>, Error>;

    /// The earliest wake time.
    async fn next_wake(&self) -> Result<Option<Timestamp>, Error>;

    /// Sites with a pending or active batch, by name, after `after`.
    async fn sites_with_work(&self, after: Option<SiteKey>, max: usize) -> Result<Vec<SiteKey>, Error>;

    /// One batch with its builds and decisions.
    async fn batch(&self, client: &ClientId, batch: BatchId) -> Result<Option<BatchView>, Error>;

    /// The keys that changed in a batch and in every batch that joined it, each once with its latest operation, by key.
    async fn changed_keys(&self, client: &ClientId, batch: BatchId, max: usize) -> Result<Vec<ChangedKey>, Error>;

    /// One build with its decisions.
    async fn build(&self, client: &ClientId, build: BuildId) -> Result<Option<BuildView>, Error>;

    /// Builds, newest first, without logs and decisions.
    async fn builds(&self, query: BuildQuery) -> Result<Vec<BuildRecord>, Error>;

    /// Where the changes of a delivery are: for each site the batch that took them, and every batch that these changes
    /// joined later; by batch id.
    async fn delivery_batches(&self, client: &ClientId, delivery: DeliveryId) -> Result<Vec<DeliveryBatch>, Error>;

    /// What was answered to this request id.
    async fn request(&self, client: &ClientId, request_id: &str) -> Result<Option<RequestMark>, Error>;

    /// Forgets batches whose changes have been live since before `before`, with their changes, builds and decisions,
    /// but never a live build; and request ids from before it. Returns the number of batches; call again until it is
    /// 0. At most `max` in one call.
    async fn prune(&self, before: Timestamp, max: usize) -> Result<u64, Error>;
}

/// A state as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The site.
    pub key: SiteKey,
    /// The state.
    pub state: SiteState,
    /// Grows with each commit.
    pub version: u64,
    /// When the site is due.
    pub wake: Wake,
}

/// Names a change for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId {
    /// The delivery that brought it.
    pub delivery: DeliveryId,
    /// Its position there.
    pub index: u32,
}

/// A change that joins a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedChange {
    /// Its name.
    pub id: ChangeId,
    /// The entry.
    pub key: EntryKey,
    /// What was done.
    pub op: ChangeOp,
    /// Position in the client's change feed.
    pub sequence: u64,
}

/// What one input did.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The version that the step was made from.
    pub expected: u64,
    /// The new state.
    pub state: SiteState,
    /// When the site is due.
    pub wake: Wake,
    /// What to record.
    pub effects: Effects,
    /// Changes that join a batch.
    pub changes: Option<(BatchId, Vec<JoinedChange>)>,
    /// The places that there are. Only looked at when the site begins to occupy one.
    pub limits: Limits,
    /// The request that caused it, if it had an id.
    pub request: Option<RequestMark>,
    /// Now.
    pub now: Timestamp,
}

/// How many builds may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of this client.
    pub client: u32,
    /// Of all clients.
    pub global: u32,
}

/// The answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Durable.
    Done,
    /// The state changed meanwhile: load again.
    Conflict,
    /// A limit on running builds is reached. For people.
    NoRoom(String),
    /// A request with this id was answered before.
    DuplicateRequest,
}

/// Remembers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMark {
    /// Chosen by the caller.
    pub request_id: String,
    /// What was asked for, everything that counts: the same id with another question is refused.
    pub fingerprint: String,
    /// The batch that the answer is about.
    pub batch: Option<BatchId>,
    /// The build that the answer is about.
    pub build: Option<BuildId>,
}

/// A decision as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// When.
    pub at: Timestamp,
    /// About which build; `None`: the batch as a whole.
    pub build: Option<BuildId>,
    /// Machine-readable.
    pub code: String,
    /// For people.
    pub reason: String,
}

/// A batch with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchView {
    /// The site.
    pub key: SiteKey,
    /// The batch.
    pub record: BatchRecord,
    /// Its builds, oldest first.
    pub builds: Vec<BuildId>,
    /// Its decisions, oldest first.
    pub decisions: Vec<DecisionRecord>,
}

/// A build as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRecord {
    /// The site.
    pub key: SiteKey,
    /// The build.
    pub build: BuildId,
    /// Its batch.
    pub batch: BatchId,
    /// Number of the attempt.
    pub attempt: u32,
    /// Where it stands.
    pub state: BuildState,
    /// When it was queued.
    pub create_time: Timestamp,
    /// When the runner started it.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Changes in it.
    pub changes: u64,
    /// Entries in its snapshot.
    pub entries: u64,
    /// Why it failed.
    pub error: String,
    /// The last lines of its log; empty in lists.
    pub log_tail: String,
    /// Where the whole log is.
    pub log_location: String,
    /// W3C trace context.
    pub traceparent: String,
}

/// A build with its decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildView {
    /// The build.
    pub record: BuildRecord,
    /// Its decisions, oldest first.
    pub decisions: Vec<DecisionRecord>,
}

/// Which builds to list.
#[derive(Clone, Debug)]
pub struct BuildQuery {
    /// Of this client.
    pub client: ClientId,
    /// Only this site.
    pub site: Option<SiteId>,
    /// Only in this state.
    pub state: Option<BuildState>,
    /// Only builds older than this one.
    pub before: Option<BuildId>,
    /// At most this many.
    pub max: usize,
}

/// One key and what was done to it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    /// The entry.
    pub key: EntryKey,
    /// What was done.
    pub op: ChangeOp,
}

/// A batch as seen from one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryBatch {
    /// The batch.
    pub batch: BatchId,
    /// The positions of the delivery's changes in it, ascending.
    pub indexes: Vec<u32>,
    /// When the first of them joined.
    pub joined_at: Timestamp,
}
