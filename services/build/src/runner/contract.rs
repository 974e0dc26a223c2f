//! The suite that every runner passes, turned into one test each by [`runner_contract!`](crate::runner_contract).

use std::time::{Duration, Instant};

use freshet_domain::BuildId;
use tokio_util::sync::CancellationToken;

use super::{BuildJob, Output, RunOutcome, RunResult, Runner};

/// How a build of the suite goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Leaves a site.
    Succeeds,
    /// Ends badly.
    Fails,
    /// Goes on for minutes.
    Lasts,
}

/// A runner under test.
pub trait Subject {
    /// The runner.
    fn runner(&self) -> &dyn Runner;
    /// The runner of the next process over the same world.
    fn next_process(&self) -> impl Future<Output = Box<dyn Runner>> + Send;
    /// A job whose build goes like this. One at a time.
    fn job(&self, plan: Plan) -> impl Future<Output = BuildJob> + Send;
    /// True while something of the build runs.
    fn is_running(&self, job: &BuildJob) -> impl Future<Output = bool> + Send;
    /// Makes a build that [lasts](Plan::Lasts) end well, if it can be told to.
    fn finish(&self, job: &BuildJob) -> impl Future<Output = ()> + Send;
}

/// Number of cases. An engine that runs fewer has lost some.
pub const CASES: usize = 6;

/// A stopped build ends within this; see [`Runner::run`].
const STOP_MAX: Duration = Duration::from_secs(60);

const LOG_TAIL_BYTES: usize = 16 << 10;

/// One test per case. `$open` is an async function that returns a fresh [`Subject`]; where `$enabled` is false, the
/// cases are skipped.
#[macro_export]
macro_rules! runner_contract {
    ($open:path) => {
        $crate::runner_contract!($open, if true);
    };
    ($open:path, if $enabled:expr) => {
        freshet_kit::contract_cases!([$crate::runner::contract], $open, $enabled;
            a_build_that_ends_well_leaves_a_site, a_failure_is_one_sentence, a_stopped_build_ends_and_is_not_a_failure,
            a_build_that_is_stopped_before_it_begins_ends, what_is_abandoned_runs_no_more,
            p4_a_build_whose_process_ends_is_followed_or_gone);
    };
}

async fn run(subject: &impl Subject, job: &BuildJob) -> RunResult {
    let result = subject.runner().run(job, &CancellationToken::new()).await;
    assert!(result.log_tail.len() <= LOG_TAIL_BYTES, "{} bytes of log", result.log_tail.len());
    result
}

async fn until(subject: &impl Subject, job: &BuildJob, runs: bool) {
    let end = Instant::now() + STOP_MAX;
    while subject.is_running(job).await != runs {
        assert!(Instant::now() < end, "the build should {}run", if runs { "" } else { "no longer " });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// And nothing that runs on.
pub async fn a_build_that_ends_well_leaves_a_site(subject: &impl Subject) {
    let job = subject.job(Plan::Succeeds).await;
    let result = run(subject, &job).await;
    match &result.outcome {
        RunOutcome::Succeeded(Output::Folder(output)) => {
            let folder = output.folder.canonicalize().expect("the folder is there");
            assert!(folder.starts_with(output.inside.canonicalize().expect("so is the one around it")));
            assert!(folder.join("index.html").is_file(), "a page");
        }
        // The build put it into the site's bucket, where the hosting looks for it.
        RunOutcome::Succeeded(Output::Uploaded) => {}
        other => panic!("{other:?}"),
    }
    until(subject, &job, false).await;
}

/// For an editor, who knows nothing of exit codes and stack traces.
pub async fn a_failure_is_one_sentence(subject: &impl Subject) {
    let job = subject.job(Plan::Fails).await;
    let result = run(subject, &job).await;
    let RunOutcome::Failed(sentence) = &result.outcome else { panic!("{result:?}") };
    assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence:?}");
    until(subject, &job, false).await;
}

/// Soon, and nothing of it runs on.
pub async fn a_stopped_build_ends_and_is_not_a_failure(subject: &impl Subject) {
    let job = subject.job(Plan::Lasts).await;
    let stop = CancellationToken::new();
    let (result, began) = tokio::join!(subject.runner().run(&job, &stop), async {
        until(subject, &job, true).await;
        stop.cancel();
        Instant::now()
    });
    assert_eq!(result.outcome, RunOutcome::Stopped);
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    until(subject, &job, false).await;
}

/// A batch can be superseded between the decision to start it and its start.
pub async fn a_build_that_is_stopped_before_it_begins_ends(subject: &impl Subject) {
    let job = subject.job(Plan::Lasts).await;
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(subject.runner().run(&job, &stop).await.outcome, RunOutcome::Stopped);
    until(subject, &job, false).await;
}

/// Abandoning what is not there does nothing.
pub async fn what_is_abandoned_runs_no_more(subject: &impl Subject) {
    subject.runner().abandon(BuildId::generate()).await;
    let (job, stop) = (subject.job(Plan::Lasts).await, CancellationToken::new());
    tokio::select! {
        result = subject.runner().run(&job, &stop) => panic!("{result:?}"),
        () = until(subject, &job, true) => {}
    }
    subject.next_process().await.abandon(job.build).await;
    until(subject, &job, false).await;
    assert!(!subject.next_process().await.goes_on(job.build).await.expect("asked"), "nothing goes on");
}

/// Either nothing of it runs, or the next process can follow it to its end.
pub async fn p4_a_build_whose_process_ends_is_followed_or_gone(subject: &impl Subject) {
    let (job, stop) = (subject.job(Plan::Lasts).await, CancellationToken::new());
    tokio::select! {
        result = subject.runner().run(&job, &stop) => panic!("{result:?}"),
        () = until(subject, &job, true) => {}
    }
    let next = subject.next_process().await;
    assert_eq!(subject.runner().outlives_process(), next.outlives_process());
    if !next.outlives_process() {
        until(subject, &job, false).await;
        assert!(!next.goes_on(job.build).await.expect("asked"));
        return;
    }
    assert!(next.goes_on(job.build).await.expect("asked"), "it is known");
    let (result, ()) = tokio::join!(next.run(&job, &stop), subject.finish(&job));
    assert!(matches!(result.outcome, RunOutcome::Succeeded(_)), "{result:?}");
}
