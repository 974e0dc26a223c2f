//! Putting a receipt together. No I/O: what the services answered goes in, the receipt comes out.

use freshet_domain::{ChangeEffect, Verdict};
use freshet_proto::build::v1 as build;
use freshet_proto::content::v1::Delivery;
use freshet_proto::control::v1::{ChangeReceipt, Progress, Receipt, SiteReceipt, Stage};
use freshet_proto::convert::timestamp_from_proto;
use prost_types::Timestamp;

/// The clocks of two services differ by less, so a build that began so much later than a change was stored has read it.
const CLOCKS_APART_SECS: i64 = 60;

/// What is held until somebody builds the site or another change comes.
pub(crate) const CANCELLED: &str = "its build was cancelled; it goes with the next build of the site";

/// The receipt of a delivery.
///
/// `sites` are the sites that use its source now; `batches` are those that took its changes.
pub fn assemble(delivery: Delivery, sites: &[build::Site], batches: &[build::DeliveryBatch]) -> Receipt {
    let received = delivery.received_at;
    let mut stages = vec![stage("received", received, received, format!("{} {}", delivery.provider, delivery.event))];
    stages.push(stage("stored", delivery.stored_at, received, format!("verified by {}", delivery.proof)));
    if delivery.published_at.is_some() {
        stages.push(stage("published", delivery.published_at, received, "the sites were told".to_owned()));
    }
    stages.retain(|stage| stage.at.is_some());

    let changes: Vec<ChangeReceipt> = delivery
        .outcomes
        .iter()
        .map(|outcome| {
            let published = outcome.effect == i32::from(ChangeEffect::Published.code());
            let sites: Vec<SiteReceipt> = if published {
                sites.iter().map(|site| at_site(site, outcome.index, batches, &delivery)).collect()
            } else {
                Vec::new()
            };
            let progress = least(sites.iter().map(|site| site.progress()));
            ChangeReceipt { outcome: Some(outcome.clone()), progress: i32::from(progress), sites }
        })
        .collect();

    let (progress, reason) = overall(&delivery, &changes, sites);
    Receipt {
        delivery_id: delivery.delivery_id,
        client_id: delivery.client_id,
        source_id: delivery.source_id,
        provider: delivery.provider,
        event: delivery.event,
        progress: i32::from(progress),
        reason,
        stages,
        changes,
        duplicates: delivery.duplicates,
        proof: delivery.proof,
        traceparent: delivery.traceparent,
    }
}

fn overall(delivery: &Delivery, changes: &[ChangeReceipt], sites: &[build::Site]) -> (Progress, String) {
    if delivery.verdict == i32::from(Verdict::Quarantined.code()) {
        return (Progress::Quarantined, format!("kept, but not understood: {}", delivery.detail));
    }
    if delivery.verdict == i32::from(Verdict::Ignored.code()) {
        return (Progress::NothingToDo, delivery.detail.clone());
    }
    let relevant: Vec<&ChangeReceipt> = changes.iter().filter(|change| is_published(change)).collect();
    if relevant.is_empty() {
        let reason = changes.first().and_then(|change| change.outcome.as_ref()).map(|outcome| outcome.reason.clone());
        let reason = reason.unwrap_or_else(|| "it brought no change".to_owned());
        return (Progress::NothingToDo, reason);
    }
    if sites.is_empty() {
        return (Progress::NothingToDo, "no site uses this source".to_owned());
    }
    let progress = least(relevant.iter().map(|change| change.progress()));
    let reason = relevant
        .iter()
        .flat_map(|change| &change.sites)
        .find(|site| site.progress() == progress)
        .map(|site| format!("{}: {}", site.site_id, site.reason))
        .unwrap_or_default();
    (progress, reason)
}

fn is_published(change: &ChangeReceipt) -> bool {
    change.outcome.as_ref().is_some_and(|outcome| outcome.effect == i32::from(ChangeEffect::Published.code()))
}

