//! A finished site becomes a release.

use std::path::PathBuf;

use freshet_domain::BuildId;
use freshet_kit::Error;

use super::manifest::{self, File, Files, Release};
use super::{Place, each, headers};
use crate::hosting::copy;
use crate::runner::OutputFolder;
use crate::upload::upload;

/// The longest name that S3 takes, without what stands before it.
const PATH_BYTES_MAX: usize = 900;

impl Place {
    /// Uploads a folder.
    pub(super) async fn stage_folder(&self, build: BuildId, output: &OutputFolder) -> Result<(), Error> {
        let output = output.clone();
        let found = tokio::task::spawn_blocking(move || copy::files(&output)).await;
        let found = found.unwrap_or_else(|broken| Err(Error::internal("publishing failed").with_source(broken)))?;
        let found = found.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        self.objects.delete(&manifest::manifest(build)).await?;
        let folder = manifest::folder(build);
        let objects = &self.objects;
        let uploaded = each(found, |(file, path)| {
            let (objects, key) = (objects.clone(), format!("{folder}{path}"));
            async move {
                let (etag, bytes) = upload(&objects, &file, &key, headers::headers(&path)).await?;
                Ok((path.clone(), described(&path, etag, bytes)))
            }
        });
        let files: Files = uploaded.await?.into_iter().collect();
        // Of an earlier attempt to stage the same build.
        let there = self.objects.list(&folder).await?.into_iter().map(|object| object.key);
        let surplus = there.filter(|key| key.strip_prefix(&folder).is_none_or(|path| !files.contains_key(path)));
        self.objects.delete_all(&surplus.collect::<Vec<_>>()).await?;
        self.complete(build, files).await
    }

    /// Takes what the build itself uploaded.
    pub(super) async fn stage_uploaded(&self, build: BuildId) -> Result<(), Error> {
        let folder = manifest::folder(build);
        let there = self.objects.list(&folder).await?;
        let files: Files = there
            .into_iter()
            .filter_map(|object| {
                // Tools for S3 make empty objects in place of folders.
                let path = object.key.strip_prefix(&folder).filter(|path| !path.is_empty() && !path.ends_with('/'))?;
                Some((path.to_owned(), described(path, object.etag, object.bytes)))
            })
            .collect();
        if files.is_empty() {
            let to = format!("s3://{}/{folder}", self.objects.bucket());
            return Err(copy::refused(format!("the build ended well but its output is empty: nothing is at {to}")));
        }
        self.complete(build, files).await
    }

    async fn complete(&self, build: BuildId, files: Files) -> Result<(), Error> {
        let (text, headers) = manifest::write(&Release { files })?;
        self.objects.put(&manifest::manifest(build), text.into(), &headers).await.map(drop)
    }
}

fn described(path: &str, etag: String, bytes: u64) -> File {
    File { etag, bytes, content_type: headers::content_type(path).to_owned() }
}

fn named((file, name): (PathBuf, PathBuf)) -> Result<(PathBuf, String), Error> {
    match name.to_str() {
        Some(path) if path.len() <= PATH_BYTES_MAX => Ok((file, path.to_owned())),
        Some(path) => Err(copy::refused(format!("the output has a name that is too long: `{path}`"))),
        None => Err(copy::refused(format!("the output has a name that is not UTF-8: `{}`", name.display()))),
    }
}
