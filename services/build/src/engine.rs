//! The one door to a site's state: load, step, commit, act.

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::catalogue::Site;
use freshet_domain::{BuildId, Catalogue, ChangeOp, Lane};
use freshet_kit::{Error, ErrorKind};

use crate::BuildDeps;
use crate::machine::{self, Action, Context, Input, NewIds, Refusal, Report, Room, SiteKey, Step};
use crate::store::{Commit, Committed, JoinedChange, Limits, RequestMark, Stored};

/// Attempts to commit against other writers of the same site before the caller is told to come again.
const CONFLICTS_MAX: u32 = 50;

/// A change on its way into a batch.
#[derive(Clone, Debug)]
pub(crate) struct OfferedChange {
    pub(crate) change: JoinedChange,
    pub(crate) lane: Lane,
    pub(crate) traceparent: String,
}

/// Why an input was not applied.
#[derive(Debug)]
pub(crate) enum NotApplied {
    /// The machine refuses it in this state.
    Refused(Refusal),
    /// A request with this id was answered before.
    DuplicateRequest,
    /// The store failed.
    Failed(Error),
}

impl From<Error> for NotApplied {
    fn from(error: Error) -> Self {
        NotApplied::Failed(error)
    }
}

/// A request that must have effect once.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) request_id: String,
    pub(crate) fingerprint: String,
    /// The build that the answer is about, where it is known before.
    pub(crate) build: Option<BuildId>,
}

/// Applies inputs.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) deps: BuildDeps,
}

impl Engine {
    pub(crate) fn new(deps: &BuildDeps) -> Self {
        Self { deps: deps.clone() }
    }

    /// Applies an input whose caller has nobody to tell about refusals and duplicates: there are none for it.
    pub(crate) async fn apply(&self, site: &SiteKey, input: Input) -> Result<Option<Step>, Error> {
        match self.apply_request(site, input, None).await {
            Ok(step) => Ok(Some(step)),
            Err(NotApplied::Failed(error)) => Err(error),
            Err(NotApplied::Refused(_) | NotApplied::DuplicateRequest) => Ok(None),
        }
    }

    /// Applies an input. Returns once its effects are durable.
    pub(crate) async fn apply_request(
        &self,
        site: &SiteKey,
        input: Input,
        request: Option<Request>,
    ) -> Result<Step, NotApplied> {
        let mut input = input;
        for attempt in 0..CONFLICTS_MAX {
            let stored = self.deps.store.load(site).await?;
            let catalogue = self.deps.catalogue.get();
            let step = self.step(site, &stored, &catalogue, input.clone()).map_err(NotApplied::Refused)?;
            if request.is_none() && changes_nothing(&stored, &step) {
                return Ok(step);
            }
            let mark = request.as_ref().map(|request| RequestMark {
                request_id: request.request_id.clone(),
                fingerprint: request.fingerprint.clone(),
                batch: step.batch,
                build: request.build,
            });
            match self.commit(site, &stored, &catalogue, &step, None, mark).await? {
                Committed::Done => return Ok(step),
                Committed::DuplicateRequest => return Err(NotApplied::DuplicateRequest),
                Committed::NoRoom(why) => input = Input::Tick { room: Room::Full(why) },
                Committed::Conflict => pause(attempt).await,
            }
        }
        Err(too_busy(site).into())
    }

    /// Adds changes to the site's pending batch, in as many commits as the store needs. Changes that it has taken before
    /// are left out.
    pub(crate) async fn add_changes(&self, site: &SiteKey, offered: &[OfferedChange]) -> Result<(), Error> {
        for part in offered.chunks(self.deps.store.changes_max()) {
            self.add_part(site, part).await?;
        }
        Ok(())
    }

