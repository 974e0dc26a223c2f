//! The settings of a Tina source.

use freshet_domain::catalogue::{SettingProblem, Settings, Source};

use crate::git::{self, text_problem};

/// Their names: the git hosts' and the header in which TinaCloud sends the secret.
pub(super) const SETTINGS: &[&str] = &["host", "repository", "branch", "content", "header"];

/// Where the secret is expected unless the setting `header` says otherwise.
pub(super) const HEADER_DEFAULT: &str = "x-webhook-secret";

/// Headers that mean something else to Freshet or to HTTP.
const HEADERS_TAKEN: [&str; 7] =
    ["authorization", "connection", "content-length", "cookie", "host", "transfer-encoding", "x-api-key"];

/// True if the source is fed by a git host.
pub(super) fn is_git(settings: &Settings) -> bool {
    settings.0.contains_key("host")
}

/// The header with the secret, in lower case.
pub(super) fn header(settings: &Settings) -> String {
    settings.text("header").unwrap_or(HEADER_DEFAULT).to_ascii_lowercase()
}

/// What is wrong with the source.
pub(super) fn check(source: &Source) -> Vec<SettingProblem> {
    let settings = &source.settings;
    let mut problems = Vec::new();
    let mut problem = |setting, message: &str| problems.push(SettingProblem { setting, message: message.to_owned() });
    if is_git(settings) {
        if settings.0.contains_key("header") {
            problem("header", "is for TinaCloud's webhooks; remove it, or remove `host`");
        }
        problems.extend(git::check(source));
        return problems;
    }
    if settings.0.contains_key("repository") {
        problem("repository", "is for git hosts' webhooks; set `host` too, or remove it");
    }
    if let Some(message) = text_problem(settings, "branch") {
        problem("branch", message);
    }
    if settings.0.contains_key("content") && settings.list("content").is_none() {
        problem("content", "must be a list of folders, for example [\"content\"]");
    }
    let name = header(settings);
    if let Some(message) = text_problem(settings, "header") {
        problem("header", message);
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        problem("header", "must be the name of an HTTP header, for example `x-webhook-secret`");
    } else if HEADERS_TAKEN.contains(&name.as_str()) || git::ARCHIVED_HEADERS.contains(&name.as_str()) {
        problem(
            "header",
            "is a header with another meaning; choose a name of your own, for example `x-webhook-secret`",
        );
    }
    if source.secrets.is_empty() && !source.require_key {
        problem(
            "secrets",
            "needs one, because TinaCloud signs nothing: enter it at TinaCloud as an additional header of the webhook \
             (or set require_key = true and send an API key)",
        );
    }
    problems
}
