//! The built-in renderer: a snapshot in, a finished site out. No clock, no network, no store.
//!
//! **Invariants**
//! - Nothing that a provider sent reaches a page as markup: HTML fields become plain text in blocks, and the templates
//!   escape every text.
//! - Addresses are `http`, `https` or relative; no other scheme reaches an attribute.
//! - File names come from `slug` only, so no entry writes outside the output folder or over another one.
//! - The pages need nothing from elsewhere but the pictures that entries name.

mod body;
mod html;
mod item;
mod markdown;
mod pages;
mod price;
mod slug;
mod url;

use std::path::Path;

use crate::snapshot::SnapshotEntry;

/// What the pages say about the site and the build.
#[derive(Clone, Debug)]
pub struct SiteInfo {
    /// Name for people.
    pub title: String,
    /// Where the site is seen, with a slash at both ends.
    pub base_path: String,
    /// The site's public address without a path (`https://example.com`), for the sitemap; empty if unknown.
    pub site_url: String,
    /// The build.
    pub build_id: String,
    /// Its batch.
    pub batch_id: String,
    /// When it was built, RFC 3339.
    pub built_at: String,
}

/// What was rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries read.
    pub entries: u64,
    /// HTML pages written.
    pub pages: u64,
}

/// Why a site was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// `keep_going` said so.
    #[error("the rendering was stopped")]
    Stopped,
    /// The snapshot could not be read, or a page not written.
    #[error("the site could not be rendered")]
    Io(#[from] std::io::Error),
    /// A template is broken.
    #[error("a built-in template is broken")]
    Template(#[from] minijinja::Error),
}

/// Renders every entry into an empty folder. Asks `keep_going` now and then.
pub fn render(
    info: &SiteInfo,
    entries: impl Iterator<Item = std::io::Result<SnapshotEntry>>,
    folder: &Path,
    keep_going: &dyn Fn() -> bool,
) -> Result<Summary, RenderError> {
    let mut library = item::Library::default();
    for entry in entries {
        if !keep_going() {
            return Err(RenderError::Stopped);
        }
        library.add(entry?);
    }
    library.finish();
    pages::write(info, &library, folder, keep_going)
}

#[cfg(test)]
mod tests;
