//! The rules one by one.

use std::time::Duration;

use freshet_domain::catalogue::{BuildPolicy, Supersede};
use freshet_domain::{BuildId, Lane, Timestamp};

use super::*;

/// A machine with a clock that is set by hand.
struct Site {
    state: SiteState,
    policy: Option<BuildPolicy>,
    now: Timestamp,
    wake: Wake,
    decisions: Vec<Decision>,
    batches: Vec<BatchRecord>,
    builds: Vec<BuildUpdate>,
}

impl Site {
    fn new(policy: BuildPolicy) -> Self {
        Self {
            state: SiteState::default(),
            policy: Some(policy),
            now: Timestamp::from_secs(1_000),
            wake: Wake::default(),
            decisions: Vec::new(),
            batches: Vec::new(),
            builds: Vec::new(),
        }
    }

    fn try_input(&mut self, input: Input) -> Result<Vec<Action>, Refusal> {
        let context = Context { now: self.now, policy: self.policy.as_ref() };
        let step = step(&self.state, input, context, &mut NewIds)?;
        self.state = step.state;
        self.wake = step.wake;
        self.decisions.extend(step.effects.decisions);
        self.batches.extend(step.effects.batches);
        self.builds.extend(step.effects.builds);
        Ok(step.actions)
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        self.try_input(input).expect("not refused")
    }

    fn change(&mut self, lane: Lane) {
        self.input(Input::ChangesArrived {
            count: 1,
            lane,
            example: "blog/a/1".into(),
            traceparent: String::new(),
            redacts: false,
        });
    }

    /// Time passes; returns the build that started.
    fn after(&mut self, millis: u64) -> Option<BuildId> {
        self.now = self.now.plus(Duration::from_millis(millis));
        self.tick()
    }

    fn tick(&mut self) -> Option<BuildId> {
        self.input(Input::Tick { room: Room::Free }).into_iter().find_map(|action| match action {
            Action::StartBuild { build, .. } => Some(build),
            Action::CancelBuild { .. } => None,
        })
    }

    fn end(&mut self, build: BuildId, outcome: Outcome) {
        self.input(Input::BuildEnded { build, outcome, report: Report::default() });
    }

    fn codes(&self) -> Vec<&'static str> {
        self.decisions.iter().map(|decision| decision.code).collect()
    }

    fn reason(&self, code: &str) -> &str {
        self.decisions.iter().rev().find(|decision| decision.code == code).map_or("", |decision| &decision.reason)
    }
}

fn policy() -> BuildPolicy {
    BuildPolicy {
        quiet_period: Duration::from_secs(5),
        max_wait: Duration::from_secs(60),
        max_attempts: 2,
        ..BuildPolicy::default()
    }
}

#[test]
fn a_batch_fires_after_the_quiet_period() {
    let mut site = Site::new(policy());
    site.change(Lane::Normal);
    assert_eq!(site.wake.at, Some(site.now.plus(Duration::from_secs(5))));
    assert_eq!(site.after(4_000), None);
    site.change(Lane::Normal);
    assert_eq!(site.after(4_900), None);
    assert!(site.after(100).is_some());
    assert_eq!(site.codes(), ["CHANGE_ADDED", "FIRED_QUIET", "STARTED"]);
    assert_eq!(site.reason("FIRED_QUIET"), "waited 9.0 s, 1 more change came, fired by quiet_period");
}

#[test]
fn p5_max_wait_counts_from_the_first_change() {
    let mut site = Site::new(policy());
    for _ in 0..15 {
        site.change(Lane::Normal);
        assert_eq!(site.after(3_999), None);
    }
    assert!(site.after(60_000 - 15 * 3_999).is_some());
    assert_eq!(site.reason("FIRED_MAX_WAIT"), "waited 1 min 0 s, 14 more changes came, fired by max_wait");
}

#[test]
fn lanes_and_max_changes_decide_how_long_is_waited() {
    let mut site = Site::new(policy());
    site.change(Lane::Bulk);
    assert_eq!(site.after(59_999), None);
    site.change(Lane::Urgent);
    assert!(site.tick().is_some());
    let mut site = Site::new(policy());
    site.change(Lane::Bulk);
    assert!(site.after(60_000).is_some());
    let mut site = Site::new(BuildPolicy { max_changes: 3, ..policy() });
    site.change(Lane::Normal);
    site.change(Lane::Bulk);
    assert_eq!(site.tick(), None);
    site.change(Lane::Normal);
    assert!(site.tick().is_some());
    assert_eq!(site.codes()[1], "FIRED_MAX_CHANGES");
}

