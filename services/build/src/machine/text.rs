//! Reasons for people.

use std::time::Duration;

use super::BatchFacts;
use super::due::Rule;
use freshet_domain::Timestamp;

/// `4.8 s`, `350 ms`, `3 min 5 s`.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis / 1_000 % 60),
        _ => format!("{} h {} min", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// `1 change`, `12 changes`.
pub(super) fn changes(count: u64) -> String {
    if count == 1 { "1 change".to_owned() } else { format!("{count} changes") }
}

/// `waited 4.8 s, 11 more changes came, fired by max_wait`.
pub(super) fn fired(facts: &BatchFacts, rule: Rule, asked: Option<&str>, now: Timestamp) -> String {
    let mut text = match facts.first_change_at {
        Some(first) => {
            let more = facts.changes.saturating_sub(1);
            let came = match more {
                0 => "no more changes came".to_owned(),
                1 => "1 more change came".to_owned(),
                more => format!("{more} more changes came"),
            };
            format!("waited {}, {came}", duration(now.since(first)))
        }
        None => "no change waited".to_owned(),
    };
    if facts.joined > 0 {
        text.push_str(&format!(", {} joined from earlier batches", changes(facts.joined)));
    }
    text.push_str(", fired ");
    text.push_str(rule.words());
    if let Some(asked) = asked.filter(|reason| !reason.is_empty()) {
        text.push_str(&format!(": {asked}"));
    }
    text
}

/// Why a paused site does not start.
pub(super) fn held_by_pause(reason: &str) -> String {
    if reason.is_empty() { "the site is paused".to_owned() } else { format!("the site is paused: {reason}") }
}
