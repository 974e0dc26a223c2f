//! Handing written bytes to the disk bit by bit, before they are synced.
//!
//! A sync makes everything durable that the disk was given before, whoever gave it. When a large file is synced at once,
//! a small sync beside it, which somebody waits for, takes as long as the large one (5 to 15 ms for 20 MiB, measured). So
//! what is large is given to the disk in pieces with pauses between them; the sync that follows finds little left to do.
//! This is no promise of durability: only the sync is.

use std::fs::File;
use std::time::{Duration, Instant};

/// Less than this is quicker synced at once.
const LARGE: u64 = 1 << 20;

/// Bytes of a piece.
const PIECE: u64 = 512 << 10;

/// The pause after a piece, so many times as long as handing it over took: what has few bytes to write is passed quickly.
/// With 4 the syncs of the journal took up to 35 ms meanwhile; with a pause of [`PAUSE_MAX`] after each piece a large
/// database took so long that the log grew to more than 1 GB under load (measured).
const PAUSE_TIMES: u32 = 12;

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// A piece without a byte to write is passed in less time than this.
const NOTHING_TO_WRITE: Duration = Duration::from_micros(20);

/// Gives the disk what was written to this part of the file, if it is much.
pub fn write_back(file: &File, from: u64, to: u64) {
    if to.saturating_sub(from) < LARGE {
        return;
    }
    let mut at = from;
    while at < to {
        let begun = Instant::now();
        if !start(file, at, PIECE.min(to - at)) {
            return;
        }
        let took = begun.elapsed();
        if took >= NOTHING_TO_WRITE {
            std::thread::sleep((took * PAUSE_TIMES).min(PAUSE_MAX));
        }
        at += PIECE;
    }
}

/// Starts writing and does not wait. False: not possible here, and the sync has to do it all.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn start(file: &File, offset: u64, length: u64) -> bool {
    use std::os::fd::AsRawFd as _;
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return false };
    // SAFETY: the call takes no memory of ours, and the descriptor is open as long as `file` is borrowed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn start(_file: &File, _offset: u64, _length: u64) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_handed_over_stays_what_it_was() {
        let mut file = tempfile::tempfile().expect("file");
        let bytes: Vec<u8> = (0..5 << 18).map(|number: u32| number as u8).collect();
        file.write_all(&bytes).expect("written");
        write_back(&file, 0, 2 * bytes.len() as u64);
        write_back(&file, 7, bytes.len() as u64);
        let mut read = vec![0; bytes.len()];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut read, 0).expect("read");
        assert_eq!(read, bytes);
    }
}
