//! The catalogue: which clients, sources, sites and API keys exist, and how they behave.
//!
//! These are the checked values. Reading them from `freshet.toml` with line numbers is `freshet-kit`'s work.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::{ClientId, SiteId, SourceId};

/// Everything that is configured, as one immutable value. A new edition replaces the old one as a whole.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The clients.
    pub clients: BTreeMap<ClientId, Arc<Client>>,
    /// API keys by the SHA-256 of the key.
    pub keys: HashMap<[u8; 32], Arc<ApiKey>>,
    /// Builds that may run at the same time, over all clients.
    pub max_running_builds: u32,
}

impl Catalogue {
    /// The client of that name.
    pub fn client(&self, id: &str) -> Option<&Arc<Client>> {
        self.clients.get(id)
    }

    /// The source of that client.
    pub fn source(&self, client: &str, source: &str) -> Option<&Arc<Source>> {
        self.client(client)?.sources.get(source)
    }

    /// The site of that client.
    pub fn site(&self, client: &str, site: &str) -> Option<&Arc<Site>> {
        self.client(client)?.sites.get(site)
    }

    /// Every source of that name, whichever client owns it.
    pub fn sources_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Source>> {
        self.clients.values().filter_map(move |client| client.sources.get(name))
    }

    /// Every site.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.clients.values().flat_map(|client| client.sites.values())
    }

    /// The API key whose text this is. Comparing digests in a hash map is safe: to profit from its timing, one would
    /// have to choose the SHA-256 of the guess.
    pub fn key(&self, text: &str) -> Option<&Arc<ApiKey>> {
        if text.is_empty() {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        self.keys.get(&digest)
    }
}

/// A tenant.
#[derive(Debug)]
pub struct Client {
    /// Name.
    pub id: ClientId,
    /// Name for people.
    pub title: String,
    /// How long an entry stays fresh after its provider last confirmed it; 24 h to 30 d.
    pub content_ttl: Duration,
    /// Builds of this client that may run at the same time.
    pub max_running_builds: u32,
    /// Deliveries that all sources of this client together may send.
    pub rate: RateLimit,
    /// Where its content comes from.
    pub sources: BTreeMap<SourceId, Arc<Source>>,
    /// What is built from it.
    pub sites: BTreeMap<SiteId, Arc<Site>>,
}

/// A sustained rate and a burst, enforced by GCRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Deliveries per second in the long run; at least 1.
    pub per_second: u32,
    /// Deliveries that may come at once; at least 1.
    pub burst: u32,
}

/// One place content comes from.
#[derive(Debug)]
pub struct Source {
    /// The client that owns it.
    pub client: ClientId,
    /// Name.
    pub id: SourceId,
    /// The adapter's name.
    pub provider: String,
    /// Every secret that is valid now; more than one during a rotation. Never empty strings.
    pub secrets: Vec<SecretString>,
    /// Also demand an API key of the client.
    pub require_key: bool,
    /// Deliveries that it may send.
    pub rate: RateLimit,
    /// What else the adapter wants to know, checked by the adapter.
    pub settings: Settings,
}

/// Settings of a source or site, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(pub BTreeMap<String, Setting>);

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Text.
    Text(String),
    /// Whole number.
    Integer(i64),
    /// Yes or no.
    Bool(bool),
    /// Several texts.
    List(Vec<String>),
}

impl Settings {
    /// The text of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Setting::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The texts of that name; one text counts as a list of one.
    pub fn list(&self, name: &str) -> Option<&[String]> {
        match self.0.get(name) {
            Some(Setting::List(list)) => Some(list),
            Some(Setting::Text(text)) => Some(std::slice::from_ref(text)),
            _ => None,
        }
    }

    /// The yes or no of that name.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Setting::Bool(value)) => Some(*value),
            _ => None,
        }
    }
}

/// One static site.
#[derive(Debug)]
pub struct Site {
    /// The client that owns it.
    pub client: ClientId,
    /// Name.
    pub id: SiteId,
    /// Name for people, shown by the built-in templates.
    pub title: String,
    /// The sources whose entries it shows, at least one.
    pub sources: Vec<SourceId>,
    /// How it is built.
    pub build: SiteBuild,
    /// When it is built.
    pub policy: BuildPolicy,
    /// Where it is built and kept on the AWS engine, which needs it; the embedded engine ignores it.
    pub aws: Option<SiteAws>,
}

/// Where a site is built and kept on AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteAws {
    /// The CodeBuild project; required unless the site is built in. Its sources and its buildspec take the place of
    /// the site's directory, command and output.
    pub project: Option<String>,
    /// The bucket of the finished site: its releases, and the live site below `live/`.
    pub bucket: String,
    /// The CloudFront distribution in front of the bucket.
    pub distribution: Option<String>,
    /// Environment variables of the build whose values CodeBuild reads. Freshet never does.
    pub secret_env: BTreeMap<String, SecretName>,
}

/// Names a value in Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// Name or ARN of the secret.
    pub secret: String,
    /// The member of the secret's JSON object; `None`: the whole secret.
    pub json_key: Option<String>,
}

