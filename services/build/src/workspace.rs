//! The folders of builds: `{work_dir}/{build_id}/` while a build runs, logs and homes beside them.

use std::path::{Path, PathBuf};

use freshet_domain::BuildId;

use crate::machine::SiteKey;

/// Logs that are kept per site.
const LOGS_KEPT: usize = 20;

/// The folder of one build, and where its log stays.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// Removed after the build.
    pub(crate) folder: PathBuf,
    /// Snapshot.
    pub(crate) content: PathBuf,
    /// Keys that changed.
    pub(crate) changed_keys: PathBuf,
    /// The log; stays.
    pub(crate) log: PathBuf,
}

impl Workspace {
    /// Makes the folders.
    pub(crate) async fn create(work_dir: &Path, site: &SiteKey, build: BuildId) -> std::io::Result<Self> {
        // Commands run elsewhere, so every path that they get must be absolute.
        let work_dir = std::path::absolute(work_dir)?;
        let folder = work_dir.join(build.to_string());
        let logs = work_dir.join("logs").join(site.client.as_str()).join(site.site.as_str());
        tokio::fs::create_dir_all(&folder).await?;
        tokio::fs::create_dir_all(&logs).await?;
        Ok(Self {
            content: folder.join("content.ndjson.zst"),
            changed_keys: folder.join("changed-keys.ndjson"),
            log: logs.join(format!("{build}.log")),
            folder,
        })
    }

    /// Removes what only the build needed, and logs beyond those that are kept.
    pub(crate) async fn clean_up(&self) {
        remove_folder(&self.folder).await;
        let Some(logs) = self.log.parent().map(Path::to_owned) else { return };
        let pruned = tokio::task::spawn_blocking(move || prune_logs(&logs)).await;
        if let Ok(Err(error)) = pruned {
            tracing::warn!(%error, "old build logs could not be removed");
        }
    }
}

/// Removes folders that builds of an earlier process left. Only for the time before the first build.
pub(crate) async fn remove_leftovers(work_dir: &Path) {
    let Ok(mut entries) = tokio::fs::read_dir(work_dir).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let is_of_build = entry.file_name().to_str().is_some_and(|name| name.parse::<BuildId>().is_ok());
        if is_of_build {
            remove_folder(&entry.path()).await;
        }
    }
}

async fn remove_folder(folder: &Path) {
    match tokio::fs::remove_dir_all(folder).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, folder = %folder.display(), "a build's folder could not be removed"),
    }
}

fn prune_logs(logs: &Path) -> std::io::Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(logs)? {
        names.push(entry?.path());
    }
    // Build ids sort by time.
    names.sort();
    let too_many = names.len().saturating_sub(LOGS_KEPT);
    for name in names.into_iter().take(too_many) {
        std::fs::remove_file(name)?;
    }
    Ok(())
}
