//! One step of the machine.

use freshet_domain::catalogue::{BuildPolicy, Supersede};
use freshet_domain::{BatchId, BuildId, Lane, Timestamp};

use super::due::due;
use super::input::{Action, Context, Effects, Ids, Input, Refusal, Report, Room, Step};
use super::model::{
    Active, BatchFacts, BatchRecord, BatchState, BuildState, BuildUpdate, Decision, Hold, LeftOver, Pending, Phase,
    SiteState, StopCause,
};
use super::{Wake, text};

/// Builds in a row that may be cancelled for a newer batch; the next one is let finish. Without this bound a site that
/// changes faster than it builds would never be live again (promise P4).
pub const SUPERSEDED_IN_ROW_MAX: u32 = 3;

/// What follows from an input.
pub fn step(state: &SiteState, input: Input, context: Context<'_>, ids: &mut dyn Ids) -> Result<Step, Refusal> {
    let mut stepper =
        Stepper { state: state.clone(), context, ids, effects: Effects::default(), actions: Vec::new(), batch: None };
    match input {
        Input::ChangesArrived { count, lane, example, traceparent, redacts } => {
            stepper.changes_arrived(count, lane, &example, &traceparent, redacts);
        }
        Input::Tick { room } => stepper.tick(&room),
        Input::BuildStarted { build, report } => stepper.build_started(build, report),
        Input::BuildEnded { build, outcome, report } => stepper.build_ended(build, outcome, report),
        Input::SourcesSeen { sources, has_content } => stepper.sources_seen(sources, has_content),
        Input::Trigger { reason } => stepper.trigger(reason)?,
        Input::Flush => stepper.flush()?,
        Input::Retry { batch } => stepper.retry(batch)?,
        Input::Cancel { build, reason } => stepper.cancel(build, reason)?,
        Input::Pause { reason } => stepper.pause(reason),
        Input::Resume => stepper.resume(),
        Input::RolledBack { build } => stepper.state.live = Some(build),
    }
    let wake = Wake::of(&stepper.state, stepper.context.policy);
    let Stepper { state, effects, actions, batch, .. } = stepper;
    Ok(Step { state, wake, effects, actions, batch })
}

/// A step in the making.
pub(super) struct Stepper<'a> {
    pub(super) state: SiteState,
    pub(super) context: Context<'a>,
    pub(super) ids: &'a mut dyn Ids,
    effects: Effects,
    pub(super) actions: Vec<Action>,
    /// The batch that the input is about.
    pub(super) batch: Option<BatchId>,
}

/// The order of lanes by haste.
fn haste(lane: Lane) -> u8 {
    match lane {
        Lane::Urgent => 2,
        Lane::Normal => 1,
        Lane::Bulk => 0,
    }
}

