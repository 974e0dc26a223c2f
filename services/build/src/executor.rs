//! One build from its start to its end: snapshot, runner, publish, record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use freshet_domain::{BatchId, BuildId};
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::telemetry::trace;
use freshet_kit::{Error, ErrorKind, Shutdown};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::engine::Engine;
use crate::machine::{Input, Outcome, Phase, Report, SiteKey};
use crate::measure;
use crate::runner::{BuildJob, Output, RunOutcome};
use crate::snapshot;
use crate::workspace::Workspace;

/// What a build may still take once the process is asked to stop; then it is interrupted, and retried by the next
/// process.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// How often a build looks whether another task was told to stop it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Keys beyond this many are left out of `changed-keys.ndjson`; a generator builds everything then anyway.
const CHANGED_KEYS_MAX: usize = 1_000_000;

/// A build that the machine decided to start.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) key: SiteKey,
    pub(crate) build: BuildId,
    pub(crate) batch: BatchId,
    pub(crate) attempt: u32,
    pub(crate) traceparent: String,
    /// Another process began it: its snapshot is taken and the runner has it.
    pub(crate) taken_over: bool,
}

/// What a build and whoever may stop it tell each other.
#[derive(Default)]
struct Signals {
    /// Ends the run.
    stop: CancellationToken,
    /// Somebody told the build to stop.
    told: AtomicBool,
    /// The runner has it, and what it does does not end with this process.
    can_be_left: AtomicBool,
}

/// Runs the build in a task of its own.
pub(crate) fn spawn(engine: Engine, start: Start, shutdown: &Shutdown) {
    // Subscribed before the task begins, so that no word is missed.
    let stops = engine.deps.hub.watch_stops();
    let stopping = shutdown.clone();
    shutdown.spawn("build", async move {
        run(&engine, &start, stops, &stopping).await;
    });
}

async fn run(engine: &Engine, start: &Start, stops: broadcast::Receiver<BuildId>, shutdown: &Shutdown) {
    let signals = Signals::default();
    let listen = async {
        tokio::select! {
            () = told_to_stop(engine, start, stops) => signals.told.store(true, Ordering::SeqCst),
            () = async { shutdown.stopping().await; tokio::time::sleep(SHUTDOWN_GRACE).await } => {
                if signals.can_be_left.load(Ordering::SeqCst) {
                    tracing::info!(build.id = %start.build, site = %start.key, "the build is left to the next task");
                    return;
                }
            }
        }
        signals.stop.cancel();
        std::future::pending::<()>().await;
    };
    let span = tracing::info_span!(
        target: trace::TARGET,
        "build",
        otel.name = format_args!("build {}", start.key),
        otel.kind = "consumer",
        otel.status_code = tracing::field::Empty,
        client_id = %start.key.client,
        site_id = %start.key.site,
        freshet.build.id = %start.build,
        freshet.batch.id = %start.batch,
        freshet.build.attempt = start.attempt,
        freshet.build.outcome = tracing::field::Empty,
    );
    trace::set_parent(&span, &start.traceparent);
    let work = async {
        tracing::info!(build.id = %start.build, site = %start.key, build.attempt = start.attempt, "build starts");
        let outcome = execute(engine, start, &signals).await;
        measure::span(&Span::current(), &outcome);
    };
    let work = work.instrument(span);
    tokio::select! {
        () = work => {}
        () = listen => {}
    }
    engine.deps.hub.wake();
}