fn at_site(site: &build::Site, index: u32, batches: &[build::DeliveryBatch], delivery: &Delivery) -> SiteReceipt {
    let received = delivery.received_at;
    let mut mine: Vec<&build::DeliveryBatch> = batches
        .iter()
        .filter(|taken| {
            taken.batch.as_ref().is_some_and(|batch| batch.site_id == site.site_id)
                && taken.change_indexes.contains(&index)
        })
        .collect();
    mine.sort_by_key(|taken| taken.joined_at.map(|at| (at.seconds, at.nanos)));
    // The change of a failed batch joins the next one: the one that made it live counts, else the latest.
    let succeeded = |taken: &&&build::DeliveryBatch| {
        taken.batch.as_ref().is_some_and(|batch| batch.state() == build::BatchState::Succeeded)
    };
    let taken = mine.iter().find(succeeded).or(mine.last());
    let Some((taken, batch)) = taken.and_then(|taken| Some((*taken, taken.batch.as_ref()?))) else {
        let others = batches.iter().filter(|taken| taken.change_indexes.contains(&index));
        let told_at = others.filter_map(|taken| taken.joined_at).min_by_key(|at| (at.seconds, at.nanos));
        if let Some(build) = site.live_build.as_ref().filter(|build| has_read(build, told_at, delivery)) {
            return SiteReceipt {
                site_id: site.site_id.clone(),
                progress: i32::from(Progress::Live),
                reason: format!("{} was made later from everything stored", build.build_id),
                batch_id: build.batch_id.clone(),
                build_id: build.build_id.clone(),
                stages: vec![stage("live", build.end_time, received, build.site_path.clone())],
                ..Default::default()
            };
        }
        let reason = if site.paused { "the site is paused" } else { "the site has not been told yet" };
        return SiteReceipt {
            site_id: site.site_id.clone(),
            progress: i32::from(Progress::Stored),
            reason: reason.to_owned(),
            ..Default::default()
        };
    };
    let latest = taken.builds.last();
    let (progress, reason) = progress_of(site, batch, latest);
    let mut stages = vec![stage("batched", taken.joined_at, received, format!("joined {}", batch.batch_id))];
    if let Some(latest) = latest {
        let attempt = format!("{}, attempt {}", latest.build_id, latest.attempt);
        stages.push(stage("build_queued", latest.create_time, received, attempt));
        stages.push(stage("build_started", latest.start_time, received, format!("with {} entries", latest.entries)));
        stages.push(stage("build_ended", latest.end_time, received, latest.error.clone()));
        if progress == Progress::Live {
            stages.push(stage("live", latest.end_time, received, latest.site_path.clone()));
        }
    }
    stages.retain(|stage| stage.at.is_some());
    // Batch and build both record what concerns both.
    let mut decisions: Vec<&build::Decision> = batch.decisions.iter().collect();
    for decision in latest.into_iter().flat_map(|latest| &latest.decisions) {
        if !decisions.contains(&decision) {
            decisions.push(decision);
        }
    }
    SiteReceipt {
        site_id: site.site_id.clone(),
        progress: i32::from(progress),
        reason,
        batch_id: batch.batch_id.clone(),
        build_id: latest.map(|latest| latest.build_id.clone()).unwrap_or_default(),
        due_at: if progress == Progress::Waiting { batch.due_at } else { None },
        stages,
        decisions: decisions.into_iter().map(|decision| format!("{}: {}", decision.code, decision.reason)).collect(),
    }
}

/// True if the build's snapshot has the change although the change joined no batch of the site: the site came later.
///
/// `told_at`: when the change joined at another site. Every site that there was has been told by then, and both times are
/// the build service's. Else the times are of two services, and only a large difference says something. The build's time
/// is that at which it was queued, because the snapshot is taken after that, and before its start is on record.
fn has_read(build: &build::Build, told_at: Option<Timestamp>, delivery: &Delivery) -> bool {
    let Some(queued) = build.create_time else { return false };
    let is_after = |at: Timestamp| (queued.seconds, queued.nanos) > (at.seconds, at.nanos);
    told_at.is_some_and(is_after)
        || delivery.stored_at.is_some_and(|at| is_after(Timestamp { seconds: at.seconds + CLOCKS_APART_SECS, ..at }))
}

