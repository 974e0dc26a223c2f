//! The embedded engine's hosting: folders on this machine, served by this process.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use freshet_domain::{BuildId, ClientId, SiteId};
use freshet_kit::{Error, ErrorKind};

use super::{Hosting, copy};
use crate::machine::SiteKey;
use crate::runner::Output;

/// Releases that are kept per site, the live one among them.
pub const RELEASES_KEPT: usize = 5;

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

fn stage(folder: &Path, build: BuildId, output: &Output) -> Result<(), Error> {
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
    let taken = copy::take_over(output, &made).and_then(|()| std::fs::rename(&made, &ready).map_err(io));
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
        std::fs::rename(&link, folder.join("current"))
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
        let (folder, output) = (self.folder(site), output.clone());
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

    struct Fixture {
        folder: tempfile::TempDir,
        hosting: LocalHosting,
        site: SiteKey,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let site = SiteKey::new(ClientId::new("acme").expect("valid"), SiteId::new("shop").expect("valid"));
            Self { hosting: LocalHosting::open(folder.path().join("sites")), folder, site }
        }

        fn output(&self, text: &str) -> Output {
            let inside = self.folder.path().join("project");
            let folder = inside.join("out");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(folder.join("deep/er")).expect("folders");
            std::fs::write(folder.join("index.html"), text).expect("a file");
            std::fs::write(folder.join("deep/er/a.txt"), text).expect("a file");
            Output { folder, inside, owned: false }
        }

        async fn publish(&self, text: &str) -> BuildId {
            let build = BuildId::generate();
            self.hosting.stage(&self.site, build, &self.output(text)).await.expect("staged");
            self.hosting.activate(&self.site, build).await.expect("activated");
            build
        }

        fn live(&self) -> String {
            let root = self.hosting.live_root("acme", "shop").expect("live");
            std::fs::read_to_string(root.join("index.html")).expect("a page")
        }
    }

    #[tokio::test]
    async fn the_last_releases_are_kept_and_can_be_live_again() {
        let fixture = Fixture::new();
        assert_eq!(fixture.hosting.live_root("acme", "shop"), None);
        let mut builds = Vec::new();
        for number in 0..8 {
            builds.push(fixture.publish(&number.to_string()).await);
            assert_eq!(fixture.live(), number.to_string());
        }
        assert_eq!(fixture.hosting.releases(&fixture.site).await.expect("releases"), builds[3..]);
        fixture.hosting.activate(&fixture.site, builds[3]).await.expect("kept");
        assert_eq!(fixture.live(), "3");
        assert!(fixture.hosting.activate(&fixture.site, builds[0]).await.is_err());
        fixture.hosting.discard(&fixture.site, builds[3]).await.expect("the live one stays");
        assert_eq!(fixture.live(), "3");
    }

    #[tokio::test]
    async fn p7_names_that_leave_the_folder_have_no_root() {
        let fixture = Fixture::new();
        fixture.publish("x").await;
        for (client, site) in [("..", "acme"), ("acme", "shop/.."), ("", "shop"), ("acme", "/")] {
            assert_eq!(fixture.hosting.live_root(client, site), None);
        }
    }

    #[tokio::test]
    async fn bad_outputs_are_refused_and_leave_the_live_site() {
        let fixture = Fixture::new();
        fixture.publish("good").await;
        let build = BuildId::generate();
        let link = |to: &Path| {
            let output = fixture.output("x");
            std::os::unix::fs::symlink(to, output.folder.join("link")).expect("a link");
            output
        };
        let outside = fixture.folder.path().join("secret");
        std::fs::write(&outside, "secret").expect("a file");
        let mut cases = vec![
            (link(&outside), "leaves it"),
            (link(Path::new("../../secret")), "leaves it"),
            (link(Path::new("nowhere")), "leads nowhere"),
            (link(Path::new("deep")), "link to a folder"),
        ];
        // Each case rewrites the same folder, so the last one made is looked at first.
        while let Some((_, words)) = cases.pop() {
            let output = match words {
                "link to a folder" => link(Path::new("deep")),
                "leads nowhere" => link(Path::new("nowhere")),
                _ => link(&outside),
            };
            let error = fixture.hosting.stage(&fixture.site, build, &output).await.expect_err(words);
            assert!(error.message().contains(words), "{error}");
        }
        let mut output = fixture.output("x");
        std::fs::remove_dir_all(&output.folder).expect("removed");
        let error = fixture.hosting.stage(&fixture.site, build, &output).await.expect_err("missing");
        assert!(error.message().contains("no output folder"), "{error}");
        std::fs::create_dir_all(&output.folder).expect("a folder");
        let error = fixture.hosting.stage(&fixture.site, build, &output).await.expect_err("empty");
        assert!(error.message().contains("empty"), "{error}");
        output.folder = fixture.folder.path().join("sites");
        let error = fixture.hosting.stage(&fixture.site, build, &output).await.expect_err("outside");
        assert!(error.message().contains("leaves"), "{error}");
        assert_eq!(fixture.live(), "good");
        assert_eq!(fixture.hosting.releases(&fixture.site).await.expect("releases").len(), 1);
    }

    #[tokio::test]
    async fn a_link_inside_the_output_becomes_a_copy() {
        let fixture = Fixture::new();
        let mut output = fixture.output("text");
        output.owned = true;
        std::os::unix::fs::symlink("index.html", output.folder.join("home.html")).expect("a link");
        let build = BuildId::generate();
        fixture.hosting.stage(&fixture.site, build, &output).await.expect("staged");
        fixture.hosting.activate(&fixture.site, build).await.expect("activated");
        let copy = fixture.hosting.live_root("acme", "shop").expect("live").join("home.html");
        assert!(copy.symlink_metadata().expect("there").is_file());
    }
}
