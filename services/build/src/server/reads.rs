//! Calls that change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_domain::catalogue::Site;
use freshet_domain::{BatchId, BuildId, ClientId, DeliveryId, SiteId};
use freshet_kit::{Error, page};
use freshet_proto::build::v1 as pb;
use freshet_proto::convert::id;

use super::{BuildServer, convert};
use crate::machine::{BatchState, BuildState, SiteKey, due_at_latest};
use crate::store::{BatchView, BuildQuery, BuildRecord, DecisionRecord, Stored};

/// Keys that a batch shows.
const CHANGED_KEYS_SHOWN: usize = 1000;

const PAGE_DEFAULT: usize = 50;

impl BuildServer {
    /// A site of the catalogue.
    pub(super) fn known_site(&self, key: &SiteKey) -> Result<Arc<Site>, Error> {
        self.engine.site(key).ok_or_else(|| Error::missing(format!("the site `{}`", key.site)))
    }

    /// A build with its decisions and its log.
    pub(super) async fn build_message(&self, client: &ClientId, build: BuildId) -> Result<pb::Build, Error> {
        let missing = || Error::missing(format!("the build {build}"));
        let view = self.engine.deps.store.build(client, build).await?.ok_or_else(missing)?;
        let live = self.engine.deps.store.load(&view.record.key).await?.state.live;
        Ok(self.encode_build(view.record, view.decisions, live))
    }

    fn encode_build(&self, record: BuildRecord, decisions: Vec<DecisionRecord>, live: Option<BuildId>) -> pb::Build {
        let site_path = self.engine.deps.hosting.site_path(&record.key);
        let is_live = live == Some(record.build);
        convert::build(record, decisions, is_live, site_path)
    }

    /// A batch with its decisions and the first of its keys.
    pub(super) async fn batch_message(&self, client: &ClientId, batch: BatchId) -> Result<pb::Batch, Error> {
        let missing = || Error::missing(format!("the batch {batch}"));
        let view = self.engine.deps.store.batch(client, batch).await?.ok_or_else(missing)?;
        let keys = self.engine.deps.store.changed_keys(client, batch, CHANGED_KEYS_SHOWN).await?;
        let stored = self.engine.deps.store.load(&view.key).await?;
        let due_at = self.due_at(&stored, &view);
        Ok(convert::batch(view, due_at, &keys))
    }

    fn due_at(&self, stored: &Stored, view: &BatchView) -> Option<freshet_domain::Timestamp> {
        let site = self.engine.site(&stored.key)?;
        let pending = stored.state.pending.as_ref().filter(|pending| pending.facts.batch == view.record.facts.batch)?;
        let waits = view.record.state == BatchState::Pending && stored.state.paused.is_none();
        if waits { due_at_latest(pending, &site.policy) } else { None }
    }

    pub(super) async fn do_get_build(&self, request: pb::GetBuildRequest) -> Result<pb::GetBuildResponse, Error> {
        let client = id("client_id", &request.client_id)?;
        let build: BuildId = id("build_id", &request.build_id)?;
        let mut message = self.build_message(&client, build).await?;
        // Why it was made is on its batch's record.
        if let Some(batch) = self.engine.deps.store.batch(&client, id("batch_id", &message.batch_id)?).await? {
            let about_it = batch.decisions.into_iter().filter(|one| one.build.is_none_or(|other| other == build));
            message.decisions = about_it.map(convert::decision).collect();
        }
        Ok(pb::GetBuildResponse { build: Some(message) })
    }

    pub(super) async fn do_list_builds(&self, request: pb::ListBuildsRequest) -> Result<pb::ListBuildsResponse, Error> {
        let client: ClientId = id("client_id", &request.client_id)?;
        let site: Option<SiteId> = match request.site_id.as_str() {
            "" => None,
            name => Some(id("site_id", name)?),
        };
        let state = match request.state {
            0 => None,
            code => {
                let known = u8::try_from(code).ok().and_then(BuildState::from_code);
                Some(known.ok_or_else(|| Error::invalid("state", format!("has the unknown value {code}")))?)
            }
        };
        let state_bytes = request.state.to_be_bytes();
        let filters: [&[u8]; 3] = [client.as_str().as_bytes(), request.site_id.as_bytes(), &state_bytes];
        let before = match page::position(&filters, &request.page_token)? {
            None => None,
            Some(bytes) => {
                let bytes: [u8; 16] = bytes
                    .try_into()
                    .map_err(|_| Error::invalid("page_token", "is not a token of a request with these filters"))?;
                Some(BuildId::from_bytes(bytes))
            }
        };
        let size = page::size(request.page_size, PAGE_DEFAULT)?;
        let query = BuildQuery { client: client.clone(), site: site.clone(), state, before, max: size };
        let records = self.engine.deps.store.builds(query).await?;
        // A site that left the catalogue still has its builds; one that never was has none.
        if let Some(site) = site.filter(|_| records.is_empty()) {
            let key = SiteKey::new(client.clone(), site);
            let is_stored = self.engine.deps.store.load(&key).await?.version > 0;
            if !is_stored {
                self.known_site(&key)?;
            }
        }
        let next_page_token = match records.last() {
            Some(last) if records.len() == size => page::token(&filters, last.build.as_bytes()),
            _ => String::new(),
        };
        let builds = self.encode_builds(records).await?;
        Ok(pb::ListBuildsResponse { builds, next_page_token })
    }

