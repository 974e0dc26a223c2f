//! The settings of a source that is a git repository.

use freshet_domain::catalogue::{Setting, SettingProblem, Settings, Source};
use secrecy::ExposeSecret;

use super::{Host, gitlab};

/// Their names.
pub(crate) const SETTINGS: &[&str] = &["host", "repository", "branch", "content"];

/// The settings, read.
pub(super) struct GitSettings {
    pub(super) host: Host,
    /// `owner/name`; pushes to other repositories are ignored.
    pub(super) repository: Option<String>,
    /// Branch whose pushes count. `None`: the repository's default branch.
    pub(super) branch: Option<String>,
    /// Where the content is.
    pub(super) content: Folders,
}

impl GitSettings {
    /// Reads the settings. `None` if the host is missing or unknown, which [`check`] reports.
    pub(super) fn read(settings: &Settings) -> Option<Self> {
        Some(Self {
            host: Host::parse(settings.text("host")?)?,
            repository: settings.text("repository").map(str::to_owned),
            branch: settings.text("branch").map(str::to_owned),
            content: Folders::read(settings),
        })
    }
}

/// The folders and files that are content. Empty: everything is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folders(Vec<String>);

impl Folders {
    /// From the setting `content`.
    pub(crate) fn read(settings: &Settings) -> Self {
        let list = settings.list("content").unwrap_or_default();
        Self(list.iter().map(|folder| trimmed(folder).to_owned()).filter(|folder| !folder.is_empty()).collect())
    }

    /// True if the path is one of the folders or lies below one. Whole names are compared: `blog` has not
    /// `blog-drafts/a.md`.
    pub(crate) fn contain(&self, path: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|folder| {
                path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// The first folder, if there is one.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }
}

fn trimmed(folder: &str) -> &str {
    folder.trim_start_matches("./").trim_matches('/')
}

/// What is wrong with the settings and secrets of a source whose `host` is set.
pub(crate) fn check(source: &Source) -> Vec<SettingProblem> {
    let settings = &source.settings;
    let mut problems = Vec::new();
    let mut problem = |setting, message: &str| problems.push(SettingProblem { setting, message: message.to_owned() });
    let host = settings.text("host").and_then(Host::parse);
    if host.is_none() {
        problem("host", "must be one of github, gitlab, bitbucket, gitea, forgejo: where the repository is");
    }
    if let Some(message) = text_problem(settings, "repository") {
        problem("repository", message);
    } else if let Some(name) = settings.text("repository") {
        let parts: Vec<&str> = name.split('/').collect();
        // GitLab's groups can be nested, so there can be more than two parts.
        if parts.len() < 2 || parts.iter().any(|part| part.is_empty()) || name.contains(':') {
            problem("repository", "must be `owner/name`, as the host shows it, without its address and without `.git`");
        }
    }
    if let Some(message) = text_problem(settings, "branch") {
        problem("branch", message);
    } else if settings.text("branch").is_some_and(|branch| branch.starts_with("refs/")) {
        problem("branch", "must be the bare name of a branch, for example `main`, without `refs/heads/`");
    }
    if settings.0.contains_key("content") {
        match settings.list("content") {
            None => problem("content", "must be a list of folders, for example [\"content\"]"),
            Some(list) if list.iter().any(|folder| trimmed(folder).is_empty()) => {
                problem("content", "has an empty folder; leave `content` out if every file is content");
            }
            Some(list) if list.iter().any(|folder| folder.contains('*')) => {
                problem("content", "must name folders; patterns with `*` are not understood");
            }
            Some(_) => {}
        }
    }
    if source.secrets.is_empty() {
        problem("secrets", "needs at least one: the secret that is entered in the webhook's form at the git host");
    } else if host == Some(Host::GitLab)
        && let Err(message) = gitlab::Keys::from_secrets(&source.secrets)
    {
        problem("secrets", &message);
    } else if source.secrets.iter().any(|secret| secret.expose_secret().contains(['\r', '\n'])) {
        problem("secrets", "one has a line break in it, which no form at a git host can hold; remove it");
    }
    problems
}

/// What is wrong with a setting that must be text, if it is there.
pub(crate) fn text_problem(settings: &Settings, name: &str) -> Option<&'static str> {
    match settings.0.get(name) {
        None => None,
        Some(Setting::Text(text)) if text.trim().is_empty() => Some("must not be empty; leave it out for the default"),
        Some(Setting::Text(_)) => None,
        Some(_) => Some("must be text in quotes"),
    }
}
