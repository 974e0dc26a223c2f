//! The state of one site, and the records that follow from it.

use std::fmt;

use freshet_domain::{BatchId, BuildId, ClientId, Lane, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Due, wire};

/// Names a site for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteKey {
    /// The client.
    pub client: ClientId,
    /// The site.
    pub site: SiteId,
}

impl SiteKey {
    /// The site of that client.
    pub fn new(client: ClientId, site: SiteId) -> Self {
        Self { client, site }
    }
}

/// `client/site`.
impl fmt::Display for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client, self.site)
    }
}

/// Everything that decides what happens next to a site. The default is an idle site that was never built.
///
/// It has counts and times only; the changes have rows of their own, so a burst never rewrites a growing state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteState {
    /// Set while no builds are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// What collects for the next build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// What is being built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
    /// A failed or cancelled batch whose changes wait for the site's next batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_over: Option<LeftOver>,
    /// The build that visitors see.
    #[serde(default, with = "wire::build_id::option", skip_serializing_if = "Option::is_none")]
    pub live: Option<BuildId>,
    /// Builds in a row that were cancelled for a newer batch. Bounded, or a busy site would never finish a build.
    #[serde(default)]
    pub superseded_in_row: u32,
    /// The sources that the catalogue last gave it, in order; `None` before anybody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
}

impl SiteState {
    /// True while a build occupies one of the places that the limits count.
    pub fn is_running(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.phase.is_running())
    }

    /// True if something waits or is built.
    pub fn has_work(&self) -> bool {
        self.pending.is_some() || self.active.is_some()
    }
}

/// Why no builds are started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Given by whoever paused it.
    pub reason: String,
    /// Since when.
    #[serde(with = "wire::time")]
    pub at: Timestamp,
}

/// What a batch is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFacts {
    /// Its id.
    #[serde(with = "wire::batch_id")]
    pub batch: BatchId,
    /// When it was opened.
    #[serde(with = "wire::time")]
    pub opened_at: Timestamp,
    /// When its first change of its own came.
    #[serde(default, with = "wire::time::option")]
    pub first_change_at: Option<Timestamp>,
    /// When its last change of its own came.
    #[serde(default, with = "wire::time::option")]
    pub last_change_at: Option<Timestamp>,
    /// Changes of its own.
    pub changes: u64,
    /// Changes that joined it from failed and cancelled batches.
    #[serde(default)]
    pub joined: u64,
    /// The fastest lane among its own changes.
    #[serde(default, with = "wire::lane")]
    pub lane: Option<Lane>,
    /// W3C trace context of its first change; empty if none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub traceparent: String,
    /// Something was removed for good: once this batch is live, no older release may be kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacts: bool,
}

impl BatchFacts {
    /// An empty batch.
    pub fn new(batch: BatchId, opened_at: Timestamp) -> Self {
        Self {
            batch,
            opened_at,
            first_change_at: None,
            last_change_at: None,
            changes: 0,
            joined: 0,
            lane: None,
            traceparent: String::new(),
            redacts: false,
        }
    }

    /// All changes that its build contains.
    pub fn total(&self) -> u64 {
        self.changes + self.joined
    }
}

/// A batch that collects changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What it is made of.
    pub facts: BatchFacts,
    /// Set when somebody asked for the build: nothing is waited for any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Set once it was due and could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<Due>,
    /// What holds it, as recorded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
}

/// Somebody asked for a build now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When.
    #[serde(with = "wire::time")]
    pub at: Timestamp,
    /// In whose words.
    pub reason: String,
}

/// What keeps a due build from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// The build before it runs.
    Running,
    /// A limit on running builds is reached.
    Limit,
    /// The site is paused.
    Paused,
    /// The site is not in the catalogue.
    Removed,
}

impl Hold {
    /// The code of the decision that makes it visible.
    pub const fn code(self) -> &'static str {
        match self {
            Hold::Running => "HELD_RUNNING",
            Hold::Limit => "HELD_LIMIT",
            Hold::Paused => "HELD_PAUSED",
            Hold::Removed => "HELD_REMOVED",
        }
    }
}

