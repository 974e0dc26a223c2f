//! What a build of CodeBuild is told.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::error::BuildError;
use aws_sdk_codebuild::operation::start_build::builders::StartBuildFluentBuilder;
use aws_sdk_codebuild::types::{EnvironmentVariable, EnvironmentVariableType};
use freshet_domain::catalogue::{SecretName, SiteAws};

use super::super::BuildJob;

/// CodeBuild's bounds of a build's time, in minutes.
const MINUTES_MIN: u64 = 5;
const MINUTES_MAX: u64 = 2160;
/// CodeBuild's bounds of the time in its queue, in minutes.
const QUEUED_MINUTES_MIN: u64 = 5;
const QUEUED_MINUTES_MAX: u64 = 480;

/// The request that starts the build. The same for every attempt to send it.
pub(super) fn start_build(
    client: &Client,
    job: &BuildJob,
    aws: &SiteAws,
    project: &str,
    bucket: &str,
    queued: Duration,
) -> Result<StartBuildFluentBuilder, BuildError> {
    let queued = minutes(queued).clamp(QUEUED_MINUTES_MIN, QUEUED_MINUTES_MAX);
    Ok(client
        .start_build()
        .project_name(project)
        .idempotency_token(token(job))
        .set_environment_variables_override(Some(environment(job, aws, bucket)?))
        .set_timeout_in_minutes_override(i32::try_from(time_limit(job).as_secs() / 60).ok())
        .set_queued_timeout_in_minutes_override(i32::try_from(queued).ok()))
}

/// At most 64 characters. One batch and attempt is one build of CodeBuild, whoever asks for it.
fn token(job: &BuildJob) -> String {
    format!("{}-{}", job.batch, job.attempt)
}

/// The site's time limit as CodeBuild can keep it: in minutes, within its bounds.
pub(super) fn time_limit(job: &BuildJob) -> Duration {
    Duration::from_secs(minutes(job.site.build.timeout).clamp(MINUTES_MIN, MINUTES_MAX) * 60)
}

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}

/// Where the snapshot and the changed keys are, in this order.
pub(super) fn keys(job: &BuildJob) -> [String; 2] {
    let folder = format!("builds/{}/{}/{}", job.key.client, job.key.site, job.build);
    [format!("{folder}/content.ndjson.zst"), format!("{folder}/changed-keys.ndjson")]
}

fn environment(job: &BuildJob, aws: &SiteAws, bucket: &str) -> Result<Vec<EnvironmentVariable>, BuildError> {
    let [content, changed_keys] = keys(job);
    let mut plain: BTreeMap<&str, String> =
        job.site.build.env.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    plain.insert("FRESHET_CLIENT", job.key.client.to_string());
    plain.insert("FRESHET_SITE", job.key.site.to_string());
    plain.insert("FRESHET_BATCH_ID", job.batch.to_string());
    plain.insert("FRESHET_BUILD_ID", job.build.to_string());
    plain.insert("FRESHET_ATTEMPT", job.attempt.to_string());
    plain.insert("FRESHET_CONTENT", format!("s3://{bucket}/{content}"));
    plain.insert("FRESHET_CHANGED_KEYS", format!("s3://{bucket}/{changed_keys}"));
    plain.insert("FRESHET_OUTPUT", format!("s3://{}/releases/{}/", aws.bucket, job.build));
    plain.insert("TRACEPARENT", job.traceparent.clone());
    let plain = plain.into_iter().map(|(name, value)| (name, value, EnvironmentVariableType::Plaintext));
    let secret = aws.secret_env.iter().map(|(name, secret)| {
        let kind = EnvironmentVariableType::SecretsManager;
        (name.as_str(), in_codebuilds_form(secret), kind)
    });
    plain
        .chain(secret)
        .map(|(name, value, kind)| EnvironmentVariable::builder().name(name).value(value).r#type(kind).build())
        .collect()
}

/// CodeBuild puts a colon between a secret and the key in it.
fn in_codebuilds_form(name: &SecretName) -> String {
    match &name.json_key {
        Some(key) => format!("{}:{key}", name.secret),
        None => name.secret.clone(),
    }
}
