//! Raw bodies, in append-only files beside the database: SQLite would copy each body three times.
//!
//! A segment is `NNNNNNNN.log`: 16 bytes (magic, time of its opening), then bodies without anything between them. Which
//! bytes are whose is known to the database only, so a torn or orphaned tail is harmless. Nothing is appended to a
//! segment of an earlier process.
//!
//! **Invariant:** bytes are durable before the delivery is acknowledged ([`BodyLog::sync`] runs before every answer), or
//! in the journal until they are. A power cut in between can leave a row whose bytes are missing; its digest tells, and
//! whoever was not answered, or the journal, brings them again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_sqlite::write_back;

/// A segment that is larger gets a successor.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A segment that is older gets a successor, so that a quiet client's bodies are forgotten in time too.
const SEGMENT_AGE: Duration = Duration::from_secs(86_400);

/// So many bytes are gathered before they are written. Bodies written one by one cost a call each, and the kernel zeroes
/// the rest of every new page that is written in parts.
const GATHERED_BYTES: usize = 256 << 10;

/// Stands for the empty body, which needs no segment.
const NO_SEGMENT: u64 = 0;

const MAGIC: &[u8; 8] = b"frshbdy1";
const HEADER_BYTES: u64 = 16;

/// Writes bytes at an offset. Tests put a full disk here.
pub(super) type WriteAt = Box<dyn Fn(&File, &[u8], u64) -> io::Result<()> + Send + Sync>;

/// Where a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Place {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }
}

/// The files.
pub(super) struct BodyLog {
    folder: PathBuf,
    write_at: WriteAt,
    segment_bytes: u64,
    gathered_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each segment was opened.
    segments: BTreeMap<u64, Timestamp>,
    current: Option<Current>,
    /// Written since the last sync.
    dirty: Vec<Dirty>,
}

/// A part of a file.
struct Dirty {
    file: Arc<File>,
    from: u64,
    to: u64,
}

struct Current {
    number: u64,
    file: Arc<File>,
    /// Where the next write goes.
    written: u64,
    /// What it will write.
    gathered: Vec<u8>,
    opened_at: Timestamp,
}

impl Current {
    fn end(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }
}