/// A closed batch and its present attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The batch.
    pub facts: BatchFacts,
    /// The build of the present attempt.
    #[serde(with = "wire::build_id")]
    pub build: BuildId,
    /// Number of the present attempt, from 1.
    pub attempt: u32,
    /// Attempts that failed.
    #[serde(default)]
    pub failures: u32,
    /// Attempts that ended with the process that ran them.
    #[serde(default)]
    pub interruptions: u32,
    /// When the build was queued.
    #[serde(with = "wire::time")]
    pub create_time: Timestamp,
    /// When the runner confirmed it.
    #[serde(default, with = "wire::time::option")]
    pub start_time: Option<Timestamp>,
    /// Where it stands.
    pub phase: Phase,
    /// What holds a queued attempt, as recorded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
}

/// Where a build stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its next attempt.
    Queued {
        /// Not before this.
        #[serde(with = "wire::time")]
        not_before: Timestamp,
    },
    /// Handed to the runner.
    Starting,
    /// Confirmed by the runner.
    Running,
    /// Told to stop, still occupying its place.
    Cancelling {
        /// By whom.
        cause: StopCause,
        /// In whose words.
        reason: String,
    },
}

impl Phase {
    /// True if the limits count it.
    pub const fn is_running(&self) -> bool {
        !matches!(self, Phase::Queued { .. })
    }
}

/// Who stopped a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// A person.
    Person,
    /// A newer batch.
    Superseded,
}

/// A batch whose changes wait for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOver {
    /// The batch.
    #[serde(with = "wire::batch_id")]
    pub batch: BatchId,
    /// Its changes, those that had joined it among them.
    pub changes: u64,
    /// Failed (true) or cancelled.
    pub failed: bool,
    /// See [`BatchFacts::redacts`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacts: bool,
}

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)+ }

        impl $name {
            /// The number under which it is stored; equal to the protocol's number.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// From the stored number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

coded!(
    /// Where a batch stands.
    BatchState {
        /// Collecting changes.
        Pending = 1;
        /// Closed; its build is queued or running.
        Building = 2;
        /// A build of it succeeded.
        Succeeded = 3;
        /// Every attempt failed; its changes join the next batch.
        Failed = 4;
        /// Its build was cancelled; its changes join the next batch.
        Cancelled = 5;
    }
);

coded!(
    /// Where a build stands.
    BuildState {
        /// Waits for a free place or for its next attempt.
        Queued = 1;
        /// Handed to the runner.
        Starting = 2;
        /// Runs.
        Running = 3;
        /// Done, and its result is live.
        Succeeded = 4;
        /// Failed; the live site is untouched.
        Failed = 5;
        /// Cancelled by a person or a newer batch.
        Cancelled = 6;
    }
);

impl BuildState {
    /// True if nothing can happen to it any more.
    pub const fn has_ended(self) -> bool {
        matches!(self, BuildState::Succeeded | BuildState::Failed | BuildState::Cancelled)
    }
}

/// A batch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// What it is made of.
    pub facts: BatchFacts,
    /// Where it stands.
    pub state: BatchState,
    /// When it succeeded, failed or was cancelled.
    pub ended_at: Option<Timestamp>,
    /// The batch that took its changes over, after a failure or cancellation.
    pub joined_into: Option<BatchId>,
}

/// What became of a build. Fields that are `None` stay as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildUpdate {
    /// The build.
    pub build: BuildId,
    /// The batch that it builds.
    pub batch: BatchId,
    /// Number of the attempt.
    pub attempt: u32,
    /// Where it stands.
    pub state: BuildState,
    /// When it was queued.
    pub create_time: Timestamp,
    /// When the runner started it.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Changes in it.
    pub changes: u64,
    /// Entries in its snapshot.
    pub entries: Option<u64>,
    /// Why it failed, one sentence.
    pub error: Option<String>,
    /// The last lines of its log.
    pub log_tail: Option<String>,
    /// Where the whole log is.
    pub log_location: Option<String>,
    /// W3C trace context that it got.
    pub traceparent: Option<String>,
}

/// One decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// About which batch.
    pub batch: BatchId,
    /// About which of its builds; `None`: the batch as a whole.
    pub build: Option<BuildId>,
    /// Machine-readable, UPPER_SNAKE.
    pub code: &'static str,
    /// For people.
    pub reason: String,
}
