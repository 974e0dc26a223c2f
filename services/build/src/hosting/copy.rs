//! Taking a finished site over: checked first, then moved or copied.

use std::path::{Path, PathBuf};

use freshet_kit::{Error, ErrorKind};

use crate::runner::OutputFolder;

/// Folders deeper than this are refused.
const DEPTH_MAX: usize = 64;

pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, "BAD_OUTPUT", message)
}

fn failed(what: &str, error: std::io::Error) -> Error {
    let message = format!("the finished site could not be {what}: {error}");
    Error::new(ErrorKind::Unavailable, "HOSTING_IO", message).with_source(error)
}

/// Puts the finished site at `to`, which does not exist yet, or says why it cannot be published.
pub(super) fn take_over(output: &OutputFolder, to: &Path) -> Result<(), Error> {
    let plan = Plan::of(output)?;
    // A move is atomic and free, but keeps links as links, and works inside one file system only.
    if output.owned && !plan.has_links && std::fs::rename(&plan.root, to).is_ok() {
        return Ok(());
    }
    plan.copy(to).map_err(|error| failed("copied", error))
}

/// The files of a finished site, each with its name inside it, or why the site cannot be published.
#[cfg(feature = "aws")]
pub(super) fn files(output: &OutputFolder) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    Plan::of(output).map(|plan| plan.files)
}

struct Plan {
    root: PathBuf,
    folders: Vec<PathBuf>,
    files: Vec<(PathBuf, PathBuf)>,
    has_links: bool,
}

impl Plan {
    fn of(output: &OutputFolder) -> Result<Self, Error> {
        let root = std::fs::canonicalize(&output.folder).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => refused("the build ended well but left no output folder"),
            _ => failed("read", error),
        })?;
        let inside = std::fs::canonicalize(&output.inside).map_err(|error| failed("read", error))?;
        if !root.starts_with(&inside) {
            return Err(refused("the output folder is a link that leaves the site's directory"));
        }
        if !root.is_dir() {
            return Err(refused("the output is not a folder"));
        }
        let mut plan = Self { root: root.clone(), folders: Vec::new(), files: Vec::new(), has_links: false };
        plan.collect(&root, Path::new(""), 0)?;
        if plan.files.is_empty() {
            return Err(refused("the build ended well but its output folder is empty"));
        }
        Ok(plan)
    }

    fn collect(&mut self, folder: &Path, below: &Path, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(refused("the output has folders nested too deeply"));
        }
        for entry in std::fs::read_dir(folder).map_err(|error| failed("read", error))? {
            let entry = entry.map_err(|error| failed("read", error))?;
            let kind = entry.file_type().map_err(|error| failed("read", error))?;
            let name = below.join(entry.file_name());
            if kind.is_dir() {
                self.folders.push(name.clone());
                self.collect(&entry.path(), &name, depth + 1)?;
            } else if kind.is_file() {
                self.files.push((entry.path(), name));
            } else if kind.is_symlink() {
                self.files.push((self.follow(&entry.path(), &name)?, name));
                self.has_links = true;
            } else {
                return Err(refused(format!("the output has `{}`, which is neither file nor folder", name.display())));
            }
        }
        Ok(())
    }

    /// A link is published as a copy of the file it points to, if that is part of the output.
    fn follow(&self, link: &Path, name: &Path) -> Result<PathBuf, Error> {
        let target = std::fs::canonicalize(link)
            .map_err(|_| refused(format!("the output has a link that leads nowhere: `{}`", name.display())))?;
        if !target.starts_with(&self.root) {
            return Err(refused(format!("the output has a link that leaves it: `{}`", name.display())));
        }
        if !target.is_file() {
            return Err(refused(format!("the output has a link to a folder: `{}`", name.display())));
        }
        Ok(target)
    }

    fn copy(&self, to: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for folder in &self.folders {
            std::fs::create_dir_all(to.join(folder))?;
        }
        for (from, name) in &self.files {
            std::fs::copy(from, to.join(name))?;
        }
        Ok(())
    }
}
