//! The timers: one task that looks at whoever is due and starts their builds.

use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::telemetry::metrics;
use freshet_kit::{Error, Readiness, Shutdown};

use crate::BuildDeps;
use crate::engine::Engine;
use crate::executor::{self, Start};
use crate::lease;
use crate::machine::{Action, Active, Input, Outcome, Phase, Report, Room, SiteKey};
use crate::{survey, workspace};

/// The longest sleep: covers clocks that jump, and inputs that another process stored.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Sites that are looked at in one go.
const PAGE: usize = 256;

/// Batches whose changes have been live for so long are forgotten. Longer than any provider repeats a delivery.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Starts the scheduler.
pub(crate) fn spawn(deps: BuildDeps, shutdown: &Shutdown, readiness: &Readiness) {
    let (latch, surveyed) = (readiness.latch("build scheduler"), readiness.latch("build survey"));
    let stop = shutdown.clone();
    shutdown.spawn("build scheduler", async move {
        // What is not known yet would be taken for removed: builds that go on would be stopped.
        tokio::select! {
            () = deps.catalogue.loaded() => {}
            () = stop.stopping() => return,
        }
        let (mut latch, mut surveyed) = (Some(latch), Some(surveyed));
        if let Some(lease) = deps.lease.clone() {
            // Standing by is being ready: calls and events are taken.
            if !lease::take(lease.as_ref(), &stop, || drop((latch.take(), surveyed.take()))).await {
                return;
            }
            tracing::info!("this task schedules");
            if let Some(metrics) = metrics() {
                metrics.lease_held.record(1, &[]);
            }
            let holding = stop.clone();
            stop.spawn("build lease", async move { lease::hold(lease.as_ref(), &holding).await });
        }
        let (engine, until) = (Engine::new(&deps), stop.clone());
        stop.spawn("build survey", survey::run(engine.clone(), until, surveyed.take()));
        let scheduler = Scheduler { engine, shutdown: stop };
        if scheduler.until_done("builds of the last process", || scheduler.recover()).await {
            drop(latch);
            scheduler.run().await;
        }
    });
}

struct Scheduler {
    engine: Engine,
    shutdown: Shutdown,
}

