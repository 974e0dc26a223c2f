//! A release is on the disk before it can be live. Otherwise a power cut could leave a live site of empty files, and a
//! build on record that says that it succeeded.

use std::fs::File;
use std::io;
use std::path::Path;

/// Above this many files the whole file system is synced, which is quicker then.
const FILES_ONE_BY_ONE: usize = 256;

/// Returns once every file and folder below this one, and itself, survive a power cut.
pub(super) fn tree(folder: &Path) -> io::Result<()> {
    let mut left = FILES_ONE_BY_ONE;
    if one_by_one(folder, &mut left)? { Ok(()) } else { whole(folder) }
}

/// Makes what was renamed, linked or removed in a folder durable.
pub(super) fn names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// False if there are more than `left`.
fn one_by_one(folder: &Path, left: &mut usize) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if !one_by_one(&entry.path(), left)? {
                return Ok(false);
            }
        } else if let Some(fewer) = left.checked_sub(1) {
            *left = fewer;
            File::open(entry.path())?.sync_all()?;
        } else {
            return Ok(false);
        }
    }
    names(folder)?;
    Ok(true)
}

#[cfg(target_os = "linux")]
fn whole(folder: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(folder)?)?)
}

#[cfg(not(target_os = "linux"))]
fn whole(_: &Path) -> io::Result<()> {
    nix::unistd::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_every_size_are_walked_or_synced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..=FILES_ONE_BY_ONE {
            let below = folder.path().join(format!("{}", number % 7));
            std::fs::create_dir_all(&below).expect("a folder");
            std::fs::write(below.join(number.to_string()), "page").expect("written");
            let (count, mut left) = (number + 1, FILES_ONE_BY_ONE);
            if number % 100 == 0 || number == FILES_ONE_BY_ONE {
                let all = one_by_one(folder.path(), &mut left).expect("synced");
                assert_eq!(all, count <= FILES_ONE_BY_ONE, "{count} files");
                tree(folder.path()).expect("synced");
            }
        }
        assert!(tree(&folder.path().join("none")).is_err());
    }
}
