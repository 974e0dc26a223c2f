//! Building the normalised content of an entry.

use freshet_domain::{Asset, ContentHash, EntryContent, EntryKey, PartsHash, Timestamp};

use crate::json::{Canonical, FieldError, Object};

/// Collects what has a field of its own, then takes the rest of the provider's object and hashes all of it.
#[derive(Debug, Default)]
pub struct ContentBuilder {
    /// Human title.
    pub title: String,
    /// URL slug or handle.
    pub slug: String,
    /// Tags; [`ContentBuilder::finish`] removes repetitions.
    pub tags: Vec<String>,
    /// Entries that this one points to.
    pub references: Vec<EntryKey>,
    /// Pictures and files.
    pub assets: Vec<Asset>,
    /// When the provider says it was created.
    pub created_at: Option<Timestamp>,
    /// When the provider says it last changed. Not hashed.
    pub updated_at: Option<Timestamp>,
    /// What else counts for the hash although the raw field does not: for a product, whether it can be bought, where
    /// the number in stock is volatile.
    pub also_hash: Vec<u8>,
}

impl ContentBuilder {
    /// Finishes the content from the provider's object. See [`Canonical::of`] for `skip` and `volatile`.
    ///
    /// `assets` and `references` are drawn from the object, so they count through it and are not hashed again.
    pub fn finish(mut self, object: &Object<'_>, skip: &[&str], volatile: &[&str]) -> Result<EntryContent, FieldError> {
        self.tags.retain(|tag| !tag.is_empty());
        if self.tags.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            self.tags.retain(|tag| seen.insert(tag.clone()));
        }
        let canonical = Canonical::of(object, skip, volatile)?;
        let tags = (self.tags.len() as u64).to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![self.title.as_bytes(), self.slug.as_bytes(), &tags];
        parts.extend(self.tags.iter().map(String::as_bytes));
        parts.extend([&self.also_hash[..], &canonical.stable]);
        let content_hash = ContentHash::of(PartsHash::of(&parts));
        Ok(EntryContent {
            title: self.title,
            slug: self.slug,
            tags: self.tags,
            references: self.references,
            assets: self.assets,
            fields_json: canonical.json.into(),
            provider_created_at: self.created_at,
            provider_updated_at: self.updated_at,
            content_hash,
        })
    }
}