impl SecretName {
    /// Reads `secretsmanager:name` or `secretsmanager:name#json-key`. `None` if it is neither.
    pub fn parse(reference: &str) -> Option<Self> {
        let name = reference.strip_prefix("secretsmanager:")?;
        let (secret, json_key) = match name.split_once('#') {
            Some((secret, key)) => (secret, Some(key)),
            None => (name, None),
        };
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        // Only an ARN has colons, six before its name, which CodeBuild knows how to count.
        let plain = secret.strip_prefix("arn:").filter(|rest| rest.matches(':').count() == 5).unwrap_or(secret);
        let may_have_colons = plain.len() < secret.len();
        let is_secret = !secret.is_empty()
            && secret.len() <= 2048
            && plain.chars().all(|c| is_of_name(c) || (may_have_colons && c == ':'));
        // A colon would end the key where CodeBuild reads it.
        let is_key = json_key.is_none_or(|key| {
            !key.is_empty() && key.len() <= 255 && key.chars().all(|c| c.is_ascii_graphic() && c != ':' && c != '#')
        });
        (is_secret && is_key).then(|| Self { secret: secret.to_owned(), json_key: json_key.map(str::to_owned) })
    }
}

/// How a site is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteBuild {
    /// The generator; [`Preset::Builtin`] renders the entries with Freshet's own templates.
    pub preset: Preset,
    /// Program and arguments; overrides the preset's. Empty: the preset's.
    pub command: Vec<String>,
    /// Working directory; required unless built in.
    pub directory: Option<PathBuf>,
    /// Where the command leaves the finished site, below `directory`. Empty: the preset's.
    pub output: PathBuf,
    /// More environment variables. Values are not secret.
    pub env: BTreeMap<String, String>,
    /// The build is killed after this.
    pub timeout: Duration,
}

crate::content::closed_enum!(
    /// A static site generator that Freshet knows.
    Preset {
        /// Freshet's own templates.
        Builtin = 1, "builtin";
        /// `npx @11ty/eleventy`.
        Eleventy = 2, "eleventy";
        /// `npx astro build`.
        Astro = 3, "astro";
        /// `hugo`.
        Hugo = 4, "hugo";
        /// `bundle exec jekyll build`.
        Jekyll = 5, "jekyll";
        /// `npx gatsby build`.
        Gatsby = 6, "gatsby";
        /// `npx next build` with `output: "export"`.
        Nextjs = 7, "nextjs";
        /// `npx nuxt generate`.
        Nuxt = 8, "nuxt";
        /// The site's own command.
        Custom = 9, "custom";
    }
);

/// When a site is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildPolicy {
    /// A batch starts once no change came for this long.
    pub quiet_period: Duration,
    /// A batch starts at the latest this long after its first change (promise P5).
    pub max_wait: Duration,
    /// A batch starts at once when it has this many changes; 0: no such bound.
    pub max_changes: u64,
    /// What happens to the running build when a new batch is ready.
    pub supersede: Supersede,
    /// Attempts per batch before it counts as failed; at least 1.
    pub max_attempts: u32,
    /// Pause before the second attempt; doubles with each further one.
    pub retry_backoff: Duration,
    /// The longest pause between two attempts.
    pub retry_backoff_max: Duration,
}

impl Default for BuildPolicy {
    fn default() -> Self {
        Self {
            quiet_period: Duration::from_secs(5),
            max_wait: Duration::from_secs(60),
            max_changes: 0,
            supersede: Supersede::Finish,
            max_attempts: 3,
            retry_backoff: Duration::from_secs(10),
            retry_backoff_max: Duration::from_secs(300),
        }
    }
}

crate::content::closed_enum!(
    /// What happens to the running build when a new batch is ready.
    Supersede {
        /// It ends first.
        Finish = 1, "finish";
        /// It is cancelled, and its changes join the new batch.
        Cancel = 2, "cancel";
    }
);

/// A key that callers present.
#[derive(Debug)]
pub struct ApiKey {
    /// Name, shown in receipts and logs in place of the key.
    pub name: String,
    /// The clients that it may act for.
    pub clients: KeyClients,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// For webhook keys: the only source that it may deliver for.
    pub source: Option<SourceId>,
}

impl ApiKey {
    /// True if the key has the scope and may act for the client.
    pub fn allows(&self, scope: Scope, client: &str) -> bool {
        self.scopes.contains(&scope) && self.clients.includes(client)
    }
}

/// The clients that a key may act for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyClients {
    /// Every client, written `*`.
    All,
    /// These.
    Only(Vec<ClientId>),
}

impl KeyClients {
    /// True if the client is among them.
    pub fn includes(&self, client: &str) -> bool {
        match self {
            KeyClients::All => true,
            KeyClients::Only(list) => list.iter().any(|id| id.as_str() == client),
        }
    }
}

crate::content::closed_enum!(
    /// What a key may do.
    Scope {
        /// Post webhooks.
        Webhook = 1, "webhook";
        /// Read entries and deliveries.
        ContentRead = 2, "content:read";
        /// Ingest and invalidate.
        ContentWrite = 3, "content:write";
        /// Read builds.
        BuildRead = 4, "build:read";
        /// Start, cancel and pause builds.
        BuildWrite = 5, "build:write";
        /// Read receipts and status.
        ControlRead = 6, "control:read";
        /// Replay, reconcile, heal.
        ControlWrite = 7, "control:write";
    }
);

impl Scope {
    /// From the word used in the catalogue.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text)
    }
}

/// What the catalogue's reader asks the adapters: which providers there are, and whether a source is configured well.
pub trait ProviderRules: Send + Sync {
    /// Names of all providers.
    fn providers(&self) -> Vec<&'static str>;
    /// Names of the settings that a source of this provider may have, besides the common ones.
    fn setting_names(&self, provider: &str) -> &'static [&'static str];
    /// What is wrong with the source; empty if nothing is.
    fn check_source(&self, source: &Source) -> Vec<SettingProblem>;
}

/// One thing that is wrong with a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting, `secrets` or `require_key` among them.
    pub setting: &'static str,
    /// What is wrong and what to do. Never has a secret in it.
    pub message: String,
}
