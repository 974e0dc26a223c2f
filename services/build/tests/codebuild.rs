//! Builds in CodeBuild, on an emulator whose builds take a while, end as they are told, and can be refused.

#![cfg(feature = "aws")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_codebuild::types::{
    ArtifactsType, Build, ComputeType, EnvironmentType, EnvironmentVariableType, ProjectArtifacts, ProjectEnvironment,
    ProjectSource, SourceType, StatusType,
};
use bytes::Bytes;
use freshet_aws::{CallCounts, Objects, testing};
use freshet_build::machine::SiteKey;
use freshet_build::runner::contract::{Plan, Subject};
use freshet_build::runner::{BuildJob, CodeBuildRunner, Output, Pace, RunOutcome, RunResult, Runner};
use freshet_build::{Runners, events};
use freshet_domain::catalogue::{Preset, SecretName, Site, SiteAws, SiteBuild};
use freshet_domain::{BatchId, BuildId, ClientId, SiteId, SourceId, Timestamp};
use freshet_kit::retry::Backoff;
use freshet_kit::{Readiness, Shutdown};
use serde_json::{Value, json};
use support::FakeQueue;
use tokio_util::sync::CancellationToken;

const QUICK: Pace = Pace {
    poll: Duration::from_millis(150),
    backoff: Backoff { first: Duration::from_millis(20), max: Duration::from_millis(100) },
    stop: Duration::from_secs(20),
    queued: Duration::from_secs(3600),
    unsure: Duration::from_secs(60),
};

/// A project in CodeBuild, and a runner.
struct Bench {
    folder: tempfile::TempDir,
    project: String,
    client: aws_sdk_codebuild::Client,
    objects: Objects,
    counts: CallCounts,
    runner: Arc<CodeBuildRunner>,
}