impl Scheduler {
    /// Tries until it works. False if the soft stop came first.
    async fn until_done<F>(&self, what: &str, work: impl Fn() -> F) -> bool
    where
        F: Future<Output = Result<(), Error>>,
    {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(10) };
        for attempt in 1.. {
            if self.shutdown.is_stopping() {
                return false;
            }
            match work().await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(error = %chain(&error), "failed to look after {what}, trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.jittered(attempt, chance())) => {}
                () = self.shutdown.stopping() => return false,
            }
        }
        false
    }

    /// Builds that another process left as running: those that run elsewhere are gone on with; whatever is left of the
    /// others is ended, and they start again.
    async fn recover(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let sites = self.engine.deps.store.sites_with_work(after, PAGE).await?;
            for site in &sites {
                match self.recover_site(site).await {
                    Ok(()) => {}
                    Err(error) if error.kind().is_transient() => return Err(error),
                    // Trying again cannot help, and the other sites must not wait for this one.
                    Err(error) => tracing::error!(%site, error = %chain(&error), "a site cannot be recovered"),
                }
            }
            match sites.last() {
                Some(last) if sites.len() == PAGE => after = Some(last.clone()),
                _ => break,
            }
        }
        workspace::remove_leftovers(&self.engine.deps.work_dir).await;
        Ok(())
    }

    async fn recover_site(&self, site: &SiteKey) -> Result<(), Error> {
        let stored = self.engine.deps.store.load(site).await?;
        let Some(active) = stored.state.active.filter(|active| active.phase.is_running()) else { return Ok(()) };
        if self.takes_over(site, &active).await? {
            return Ok(());
        }
        self.engine.deps.runners.abandon(active.build).await;
        let input = Input::BuildEnded { build: active.build, outcome: Outcome::Interrupted, report: Report::default() };
        self.engine.apply(site, input).await?;
        tracing::info!(build.id = %active.build, %site, "a build of the last process was interrupted, it starts again");
        Ok(())
    }

    /// Goes on with a build that runs elsewhere than in the process that ended. False: there is none. An error is no
    /// reason to stop a build that may run: the caller tries again.
    async fn takes_over(&self, site: &SiteKey, active: &Active) -> Result<bool, Error> {
        let Some(known) = self.engine.site(site) else { return Ok(false) };
        let runner = self.engine.deps.runners.of(known.build.preset);
        if active.phase != Phase::Running || !runner.goes_on(active.build).await? {
            return Ok(false);
        }
        tracing::info!(build.id = %active.build, %site, "a build that another task began goes on");
        let start = Start {
            key: site.clone(),
            build: active.build,
            batch: active.facts.batch,
            attempt: active.attempt,
            traceparent: active.facts.traceparent.clone(),
            taken_over: true,
        };
        executor::spawn(self.engine.clone(), start, &self.shutdown);
        Ok(true)
    }

    async fn run(&self) {
        let mut editions = self.engine.deps.catalogue.subscribe();
        // The catalogue may have changed while nobody watched.
        let mut look_at_all = true;
        let mut next_prune = tokio::time::Instant::now() + PRUNE_EVERY;
        while !self.shutdown.is_stopping() {
            let all = std::mem::take(&mut look_at_all);
            if !self.until_done("due builds", || self.pass(all)).await {
                return;
            }
            if tokio::time::Instant::now() >= next_prune {
                self.prune().await;
                next_prune = tokio::time::Instant::now() + PRUNE_EVERY;
            }
            let sleep = self.sleep().await;
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.engine.deps.hub.woken() => {}
                changed = editions.changed() => look_at_all = changed.is_ok(),
                () = self.shutdown.stopping() => {}
            }
        }
    }

    async fn sleep(&self) -> Duration {
        let now = self.engine.deps.clock.now();
        match self.engine.deps.store.next_wake().await {
            // Never zero: a site that stays due for whatever reason must not spin.
            Ok(Some(at)) => at.since(now).clamp(Duration::from_millis(1), SLEEP_MAX),
            Ok(None) | Err(_) => SLEEP_MAX,
        }
    }

    /// Looks at every site that is due, or at all that have work. One that fails does not stop the others.
    async fn pass(&self, all: bool) -> Result<(), Error> {
        let mut failure = None;
        if all {
            let mut after = None;
            loop {
                let sites = self.engine.deps.store.sites_with_work(after, PAGE).await?;
                for site in &sites {
                    failure = self.tick(site).await.err().or(failure);
                }
                match sites.last() {
                    Some(last) if sites.len() == PAGE => after = Some(last.clone()),
                    _ => break,
                }
            }
        }
        // Those that wait for room are older than those that become due now.
        for site in self.engine.deps.store.waiting_for_room(PAGE).await? {
            failure = self.tick(&site).await.err().or(failure);
        }
        loop {
            let now = self.engine.deps.clock.now();
            let due = self.engine.deps.store.due(now, PAGE).await?;
            for site in &due {
                failure = self.tick(site).await.err().or(failure);
            }
            if let Some(error) = failure {
                return Err(error);
            }
            if due.len() < PAGE || self.shutdown.is_stopping() {
                return Ok(());
            }
        }
    }

    async fn tick(&self, site: &SiteKey) -> Result<(), Error> {
        if self.shutdown.is_stopping() {
            return Ok(());
        }
        let Some(step) = self.engine.apply(site, Input::Tick { room: Room::Free }).await? else { return Ok(()) };
        for action in step.actions {
            if let Action::StartBuild { build, batch, attempt, traceparent } = action {
                let start = Start { key: site.clone(), build, batch, attempt, traceparent, taken_over: false };
                executor::spawn(self.engine.clone(), start, &self.shutdown);
            }
        }
        Ok(())
    }

    async fn prune(&self) {
        let before: Timestamp = self.engine.deps.clock.now().minus(KEPT);
        loop {
            match self.engine.deps.store.prune(before, 100).await {
                Ok(0) => return,
                Ok(batches) => tracing::info!(batches, "forgot batches that have been live for long"),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "old batches could not be forgotten");
                    return;
                }
            }
        }
    }
}
