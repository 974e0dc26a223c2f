//! Records to messages.

use freshet_domain::Timestamp;
use freshet_proto::build::v1 as pb;
use freshet_proto::convert::{key_to_proto, timestamp_to_proto};

use crate::machine::SiteKey;
use crate::store::{BatchView, BuildRecord, ChangedKey, DecisionRecord};

pub(super) fn decision(record: DecisionRecord) -> pb::Decision {
    pb::Decision { at: Some(timestamp_to_proto(record.at)), code: record.code, reason: record.reason }
}

/// `due_at` only for a pending batch that nothing holds for good; keys where they were asked for.
pub(super) fn batch(view: BatchView, due_at: Option<Timestamp>, keys: &[ChangedKey]) -> pb::Batch {
    let facts = view.record.facts;
    pb::Batch {
        batch_id: facts.batch.to_string(),
        client_id: view.key.client.to_string(),
        site_id: view.key.site.to_string(),
        state: i32::from(view.record.state.code()),
        first_change_at: facts.first_change_at.map(timestamp_to_proto),
        last_change_at: facts.last_change_at.map(timestamp_to_proto),
        due_at: due_at.map(timestamp_to_proto),
        changes: facts.changes + facts.joined,
        build_ids: view.builds.iter().map(ToString::to_string).collect(),
        decisions: view.decisions.into_iter().map(decision).collect(),
        lane: facts.lane.map_or(0, |lane| i32::from(lane.code())),
        changed_keys: keys.iter().map(|changed| key_to_proto(&changed.key)).collect(),
    }
}

pub(super) fn build(
    record: BuildRecord,
    decisions: Vec<DecisionRecord>,
    is_live: bool,
    site_path: String,
) -> pb::Build {
    pb::Build {
        build_id: record.build.to_string(),
        client_id: record.key.client.to_string(),
        site_id: record.key.site.to_string(),
        batch_id: record.batch.to_string(),
        attempt: record.attempt,
        state: i32::from(record.state.code()),
        create_time: Some(timestamp_to_proto(record.create_time)),
        start_time: record.start_time.map(timestamp_to_proto),
        end_time: record.end_time.map(timestamp_to_proto),
        changes: record.changes,
        entries: record.entries,
        error: record.error,
        log_tail: record.log_tail,
        site_path,
        decisions: decisions.into_iter().map(decision).collect(),
        live: is_live,
        traceparent: record.traceparent,
        log_location: record.log_location,
    }
}

/// The key of a site, or what is wrong with its name.
pub(super) fn site_key(client: &str, site: &str) -> Result<SiteKey, freshet_kit::Error> {
    let client = freshet_proto::convert::id("client_id", client)?;
    let site = freshet_proto::convert::id("site_id", site)?;
    Ok(SiteKey { client, site })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{BatchState, BuildState};

    #[test]
    fn stored_numbers_are_the_protocols_numbers() {
        for code in 1..=5 {
            let name = format!("{:?}", BatchState::from_code(code).expect("a state"));
            let proto = pb::BatchState::try_from(i32::from(code)).expect("a state");
            assert_eq!(name, format!("{proto:?}"));
        }
        for code in 1..=6 {
            let name = format!("{:?}", BuildState::from_code(code).expect("a state"));
            let proto = pb::BuildState::try_from(i32::from(code)).expect("a state");
            assert_eq!(name, format!("{proto:?}"));
        }
    }
}