impl Bench {
    async fn open(pace: Pace) -> Option<Self> {
        let counts = CallCounts::new();
        let config = counts.attach(testing::config()?);
        let client = aws_sdk_codebuild::Client::new(&config);
        let project = testing::name("project");
        let environment = ProjectEnvironment::builder()
            .r#type(EnvironmentType::ArmContainer)
            .image("aws/codebuild/amazonlinux-aarch64-standard:3.0")
            .compute_type(ComputeType::BuildGeneral1Small);
        client
            .create_project()
            .name(&project)
            .source(
                ProjectSource::builder().r#type(SourceType::NoSource).buildspec("version: 0.2").build().expect("one"),
            )
            .artifacts(ProjectArtifacts::builder().r#type(ArtifactsType::NoArtifacts).build().expect("none"))
            .environment(environment.build().expect("an environment"))
            .service_role("arn:aws:iam::123456789012:role/build")
            .send()
            .await
            .expect("a project");
        let objects = testing::bucket(&config, "builds").await;
        let runner = Arc::new(CodeBuildRunner::with_client(client.clone(), objects.clone(), pace));
        let folder = tempfile::tempdir().expect("a folder");
        let bench = Self { folder, project, client, objects, counts, runner };
        bench.plan(0.3, "SUCCEEDED").await;
        Some(bench)
    }

    /// How builds of the project go from now on.
    async fn plan(&self, seconds: impl Into<Option<f64>>, status: &str) {
        let plan = json!({ &self.project: { "seconds": seconds.into(), "status": status } });
        testing::tell("/moto-api/codebuild", &plan.to_string()).await;
    }

    async fn fault(&self, mut fault: Value) {
        fault["name"] = json!(self.project);
        fault["service"] = json!("codebuild");
        fault["action"] = json!("StartBuild");
        testing::tell("/_faults", &fault.to_string()).await;
    }

    fn job(&self) -> BuildJob {
        let (client, site) = (ClientId::new("acme").expect("a name"), SiteId::new("shop").expect("a name"));
        let secret = SecretName { secret: "freshet-dev/acme/blog".into(), json_key: Some("token".into()) };
        let whole = SecretName { secret: "freshet-dev/acme/plain".into(), json_key: None };
        let site = Site {
            client: client.clone(),
            id: site,
            title: "Shop".into(),
            sources: vec![SourceId::new("blog").expect("a name")],
            build: SiteBuild {
                preset: Preset::Eleventy,
                env: BTreeMap::from([
                    ("SITE_URL".to_owned(), "https://shop.example".to_owned()),
                    ("FRESHET_SITE".to_owned(), "not this".to_owned()),
                ]),
                ..support::builtin()
            },
            policy: support::quick(),
            aws: Some(SiteAws {
                project: Some(self.project.clone()),
                bucket: "acme-shop-site".into(),
                distribution: None,
                secret_env: BTreeMap::from([("TOKEN".to_owned(), secret), ("WHOLE".to_owned(), whole)]),
            }),
        };
        let folder = self.folder.path().to_owned();
        std::fs::write(folder.join("content.ndjson.zst"), "content").expect("written");
        std::fs::write(folder.join("changed-keys.ndjson"), "keys").expect("written");
        BuildJob {
            key: SiteKey::new(client, site.id.clone()),
            site: Arc::new(site),
            build: BuildId::generate(),
            batch: BatchId::generate(),
            attempt: 2,
            content: folder.join("content.ndjson.zst"),
            changed_keys: folder.join("changed-keys.ndjson"),
            log: folder.join("build.log"),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            site_path: "/".into(),
            now: Timestamp::now(),
            folder,
        }
    }

    async fn run(&self, job: &BuildJob) -> RunResult {
        self.runner.run(job, &CancellationToken::new()).await
    }

    fn spawn(&self, job: &BuildJob, stop: &CancellationToken) -> tokio::task::JoinHandle<RunResult> {
        let (runner, job, stop) = (self.runner.clone(), job.clone(), stop.clone());
        tokio::spawn(async move { runner.run(&job, &stop).await })
    }

    /// Every build of the project.
    async fn builds(&self) -> Vec<Build> {
        let listed = self.client.list_builds_for_project().project_name(&self.project).send().await.expect("listed");
        let ids = listed.ids.unwrap_or_default();
        if ids.is_empty() {
            return Vec::new();
        }
        let got = self.client.batch_get_builds().set_ids(Some(ids)).send().await.expect("asked");
        got.builds.unwrap_or_default()
    }

    /// Waits until the project has a build.
    async fn a_build(&self) -> Build {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(build) = self.builds().await.into_iter().next() {
                return build;
            }
            assert!(Instant::now() < until, "no build was started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn error(result: &RunResult) -> &str {
    match &result.outcome {
        RunOutcome::Failed(error) => error,
        other => panic!("not failed: {other:?}"),
    }
}

const UPLOADED: RunOutcome = RunOutcome::Succeeded(Output::Uploaded);

#[tokio::test]
async fn a_build_is_told_everything_and_its_snapshot_is_there_while_it_runs() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.plan(1.5, "SUCCEEDED").await;
    let job = bench.job();
    let running = bench.spawn(&job, &CancellationToken::new());
    let build = bench.a_build().await;
    let environment = build.environment().expect("an environment").environment_variables();
    let variables: BTreeMap<&str, (&str, &EnvironmentVariableType)> =
        environment.iter().map(|each| (each.name(), (each.value(), each.r#type().expect("a type")))).collect();
    let folder = format!("builds/acme/shop/{}", job.build);
    let at = |name: &str| format!("s3://{}/{folder}/{name}", bench.objects.bucket());
    let plain = [
        ("FRESHET_ATTEMPT", "2".to_owned()),
        ("FRESHET_BATCH_ID", job.batch.to_string()),
        ("FRESHET_BUILD_ID", job.build.to_string()),
        ("FRESHET_CHANGED_KEYS", at("changed-keys.ndjson")),
        ("FRESHET_CLIENT", "acme".to_owned()),
        ("FRESHET_CONTENT", at("content.ndjson.zst")),
        ("FRESHET_OUTPUT", format!("s3://acme-shop-site/releases/{}/", job.build)),
        ("FRESHET_SITE", "shop".to_owned()),
        ("SITE_URL", "https://shop.example".to_owned()),
        ("TRACEPARENT", job.traceparent.clone()),
    ];
    for (name, value) in &plain {
        assert_eq!(variables[name], (value.as_str(), &EnvironmentVariableType::Plaintext), "{name}");
    }
    let secrets = EnvironmentVariableType::SecretsManager;
    assert_eq!(variables["TOKEN"], ("freshet-dev/acme/blog:token", &secrets), "p8: only the name");
    assert_eq!(variables["WHOLE"], ("freshet-dev/acme/plain", &secrets));
    assert_eq!(variables.len(), plain.len() + 2, "{variables:?}");
    for (name, text) in [("content.ndjson.zst", "content"), ("changed-keys.ndjson", "keys")] {
        let object = bench.objects.get(&format!("{folder}/{name}")).await.expect("asked").expect("uploaded");
        assert_eq!(object.body, Bytes::from(text));
    }
    let result = running.await.expect("ran");
    assert_eq!(result.outcome, UPLOADED);
    let id = build.id().expect("an id");
    assert!(result.log_tail.contains(id) && result.log_tail.contains("BUILD SUCCEEDED"), "{}", result.log_tail);
    assert_eq!(bench.objects.list("builds/").await.expect("listed"), []);
}

#[tokio::test]
async fn a_build_that_fails_says_in_which_phase() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.plan(0.2, "FAILED").await;
    let result = bench.run(&bench.job()).await;
    assert_eq!(error(&result), "the CodeBuild build failed: in BUILD");
    bench.plan(0.2, "TIMED_OUT").await;
    let result = bench.run(&bench.job()).await;
    assert!(error(&result).contains("time limit"), "{result:?}");
}

#[tokio::test]
async fn what_cannot_start_fails_at_once_with_the_reason() {
    let Some(mut bench) = Bench::open(QUICK).await else { return };
    bench.project = "no-such-project".into();
    let result = bench.run(&bench.job()).await;
    assert!(error(&result).contains("did not start the build: StartBuild: ResourceNotFound"), "{result:?}");
    let mut job = bench.job();
    let site = Site { aws: None, ..site_of(&job) };
    job.site = Arc::new(site);
    assert!(error(&bench.run(&job).await).contains("[client.site.aws]"));
}

fn site_of(job: &BuildJob) -> Site {
    let site = &job.site;
    Site {
        client: site.client.clone(),
        id: site.id.clone(),
        title: site.title.clone(),
        sources: site.sources.clone(),
        build: site.build.clone(),
        policy: site.policy.clone(),
        aws: site.aws.clone(),
    }
}

#[tokio::test]
async fn a_stopped_build_is_stopped_in_codebuild() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.plan(120.0, "SUCCEEDED").await;
    let stop = CancellationToken::new();
    let running = bench.spawn(&bench.job(), &stop);
    bench.a_build().await;
    stop.cancel();
    let began = Instant::now();
    assert_eq!(running.await.expect("ran").outcome, RunOutcome::Stopped);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(bench.a_build().await.build_status(), Some(&StatusType::Stopped));
}

#[tokio::test]
async fn a_build_that_somebody_else_stops_has_failed() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.plan(120.0, "SUCCEEDED").await;
    let running = bench.spawn(&bench.job(), &CancellationToken::new());
    let build = bench.a_build().await;
    bench.client.stop_build().id(build.id().expect("an id")).send().await.expect("stopped");
    assert!(error(&running.await.expect("ran")).contains("stopped by somebody"));
}

#[tokio::test]
async fn codebuild_at_its_limit_is_waited_for() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    let limit = "AccountLimitExceededException";
    bench.fault(json!({ "kind": "error", "code": limit, "status": 400, "times": 4 })).await;
    bench.fault(json!({ "kind": "throttle", "times": 5 })).await;
    assert_eq!(bench.run(&bench.job()).await.outcome, UPLOADED);
    assert_eq!(bench.builds().await.len(), 1);
    assert!(bench.counts.requests("codebuild", "StartBuild") >= 10);
}

#[tokio::test]
async fn a_limit_is_waited_for_no_longer_than_the_build_may_take() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.fault(json!({ "kind": "error", "code": "AccountLimitExceededException", "status": 400 })).await;
    let mut job = bench.job();
    let mut site = site_of(&job);
    site.build.timeout = Duration::from_millis(400);
    job.site = Arc::new(site);
    let result = bench.run(&job).await;
    assert!(error(&result).contains("in time: StartBuild: AccountLimitExceeded"), "{result:?}");
    // And no longer than somebody wants it.
    let stop = CancellationToken::new();
    let running = bench.spawn(&bench.job(), &stop);
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.cancel();
    assert_eq!(running.await.expect("ran").outcome, RunOutcome::Stopped);
    assert_eq!(bench.builds().await.len(), 0);
}