fn progress_of(site: &build::Site, batch: &build::Batch, latest: Option<&build::Build>) -> (Progress, String) {
    let last = |fallback: &str| {
        let decision = batch.decisions.last().map(|decision| decision.reason.clone());
        decision.filter(|reason| !reason.is_empty()).unwrap_or_else(|| fallback.to_owned())
    };
    match batch.state() {
        build::BatchState::Pending if site.paused => {
            let why = if site.pause_reason.is_empty() { "no reason was given" } else { &site.pause_reason };
            (Progress::Held, format!("the site is paused: {why}"))
        }
        build::BatchState::Pending | build::BatchState::Unspecified => {
            (Progress::Waiting, last("waits for the batch to start"))
        }
        build::BatchState::Building => (Progress::Building, last("the build runs")),
        build::BatchState::Succeeded => match latest.and_then(|latest| older_live(site, latest)) {
            Some(live) => {
                let reason = format!("the site was rolled back to {}, which does not have it", live.build_id);
                (Progress::Held, reason)
            }
            None => (Progress::Live, "visible to visitors".to_owned()),
        },
        build::BatchState::Failed => {
            let error = latest.map(|latest| latest.error.clone()).filter(|error| !error.is_empty());
            (Progress::Failed, error.unwrap_or_else(|| last("the build failed")))
        }
        // Where another batch waits or runs, the change has joined that one.
        build::BatchState::Cancelled => (Progress::Held, CANCELLED.to_owned()),
    }
}

/// The build that is live, if it was made before this one: somebody rolled the site back.
fn older_live<'s>(site: &'s build::Site, build: &build::Build) -> Option<&'s build::Build> {
    let queued = |build: &build::Build| build.create_time.map(|at| (at.seconds, at.nanos));
    site.live_build.as_ref().filter(|live| live.build_id != build.build_id && queued(live) < queued(build))
}

/// The least far of several, where failure and holding count as less far than waiting.
fn least(all: impl Iterator<Item = Progress>) -> Progress {
    let rank = |progress: &Progress| match progress {
        Progress::Quarantined => 0,
        Progress::Failed => 1,
        Progress::Held => 2,
        Progress::Stored | Progress::Unspecified => 3,
        Progress::Waiting => 4,
        Progress::Building => 5,
        Progress::Live => 6,
        Progress::NothingToDo => 7,
    };
    all.min_by_key(rank).unwrap_or(Progress::NothingToDo)
}

fn stage(name: &str, at: Option<Timestamp>, received: Option<Timestamp>, detail: String) -> Stage {
    let micros = |at: Timestamp| timestamp_from_proto(&at).as_micros();
    let elapsed_ms = match (at, received) {
        (Some(at), Some(received)) => (micros(at) - micros(received)) / 1_000,
        _ => 0,
    };
    Stage { name: name.to_owned(), at, elapsed_ms, detail }
}

