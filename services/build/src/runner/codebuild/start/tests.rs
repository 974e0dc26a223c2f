//! What each answer to StartBuild leads to, row by row.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::error::ErrorMetadata;
use aws_sdk_codebuild::operation::start_build::{StartBuildError, StartBuildOutput};
use aws_sdk_codebuild::types::Build;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use freshet_aws::Objects;
use freshet_domain::catalogue::{BuildPolicy, Preset, Site, SiteAws, SiteBuild};
use freshet_domain::{BatchId, BuildId, ClientId, SiteId, Timestamp};
use freshet_kit::retry::Backoff;
use tokio_util::sync::CancellationToken;

use super::super::{BuildJob, CodeBuildRunner, Pace, RunOutcome};
use crate::machine::SiteKey;

fn job() -> BuildJob {
    let (client, site) = (ClientId::new("acme").expect("a name"), SiteId::new("shop").expect("a name"));
    let aws = SiteAws {
        project: Some("acme-shop".into()),
        bucket: "acme-shop-site".into(),
        distribution: None,
        secret_env: BTreeMap::new(),
    };
    let build = SiteBuild {
        preset: Preset::Hugo,
        command: Vec::new(),
        directory: None,
        output: std::path::PathBuf::new(),
        env: BTreeMap::new(),
        timeout: Duration::from_secs(601),
    };
    BuildJob {
        key: SiteKey::new(client.clone(), site.clone()),
        site: Arc::new(Site {
            client,
            id: site,
            title: String::new(),
            sources: Vec::new(),
            build,
            policy: BuildPolicy::default(),
            aws: Some(aws),
        }),
        build: BuildId::generate(),
        batch: BatchId::generate(),
        attempt: 3,
        folder: std::path::PathBuf::new(),
        content: std::path::PathBuf::new(),
        changed_keys: std::path::PathBuf::new(),
        log: std::path::PathBuf::new(),
        traceparent: String::new(),
        site_path: "/".into(),
        now: Timestamp::now(),
    }
}

fn started() -> StartBuildOutput {
    StartBuildOutput::builder().build_value(Build::builder().id("acme-shop:1").build()).build()
}

fn refused(code: &'static str) -> Rule {
    mock!(Client::start_build)
        .then_error(move || StartBuildError::generic(ErrorMetadata::builder().code(code).message("no").build()))
}

async fn send(job: &BuildJob, rules: &[&Rule]) -> Result<String, RunOutcome> {
    let client = mock_client!(aws_sdk_codebuild, RuleMode::Sequential, rules);
    let config = freshet_aws::testing::config_for("http://127.0.0.1:1");
    let backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(2) };
    let pace = Pace { backoff, ..Pace::default() };
    let runner = CodeBuildRunner::with_client(client, Objects::new(&config, "builds"), pace);
    let aws = job.site.aws.as_ref().expect("on AWS");
    runner.send(job, aws, "acme-shop", &CancellationToken::new()).await
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_cannot_is_a_failure() {
    for (code, is_tried_again) in [
        ("AccountLimitExceededException", true),
        ("ThrottlingException", true),
        ("TooManyRequestsException", true),
        ("InternalFailure", true),
        ("ServiceUnavailable", true),
        ("RequestTimeout", true),
        ("InvalidInputException", false),
        ("ResourceNotFoundException", false),
        ("AccessDeniedException", false),
        ("ExpiredTokenException", false),
    ] {
        let (first, second) = (refused(code), refused(code));
        let third = mock!(Client::start_build).then_output(started);
        let answer = send(&job(), &[&first, &second, &third]).await;
        if is_tried_again {
            assert_eq!(answer.as_deref(), Ok("acme-shop:1"), "{code}");
        } else {
            let Err(RunOutcome::Failed(error)) = answer else { panic!("{code}: {answer:?}") };
            assert!(error.contains(code), "{error}");
            assert_eq!(second.num_calls(), 0, "{code}");
        }
    }
}

#[tokio::test]
async fn p2_every_attempt_has_the_same_token_and_the_sites_limits() {
    let job = job();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let see = seen.clone();
    let watch = move |input: &aws_sdk_codebuild::operation::start_build::StartBuildInput| {
        let token = input.idempotency_token().unwrap_or_default().to_owned();
        see.lock().expect("nobody panics with it").push(token);
        assert_eq!(input.timeout_in_minutes_override(), Some(11));
        assert_eq!(input.queued_timeout_in_minutes_override(), Some(60));
        true
    };
    let first = mock!(Client::start_build)
        .match_requests(watch.clone())
        .then_error(|| StartBuildError::generic(ErrorMetadata::builder().code("InternalFailure").build()));
    let second = mock!(Client::start_build).match_requests(watch).then_output(started);
    send(&job, &[&first, &second]).await.expect("started");
    let seen = seen.lock().expect("nobody panics with it");
    assert!(seen.len() >= 2 && seen.iter().all(|token| *token == format!("{}-3", job.batch)), "{seen:?}");
    assert!(seen[0].len() <= 64);
}