#[tokio::test]
async fn p2_a_start_whose_answer_is_lost_starts_one_build() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    // More often than the SDK repeats a call by itself.
    bench.fault(json!({ "kind": "error-after", "times": 4 })).await;
    assert_eq!(bench.run(&bench.job()).await.outcome, UPLOADED);
    assert_eq!(bench.builds().await.len(), 1);
}

#[tokio::test]
async fn p2_a_start_whose_answer_never_comes_is_found() {
    let Some(bench) = Bench::open(Pace { unsure: Duration::from_millis(300), ..QUICK }).await else { return };
    bench.plan(1.0, "SUCCEEDED").await;
    bench.fault(json!({ "kind": "error-after" })).await;
    assert_eq!(bench.run(&bench.job()).await.outcome, UPLOADED);
    assert_eq!(bench.builds().await.len(), 1);
    // Found, too, when it is not wanted any more.
    bench.plan(120.0, "SUCCEEDED").await;
    let stop = CancellationToken::new();
    let running = bench.spawn(&bench.job(), &stop);
    while bench.builds().await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    assert_eq!(running.await.expect("ran").outcome, RunOutcome::Stopped);
    let left = bench.builds().await;
    assert!(left.iter().all(|build| build.build_status() != Some(&StatusType::InProgress)), "{left:?}");
}

