//! What goes into a step and what comes out.

use freshet_domain::catalogue::BuildPolicy;
use freshet_domain::{BatchId, BuildId, Lane, Timestamp};

use super::{BatchRecord, BuildUpdate, Decision, SiteState, Wake};

/// Something that happened to a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Changes that this site has not seen before.
    ChangesArrived {
        /// How many; at least 1.
        count: u64,
        /// The fastest lane among them.
        lane: Lane,
        /// One of them, for the record.
        example: String,
        /// W3C trace context of the first; empty if none.
        traceparent: String,
        /// One of them removes something for good.
        redacts: bool,
    },
    /// Time passed, a place became free, or the catalogue changed: whatever is due may start.
    Tick {
        /// Whether there is room for one more build.
        room: Room,
    },
    /// The runner has begun.
    BuildStarted {
        /// The build.
        build: BuildId,
        /// What is known by now.
        report: Report,
    },
    /// The build has ended.
    BuildEnded {
        /// The build.
        build: BuildId,
        /// How.
        outcome: Outcome,
        /// What else is known.
        report: Report,
    },
    /// The catalogue has the site, with these sources.
    SourcesSeen {
        /// Their ids, in order.
        sources: Vec<String>,
        /// One of them has something that the site would show.
        has_content: bool,
    },
    /// Somebody asks for a build, whether or not changes wait.
    Trigger {
        /// Why.
        reason: String,
    },
    /// Nothing more is to be waited for.
    Flush,
    /// A failed or cancelled batch is to be tried again.
    Retry {
        /// The batch.
        batch: BatchId,
    },
    /// A build is to be stopped.
    Cancel {
        /// The build.
        build: BuildId,
        /// Why.
        reason: String,
    },
    /// No builds are to be started.
    Pause {
        /// Why.
        reason: String,
    },
    /// Builds may be started again.
    Resume,
    /// An earlier build is live again.
    RolledBack {
        /// The build.
        build: BuildId,
    },
}

/// Whether one more build may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// As far as is known. The store has the last word.
    Free,
    /// No; which limit is reached, for people.
    Full(String),
}

/// How a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result is live.
    Succeeded,
    /// It failed: one sentence.
    Failed(String),
    /// It was stopped because it was told to.
    Cancelled,
    /// The process that ran it ended before it did.
    Interrupted,
}

/// What the runner tells about a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries in its snapshot.
    pub entries: Option<u64>,
    /// The last lines of its log.
    pub log_tail: Option<String>,
    /// Where the whole log is.
    pub log_location: Option<String>,
    /// W3C trace context that it got.
    pub traceparent: Option<String>,
}

/// What a step may know of the world.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The site's policy; `None`: the site is not in the catalogue.
    pub policy: Option<&'a BuildPolicy>,
}

/// Where new ids come from.
pub trait Ids {
    /// An id for a new batch.
    fn batch(&mut self) -> BatchId;
    /// An id for a new build.
    fn build(&mut self) -> BuildId;
}

/// Real ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewIds;

impl Ids for NewIds {
    fn batch(&mut self) -> BatchId {
        BatchId::generate()
    }

    fn build(&mut self) -> BuildId {
        BuildId::generate()
    }
}

/// What follows from an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The state from now on.
    pub state: SiteState,
    /// When the next tick is needed.
    pub wake: Wake,
    /// What to record together with the state, in one transaction.
    pub effects: Effects,
    /// What to do once that is durable.
    pub actions: Vec<Action>,
    /// The batch that the input was about: the one that took the changes, or will be built.
    pub batch: Option<BatchId>,
}

/// What to record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Batches as they are now.
    pub batches: Vec<BatchRecord>,
    /// Batches (left) whose changes join another (right).
    pub joins: Vec<(BatchId, BatchId)>,
    /// Builds as they are now.
    pub builds: Vec<BuildUpdate>,
    /// Decisions, in order.
    pub decisions: Vec<Decision>,
}

impl Effects {
    /// True if there is nothing to record.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start this build.
    StartBuild {
        /// The build.
        build: BuildId,
        /// Its batch.
        batch: BatchId,
        /// Number of the attempt.
        attempt: u32,
        /// W3C trace context of the batch's first change; empty if none.
        traceparent: String,
    },
    /// Stop this build. Its end is reported by [`Input::BuildEnded`].
    CancelBuild {
        /// The build.
        build: BuildId,
    },
}

/// Why an input is not possible in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No batch collects anything.
    NothingWaits,
    /// The site is paused.
    Paused,
    /// The build is not the present one of its site.
    HasEnded,
    /// The batch is not waiting to be tried again.
    NotFailed,
}