#[cfg(test)]
mod tests {
    use freshet_proto::common::v1::ChangeOutcome;

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn delivery(effect: ChangeEffect) -> Delivery {
        Delivery {
            received_at: at(100),
            stored_at: at(100),
            verdict: i32::from(Verdict::Accepted.code()),
            outcomes: vec![ChangeOutcome {
                effect: i32::from(effect.code()),
                reason: "the same content was stored".into(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn site(paused: bool) -> build::Site {
        build::Site { site_id: "www".into(), paused, pause_reason: "stocktaking".into(), ..Default::default() }
    }

    fn taken(state: build::BatchState, joined: i64) -> build::DeliveryBatch {
        build::DeliveryBatch {
            batch: Some(build::Batch { site_id: "www".into(), state: i32::from(state), ..Default::default() }),
            builds: vec![build::Build { end_time: at(107), error: "exit 1".into(), ..Default::default() }],
            change_indexes: vec![0],
            joined_at: at(joined),
        }
    }

    fn progress(delivery: Delivery, paused: bool, batches: &[build::DeliveryBatch]) -> (Progress, String) {
        let receipt = assemble(delivery, &[site(paused)], batches);
        (receipt.progress(), receipt.reason)
    }

    #[test]
    fn p4_a_change_is_live_only_when_a_build_with_it_succeeded() {
        use build::BatchState as State;
        let published = || delivery(ChangeEffect::Published);
        assert_eq!(progress(published(), false, &[]).0, Progress::Stored);
        assert_eq!(progress(published(), false, &[taken(State::Pending, 101)]).0, Progress::Waiting);
        assert_eq!(
            progress(published(), true, &[taken(State::Pending, 101)]),
            (Progress::Held, "www: the site is paused: stocktaking".into())
        );
        assert_eq!(progress(published(), false, &[taken(State::Building, 101)]).0, Progress::Building);
        assert_eq!(
            progress(published(), false, &[taken(State::Failed, 101)]),
            (Progress::Failed, "www: exit 1".into())
        );
        assert_eq!(
            progress(published(), false, &[taken(State::Cancelled, 101)]),
            (Progress::Held, format!("www: {CANCELLED}")),
            "nothing happens by itself"
        );
        let next = [taken(State::Cancelled, 101), taken(State::Pending, 104)];
        assert_eq!(progress(published(), false, &next).0, Progress::Waiting);
        let later = [taken(State::Succeeded, 105), taken(State::Failed, 101)];
        let receipt = assemble(published(), &[site(false)], &later);
        assert_eq!(receipt.progress(), Progress::Live);
        let live = receipt.changes[0].sites[0].stages.iter().find(|stage| stage.name == "live").expect("live");
        assert_eq!(live.elapsed_ms, 7_000);
    }

    #[test]
    fn a_change_is_not_live_at_a_site_that_was_rolled_back() {
        let made =
            |id: &str, queued| build::Build { build_id: id.into(), create_time: at(queued), ..Default::default() };
        let mut taken = taken(build::BatchState::Succeeded, 101);
        taken.builds = vec![made("bld_2", 103)];
        for (live, expected) in [
            (made("bld_1", 50), Progress::Held),
            (made("bld_2", 103), Progress::Live),
            (made("bld_3", 110), Progress::Live),
        ] {
            let site = build::Site { live_build: Some(live.clone()), ..site(false) };
            let receipt = assemble(delivery(ChangeEffect::Published), &[site], std::slice::from_ref(&taken));
            assert_eq!(receipt.progress(), expected, "{}", receipt.reason);
            assert_eq!(receipt.reason.contains(&live.build_id), expected == Progress::Held, "{}", receipt.reason);
        }
    }

    /// A site that was added later has older changes by its first build, without having been told of them.
    #[test]
    fn p4_a_site_that_is_younger_than_the_change_is_live_with_its_first_build() {
        let with_live = |queued: i64| {
            let live = build::Build {
                build_id: "bld_1".into(),
                create_time: at(queued),
                // The snapshot was taken at some time in between.
                start_time: at(queued + 500),
                end_time: at(queued + 505),
                ..Default::default()
            };
            build::Site { live_build: Some(live), ..site(false) }
        };
        let published = || delivery(ChangeEffect::Published);
        let receipt = assemble(published(), &[with_live(1_000)], &[]);
        assert_eq!(receipt.progress(), Progress::Live);
        assert_eq!(receipt.changes[0].sites[0].build_id, "bld_1");
        assert_eq!(assemble(published(), &[with_live(50)], &[]).progress(), Progress::Stored, "an older build");
        assert_eq!(assemble(published(), &[with_live(101)], &[]).progress(), Progress::Stored, "clocks may differ");
        // Another site was told at 103: this one was not there yet.
        let mut told = taken(build::BatchState::Succeeded, 103);
        told.batch.as_mut().expect("a batch").site_id = "older".into();
        let older = || build::Site { site_id: "older".into(), ..site(false) };
        let both = |queued: i64| {
            let receipt = assemble(published(), &[older(), with_live(queued)], std::slice::from_ref(&told));
            receipt.progress()
        };
        assert_eq!((both(102), both(104)), (Progress::Stored, Progress::Live));
    }

    #[test]
    fn p6_what_altered_nothing_has_nothing_to_do_and_says_why() {
        let (progress, reason) = progress(delivery(ChangeEffect::Unchanged), false, &[]);
        assert_eq!((progress, reason.as_str()), (Progress::NothingToDo, "the same content was stored"));
        let orphan = assemble(delivery(ChangeEffect::Published), &[], &[]);
        assert_eq!((orphan.progress(), orphan.reason.as_str()), (Progress::NothingToDo, "no site uses this source"));
    }
}
