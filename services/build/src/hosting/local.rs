//! The embedded engine's hosting: folders on this machine, served by this process.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use freshet_domain::{BuildId, ClientId, SiteId};
use freshet_kit::{Error, ErrorKind};

use super::{Hosting, RELEASES_KEPT, copy, durable};
use crate::machine::SiteKey;
use crate::runner::{Output, OutputFolder};

/// `{sites_dir}/{client}/{site}/releases/{build_id}/`, and a link `current` to the live one.
#[derive(Clone, Debug)]
pub struct LocalHosting {
    sites_dir: PathBuf,
}

impl LocalHosting {
    /// Below this folder, which is made when it is first needed.
    pub fn open(sites_dir: impl Into<PathBuf>) -> Self {
        Self { sites_dir: sites_dir.into() }
    }

    /// The folder that visitors of the site see now, for the preview server. The whole folder of one release: files
    /// read below it during one request belong together. `None` before the first build, and for names that no site
    /// can have.
    pub fn live_root(&self, client: &str, site: &str) -> Option<PathBuf> {
        let key = SiteKey::new(ClientId::new(client).ok()?, SiteId::new(site).ok()?);
        let folder = self.folder(&key);
        live(&folder).map(|build| release(&folder, build))
    }

    fn folder(&self, site: &SiteKey) -> PathBuf {
        self.sites_dir.join(site.client.as_str()).join(site.site.as_str())
    }
}

fn release(folder: &Path, build: BuildId) -> PathBuf {
    folder.join("releases").join(build.to_string())
}

fn live(folder: &Path) -> Option<BuildId> {
    std::fs::read_link(folder.join("current")).ok()?.file_name()?.to_str()?.parse().ok()
}

fn releases(folder: &Path) -> std::io::Result<Vec<BuildId>> {
    let mut builds = Vec::new();
    let entries = match std::fs::read_dir(folder.join("releases")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(builds),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if let Some(build) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            builds.push(build);
        }
    }
    builds.sort_unstable();
    Ok(builds)
}

fn stage(folder: &Path, build: BuildId, output: &OutputFolder) -> Result<(), Error> {
    let (made, ready) = (folder.join("releases").join(format!(".{build}")), release(folder, build));
    let attempt = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder.join("releases"))?;
        for leftover in [&made, &ready] {
            if leftover.exists() {
                std::fs::remove_dir_all(leftover)?;
            }
        }
        Ok(())
    };
    attempt().map_err(io)?;
    let keep = || -> std::io::Result<()> {
        durable::tree(&made)?;
        std::fs::rename(&made, &ready)?;
        durable::names(&folder.join("releases"))
    };
    let taken = copy::take_over(output, &made).and_then(|()| keep().map_err(io));
    if taken.is_err() {
        let _ = std::fs::remove_dir_all(&made);
    }
    taken
}

fn activate(folder: &Path, build: BuildId) -> Result<(), Error> {
    if !release(folder, build).is_dir() {
        return Err(Error::new(
            ErrorKind::Missing,
            "RELEASE_GONE",
            format!("the release of {build} is not kept any more"),
        ));
    }
    let link = folder.join(format!(".current-{build}"));
    let switch = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(Path::new("releases").join(build.to_string()), &link)?;
        std::fs::rename(&link, folder.join("current"))?;
        durable::names(folder)
    };
    switch().map_err(io)?;
    // The site is live; what is not tidied up now is tidied up next time.
    if let Err(error) = prune(folder, build) {
        tracing::warn!(%error, folder = %folder.display(), "old releases could not be removed");
    }
    Ok(())
}

fn prune(folder: &Path, live: BuildId) -> std::io::Result<()> {
    let mut others = releases(folder)?;
    others.retain(|build| *build != live);
    let too_many = others.len().saturating_sub(RELEASES_KEPT - 1);
    for build in others.into_iter().take(too_many) {
        std::fs::remove_dir_all(release(folder, build))?;
    }
    Ok(())
}

fn discard(folder: &Path, build: BuildId) -> std::io::Result<()> {
    let gone = release(folder, build);
    if live(folder) == Some(build) || !gone.exists() { Ok(()) } else { std::fs::remove_dir_all(gone) }
}

fn io(error: std::io::Error) -> Error {
    let message = format!("the folder of the site's releases cannot be written: {error}");
    Error::new(ErrorKind::Unavailable, "HOSTING_IO", message).with_source(error)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal("publishing failed").with_source(error)))
}

#[async_trait]
impl Hosting for LocalHosting {
    async fn stage(&self, site: &SiteKey, build: BuildId, output: &Output) -> Result<(), Error> {
        let Output::Folder(output) = output.clone() else {
            return Err(copy::refused(
                "the build uploaded its site to a bucket, and this engine keeps sites in folders",
            ));
        };
        let folder = self.folder(site);
        blocking(move || stage(&folder, build, &output)).await
    }

    async fn activate(&self, site: &SiteKey, build: BuildId) -> Result<(), Error> {
        let folder = self.folder(site);
        blocking(move || activate(&folder, build)).await
    }

    async fn releases(&self, site: &SiteKey) -> Result<Vec<BuildId>, Error> {
        let folder = self.folder(site);
        blocking(move || releases(&folder).map_err(io)).await
    }

    async fn discard(&self, site: &SiteKey, build: BuildId) -> Result<(), Error> {
        let folder = self.folder(site);
        blocking(move || discard(&folder, build).map_err(io)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosting::contract::Subject;

    struct Local {
        _folder: tempfile::TempDir,
        hosting: LocalHosting,
    }

    async fn open() -> Local {
        let folder = tempfile::tempdir().expect("a folder");
        Local { hosting: LocalHosting::open(folder.path().join("sites")), _folder: folder }
    }

    impl Subject for Local {
        fn hosting(&self) -> &dyn Hosting {
            &self.hosting
        }

        async fn visit(&self, site: &SiteKey, path: &str) -> Option<String> {
            let file = self.hosting.live_root(site.client.as_str(), site.site.as_str())?.join(path);
            // A link would lead out of the release once the build's folder is gone.
            file.symlink_metadata().ok().filter(|data| data.is_file())?;
            std::fs::read_to_string(file).ok()
        }

        fn releases_kept(&self) -> usize {
            RELEASES_KEPT
        }
    }

    crate::hosting_contract!(open);

    #[tokio::test]
    async fn p7_names_that_leave_the_folder_have_no_root() {
        let local = open().await;
        for (client, site) in [("..", "acme"), ("acme", "shop/.."), ("", "shop"), ("acme", "/")] {
            assert_eq!(local.hosting.live_root(client, site), None);
        }
    }
}
