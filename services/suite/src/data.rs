//! The data folder: who runs on it, the root key, and where a running suite can be reached.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use freshet_kit::secret;
use serde::{Deserialize, Serialize};

/// A data folder that this process owns. Dropped, it is free for the next one.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Locked as long as it is open; the system unlocks it even after `kill -9`.
    _lock: File,
}

/// Where a running suite can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// `http://host:port` of the edge.
    pub http: String,
    /// `http://host:port` of gRPC.
    pub grpc: String,
    /// Process id.
    pub pid: u32,
    /// The catalogue's file.
    pub catalogue: PathBuf,
}

impl DataFolder {
    /// Takes the folder, making it if need be. Fails if another process has it.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make the data folder {}", path.display()))?;
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path.join("lock"))
            .with_context(|| format!("cannot write in the data folder {}", path.display()))?;
        if lock.try_lock().is_err() {
            let by = running(path).map(|running| format!(" (process {}, {})", running.pid, running.http));
            anyhow::bail!(
                "another Freshet uses the data folder {}{}; stop it, or choose another folder with --data",
                path.display(),
                by.unwrap_or_default()
            );
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of the person whose folder this is, made at the first start. It may do everything.
    pub fn root_key(&self) -> anyhow::Result<String> {
        if let Ok(key) = root_key(&self.path) {
            return Ok(key);
        }
        let key = secret::generate("fk_root_").context("no random numbers")?;
        secret::write_private(&self.path.join("root.key"), &key).context("cannot write the root key")?;
        Ok(key)
    }

    /// Tells the command line where this process can be reached.
    pub fn announce(&self, running: &Running) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(running)?;
        secret::write_private(&self.path.join("running.json"), &text).context("cannot write running.json")
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path.join("running.json"));
    }
}

/// Where the suite of that folder can be reached, if one runs or was killed.
pub fn running(path: &Path) -> Option<Running> {
    serde_json::from_slice(&std::fs::read(path.join("running.json")).ok()?).ok()
}

/// The root key of that folder.
pub fn root_key(path: &Path) -> anyhow::Result<String> {
    let file = path.join("root.key");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let key = text.trim().to_owned();
    anyhow::ensure!(key.len() >= 40, "{} is damaged; remove it to have a new one made", file.display());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_keeps_its_key() {
        let folder = tempfile::tempdir().expect("folder");
        let first = DataFolder::take(folder.path()).expect("free");
        let key = first.root_key().expect("made");
        first
            .announce(&Running { http: "h".into(), grpc: "g".into(), pid: 7, catalogue: "c".into() })
            .expect("written");
        let error = DataFolder::take(folder.path()).expect_err("taken").to_string();
        assert!(error.contains("process 7"), "{error}");
        drop(first);
        let second = DataFolder::take(folder.path()).expect("free again");
        assert_eq!(second.root_key().expect("kept"), key);
        assert_eq!(running(folder.path()), None);
    }
}