impl Stepper<'_> {
    pub(super) fn now(&self) -> Timestamp {
        self.context.now
    }

    pub(super) fn decide(
        &mut self,
        batch: BatchId,
        build: Option<BuildId>,
        code: &'static str,
        reason: impl Into<String>,
    ) {
        let at = self.now();
        self.effects.decisions.push(Decision { at, batch, build, code, reason: reason.into() });
    }

    pub(super) fn record_batch(&mut self, facts: &BatchFacts, state: BatchState, ended: bool) {
        let ended_at = ended.then_some(self.now());
        self.effects.batches.retain(|batch| batch.facts.batch != facts.batch);
        self.effects.batches.push(BatchRecord { facts: facts.clone(), state, ended_at, joined_into: None });
    }

    pub(super) fn record_build(&mut self, active: &Active, state: BuildState, error: Option<String>, report: Report) {
        let end_time = state.has_ended().then_some(self.now());
        self.effects.builds.push(BuildUpdate {
            build: active.build,
            batch: active.facts.batch,
            attempt: active.attempt,
            state,
            create_time: active.create_time,
            start_time: active.start_time,
            end_time,
            changes: active.facts.total(),
            entries: report.entries,
            error,
            log_tail: report.log_tail,
            log_location: report.log_location,
            traceparent: report.traceparent,
        });
    }

    /// The pending batch, opened if there is none. Changes left over from a failed or cancelled batch join it.
    pub(super) fn open_pending(&mut self) -> Pending {
        let mut pending = match self.state.pending.take() {
            Some(pending) => pending,
            None => {
                Pending { facts: BatchFacts::new(self.ids.batch(), self.now()), asked: None, fired: None, held: None }
            }
        };
        if let Some(left) = self.state.left_over.take() {
            self.join(&mut pending, &left);
        }
        self.batch = Some(pending.facts.batch);
        pending
    }

    pub(super) fn join(&mut self, pending: &mut Pending, left: &LeftOver) {
        pending.facts.joined += left.changes;
        pending.facts.redacts |= left.redacts;
        self.effects.joins.push((left.batch, pending.facts.batch));
        let how = if left.failed { "failed" } else { "cancelled" };
        let reason = format!("{} of the {how} batch {} joined", text::changes(left.changes), left.batch);
        self.decide(pending.facts.batch, None, "JOINED", reason);
    }

    pub(super) fn keep_pending(&mut self, pending: Pending) {
        self.record_batch(&pending.facts, BatchState::Pending, false);
        self.state.pending = Some(pending);
    }

    pub(super) fn hold_pending(&mut self, hold: Hold, reason: impl Into<String>) {
        let Some(pending) = self.state.pending.as_mut().filter(|pending| pending.held != Some(hold)) else { return };
        pending.held = Some(hold);
        let batch = pending.facts.batch;
        self.decide(batch, None, hold.code(), reason);
    }

    fn changes_arrived(&mut self, count: u64, lane: Lane, example: &str, traceparent: &str, redacts: bool) {
        let now = self.now();
        let mut pending = self.open_pending();
        let facts = &mut pending.facts;
        let is_first = facts.changes == 0;
        facts.changes += count;
        facts.first_change_at.get_or_insert(now);
        facts.last_change_at = Some(now);
        facts.redacts |= redacts;
        let faster = facts.lane.is_none_or(|present| haste(lane) > haste(present));
        if faster {
            facts.lane = Some(lane);
        }
        if facts.traceparent.is_empty() {
            facts.traceparent = traceparent.to_owned();
        }
        let batch = facts.batch;
        // Only the first change gets a decision: the others are counted in the one that fires the batch.
        if is_first {
            let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            self.decide(batch, None, "CHANGE_ADDED", format!("{example}{more} changed, lane {lane}"));
        }
        self.keep_pending(pending);
        self.show_standing_holds();
    }

    /// A paused or removed site says so as soon as something waits, not only once it is due.
    pub(super) fn show_standing_holds(&mut self) {
        if let Some(paused) = &self.state.paused {
            let reason = text::held_by_pause(&paused.reason);
            self.hold_pending(Hold::Paused, reason);
        } else if self.context.policy.is_none() {
            self.hold_pending(Hold::Removed, "the site is not in the catalogue");
        }
    }

    fn tick(&mut self, room: &Room) {
        let Some(policy) = self.context.policy else {
            self.hold_pending(Hold::Removed, "the site is not in the catalogue");
            return;
        };
        if self.state.paused.is_some() {
            self.show_standing_holds();
            self.hold_queued(Hold::Paused, "the site is paused");
            return;
        }
        let now = self.now();
        let ready = self.state.pending.as_ref().and_then(|pending| due(pending, policy)).filter(|due| due.at <= now);
        if let Some(pending) = &mut self.state.pending {
            pending.fired = ready;
        }
        let Some(active) = &self.state.active else {
            if ready.is_some() {
                self.start_pending(policy, room);
            }
            return;
        };
        match active.phase {
            Phase::Cancelling { .. } => {
                if ready.is_some() {
                    self.hold_pending(Hold::Running, "the build before it is being stopped");
                }
            }
            Phase::Starting | Phase::Running => {
                if ready.is_some() {
                    self.supersede_or_wait(policy);
                }
            }
            Phase::Queued { not_before } => match room {
                Room::Free if ready.is_some() => self.replace_queued(policy, room),
                Room::Free if not_before <= now => self.start_queued(),
                Room::Free => {}
                Room::Full(why) => {
                    if ready.is_some() {
                        self.hold_pending(Hold::Limit, why);
                    }
                    if not_before <= now {
                        self.hold_queued(Hold::Limit, why);
                    }
                }
            },
        }
    }

    fn supersede_or_wait(&mut self, policy: &BuildPolicy) {
        let build = self.state.active.as_ref().map(|active| active.build);
        let (Some(build), Some(pending)) = (build, &self.state.pending) else { return };
        let newer = pending.facts.batch;
        if policy.supersede == Supersede::Cancel && self.state.superseded_in_row < SUPERSEDED_IN_ROW_MAX {
            self.hold_pending(Hold::Running, format!("stops the build {build} and takes over its changes"));
            self.stop(StopCause::Superseded, format!("the newer batch {newer} is ready"));
            return;
        }
        let why = if policy.supersede == Supersede::Cancel {
            let row = self.state.superseded_in_row;
            format!("the build {build} is let finish, because {row} builds in a row were stopped for newer batches")
        } else {
            format!("the build {build} is not done")
        };
        self.hold_pending(Hold::Running, why);
    }

    fn start_pending(&mut self, policy: &BuildPolicy, room: &Room) {
        if let Room::Full(why) = room {
            self.hold_pending(Hold::Limit, why);
            return;
        }
        let Some(mut pending) = self.state.pending.take() else { return };
        let Some(due) = due(&pending, policy) else {
            self.state.pending = Some(pending);
            return;
        };
        if let Some(left) = self.state.left_over.take() {
            self.join(&mut pending, &left);
        }
        let now = self.now();
        let asked = pending.asked.as_ref().map(|asked| asked.reason.as_str());
        let fired = text::fired(&pending.facts, due.rule, asked, now);
        let active = Active {
            build: self.ids.build(),
            attempt: 1,
            failures: 0,
            interruptions: 0,
            create_time: now,
            start_time: None,
            phase: Phase::Starting,
            held: None,
            facts: pending.facts,
        };
        self.decide(active.facts.batch, None, due.rule.code(), fired);
        self.record_batch(&active.facts, BatchState::Building, false);
        self.launch(active);
    }

    fn start_queued(&mut self) {
        let Some(mut active) = self.state.active.take() else { return };
        active.phase = Phase::Starting;
        active.held = None;
        self.launch(active);
    }

    pub(super) fn hold_queued(&mut self, hold: Hold, reason: &str) {
        let Some(active) = &mut self.state.active else { return };
        let is_new = matches!(active.phase, Phase::Queued { .. }) && active.held != Some(hold);
        if is_new {
            active.held = Some(hold);
            let (batch, build) = (active.facts.batch, active.build);
            self.decide(batch, Some(build), hold.code(), reason);
        }
    }

    /// A newer batch is ready while an older one waits for its next attempt: the newer one takes its changes over and
    /// starts now, because it may be what mends the build.
    fn replace_queued(&mut self, policy: &BuildPolicy, room: &Room) {
        let Some(active) = self.state.active.take() else { return };
        let reason = "a newer batch is ready and takes over its changes";
        self.record_build(&active, BuildState::Cancelled, None, Report::default());
        self.decide(active.facts.batch, Some(active.build), "CANCELLED", reason);
        self.leave_over(&active, BatchState::Cancelled);
        self.start_pending(policy, room);
    }

    fn launch(&mut self, active: Active) {
        let reason = format!("attempt {} with {}", active.attempt, text::changes(active.facts.total()));
        self.decide(active.facts.batch, Some(active.build), "STARTED", reason);
        self.record_build(&active, BuildState::Starting, None, Report::default());
        self.actions.push(Action::StartBuild {
            build: active.build,
            batch: active.facts.batch,
            attempt: active.attempt,
            traceparent: active.facts.traceparent.clone(),
        });
        self.batch = Some(active.facts.batch);
        self.state.active = Some(active);
    }
}
