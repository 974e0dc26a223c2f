//! The hosts and the rule, through the adapter that is made of nothing else.

mod hosts;
mod pushes;

use bytes::Bytes;
use freshet_domain::{ChangeOp, Header};

use crate::decap::Decap;
use crate::signature::HmacKey;
use crate::testing::{NOON, TestDelivery, prepared};
use crate::{Normalised, PreparedSource, RawDelivery, Refusal};

const SECRET: &str = "tide-tables";
const BEFORE: &str = "1111111111111111111111111111111111111111";
const AFTER: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn source(host: &str, settings: &[(&str, &str)]) -> Box<dyn PreparedSource> {
    let mut all = vec![("host", host)];
    all.extend_from_slice(settings);
    prepared(&Decap, &["old-secret", SECRET], &all)
}

fn mac(secret: &str, body: &[u8]) -> String {
    hex::encode(HmacKey::new(secret.as_bytes()).sign(&[body]))
}

/// A commit as every host writes it.
fn commit(id: &str, time: &str, added: &str, modified: &str, removed: &str) -> String {
    format!(
        r#"{{"id":"{id}","message":"Update","timestamp":"{time}","added":[{added}],"modified":[{modified}],"removed":[{removed}]}}"#
    )
}

fn one_commit() -> String {
    commit(AFTER, "2026-11-23T11:00:00Z", r#""content/new.md""#, r#""content/mug.md""#, r#""content/old.md""#)
}

/// A push that fits GitHub, GitLab and Gitea.
fn push(before: &str, after: &str, reference: &str, commits: &[String], more: &str) -> String {
    let count = commits.len();
    let commits = commits.join(",");
    format!(
        r#"{{"object_kind":"push","ref":"{reference}","before":"{before}","after":"{after}","commits":[{commits}],"total_commits":{count},"total_commits_count":{count},"repository":{{"full_name":"tidewater/site","default_branch":"main"}},"project":{{"path_with_namespace":"tidewater/site","default_branch":"main"}}{more}}}"#
    )
}

fn main_push(commits: &[String]) -> String {
    push(BEFORE, AFTER, "refs/heads/main", commits, "")
}

/// The body as the host sends and signs it.
fn delivery(host: &str, body: impl Into<Bytes>) -> TestDelivery {
    let body: Bytes = body.into();
    let mac = mac(SECRET, &body);
    let prefixed = format!("sha256={mac}");
    let json = ("content-type", "application/json");
    match host {
        "github" => TestDelivery::new(
            &[json, ("x-github-event", "push"), ("x-github-delivery", "d1"), ("x-hub-signature-256", &prefixed)],
            body,
        ),
        "gitlab" => TestDelivery::new(
            &[json, ("x-gitlab-event", "Push Hook"), ("idempotency-key", "d1"), ("x-gitlab-token", SECRET)],
            body,
        ),
        "bitbucket" => TestDelivery::new(
            &[json, ("x-event-key", "repo:push"), ("x-request-uuid", "d1"), ("x-hub-signature", &prefixed)],
            body,
        ),
        _ => TestDelivery::new(
            &[
                json,
                ("x-gitea-event", "push"),
                ("x-gitea-delivery", "d1"),
                ("x-gitea-signature", &mac),
                ("x-github-event", "push"),
                ("x-github-delivery", "d1"),
                ("x-hub-signature-256", &prefixed),
            ],
            body,
        ),
    }
}

fn normalise(host: &str, settings: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Normalised, Refusal> {
    delivery(host, body).normalise(&*source(host, settings))
}

/// `path` for a touch, `-path` for a deletion.
fn summary(normalised: &Normalised) -> Vec<String> {
    let of = |change: &freshet_domain::Change| match change.op {
        ChangeOp::Delete => format!("-{}", change.key.id),
        _ => change.key.id.clone(),
    };
    normalised.changes.iter().map(of).collect()
}

fn reason(normalised: &Normalised) -> &'static str {
    normalised.ignored.as_ref().map_or("", |ignored| ignored.reason)
}

fn raw_get<'a>(path_and_query: &'a str, headers: &'a [Header], body: &'a Bytes) -> RawDelivery<'a> {
    RawDelivery { method: "GET", path_and_query, headers, body, received_at: NOON, now: NOON, has_api_key: false }
}
