//! Which git host.

/// A git host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// GitHub, in the cloud and Enterprise Server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Gitea.
    Gitea,
    /// Forgejo, which speaks as Gitea does and adds names of its own.
    Forgejo,
}

impl Host {
    /// Every host.
    pub(crate) const ALL: [Host; 5] = [Host::GitHub, Host::GitLab, Host::Bitbucket, Host::Gitea, Host::Forgejo];

    /// The word for it in settings.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Host::GitHub => "github",
            Host::GitLab => "gitlab",
            Host::Bitbucket => "bitbucket",
            Host::Gitea => "gitea",
            Host::Forgejo => "forgejo",
        }
    }

    /// From the word in settings.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|host| host.name() == text)
    }
}
