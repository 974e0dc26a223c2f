//! What a push means, whichever host it comes from.
//!
//! The lists of files are used as far as they go. Where they may be incomplete (cut, forced, a new branch, a merge, or
//! a host that sends none), a touch of [`EntryKey::ANY`] says that some other files changed too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use freshet_domain::{Change, EntryKey, Kind, SourceId, SourceVersion, Timestamp};

use super::push::{Event, Push, Received};
use super::settings::GitSettings;
use crate::Normalised;
use crate::signature::dedup_key;

/// Entry type of everything in a repository.
pub(crate) const ENTRY_TYPE: &str = "file";

/// Where pushes go if neither the settings nor the payload say.
const BRANCH_DEFAULT: &str = "main";

/// Length of an event's name that is kept.
const EVENT_CHARACTERS_MAX: usize = 100;

/// Turns what was received into changes of the source.
pub(super) fn normalise(
    source: &SourceId,
    settings: &GitSettings,
    received: &Received<'_>,
    body: &[u8],
    received_at: Timestamp,
) -> Normalised {
    let event: String = received.name.chars().take(EVENT_CHARACTERS_MAX).collect();
    let host = settings.host.name();
    let mut dedup_keys = Vec::new();
    if let Some(id) = received.delivery_id {
        dedup_keys.push(dedup_key(&[b"git-delivery", host.as_bytes(), id.as_bytes()]));
    }
    let pushes = match &received.event {
        Event::Pushes(pushes) => pushes.as_slice(),
        Event::Ping | Event::Other => {
            if dedup_keys.is_empty() {
                dedup_keys.push(dedup_key(&[b"git-body", host.as_bytes(), body]));
            }
            return match received.event {
                Event::Ping => Normalised::ignored(event, dedup_keys, "PING", "the git host greets; nothing changed"),
                _ => Normalised::ignored(
                    event,
                    dedup_keys,
                    "IRRELEVANT_EVENT",
                    "only pushes change files; leave only push events ticked at the git host",
                ),
            };
        }
    };
    dedup_keys.push(push_key(host, pushes, received_at));

    let mut changes = Vec::new();
    let mut why_nothing = None;
    for push in pushes {
        match reason_to_ignore(settings, push) {
            Some(reason) => why_nothing = why_nothing.or(Some(reason)),
            None => append_changes(source, settings, push, received_at, &mut changes),
        }
    }
    if !changes.is_empty() {
        return Normalised::changes(event, dedup_keys, changes);
    }
    let (reason, detail) = why_nothing.unwrap_or(NO_CONTENT);
    Normalised::ignored(event, dedup_keys, reason, detail)
}

/// The hooks of a repository and of its group send the same push under different delivery ids.
///
/// A branch can go from one commit to the same other commit twice, when it is set back by force in between. So the
/// moment counts too: what the host says of it, else the hour of the arrival.
fn push_key(host: &str, pushes: &[Push<'_>], received_at: Timestamp) -> String {
    let hour = received_at.as_secs().div_euclid(3600).to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![b"git-push", host.as_bytes()];
    for push in pushes {
        for text in [&push.repository, &push.reference, &push.before, &push.after] {
            parts.push(text.as_bytes());
        }
        parts.push(push.moment.map_or(&hour[..], str::as_bytes));
    }
    dedup_key(&parts)
}

const NO_CONTENT: (&str, &str) = ("NO_CONTENT_CHANGE", "the push changed no file below the source's `content` folders");

fn reason_to_ignore(settings: &GitSettings, push: &Push<'_>) -> Option<(&'static str, &'static str)> {
    // The secret can be shared by several repositories of one owner, so this is no reason to doubt the sender.
    if let Some(repository) = &settings.repository
        && !repository.eq_ignore_ascii_case(&push.repository)
    {
        return Some(("FOREIGN_REPOSITORY", "the push is to another repository than the source's `repository`"));
    }
    let Some(branch) = push.branch() else {
        return Some(("TAG", "tags change no files on a branch"));
    };
    let content_branch = settings.branch.as_deref().or(push.default_branch.as_deref()).unwrap_or(BRANCH_DEFAULT);
    if branch != content_branch {
        return Some(("FOREIGN_BRANCH", "the push is to another branch than the one with the content"));
    }
    if push.is_deletion() {
        // Taking it as the deletion of every file would empty the site because of a renamed branch.
        return Some((
            "BRANCH_DELETED",
            "the branch with the content was deleted; the entries stay, set `branch` if it has a new name",
        ));
    }
    if push.before == push.after {
        return Some(("TEST", "the push goes from a commit to the same commit: the git host's test button"));
    }
    None
}

fn append_changes(
    source: &SourceId,
    settings: &GitSettings,
    push: &Push<'_>,
    received_at: Timestamp,
    changes: &mut Vec<Change>,
) {
    // Not the commits' times: whoever makes a commit sets them, and a rebase keeps them, so a later push can have older
    // ones. A delete has no rank before a touch either: of pushes in one second the one that came last counts.
    let version = SourceVersion::at(push.pushed_at.unwrap_or(received_at));
    let (states, are_all) = last_states(push, settings);
    for (path, is_removed) in states {
        let key = EntryKey::new(source.clone(), ENTRY_TYPE, path);
        changes.push(if is_removed {
            Change::delete(key, Kind::File, version)
        } else {
            Change::touch(key, Kind::File, version)
        });
    }
    // Commits that were on another branch before can be old, but this push is new.
    let is_known_to_the_end = are_all
        && push.complete
        && !push.is_creation()
        && !push.commits.is_empty()
        && !push.commits.iter().any(|commit| commit.is_merge);
    if !is_known_to_the_end {
        let key = EntryKey::new(source.clone(), ENTRY_TYPE, EntryKey::ANY);
        changes.push(Change::touch(key, Kind::File, version));
    }
}

/// Each content file of the push once, in order of first mention, and whether it is gone in the end. False if there are
/// files whose path is too long for an entry's id.
fn last_states<'p>(push: &'p Push<'_>, settings: &GitSettings) -> (Vec<(&'p str, bool)>, bool) {
    let mut are_all = true;
    let mut states: Vec<(&'p str, bool)> = Vec::new();
    let mut places: HashMap<&'p str, usize> = HashMap::new();
    for commit in &push.commits {
        // Removed before written: inside one commit a path in both lists is there afterwards.
        let removed = commit.removed.iter().map(|path| (path, true));
        let written = commit.written.iter().map(|path| (path, false));
        for (path, is_removed) in removed.chain(written) {
            let path: &'p str = Cow::as_ref(path);
            if path.is_empty() || !settings.content.contain(path) {
                continue;
            }
            if path.len() > EntryKey::NAME_BYTES_MAX {
                are_all = false;
                continue;
            }
            match places.entry(path) {
                Entry::Occupied(place) => states[*place.get()].1 = is_removed,
                Entry::Vacant(place) => {
                    place.insert(states.len());
                    states.push((path, is_removed));
                }
            }
        }
    }
    (states, are_all)
}
