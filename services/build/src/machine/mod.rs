//! The pure state machine of one site: no I/O, no clock, no chance.
//!
//! `Idle -> Pending -> Active (Queued | Starting | Running | Cancelling) -> Idle`, and a new batch may collect while
//! another is built. [`step`] takes the state, one [`Input`] and the time, and returns the next state, what to record
//! and what to do. Everything that a person could ask "why?" about leaves a [`Decision`].
//!
//! **Invariants**
//! - At most one build per site is starting, running or being cancelled.
//! - Only [`Input::Tick`] starts a build, so one caller can keep the limits.
//! - A batch closes at the moment its build starts, before the snapshot is taken: a change that joins a batch is in
//!   its snapshot, and a change that comes later is in the next batch.
//! - Changes never vanish: they are in the pending batch, in the active batch, left over from a failed or cancelled
//!   batch (and join the next one), or in a succeeded batch.

mod asked;
mod due;
mod ended;
mod input;
mod model;
mod step;
mod text;
mod wire;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use due::{Due, Rule, Wake, due_at_latest};
pub use ended::INTERRUPTIONS_MAX;
pub use input::{Action, Context, Effects, Ids, Input, NewIds, Outcome, Refusal, Report, Room, Step};
pub use model::{
    Active, Asked, BatchFacts, BatchRecord, BatchState, BuildState, BuildUpdate, Decision, Hold, LeftOver, Paused,
    Pending, Phase, SiteKey, SiteState, StopCause,
};
pub use step::{SUPERSEDED_IN_ROW_MAX, step};