#[test]
fn a_change_during_a_build_goes_to_the_next_batch() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let build = site.tick().expect("started");
    let first = site.state.active.as_ref().expect("active").facts.batch;
    site.change(Lane::Urgent);
    assert_eq!(site.tick(), None);
    assert_ne!(site.state.pending.as_ref().expect("pending").facts.batch, first);
    assert_eq!(site.wake, Wake::default(), "the end of the build wakes it");
    // Told once, not at each tick.
    site.tick();
    assert_eq!(site.codes().iter().filter(|code| **code == "HELD_RUNNING").count(), 1);
    site.end(build, Outcome::Succeeded);
    assert!(site.wake.at.is_some_and(|at| at <= site.now));
    assert!(site.tick().is_some());
    assert_eq!(site.state.live, Some(build));
}

#[test]
fn p4_failures_are_retried_and_then_join_the_next_batch() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let build = site.tick().expect("started");
    let failed = site.state.active.as_ref().expect("active").facts.batch;
    site.end(build, Outcome::Failed("no space".into()));
    assert_eq!(site.after(9_999), None);
    let second = site.after(1).expect("the second attempt");
    site.end(second, Outcome::Failed("no space".into()));
    assert_eq!(site.state.left_over.as_ref().map(|left| (left.batch, left.failed)), Some((failed, true)));
    assert_eq!(site.batches.last().expect("a batch").state, BatchState::Failed);
    // A site that cannot be built is not built for ever.
    assert_eq!(site.wake, Wake::default());
    assert_eq!(site.after(1_000_000), None);
    site.change(Lane::Urgent);
    let third = site.tick().expect("the next batch");
    assert_eq!(site.state.active.as_ref().expect("active").facts.total(), 2);
    assert!(site.codes().contains(&"JOINED"));
    site.end(third, Outcome::Succeeded);
    assert_eq!(site.state.left_over, None);
}

#[test]
fn a_newer_batch_takes_over_one_that_waits_for_its_next_attempt() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let build = site.tick().expect("started");
    site.end(build, Outcome::Failed("x".into()));
    site.change(Lane::Urgent);
    let next = site.tick().expect("at once");
    let active = site.state.active.as_ref().expect("active");
    assert_eq!((active.build, active.attempt, active.facts.total()), (next, 1, 2));
}

#[test]
fn an_interrupted_build_starts_again_at_once_and_is_not_counted() {
    let mut site = Site::new(BuildPolicy { max_attempts: 1, ..policy() });
    site.change(Lane::Urgent);
    let mut build = site.tick().expect("started");
    for attempt in 2..=INTERRUPTIONS_MAX + 1 {
        site.end(build, Outcome::Interrupted);
        build = site.tick().expect("at once");
        assert_eq!(site.state.active.as_ref().expect("active").attempt, attempt);
    }
    site.end(build, Outcome::Interrupted);
    assert!(site.state.left_over.is_some(), "a build that ends its process every time counts in the end");
}

#[test]
fn supersede_cancels_but_not_for_ever() {
    let mut site = Site::new(BuildPolicy { supersede: Supersede::Cancel, ..policy() });
    site.change(Lane::Urgent);
    let mut build = site.tick().expect("started");
    for round in 1..=SUPERSEDED_IN_ROW_MAX {
        site.change(Lane::Urgent);
        let actions = site.input(Input::Tick { room: Room::Free });
        assert_eq!(actions, [Action::CancelBuild { build }]);
        assert_eq!(site.tick(), None, "the place is occupied until the build has ended");
        site.end(build, Outcome::Cancelled);
        build = site.tick().expect("the newer batch");
        assert_eq!(site.state.active.as_ref().expect("active").facts.total(), u64::from(round) + 1);
    }
    site.change(Lane::Urgent);
    assert_eq!(site.input(Input::Tick { room: Room::Free }), []);
    site.end(build, Outcome::Succeeded);
    assert_eq!(site.state.superseded_in_row, 0);
}

#[test]
fn p4_a_paused_site_collects_visibly_and_refuses_to_be_triggered() {
    let mut site = Site::new(policy());
    site.input(Input::Pause { reason: "launch day".into() });
    site.change(Lane::Urgent);
    assert_eq!(site.reason("HELD_PAUSED"), "the site is paused: launch day");
    assert_eq!(site.after(1_000_000), None);
    assert_eq!(site.try_input(Input::Trigger { reason: String::new() }), Err(Refusal::Paused));
    assert_eq!(site.try_input(Input::Flush), Err(Refusal::Paused));
    site.input(Input::Resume);
    assert!(site.tick().is_some());
}

