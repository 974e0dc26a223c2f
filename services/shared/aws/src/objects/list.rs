//! Listing by prefix, and deleting many.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use freshet_kit::{Error, ErrorKind};

use super::Objects;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The whole key, with the prefix.
    pub key: String,
    /// Changes whenever the content does.
    pub etag: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// A part of a listing, in the order of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The objects; may be empty although more follow.
    pub objects: Vec<Listed>,
    /// Where the next page begins, or `None` if this is the last.
    pub next: Option<String>,
}

/// What is directly below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// The objects.
    pub objects: Vec<Listed>,
    /// The prefixes of what is deeper, each with a slash at its end.
    pub folders: Vec<String>,
}

/// The most keys that one call deletes.
const DELETE_MAX: usize = 1_000;

impl Objects {
    /// One page of the objects whose keys begin with `prefix`; `from` is the page's beginning, from the page before.
    pub async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<Page, Error> {
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&*self.bucket)
            .prefix(prefix)
            .set_continuation_token(from.map(str::to_owned))
            .send()
            .await
            .map_err(|failed| self.failed("ListObjectsV2", prefix, failed))?;
        let objects = listed.contents.unwrap_or_default().into_iter().filter_map(of_listing).collect();
        Ok(Page { objects, next: listed.next_continuation_token })
    }

    /// What is directly below a prefix that ends with a slash.
    pub async fn list_level(&self, prefix: &str) -> Result<Level, Error> {
        let mut level = Level::default();
        let mut from = None;
        loop {
            let listed = self
                .client
                .list_objects_v2()
                .bucket(&*self.bucket)
                .prefix(prefix)
                .delimiter("/")
                .set_continuation_token(from)
                .send()
                .await
                .map_err(|failed| self.failed("ListObjectsV2", prefix, failed))?;
            level.objects.extend(listed.contents.unwrap_or_default().into_iter().filter_map(of_listing));
            level.folders.extend(listed.common_prefixes.unwrap_or_default().into_iter().filter_map(|each| each.prefix));
            from = listed.next_continuation_token;
            if from.is_none() {
                return Ok(level);
            }
        }
    }

    /// Every object whose key begins with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let mut all = Vec::new();
        let mut from = None;
        loop {
            let page = self.list_page(prefix, from.as_deref()).await?;
            all.extend(page.objects);
            from = page.next;
            if from.is_none() {
                return Ok(all);
            }
        }
    }

    /// Deletes all of these objects. What could not be deleted is an error that names the first; the others are gone.
    pub async fn delete_all(&self, keys: &[String]) -> Result<(), Error> {
        let mut refused = None;
        for keys in keys.chunks(DELETE_MAX) {
            let keys = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
            let keys = keys
                .collect::<Result<Vec<_>, _>>()
                .and_then(|keys| Delete::builder().set_objects(Some(keys)).quiet(true).build());
            let keys = keys.map_err(|bug| Error::internal("DeleteObjects").with_source(bug))?;
            let done = self.client.delete_objects().bucket(&*self.bucket).delete(keys).send().await;
            let done = done.map_err(|failed| self.failed("DeleteObjects", "", failed))?;
            refused = refused.or_else(|| done.errors.unwrap_or_default().into_iter().next());
        }
        match refused {
            None => Ok(()),
            Some(first) => {
                let what = self.what("DeleteObjects", first.key().unwrap_or_default());
                let code = first.code().unwrap_or("without a code");
                let kind = crate::of_code(code).unwrap_or(ErrorKind::Unavailable);
                Err(Error::new(kind, "AWS_CALL_FAILED", format!("{what}: {code}")))
            }
        }
    }
}

fn of_listing(object: aws_sdk_s3::types::Object) -> Option<Listed> {
    Some(Listed {
        key: object.key?,
        etag: object.e_tag.unwrap_or_default(),
        bytes: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
    })
}