#[tokio::test]
async fn p2_one_batch_and_attempt_is_one_build_whoever_starts_it() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    let job = bench.job();
    let (left, right) = tokio::join!(bench.run(&job), bench.run(&job));
    assert_eq!((left.outcome, right.outcome), (UPLOADED, UPLOADED));
    assert_eq!(bench.builds().await.len(), 1);
}

#[tokio::test]
async fn all_running_builds_are_asked_about_with_one_call() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.plan(2.0, "SUCCEEDED").await;
    let running: Vec<_> = (0..6).map(|_| bench.spawn(&bench.job(), &CancellationToken::new())).collect();
    for running in running {
        assert_eq!(running.await.expect("ran").outcome, UPLOADED);
    }
    let asked = bench.counts.requests("codebuild", "BatchGetBuilds");
    // At the fastest pace, until the last ends; each on its own would be six times as many.
    assert!((1..40).contains(&asked), "{asked}");
}

#[tokio::test]
async fn an_event_ends_the_wait_and_all_others_change_nothing() {
    let Some(bench) = Bench::open(Pace { poll: Duration::from_secs(120), ..QUICK }).await else { return };
    let (queue, shutdown) = (Arc::new(FakeQueue::default()), Shutdown::new());
    let event = |id: &str, status: &str| {
        let arn = format!("arn:aws:codebuild:us-east-1:123456789012:build/{id}");
        let detail = json!({ "build-status": status, "build-id": arn });
        Bytes::from(json!({ "detail-type": "CodeBuild Build State Change", "detail": detail }).to_string())
    };
    events::spawn(queue.clone(), bench.runner.clone(), &shutdown, &Readiness::default());
    let running = bench.spawn(&bench.job(), &CancellationToken::new());
    let id = bench.a_build().await.id().expect("an id").to_owned();
    // Somebody else's, not readable, too early, twice.
    queue.push_raw(event("other:1", "SUCCEEDED"));
    queue.push_raw(Bytes::from_static(b"hello"));
    queue.push_raw(event(&id, "IN_PROGRESS"));
    queue.push_raw(event(&id, "SUCCEEDED"));
    while bench.a_build().await.build_status() == Some(&StatusType::InProgress) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!running.is_finished(), "nobody said so yet");
    queue.push_raw(event(&id, "SUCCEEDED"));
    queue.push_raw(event(&id, "SUCCEEDED"));
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await.expect("in time");
    assert_eq!(ended.expect("ran").outcome, UPLOADED);
    assert!(!bench.runner.wake(&id), "nobody waits any more");
    support::until(async || match queue.counts() {
        (0, 0, 0) => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    shutdown.drain(Duration::from_secs(5)).await;
}

/// Another process over the same project and bucket.
fn next_process(bench: &Bench) -> CodeBuildRunner {
    CodeBuildRunner::with_client(bench.client.clone(), bench.objects.clone(), QUICK)
}

impl Bench {
    /// Runs the job and ends as a killed process does, once its note says so.
    async fn killed(&self, job: &BuildJob, has_id: bool) {
        let running = self.spawn(job, &CancellationToken::new());
        self.a_build().await;
        let key = format!("builds/.runs/{}.json", job.build);
        support::until(async || {
            let note = self.objects.get(&key).await.expect("asked").ok_or("no note")?;
            let note: Value = serde_json::from_slice(&note.body).expect("JSON");
            if note["id"].is_string() { Ok(()) } else { Err(note.to_string()) }
        })
        .await;
        running.abort();
        let _ = running.await;
        if !has_id {
            let note = json!({ "project": self.project, "id": null }).to_string();
            self.objects.put(&key, note.into(), &freshet_aws::Headers::default()).await.expect("put");
        }
    }
}

#[tokio::test]
async fn p4_a_build_of_a_killed_process_goes_on_in_the_next() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    for has_id in [true, false] {
        bench.plan(1.5, "SUCCEEDED").await;
        let before = bench.counts.requests("codebuild", "StartBuild");
        let job = bench.job();
        bench.killed(&job, has_id).await;
        let result = next_process(&bench).run(&job, &CancellationToken::new()).await;
        assert_eq!(result.outcome, UPLOADED);
        assert_eq!(bench.counts.requests("codebuild", "StartBuild"), before + 1);
        assert_eq!(bench.objects.list("").await.expect("listed"), [], "nothing is left");
    }
}

