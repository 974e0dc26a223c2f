//! The log of a build: a file with a cap, and its last lines in memory.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;

/// The file holds at most so much; more is counted and dropped.
pub(super) const LOG_BYTES_MAX: u64 = 10 << 20;

/// The last bytes that a build's record shows.
pub(super) const TAIL_BYTES_MAX: usize = 16 << 10;

/// Takes everything that a build prints.
pub(super) struct BuildLog {
    file: Option<std::fs::File>,
    written: u64,
    dropped: u64,
    tail: VecDeque<u8>,
}

impl BuildLog {
    /// A new file. A log that cannot be written costs the file, not the build.
    pub(super) fn create(path: &Path) -> Self {
        let file = std::fs::File::create(path)
            .inspect_err(|error| tracing::warn!(%error, path = %path.display(), "a build log cannot be written"))
            .ok();
        Self { file, written: 0, dropped: 0, tail: VecDeque::with_capacity(TAIL_BYTES_MAX) }
    }

    /// Output of the build.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let room = usize::try_from(LOG_BYTES_MAX - self.written).unwrap_or(usize::MAX);
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        if let Some(file) = self.file.as_mut().filter(|_| !kept.is_empty())
            && file.write_all(kept).is_err()
        {
            self.file = None;
        }
        self.written += kept.len() as u64;
        self.dropped += (bytes.len() - kept.len()) as u64;
        let fresh = bytes.get(bytes.len().saturating_sub(TAIL_BYTES_MAX)..).unwrap_or(bytes);
        let surplus = (self.tail.len() + fresh.len()).saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend(fresh);
    }

    /// A line of ours.
    pub(super) fn note(&mut self, line: &str) {
        self.write(format!("freshet: {line}\n").as_bytes());
    }

    /// Closes the file and returns the last lines, whole ones if possible.
    pub(super) fn finish(mut self) -> String {
        if self.dropped > 0 {
            let note = format!("freshet: {} more bytes were printed and not kept\n", self.dropped);
            if let Some(file) = &mut self.file {
                let _ = file.write_all(note.as_bytes());
            }
        }
        let is_cut = self.written + self.dropped > TAIL_BYTES_MAX as u64;
        let bytes: Vec<u8> = self.tail.into();
        let start = if is_cut { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
        let mut text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).replace('\0', "\u{fffd}");
        // Replacement characters are longer than what they replace.
        if text.len() > TAIL_BYTES_MAX {
            let mut from = text.len() - TAIL_BYTES_MAX;
            while !text.is_char_boundary(from) {
                from += 1;
            }
            text.drain(..from);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("build.log");
        let mut log = BuildLog::create(&path);
        let line = [b'x'; 1023].iter().copied().chain([b'\n']).collect::<Vec<u8>>();
        for _ in 0..(11 << 10) {
            log.write(&line);
        }
        log.write(b"the end \xff\n");
        let tail = log.finish();
        assert!(tail.len() <= TAIL_BYTES_MAX && tail.ends_with("the end \u{fffd}\n"));
        let kept = std::fs::read_to_string(&path).expect("the log");
        assert!(kept.len() as u64 <= LOG_BYTES_MAX + 100);
        assert!(kept.ends_with("1048586 more bytes were printed and not kept\n"), "{}", &kept[kept.len() - 80..]);
    }

    #[test]
    fn a_short_log_is_its_own_tail() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = BuildLog::create(&folder.path().join("build.log"));
        log.write(b"one\ntwo\n");
        assert_eq!(log.finish(), "one\ntwo\n");
    }
}