    async fn encode_builds(&self, records: Vec<BuildRecord>) -> Result<Vec<pb::Build>, Error> {
        let mut live: BTreeMap<SiteKey, Option<BuildId>> = BTreeMap::new();
        let mut builds = Vec::with_capacity(records.len());
        for record in records {
            let live = match live.get(&record.key) {
                Some(live) => *live,
                None => {
                    let of_site = self.engine.deps.store.load(&record.key).await?.state.live;
                    live.insert(record.key.clone(), of_site);
                    of_site
                }
            };
            builds.push(self.encode_build(record, Vec::new(), live));
        }
        Ok(builds)
    }

    pub(super) async fn do_get_pending_batch(
        &self,
        request: pb::GetPendingBatchRequest,
    ) -> Result<pb::GetPendingBatchResponse, Error> {
        let key = convert::site_key(&request.client_id, &request.site_id)?;
        self.known_site(&key)?;
        let stored = self.engine.deps.store.load(&key).await?;
        let Some(pending) = stored.state.pending else {
            return Err(Error::missing(format!("a pending batch of the site `{}`", key.site)));
        };
        Ok(pb::GetPendingBatchResponse { batch: Some(self.batch_message(&key.client, pending.facts.batch).await?) })
    }

    pub(super) async fn do_list_sites(&self, request: pb::ListSitesRequest) -> Result<pb::ListSitesResponse, Error> {
        let client: ClientId = id("client_id", &request.client_id)?;
        let catalogue = self.engine.deps.catalogue.get();
        let Some(known) = catalogue.client(client.as_str()) else {
            return Err(Error::missing(format!("the client `{client}`")));
        };
        let filters: [&[u8]; 1] = [client.as_str().as_bytes()];
        let after = page::position(&filters, &request.page_token)?;
        let size = page::size(request.page_size, PAGE_DEFAULT)?;
        let mut rest = known
            .sites
            .values()
            .skip_while(|site| after.as_ref().is_some_and(|after| site.id.as_str().as_bytes() <= after.as_slice()));
        let mut sites = Vec::new();
        let mut last = None;
        for site in rest.by_ref().take(size) {
            sites.push(self.site_message(site, false).await?);
            last = Some(site.id.clone());
        }
        let next_page_token = match last {
            Some(last) if rest.next().is_some() => page::token(&filters, last.as_str().as_bytes()),
            _ => String::new(),
        };
        Ok(pb::ListSitesResponse { sites, next_page_token })
    }

    /// A site with what waits, runs and is live. In lists the changed keys are left out.
    pub(super) async fn site_message(&self, site: &Site, with_keys: bool) -> Result<pb::Site, Error> {
        let key = SiteKey::new(site.client.clone(), site.id.clone());
        let store = &self.engine.deps.store;
        let stored = store.load(&key).await?;
        let pending_batch = match &stored.state.pending {
            Some(pending) => {
                let view = store.batch(&key.client, pending.facts.batch).await?;
                let keys = if with_keys {
                    store.changed_keys(&key.client, pending.facts.batch, CHANGED_KEYS_SHOWN).await?
                } else {
                    Vec::new()
                };
                view.map(|view| {
                    let due_at = self.due_at(&stored, &view);
                    convert::batch(view, due_at, &keys)
                })
            }
            None => None,
        };
        let left_over_batch = match &stored.state.left_over {
            Some(left_over) => {
                let view = store.batch(&key.client, left_over.batch).await?;
                view.map(|view| pb::Batch { changes: left_over.changes, ..convert::batch(view, None, &[]) })
            }
            None => None,
        };
        let running = stored.state.active.as_ref().map(|active| active.build);
        let (running_build, live_build) =
            (self.build_of(&key, running, &stored).await?, self.build_of(&key, stored.state.live, &stored).await?);
        Ok(pb::Site {
            client_id: key.client.to_string(),
            site_id: key.site.to_string(),
            source_ids: site.sources.iter().map(ToString::to_string).collect(),
            preset: site.build.preset.as_str().to_owned(),
            paused: stored.state.paused.is_some(),
            pause_reason: stored.state.paused.as_ref().map(|paused| paused.reason.clone()).unwrap_or_default(),
            pending_batch,
            running_build,
            live_build,
            left_over_batch,
            site_path: self.engine.deps.hosting.site_path(&key),
        })
    }

    async fn build_of(
        &self,
        key: &SiteKey,
        build: Option<BuildId>,
        stored: &Stored,
    ) -> Result<Option<pb::Build>, Error> {
        let Some(build) = build else { return Ok(None) };
        let view = self.engine.deps.store.build(&key.client, build).await?;
        Ok(view.map(|view| {
            let mut record = view.record;
            record.log_tail = String::new();
            self.encode_build(record, view.decisions, stored.state.live)
        }))
    }

    pub(super) async fn do_list_delivery_batches(
        &self,
        request: pb::ListDeliveryBatchesRequest,
    ) -> Result<pb::ListDeliveryBatchesResponse, Error> {
        let client: ClientId = id("client_id", &request.client_id)?;
        let delivery: DeliveryId = id("delivery_id", &request.delivery_id)?;
        let store = &self.engine.deps.store;
        let mut batches = Vec::new();
        for found in store.delivery_batches(&client, delivery).await? {
            let Some(view) = store.batch(&client, found.batch).await? else { continue };
            let stored = store.load(&view.key).await?;
            let mut builds = Vec::new();
            for build in &view.builds {
                builds.extend(self.build_of(&view.key, Some(*build), &stored).await?);
            }
            let due_at = self.due_at(&stored, &view);
            batches.push(pb::DeliveryBatch {
                batch: Some(convert::batch(view, due_at, &[])),
                builds,
                change_indexes: found.indexes,
                joined_at: Some(freshet_proto::convert::timestamp_to_proto(found.joined_at)),
            });
        }
        Ok(pb::ListDeliveryBatchesResponse { batches })
    }
}