    async fn add_part(&self, site: &SiteKey, offered: &[OfferedChange]) -> Result<(), Error> {
        for attempt in 0..CONFLICTS_MAX {
            let stored = self.deps.store.load(site).await?;
            let ids = offered.iter().map(|offer| offer.change.id).collect();
            let unseen = self.deps.store.unseen(site, ids).await?;
            let new: Vec<&OfferedChange> = unseen.iter().filter_map(|position| offered.get(*position)).collect();
            let Some(input) = arrival(&new) else { return Ok(()) };
            let catalogue = self.deps.catalogue.get();
            let Ok(step) = self.step(site, &stored, &catalogue, input) else {
                return Err(Error::internal("changes were refused"));
            };
            let changes = new.iter().map(|offer| offer.change.clone()).collect();
            let joined = step.batch.map(|batch| (batch, changes));
            match self.commit(site, &stored, &catalogue, &step, joined, None).await? {
                Committed::Done => return Ok(()),
                Committed::Conflict => pause(attempt).await,
                Committed::DuplicateRequest | Committed::NoRoom(_) => {
                    return Err(Error::internal("changes were answered like a request"));
                }
            }
        }
        Err(too_busy(site))
    }

    fn step(&self, site: &SiteKey, stored: &Stored, catalogue: &Catalogue, input: Input) -> Result<Step, Refusal> {
        let policy = catalogue.site(site.client.as_str(), site.site.as_str()).map(|site| &site.policy);
        let context = Context { now: self.deps.clock.now(), policy };
        machine::step(&stored.state, input, context, &mut NewIds)
    }

    async fn commit(
        &self,
        site: &SiteKey,
        stored: &Stored,
        catalogue: &Catalogue,
        step: &Step,
        changes: Option<(freshet_domain::BatchId, Vec<JoinedChange>)>,
        request: Option<RequestMark>,
    ) -> Result<Committed, Error> {
        let limits = Limits {
            client: catalogue.client(site.client.as_str()).map_or(0, |client| client.max_running_builds),
            global: catalogue.max_running_builds,
        };
        let commit = Commit {
            expected: stored.version,
            state: step.state.clone(),
            wake: step.wake,
            effects: step.effects.clone(),
            changes,
            limits,
            request,
            now: self.deps.clock.now(),
        };
        let committed = self.deps.store.commit(site, commit).await?;
        if committed == Committed::Done {
            self.tell(site, step);
        }
        Ok(committed)
    }

    fn tell(&self, site: &SiteKey, step: &Step) {
        for build in &step.effects.builds {
            self.deps.hub.build_changed(site, build.build);
        }
        for action in &step.actions {
            if let Action::CancelBuild { build } = action {
                self.deps.hub.stop_build(*build);
            }
        }
        self.deps.hub.wake();
    }

    /// The site, if the catalogue has it.
    pub(crate) fn site(&self, key: &SiteKey) -> Option<Arc<Site>> {
        self.deps.catalogue.get().site(key.client.as_str(), key.site.as_str()).cloned()
    }

    /// Reports the beginning of a build.
    pub(crate) async fn started(&self, site: &SiteKey, build: BuildId, report: Report) -> Result<(), Error> {
        self.apply(site, Input::BuildStarted { build, report }).await.map(drop)
    }
}

fn changes_nothing(stored: &Stored, step: &Step) -> bool {
    stored.state == step.state && stored.wake == step.wake && step.effects.is_empty() && step.actions.is_empty()
}

fn arrival(new: &[&OfferedChange]) -> Option<Input> {
    let first = new.first()?;
    let lanes = [Lane::Urgent, Lane::Normal, Lane::Bulk];
    let lane = lanes.into_iter().find(|lane| new.iter().any(|offer| offer.lane == *lane))?;
    let traceparent = new.iter().map(|offer| offer.traceparent.as_str()).find(|text| !text.is_empty());
    Some(Input::ChangesArrived {
        count: new.len() as u64,
        lane,
        example: first.change.key.to_string(),
        traceparent: traceparent.unwrap_or_default().to_owned(),
        redacts: new.iter().any(|offer| offer.change.op == ChangeOp::Redact),
    })
}

/// Another writer was faster. Pauses grow and differ, so that many writers of one site get out of step.
async fn pause(attempt: u32) {
    let backoff = freshet_kit::retry::Backoff { first: Duration::from_micros(200), max: Duration::from_millis(50) };
    tokio::time::sleep(backoff.jittered(attempt + 1, freshet_kit::retry::chance())).await;
}

fn too_busy(site: &SiteKey) -> Error {
    Error::new(ErrorKind::Busy, "SITE_BUSY", format!("the site {site} is being changed by too many others"))
        .retry_after(Duration::from_secs(1))
}
