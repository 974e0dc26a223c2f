//! One step of the machine.

use freshet_domain::catalogue::{BuildPolicy, Supersede};
use freshet_domain::{BatchId, BuildId, Lane, Timestamp};

use super::due::{due, retry_pause};
use super::input::{Action, Context, Effects, Ids, Input, Outcome, Refusal, Report, Room, Step};
use super::model::{
    Active, Asked, BatchFacts, BatchRecord, BatchState, BuildState, BuildUpdate, Decision, Hold, LeftOver, Paused,
    Pending, Phase, SiteState, StopCause,
};
use super::{Wake, text};

/// Builds in a row that may be cancelled for a newer batch; the next one is let finish. Without this bound a site that
/// changes faster than it builds would never be live again (promise P4).
pub const SUPERSEDED_IN_ROW_MAX: u32 = 3;

/// Attempts of one batch that may end with their process without counting as failures. Without this bound a build that
/// takes the whole machine down would do so for ever.
pub const INTERRUPTIONS_MAX: u32 = 5;

/// What follows from an input.
pub fn step(state: &SiteState, input: Input, context: Context<'_>, ids: &mut dyn Ids) -> Result<Step, Refusal> {
    let mut stepper =
        Stepper { state: state.clone(), context, ids, effects: Effects::default(), actions: Vec::new(), batch: None };
    match input {
        Input::ChangesArrived { count, lane, example, traceparent } => {
            stepper.changes_arrived(count, lane, &example, &traceparent);
        }
        Input::Tick { room } => stepper.tick(&room),
        Input::BuildStarted { build, report } => stepper.build_started(build, report),
        Input::BuildEnded { build, outcome, report } => stepper.build_ended(build, outcome, report),
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

struct Stepper<'a> {
    state: SiteState,
    context: Context<'a>,
    ids: &'a mut dyn Ids,
    effects: Effects,
    actions: Vec<Action>,
    batch: Option<BatchId>,
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
    fn now(&self) -> Timestamp {
        self.context.now
    }

    fn decide(&mut self, batch: BatchId, build: Option<BuildId>, code: &'static str, reason: impl Into<String>) {
        let at = self.now();
        self.effects.decisions.push(Decision { at, batch, build, code, reason: reason.into() });
    }

    fn record_batch(&mut self, facts: &BatchFacts, state: BatchState, ended: bool) {
        let ended_at = ended.then_some(self.now());
        self.effects.batches.retain(|batch| batch.facts.batch != facts.batch);
        self.effects.batches.push(BatchRecord { facts: facts.clone(), state, ended_at, joined_into: None });
    }

    fn record_build(&mut self, active: &Active, state: BuildState, error: Option<String>, report: Report) {
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
    fn open_pending(&mut self) -> Pending {
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

    fn join(&mut self, pending: &mut Pending, left: &LeftOver) {
        pending.facts.joined += left.changes;
        self.effects.joins.push((left.batch, pending.facts.batch));
        let how = if left.failed { "failed" } else { "cancelled" };
        let reason = format!("{} of the {how} batch {} joined", text::changes(left.changes), left.batch);
        self.decide(pending.facts.batch, None, "JOINED", reason);
    }

    fn keep_pending(&mut self, pending: Pending) {
        self.record_batch(&pending.facts, BatchState::Pending, false);
        self.state.pending = Some(pending);
    }

    fn hold_pending(&mut self, hold: Hold, reason: impl Into<String>) {
        let Some(pending) = self.state.pending.as_mut().filter(|pending| pending.held != Some(hold)) else { return };
        pending.held = Some(hold);
        let batch = pending.facts.batch;
        self.decide(batch, None, hold.code(), reason);
    }

    fn changes_arrived(&mut self, count: u64, lane: Lane, example: &str, traceparent: &str) {
        let now = self.now();
        let mut pending = self.open_pending();
        let facts = &mut pending.facts;
        let is_first = facts.changes == 0;
        facts.changes += count;
        facts.first_change_at.get_or_insert(now);
        facts.last_change_at = Some(now);
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
    fn show_standing_holds(&mut self) {
        if let Some(paused) = &self.state.paused {
            let reason = held_by_pause(&paused.reason);
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

    fn hold_queued(&mut self, hold: Hold, reason: &str) {
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

    fn build_started(&mut self, build: BuildId, report: Report) {
        let Some(active) = self.state.active.as_mut().filter(|active| active.build == build) else { return };
        // A build that is already being stopped stays so; what the report says is recorded all the same.
        active.start_time.get_or_insert(self.context.now);
        if active.phase == Phase::Starting {
            active.phase = Phase::Running;
        }
        let active = active.clone();
        self.record_build(&active, BuildState::Running, None, report);
    }

    fn build_ended(&mut self, build: BuildId, outcome: Outcome, report: Report) {
        let is_present = self.state.active.as_ref().is_some_and(|active| active.build == build);
        // A late or repeated report of a build that is not the present one changes nothing.
        if !is_present {
            return;
        }
        let Some(active) = self.state.active.take() else { return };
        self.batch = Some(active.facts.batch);
        match (outcome, active.phase.clone()) {
            (Outcome::Succeeded, _) => self.succeeded(active, report),
            (_, Phase::Cancelling { cause, reason }) => self.cancelled(&active, cause, &reason, report),
            (Outcome::Cancelled, _) => self.cancelled(&active, StopCause::Person, "the runner stopped it", report),
            (Outcome::Failed(error), _) => self.failed(active, error, report, false),
            (Outcome::Interrupted, _) => {
                self.failed(active, "it ended with the process that ran it".to_owned(), report, true);
            }
        }
    }

    fn succeeded(&mut self, active: Active, report: Report) {
        self.record_build(&active, BuildState::Succeeded, None, report);
        self.record_batch(&active.facts, BatchState::Succeeded, true);
        let took = active.start_time.unwrap_or(active.create_time);
        let reason = format!("live after {}", text::duration(self.now().since(took)));
        self.decide(active.facts.batch, Some(active.build), "SUCCEEDED", reason);
        self.state.live = Some(active.build);
        self.state.superseded_in_row = 0;
    }

    fn cancelled(&mut self, active: &Active, cause: StopCause, reason: &str, report: Report) {
        if cause == StopCause::Superseded {
            self.state.superseded_in_row += 1;
        }
        self.record_build(active, BuildState::Cancelled, None, report);
        self.decide(active.facts.batch, Some(active.build), "CANCELLED", reason);
        self.leave_over(active, BatchState::Cancelled);
    }

    fn failed(&mut self, mut active: Active, error: String, report: Report, interrupted: bool) {
        let default = BuildPolicy::default();
        let policy = self.context.policy.unwrap_or(&default);
        let (batch, build) = (active.facts.batch, active.build);
        self.record_build(&active, BuildState::Failed, Some(error.clone()), report);
        self.decide(batch, Some(build), if interrupted { "INTERRUPTED" } else { "FAILED" }, error);
        let counts = if interrupted {
            active.interruptions += 1;
            active.interruptions > INTERRUPTIONS_MAX
        } else {
            true
        };
        active.failures += u32::from(counts);
        if active.failures >= policy.max_attempts {
            let reason = format!("{} attempts failed; the changes join the next batch", active.failures);
            self.decide(batch, None, "FAILED", reason);
            self.leave_over(&active, BatchState::Failed);
            return;
        }
        let pause = if counts { retry_pause(policy, active.failures) } else { std::time::Duration::ZERO };
        active.build = self.ids.build();
        active.attempt += 1;
        active.create_time = self.now();
        active.start_time = None;
        active.held = None;
        active.phase = Phase::Queued { not_before: self.now().plus(pause) };
        let reason = format!("attempt {} starts in {}", active.attempt, text::duration(pause));
        self.record_build(&active, BuildState::Queued, None, Report::default());
        self.decide(batch, Some(active.build), "RETRY_SCHEDULED", reason);
        self.state.active = Some(active);
    }

    /// Ends a batch without success. Its changes join the pending batch, or wait for the next one.
    fn leave_over(&mut self, active: &Active, state: BatchState) {
        self.record_batch(&active.facts, state, true);
        let failed = state == BatchState::Failed;
        let left = LeftOver { batch: active.facts.batch, changes: active.facts.total(), failed };
        match self.state.pending.take() {
            Some(mut pending) => {
                self.join(&mut pending, &left);
                self.keep_pending(pending);
            }
            None => self.state.left_over = Some(left),
        }
    }

    fn trigger(&mut self, reason: String) -> Result<(), Refusal> {
        if self.state.paused.is_some() {
            return Err(Refusal::Paused);
        }
        let pending = self.open_pending();
        self.ask(pending, "TRIGGERED", reason);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        if self.state.pending.is_none() {
            return Err(Refusal::NothingWaits);
        }
        if self.state.paused.is_some() {
            return Err(Refusal::Paused);
        }
        let pending = self.open_pending();
        self.ask(pending, "FLUSHED", String::new());
        Ok(())
    }

    fn ask(&mut self, mut pending: Pending, code: &'static str, reason: String) {
        let said = if reason.is_empty() { "asked for without waiting any longer".to_owned() } else { reason.clone() };
        self.decide(pending.facts.batch, None, code, said);
        pending.asked.get_or_insert(Asked { at: self.context.now, reason });
        self.keep_pending(pending);
    }

    fn retry(&mut self, batch: BatchId) -> Result<(), Refusal> {
        if self.state.paused.is_some() {
            return Err(Refusal::Paused);
        }
        let now = self.now();
        if let Some(active) = self.state.active.as_mut().filter(|active| active.facts.batch == batch) {
            self.batch = Some(batch);
            if let Phase::Queued { not_before } = &mut active.phase
                && *not_before > now
            {
                *not_before = now;
                let build = active.build;
                self.decide(batch, Some(build), "RETRY_ASKED", "asked for without waiting any longer");
            }
            return Ok(());
        }
        let waits = self.state.left_over.as_ref().is_some_and(|left| left.batch == batch)
            || self.state.pending.as_ref().is_some_and(|pending| pending.facts.batch == batch);
        if !waits {
            return Err(Refusal::NotFailed);
        }
        let pending = self.open_pending();
        self.ask(pending, "RETRY_ASKED", format!("the batch {batch} is tried again"));
        Ok(())
    }

    fn cancel(&mut self, build: BuildId, reason: String) -> Result<(), Refusal> {
        let Some(active) = self.state.active.take_if(|active| active.build == build) else {
            return Err(Refusal::HasEnded);
        };
        let reason = if reason.is_empty() { "cancelled on request".to_owned() } else { reason };
        self.batch = Some(active.facts.batch);
        if matches!(active.phase, Phase::Queued { .. }) {
            self.cancelled(&active, StopCause::Person, &reason, Report::default());
            return Ok(());
        }
        self.state.active = Some(active);
        self.stop(StopCause::Person, reason);
        Ok(())
    }

    fn stop(&mut self, cause: StopCause, reason: String) {
        let Some(active) = &mut self.state.active else { return };
        // A person's word stands over a newer batch's.
        let is_news = !matches!(active.phase, Phase::Cancelling { .. });
        let (batch, build) = (active.facts.batch, active.build);
        if is_news || cause == StopCause::Person {
            active.phase = Phase::Cancelling { cause, reason: reason.clone() };
        }
        if is_news {
            self.decide(batch, Some(build), "CANCELLING", reason);
        }
        self.actions.push(Action::CancelBuild { build });
    }

    fn pause(&mut self, reason: String) {
        if self.state.paused.is_none() {
            self.state.paused = Some(Paused { reason: reason.clone(), at: self.now() });
        } else if let Some(paused) = &mut self.state.paused {
            paused.reason = reason.clone();
        }
        self.hold_pending(Hold::Paused, held_by_pause(&reason));
        self.hold_queued(Hold::Paused, "the site is paused");
    }

    fn resume(&mut self) {
        if self.state.paused.take().is_none() {
            return;
        }
        if let Some(pending) = self.state.pending.as_mut().filter(|pending| pending.held == Some(Hold::Paused)) {
            pending.held = None;
            let batch = pending.facts.batch;
            self.decide(batch, None, "RESUMED", "the site is no longer paused");
        }
        if let Some(active) = self.state.active.as_mut().filter(|active| active.held == Some(Hold::Paused)) {
            active.held = None;
        }
    }
}

fn held_by_pause(reason: &str) -> String {
    if reason.is_empty() { "the site is paused".to_owned() } else { format!("the site is paused: {reason}") }
}