impl BodyLog {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Self::with_write(folder, SEGMENT_BYTES, Box::new(|file, bytes, offset| file.write_all_at(bytes, offset)))
    }

    pub(super) fn with_write(folder: &Path, segment_bytes: u64, write_at: WriteAt) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut segments = BTreeMap::new();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            if let (Some(number), Some("log")) = (number, path.extension().and_then(|end| end.to_str())) {
                segments.insert(number, opened_at(&path)?);
            }
        }
        // What an earlier process had no time to sync: the rows that point there count as durable from now on. It left less
        // than a segment's worth.
        for number in segments.keys().rev().take(2) {
            File::open(folder.join(segment_name(*number)))?.sync_data()?;
        }
        let state = State { segments, ..State::default() };
        let (folder, gathered_bytes) = (folder.to_owned(), GATHERED_BYTES);
        Ok(Self { folder, write_at, segment_bytes, gathered_bytes, state: Mutex::new(state) })
    }

    /// The same log, which writes every body by itself: a test that breaks one write breaks one delivery.
    #[cfg(test)]
    pub(super) fn gathering_nothing(mut self) -> Self {
        self.gathered_bytes = 0;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(segment_name(segment))
    }

    /// Appends a body. Only the writer does, and it must [`BodyLog::flush`] before the rows that point to it are committed.
    pub(super) fn append(&self, body: &[u8], now: Timestamp) -> io::Result<Place> {
        if body.is_empty() {
            return Ok(Place { segment: NO_SEGMENT, offset: 0, bytes: 0 });
        }
        let mut state = self.state();
        let fits = |current: &Current| current.end() < self.segment_bytes && now < current.opened_at.plus(SEGMENT_AGE);
        if !state.current.as_ref().is_some_and(fits) {
            self.begin_segment(&mut state, now)?;
        }
        let current = state.current.as_mut().ok_or_else(|| io::Error::other("no segment"))?;
        let place = Place { segment: current.number, offset: current.end(), bytes: body.len() as u64 };
        current.gathered.extend_from_slice(body);
        if current.gathered.len() >= self.gathered_bytes {
            self.write(&mut state)?;
        }
        Ok(place)
    }

    /// Writes what was appended. It is durable after the next [`BodyLog::sync`]. If it fails, everything is gone that was
    /// appended since the last flush.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.write(&mut self.state())
    }

    fn write(&self, state: &mut State) -> io::Result<()> {
        let State { current: Some(current), dirty, .. } = state else { return Ok(()) };
        if current.gathered.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut current.gathered);
        // A write that fails leaves `written` where it was: the next one overwrites what it left behind.
        (self.write_at)(&current.file, &bytes, current.written)?;
        let end = current.written + bytes.len() as u64;
        mark(dirty, &current.file, current.written, end);
        current.written = end;
        bytes.clear();
        bytes.shrink_to(GATHERED_BYTES);
        current.gathered = bytes;
        Ok(())
    }

    fn begin_segment(&self, state: &mut State, now: Timestamp) -> io::Result<()> {
        self.write(state)?;
        let number = state.segments.last_key_value().map_or(NO_SEGMENT, |(last, _)| *last) + 1;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(number))?;
        let file = Arc::new(file);
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&now.as_micros().to_be_bytes());
        (self.write_at)(&file, &header, 0)?;
        // Before any row points to it. Otherwise a power cut could leave a row whose segment is not there, its number
        // would be used again, and to erase that row's body would erase another one's.
        File::open(&self.folder)?.sync_all()?;
        state.segments.insert(number, now);
        state.current = Some(Current { number, file, written: HEADER_BYTES, gathered: Vec::new(), opened_at: now });
        Ok(())
    }

    /// Makes everything durable that was flushed before this call. Quick when nothing was. Bodies can be appended
    /// meanwhile: the lock is not held while the disk works.
    pub(super) fn sync(&self) -> io::Result<()> {
        let dirty = std::mem::take(&mut self.state().dirty);
        for Dirty { file, from, to } in &dirty {
            write_back(file, *from, *to);
            file.sync_data()?;
        }
        Ok(())
    }

    /// Reads a body that was flushed; `None` if its segment is gone or too short.
    pub(super) fn read(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        if place.segment == NO_SEGMENT {
            return Ok(Some(Vec::new()));
        }
        let file = match File::open(self.path(place.segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < place.end() {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(place.bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut body, place.offset)?;
        Ok(Some(body))
    }

    /// Overwrites a body with zeros. Durable after the next [`BodyLog::sync`].
    pub(super) fn erase(&self, place: Place) -> io::Result<()> {
        if place.segment == NO_SEGMENT {
            return Ok(());
        }
        // What is written later would undo it.
        self.flush()?;
        let file = match OpenOptions::new().write(true).open(self.path(place.segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let end = file.metadata()?.len().min(place.end());
        let zeros = vec![0; 64 * 1024];
        let mut at = place.offset;
        while at < end {
            let part = usize::try_from(end - at).map_or(zeros.len(), |left| left.min(zeros.len()));
            file.write_all_at(&zeros[..part], at)?;
            at += part as u64;
        }
        self.state().dirty.push(Dirty { file: Arc::new(file), from: place.offset, to: end });
        Ok(())
    }

    /// True if the segment is still there.
    pub(super) fn holds(&self, segment: u64) -> bool {
        segment == NO_SEGMENT || self.state().segments.contains_key(&segment)
    }

    /// Removes every segment whose bodies were all written before `cutoff`, and returns how many.
    pub(super) fn forget(&self, cutoff: Timestamp, now: Timestamp) -> io::Result<u64> {
        let mut state = self.state();
        // Nothing is appended to a segment of this age.
        let is_old = |opened_at: Timestamp| opened_at.plus(SEGMENT_AGE) <= cutoff;
        if let Some((last, _)) = state.segments.last_key_value().filter(|(_, opened_at)| is_old(**opened_at))
            && std::fs::metadata(self.path(*last)).map_or(0, |data| data.len()) > HEADER_BYTES
        {
            // The empty successor keeps the number, so that none is used twice.
            self.begin_segment(&mut state, now)?;
        }
        let mut removed = 0;
        while state.segments.len() > 1 {
            let Some((number, opened_at)) = state.segments.first_key_value().map(|(number, at)| (*number, *at)) else {
                break;
            };
            if !is_old(opened_at) {
                break;
            }
            match std::fs::remove_file(self.path(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => state.segments.remove(&number),
            };
            removed += 1;
        }
        Ok(removed)
    }
}

fn mark(dirty: &mut Vec<Dirty>, file: &Arc<File>, from: u64, to: u64) {
    match dirty.iter_mut().find(|known| Arc::ptr_eq(&known.file, file)) {
        Some(known) => known.to = to,
        None => dirty.push(Dirty { file: file.clone(), from, to }),
    }
}

fn segment_name(segment: u64) -> String {
    format!("{segment:08}.log")
}

/// From the header, or from the file system if a crash tore the header.
fn opened_at(path: &Path) -> io::Result<Timestamp> {
    let mut header = [0; HEADER_BYTES as usize];
    let file = File::open(path)?;
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header.starts_with(MAGIC) => {
            let mut micros = [0; 8];
            micros.copy_from_slice(&header[8..]);
            Ok(Timestamp::from_micros(i64::from_be_bytes(micros)))
        }
        _ => {
            let since = file.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            Ok(Timestamp::EPOCH.plus(since))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: u32) -> Timestamp {
        Timestamp::from_secs(1_780_000_000).plus(SEGMENT_AGE * days)
    }

    fn small(folder: &Path) -> BodyLog {
        BodyLog::with_write(folder, 64, Box::new(|file, bytes, offset| file.write_all_at(bytes, offset)))
            .expect("opens")
    }

    fn files(folder: &Path) -> Vec<String> {
        let name = |file: io::Result<std::fs::DirEntry>| file.expect("file").file_name().into_string().expect("text");
        let mut names: Vec<String> = std::fs::read_dir(folder).expect("folder").map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn bodies_come_back_from_every_segment_and_after_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let log = small(folder.path());
        let bodies: Vec<Vec<u8>> = (0..9_u8).map(|number| vec![number; 20]).collect();
        let places: Vec<Place> = bodies.iter().map(|body| log.append(body, at(0)).expect("appended")).collect();
        log.flush().expect("written");
        log.sync().expect("synced");
        assert_eq!(places.iter().map(|place| place.segment).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
        let check = |log: &BodyLog| {
            for (body, place) in bodies.iter().zip(&places) {
                assert_eq!(log.read(*place).expect("read").as_ref(), Some(body));
            }
        };
        check(&log);
        let again = small(folder.path());
        check(&again);
        assert_eq!(again.append(b"new", at(0)).expect("appended").segment, 4, "never behind an old tail");
        check(&again);
        assert_eq!(log.append(b"", at(0)).expect("appended").segment, NO_SEGMENT);
        assert_eq!(log.read(Place { segment: NO_SEGMENT, offset: 0, bytes: 0 }).expect("read"), Some(Vec::new()));
    }

    #[test]
    fn a_torn_tail_and_foreign_files_do_no_harm() {
        let folder = tempfile::tempdir().expect("folder");
        let log = small(folder.path());
        let place = log.append(b"kept", at(0)).expect("appended");
        log.flush().expect("written");
        for (name, bytes) in [("00000002.log", &b"fr"[..]), ("readme.txt", b"x"), ("x.log", b"x")] {
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        let log = small(folder.path());
        assert_eq!(log.read(place).expect("read"), Some(b"kept".to_vec()));
        assert_eq!(log.read(Place { bytes: 5, ..place }).expect("read"), None, "too short");
        assert_eq!(log.read(Place { segment: 77, offset: 0, bytes: 1 }).expect("read"), None);
        assert_eq!(log.append(b"new", at(0)).expect("appended").segment, 3);
        assert!(!log.holds(77));
    }

    #[test]
    fn erased_bytes_are_zeros_and_neighbours_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let log = small(folder.path());
        let places: Vec<Place> =
            [b"left", b"gone", b"last"].iter().map(|body| log.append(*body, at(0)).expect("appended")).collect();
        log.erase(places[1]).expect("erased");
        log.erase(Place { segment: 9, offset: 0, bytes: 4 }).expect("a segment that is gone has nothing to erase");
        log.sync().expect("synced");
        assert_eq!(log.read(places[1]).expect("read"), Some(vec![0; 4]));
        assert_eq!(log.read(places[0]).expect("read"), Some(b"left".to_vec()));
        assert_eq!(log.read(places[2]).expect("read"), Some(b"last".to_vec()));
    }

    #[test]
    fn old_segments_are_forgotten_and_no_number_comes_twice() {
        let folder = tempfile::tempdir().expect("folder");
        let log = small(folder.path());
        let first = log.append(b"a", at(0)).expect("appended");
        let second = log.append(b"b", at(2)).expect("appended");
        log.flush().expect("written");
        assert_eq!((first.segment, second.segment), (1, 2), "a segment is not filled for ever");
        assert_eq!(log.forget(at(0), at(7)).expect("none yet"), 0);
        assert_eq!(log.forget(at(1), at(8)).expect("the first"), 1);
        assert!(!log.holds(1) && log.holds(2));
        assert_eq!(log.forget(at(3), at(10)).expect("the second, though it is the last"), 1);
        assert_eq!(log.forget(at(30), at(40)).expect("an empty one stays"), 0);
        assert_eq!(files(folder.path()), ["00000003.log"]);
        assert_eq!(small(folder.path()).append(b"c", at(40)).expect("appended").segment, 4);
    }

    #[test]
    fn a_failed_write_leaves_no_trace() {
        let folder = tempfile::tempdir().expect("folder");
        let full = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let disk = full.clone();
        let write_at: WriteAt = Box::new(move |file, bytes, offset| {
            if disk.load(std::sync::atomic::Ordering::SeqCst) {
                file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.write_all_at(bytes, offset)
        });
        let log = BodyLog::with_write(folder.path(), 64, write_at).expect("opens");
        full.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(log.append(b"none", at(0)).is_err(), "not even a segment");
        full.store(false, std::sync::atomic::Ordering::SeqCst);
        let first = log.append(b"one", at(0)).expect("appended");
        log.flush().expect("written");
        full.store(true, std::sync::atomic::Ordering::SeqCst);
        log.append(b"two", at(0)).expect("gathered");
        assert!(log.flush().is_err());
        assert!(log.append(&vec![b'x'; GATHERED_BYTES], at(0)).is_err(), "so much is written at once");
        full.store(false, std::sync::atomic::Ordering::SeqCst);
        let third = log.append(b"three", at(0)).expect("appended");
        assert_eq!(third, Place { segment: first.segment, offset: first.offset + 3, bytes: 5 });
        log.flush().expect("written");
        assert_eq!(log.read(third).expect("read"), Some(b"three".to_vec()));
    }
}
