//! What is in a release, and what is live: two small objects.

use std::collections::{BTreeMap, BTreeSet};

use freshet_aws::{Headers, Objects};
use freshet_domain::BuildId;
use freshet_kit::Error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::headers::is_page;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    /// Changes whenever the content does.
    pub(super) etag: String,
    /// Size.
    pub(super) bytes: u64,
    /// Type, by its name.
    pub(super) content_type: String,
}

/// Files by their path inside the site.
pub(super) type Files = BTreeMap<String, File>;

/// `releases/{build}.json`: the release is complete and has these files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    /// Its files.
    pub(super) files: Files,
}

/// `live.json`: what is below `live/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Live {
    /// The release that was last copied as a whole.
    pub(super) build: Option<String>,
    /// Counts switches, those that did not end included.
    pub(super) switches: u64,
    /// What is certainly there.
    pub(super) files: Files,
    /// What a switch that has not ended changes: these may be there or not, and old or new.
    #[serde(default)]
    pub(super) unsure: BTreeSet<String>,
}

/// How the live site becomes a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What no page refers to yet, or pages refer to under the same name.
    pub(super) other: Vec<String>,
    /// Pages: copied once the others are there.
    pub(super) pages: Vec<String>,
    /// What is not part of the release: removed once no page refers to it.
    pub(super) removed: Vec<String>,
    /// What caches may have an old copy of, or an answer that there is nothing.
    pub(super) stale: Vec<String>,
}

impl Plan {
    /// The least that has to change.
    pub(super) fn of(live: &Live, release: &Release) -> Self {
        let mut plan = Self::default();
        for (path, file) in &release.files {
            let is_new = !live.files.contains_key(path) && !live.unsure.contains(path);
            if live.files.get(path).is_some_and(|there| there.etag == file.etag && there.bytes == file.bytes) {
                continue;
            }
            let is_page = is_page(path);
            if is_page || !is_new {
                plan.stale.push(path.clone());
            }
            if is_page { plan.pages.push(path.clone()) } else { plan.other.push(path.clone()) }
        }
        let there = live.files.keys().chain(&live.unsure);
        let gone: BTreeSet<&String> = there.filter(|path| !release.files.contains_key(*path)).collect();
        plan.removed = gone.into_iter().cloned().collect();
        plan.stale.extend(plan.removed.iter().cloned());
        plan
    }

    /// True if the live site is the release.
    pub(super) fn is_empty(&self) -> bool {
        self.other.is_empty() && self.pages.is_empty() && self.removed.is_empty()
    }

    /// What is true of the live site while this plan is carried out.
    pub(super) fn while_it_runs(&self, live: &Live) -> Live {
        let mut next = live.clone();
        next.switches += 1;
        for path in self.other.iter().chain(&self.pages).chain(&self.removed) {
            next.files.remove(path);
            next.unsure.insert(path.clone());
        }
        next
    }
}

/// Where things are in the site's bucket.
pub(super) const LIVE_MANIFEST: &str = "live.json";
/// Visitors' root.
pub(super) const LIVE: &str = "live/";
/// Releases and their manifests.
pub(super) const RELEASES: &str = "releases/";

/// The folder of a release.
pub(super) fn folder(build: BuildId) -> String {
    format!("{RELEASES}{build}/")
}

/// The manifest of a release.
pub(super) fn manifest(build: BuildId) -> String {
    format!("{RELEASES}{build}.json")
}

/// Reads one of the two objects, with its ETag.
pub(super) async fn read<T: DeserializeOwned>(objects: &Objects, key: &str) -> Result<Option<(T, String)>, Error> {
    let Some(object) = objects.get(key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&object.body).map_err(|error| {
        Error::internal(format!("s3://{}/{key} is not readable", objects.bucket())).with_source(error)
    })?;
    Ok(Some((value, object.etag)))
}

/// The text of one of the two objects, and its headers.
pub(super) fn write<T: Serialize>(value: &T) -> Result<(Vec<u8>, Headers), Error> {
    let text = serde_json::to_vec(value).map_err(|error| Error::internal("a manifest").with_source(error))?;
    Ok((text, Headers::of_type("application/json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        let file = |etag: &str| File { etag: etag.into(), bytes: 1, content_type: String::new() };
        files.iter().map(|(path, etag)| ((*path).to_owned(), file(etag))).collect()
    }

    #[test]
    fn only_what_differs_is_copied_and_only_what_caches_can_have_is_stale() {
        let live = Live {
            files: files(&[("index.html", "1"), ("a.css", "1"), ("b.css", "1"), ("old.html", "1")]),
            ..Live::default()
        };
        let release = Release {
            files: files(&[("index.html", "2"), ("a.css", "2"), ("b.css", "1"), ("c.css", "1"), ("n.html", "1")]),
        };
        let plan = Plan::of(&live, &release);
        assert_eq!(plan.other, ["a.css", "c.css"]);
        assert_eq!(plan.pages, ["index.html", "n.html"]);
        assert_eq!(plan.removed, ["old.html"]);
        assert_eq!(plan.stale, ["a.css", "index.html", "n.html", "old.html"]);
        let during = plan.while_it_runs(&live);
        assert_eq!(during.files.keys().collect::<Vec<_>>(), ["b.css"]);
        // An interrupted switch: everything that it touched is touched again, whatever the next release is.
        let back = Plan::of(&during, &Release { files: live.files.clone() });
        assert_eq!(back.pages, ["index.html", "old.html"]);
        assert_eq!(back.other, ["a.css"]);
        assert_eq!(back.removed, ["c.css", "n.html"]);
        assert!(Plan::of(&live, &Release { files: live.files.clone() }).is_empty());
    }
}