#[tokio::test]
async fn an_abandoned_build_is_stopped_whoever_started_it() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    bench.plan(120.0, "SUCCEEDED").await;
    for has_id in [true, false] {
        let job = bench.job();
        bench.killed(&job, has_id).await;
        next_process(&bench).abandon(job.build).await;
        let left = bench.builds().await;
        assert!(left.iter().all(|build| build.build_status() == Some(&StatusType::Stopped)), "{left:?}");
    }
    bench.runner.abandon(BuildId::generate()).await;
    assert_eq!(bench.builds().await.len(), 2);
}

#[tokio::test]
async fn on_aws_only_the_built_in_preset_is_rendered_here() {
    let Some(bench) = Bench::open(QUICK).await else { return };
    let runners = Runners::aws(bench.runner.clone());
    for preset in Preset::ALL {
        let is_here = Arc::ptr_eq(runners.of(*preset), &runners.builtin);
        assert_eq!(is_here, *preset == Preset::Builtin, "{preset}");
    }
}

/// The contract.
mod contract {
    use super::*;

    impl Subject for Bench {
        fn runner(&self) -> &dyn Runner {
            &*self.runner
        }

        async fn next_process(&self) -> Box<dyn Runner> {
            Box::new(next_process(self))
        }

        async fn job(&self, plan: Plan) -> BuildJob {
            match plan {
                Plan::Succeeds => self.plan(0.3, "SUCCEEDED").await,
                Plan::Fails => self.plan(0.3, "FAILED").await,
                // Until it is finished.
                Plan::Lasts => self.plan(None, "SUCCEEDED").await,
            }
            Bench::job(self)
        }

        /// The runner is at work on it, too: its note has the build's id.
        async fn is_running(&self, job: &BuildJob) -> bool {
            let note = self.objects.get(&format!("builds/.runs/{}.json", job.build)).await.expect("asked");
            let is_noted = note.is_some_and(|note| {
                serde_json::from_slice::<Value>(&note.body).is_ok_and(|note| note["id"].is_string())
            });
            is_noted && self.builds().await.iter().any(|build| build.build_status() == Some(&StatusType::InProgress))
        }

        async fn finish(&self, _: &BuildJob) {
            let build = self.a_build().await;
            let end = json!({ build.id().expect("an id"): "SUCCEEDED" });
            testing::tell("/moto-api/codebuild-end", &end.to_string()).await;
        }
    }

    async fn open() -> Bench {
        Bench::open(QUICK).await.expect("the emulator is there")
    }

    freshet_build::runner_contract!(open, if testing::endpoint().is_some());
}
