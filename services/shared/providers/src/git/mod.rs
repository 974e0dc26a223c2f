//! The git hosts: GitHub, GitLab, Bitbucket Cloud, Gitea and Forgejo.
//!
//! No adapter of its own. Git-based CMSs (Decap, Tina) send no webhooks about content; the host of their repository
//! does, so their adapters are made of this. One file per host tells whether a delivery is genuine and reads its push;
//! [`rule`] decides what any push means.

mod bitbucket;
mod gitea;
mod github;
mod gitlab;
mod host;
mod payload;
mod proof;
mod push;
mod rule;
mod sample;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use host::Host;
pub(crate) use sample::{SAMPLE_EVENTS, sample};
pub(crate) use settings::{Folders, SETTINGS, check, text_problem};
pub(crate) use source::GitSource;

/// Headers worth archiving from any host. `x-gitlab-token` is a credential and `authorization` can be one.
pub(crate) const ARCHIVED_HEADERS: &[&str] = &[
    "content-type",
    "idempotency-key",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-attempt-number",
    "x-event-key",
    "x-forgejo-delivery",
    "x-forgejo-event",
    "x-forgejo-event-type",
    "x-forgejo-signature",
    "x-gitea-delivery",
    "x-gitea-event",
    "x-gitea-event-type",
    "x-gitea-signature",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gitlab-instance",
    "x-gitlab-webhook-uuid",
    "x-hook-uuid",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-request-uuid",
];
