//! What every host's push has in common.

use std::borrow::Cow;

use freshet_domain::Timestamp;
use serde::Deserialize;

use crate::RawDelivery;
use crate::json::{Object, Value};

/// One delivery of a host, read.
pub(super) struct Received<'a> {
    /// The host's name of the event.
    pub(super) name: Cow<'a, str>,
    /// The id that the host gave the delivery.
    pub(super) delivery_id: Option<&'a str>,
    pub(super) event: Event<'a>,
}

/// What it is about.
pub(super) enum Event<'a> {
    /// Pushes. Only Bitbucket sends several at once.
    Pushes(Vec<Push<'a>>),
    /// A greeting or test without content.
    Ping,
    /// Something that does not change files on a branch.
    Other,
}

/// A push to one branch or tag.
pub(super) struct Push<'a> {
    /// `owner/name`.
    pub(super) repository: Cow<'a, str>,
    /// The repository's default branch, where the payload names it.
    pub(super) default_branch: Option<Cow<'a, str>>,
    /// `refs/heads/main`.
    pub(super) reference: Cow<'a, str>,
    /// Commit before; zeros if the branch is new.
    pub(super) before: Cow<'a, str>,
    /// Commit after; zeros if the branch is gone.
    pub(super) after: Cow<'a, str>,
    /// Commits, oldest first.
    pub(super) commits: Vec<Commit<'a>>,
    /// True if the commits name every file that changed.
    pub(super) complete: bool,
    /// When the host took the push, by its clock.
    pub(super) pushed_at: Option<Timestamp>,
    /// Something in the payload that differs when the same branch goes from the same commit to the same commit once
    /// more (set back by force, and forward again).
    pub(super) moment: Option<&'a str>,
}

/// One commit of a push.
pub(super) struct Commit<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) at: Option<Timestamp>,
    pub(super) is_merge: bool,
    /// False if a list of files is missing or cannot be read.
    pub(super) has_lists: bool,
    pub(super) removed: Vec<Cow<'a, str>>,
    /// Added and modified.
    pub(super) written: Vec<Cow<'a, str>>,
    /// Length of the longest list.
    pub(super) longest_list: usize,
}

impl Push<'_> {
    /// The branch; `None` for tags.
    pub(super) fn branch(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/heads/")
    }

    /// True if the push made the branch.
    pub(super) fn is_creation(&self) -> bool {
        is_zero(&self.before)
    }

    /// True if the push removed the branch.
    pub(super) fn is_deletion(&self) -> bool {
        is_zero(&self.after)
    }
}

/// Zeros of any length: 40 with SHA-1, 64 with SHA-256 repositories.
fn is_zero(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|digit| digit == b'0')
}

/// Reads `commits` of a push, oldest first, and tells whether all of it could be read.
///
/// GitHub and GitLab list the oldest commit first, Gitea the newest; which it is shows in where the pushed commit is.
pub(super) fn commits<'a>(body: &Object<'a>, after: &str) -> (Vec<Commit<'a>>, bool) {
    let Some(list) = body.get("commits") else {
        // Gitea writes null for an empty list.
        return (Vec::new(), body.has("commits"));
    };
    let Ok(list) = list.as_array() else { return (Vec::new(), false) };
    let length = list.len();
    let mut commits: Vec<Commit<'a>> =
        list.iter().filter_map(|commit| commit.as_object().ok()).map(|commit| read_commit(&commit)).collect();
    let all_read = commits.len() == length && commits.iter().all(|commit| commit.has_lists);
    let newest_is_first = match (commits.first(), commits.last()) {
        (Some(first), Some(last)) if first.id == after || last.id == after => last.id != after,
        (Some(first), Some(last)) => first.at > last.at,
        _ => false,
    };
    if newest_is_first {
        commits.reverse();
    }
    (commits, all_read)
}

fn read_commit<'a>(commit: &Object<'a>) -> Commit<'a> {
    let lists = ["added", "modified", "removed"].map(|name| commit.get(name).map(|list| texts(&list)));
    // A missing list could have hidden files; null is how some Gitea versions write an empty one.
    let has_lists = lists.iter().all(|list| !matches!(list, Some(None)))
        && ["added", "modified", "removed"].iter().all(|name| commit.has(name));
    let [added, modified, removed] = lists.map(|list| list.flatten().unwrap_or_default());
    let longest_list = added.len().max(modified.len()).max(removed.len());
    let mut written = added;
    written.extend(modified);
    Commit {
        id: commit.text_or_empty("id"),
        at: commit.opt_time("timestamp").ok().flatten(),
        // The webhooks do not name parents. These are the messages that git and every host write by default.
        is_merge: commit.text_or_empty("message").starts_with("Merge "),
        has_lists,
        removed,
        written,
        longest_list,
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The texts of a list, without a [`Value`] for each: a push can name a million files.
fn texts<'a>(list: &Value<'a>) -> Option<Vec<Cow<'a, str>>> {
    let texts: Vec<Text<'a>> = serde_json::from_str(list.raw()).ok()?;
    Some(texts.into_iter().map(|Text(text)| text).collect())
}

/// True if the body has what only a push has, whatever the header calls it.
pub(super) fn looks_like_push(body: &Object<'_>) -> bool {
    ["ref", "before", "after", "commits"].iter().all(|name| body.has(name))
}

/// The header as text that is not empty.
pub(super) fn id_header<'a>(delivery: &RawDelivery<'a>, name: &'static str) -> Option<&'a str> {
    delivery.header_text(name).filter(|text| !text.is_empty())
}