/// Completes when somebody cancels this build.
async fn told_to_stop(engine: &Engine, start: &Start, mut stops: broadcast::Receiver<BuildId>) {
    loop {
        // Looked up at the start, after words were missed, and now and then, because another task may have been told: the
        // state is the truth.
        if let Ok(stored) = engine.deps.store.load(&start.key).await
            && stored
                .state
                .active
                .is_some_and(|active| active.build == start.build && matches!(active.phase, Phase::Cancelling { .. }))
        {
            return;
        }
        loop {
            let Ok(word) = tokio::time::timeout(LOOK_AGAIN, stops.recv()).await else { break };
            match word {
                Ok(build) if build == start.build => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

async fn execute(engine: &Engine, start: &Start, signals: &Signals) -> Outcome {
    let mut report = Report::default();
    let workspace = Workspace::create(&engine.deps.work_dir, &start.key, start.build).await;
    let outcome = match &workspace {
        Ok(workspace) => attempt(engine, start, workspace, signals, &mut report).await,
        Err(error) => Ok(RunOutcome::Failed(format!("the build's folder could not be made: {error}"))),
    };
    let outcome = match outcome {
        Ok(RunOutcome::Succeeded(output)) => publish(engine, start, &output, report).instrument(part("publish")).await,
        Ok(RunOutcome::Failed(error)) => end(engine, start, Outcome::Failed(error), report).await,
        Ok(RunOutcome::Stopped) => {
            let outcome = if signals.told.load(Ordering::SeqCst) { Outcome::Cancelled } else { Outcome::Interrupted };
            end(engine, start, outcome, report).await
        }
        Err(error) => {
            tracing::warn!(build.id = %start.build, error = %chain(&error), "the build could not be prepared");
            end(engine, start, Outcome::Failed(error.message().to_owned()), report).await
        }
    };
    if let Ok(workspace) = workspace {
        workspace.clean_up().await;
    }
    outcome
}

async fn attempt(
    engine: &Engine,
    start: &Start,
    workspace: &Workspace,
    signals: &Signals,
    report: &mut Report,
) -> Result<RunOutcome, Error> {
    let Some(site) = engine.site(&start.key) else {
        return Ok(RunOutcome::Failed("the site is no longer in the catalogue".to_owned()));
    };
    let stop = &signals.stop;
    // What the build does itself belongs below its span; where nothing is exported, into its changes' trace.
    let traceparent = trace::current().unwrap_or_else(|| snapshot::build_traceparent(&start.traceparent, start.build));
    if !start.taken_over {
        let prepared = tokio::select! {
            prepared = prepare(engine, start, &site.sources, workspace).instrument(part("snapshot")) => prepared,
            () = stop.cancelled() => return Ok(RunOutcome::Stopped),
        };
        report.entries = Some(prepared?);
        report.traceparent = Some(traceparent.clone());
        report.log_location = Some(workspace.log.display().to_string());
        engine.started(&start.key, start.build, report.clone()).await?;
    }
    let job = BuildJob {
        key: start.key.clone(),
        site: site.clone(),
        build: start.build,
        batch: start.batch,
        attempt: start.attempt,
        folder: workspace.folder.clone(),
        content: workspace.content.clone(),
        changed_keys: workspace.changed_keys.clone(),
        log: workspace.log.clone(),
        traceparent,
        site_path: engine.deps.hosting.site_path(&start.key),
        now: engine.deps.clock.now(),
    };
    let runner = engine.deps.runners.of(site.build.preset);
    signals.can_be_left.store(runner.outlives_process(), Ordering::SeqCst);
    let result = runner.run(&job, stop).instrument(part("run")).await;
    signals.can_be_left.store(false, Ordering::SeqCst);
    report.log_tail = Some(result.log_tail);
    report.log_location = result.log_location.or(report.log_location.take());
    Ok(result.outcome)
}

/// A part of a build, below the build's span.
fn part(name: &'static str) -> Span {
    tracing::info_span!(target: trace::TARGET, "part", otel.name = name)
}

async fn prepare(
    engine: &Engine,
    start: &Start,
    sources: &[freshet_domain::SourceId],
    workspace: &Workspace,
) -> Result<u64, Error> {
    let keys = engine.deps.store.changed_keys(&start.key.client, start.batch, CHANGED_KEYS_MAX).await?;
    snapshot::write_changed_keys(keys, workspace.changed_keys.clone()).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "WORK_DIR", format!("the changed keys could not be written: {error}"))
    })?;
    let content = engine.deps.content.clone();
    snapshot::export(content, &start.key.client, sources, workspace.content.clone()).await.map_err(|error| {
        let message = format!("the content snapshot could not be exported: {}", error.message());
        Error::new(error.kind(), "SNAPSHOT", message).with_source(error)
    })
}

async fn publish(engine: &Engine, start: &Start, output: &Output, report: Report) -> Outcome {
    let hosting = &engine.deps.hosting;
    if let Err(error) = hosting.stage(&start.key, start.build, output).await {
        return end(engine, start, Outcome::Failed(error.message().to_owned()), report).await;
    }
    let guard = engine.deps.hub.switching().await;
    let live = match hosting.activate(&start.key, start.build).await {
        Ok(()) => forget_releases_with_removed_content(engine, start).await,
        Err(error) => Err(error),
    };
    match live {
        Ok(()) => end(engine, start, Outcome::Succeeded, report).await,
        Err(error) => {
            drop(guard);
            let message = format!("the finished site could not be published: {}", error.message());
            let outcome = end(engine, start, Outcome::Failed(message), report).await;
            let _ = hosting.discard(&start.key, start.build).await;
            outcome
        }
    }
}

/// What was removed for good must not come back by a rollback. Before the end is recorded, so that a crash in between
/// only repeats the build.
async fn forget_releases_with_removed_content(engine: &Engine, start: &Start) -> Result<(), Error> {
    let stored = engine.deps.store.load(&start.key).await?;
    let redacts = stored.state.active.is_some_and(|active| active.build == start.build && active.facts.redacts);
    if redacts {
        for release in engine.deps.hosting.releases(&start.key).await? {
            if release != start.build {
                engine.deps.hosting.discard(&start.key, release).await?;
            }
        }
    }
    Ok(())
}

/// Records the end. Tried until it is stored: an end that is lost would hold the site until the next restart.
async fn end(engine: &Engine, start: &Start, outcome: Outcome, report: Report) -> Outcome {
    let (site, build) = (&start.key, start.build);
    match &outcome {
        Outcome::Succeeded => tracing::info!(build.id = %build, %site, "build succeeded and is live"),
        Outcome::Failed(error) => tracing::warn!(build.id = %build, %site, error, "build failed"),
        Outcome::Cancelled => tracing::info!(build.id = %build, %site, "build cancelled"),
        Outcome::Interrupted => tracing::info!(build.id = %build, %site, "build interrupted, it starts again"),
    }
    let backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(5) };
    for attempt in 1.. {
        let input = Input::BuildEnded { build, outcome: outcome.clone(), report: report.clone() };
        match engine.apply(site, input).await {
            Ok(step) => {
                if let Some(step) = step {
                    measure::ended(site, &outcome, &step.effects);
                }
                break;
            }
            Err(error) => {
                tracing::warn!(build.id = %build, error = %chain(&error), "the end of a build is not stored yet");
                tokio::time::sleep(backoff.jittered(attempt, chance())).await;
            }
        }
    }
    outcome
}