#[test]
fn a_full_house_is_said_once() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    for _ in 0..3 {
        assert_eq!(site.input(Input::Tick { room: Room::Full("2 of 2 run".into()) }), []);
    }
    assert_eq!(site.codes(), ["CHANGE_ADDED", "HELD_LIMIT"]);
    assert!(site.wake.room_since.is_some() && site.wake.at.is_none());
    assert!(site.tick().is_some());
}

#[test]
fn p6_nothing_starts_without_changes_or_a_word() {
    let mut site = Site::new(policy());
    assert_eq!(site.after(1_000_000), None);
    assert_eq!(site.try_input(Input::Flush), Err(Refusal::NothingWaits));
    site.input(Input::Trigger { reason: "new templates".into() });
    assert!(site.tick().is_some());
    assert_eq!(site.reason("FIRED_ASKED"), "no change waited, fired on request: new templates");
}

#[test]
fn p4_content_that_no_change_tells_of_is_built_once() {
    let seen = |sources: &[&str], has_content| Input::SourcesSeen {
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        has_content,
    };
    let mut empty = Site::new(policy());
    empty.input(seen(&["blog"], false));
    empty.input(seen(&["blog"], true));
    assert_eq!(empty.after(1_000_000), None, "content that comes later comes with changes");

    let mut site = Site::new(policy());
    site.input(seen(&["blog"], true));
    assert_eq!(site.tick(), None, "changes that come with it join it");
    let first = site.after(1_000_000).expect("a new site is built");
    assert_eq!(site.reason("SITE_ADDED"), "the site is new, and its sources have content");
    site.end(first, Outcome::Succeeded);
    site.input(seen(&["blog"], true));
    assert_eq!(site.after(1_000_000), None, "seen before");
    site.input(seen(&["blog", "shop"], false));
    assert!(site.after(1_000_000).is_some(), "and again with other sources");
    assert_eq!(site.reason("SOURCES_CHANGED"), "the site now uses blog, shop");

    let mut waits = Site::new(policy());
    waits.change(Lane::Normal);
    waits.input(seen(&["blog"], true));
    assert_eq!(waits.codes(), ["CHANGE_ADDED"], "the batch that waits will have it");
}

#[test]
fn a_person_can_cancel_and_try_again() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let build = site.tick().expect("started");
    let batch = site.state.active.as_ref().expect("active").facts.batch;
    assert_eq!(site.input(Input::Cancel { build, reason: "wrong".into() }), [Action::CancelBuild { build }]);
    // What a stopped build says about its end does not matter.
    site.end(build, Outcome::Failed("killed".into()));
    assert_eq!(site.builds.last().expect("a build").state, BuildState::Cancelled);
    let again = Input::Cancel { build, reason: String::new() };
    assert_eq!(site.try_input(again), Err(Refusal::HasEnded));
    assert_eq!(site.after(1_000_000), None);
    site.input(Input::Retry { batch });
    let second = site.tick().expect("started");
    assert_eq!(site.state.active.as_ref().expect("active").facts.total(), 1);
    site.end(second, Outcome::Succeeded);
    assert_eq!(site.try_input(Input::Retry { batch }), Err(Refusal::NotFailed));
}

#[test]
fn a_site_that_left_the_catalogue_keeps_what_waits() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let known = site.policy.take();
    assert_eq!(site.tick(), None);
    assert_eq!((site.codes().last(), site.wake), (Some(&"HELD_REMOVED"), Wake::default()));
    site.policy = known;
    assert!(site.tick().is_some());
}

#[test]
fn late_reports_of_other_builds_change_nothing() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let build = site.tick().expect("started");
    let before = site.state.clone();
    site.end(BuildId::generate(), Outcome::Succeeded);
    site.input(Input::BuildStarted { build: BuildId::generate(), report: Report::default() });
    assert_eq!(site.state, before);
    site.end(build, Outcome::Succeeded);
    site.end(build, Outcome::Failed("late".into()));
    assert_eq!(site.state.live, Some(build));
}

#[test]
fn the_state_survives_being_stored() {
    let mut site = Site::new(policy());
    site.change(Lane::Urgent);
    let build = site.tick().expect("started");
    site.change(Lane::Bulk);
    site.input(Input::Cancel { build, reason: "x".into() });
    site.input(Input::Pause { reason: "y".into() });
    let text = serde_json::to_string(&site.state).expect("json");
    assert_eq!(serde_json::from_str::<SiteState>(&text).expect("a state"), site.state);
    assert!(text.len() < 1_500, "{} bytes", text.len());
}
