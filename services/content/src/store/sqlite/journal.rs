//! Deliveries that are durable and not yet in the tables: a few files beside the database.
//!
//! A file is a row of records: 4 bytes length, 4 bytes CRC-32 of the rest, 8 bytes number, then the bytes, integers little
//! endian. Numbers grow from record to record. A file is written again from its beginning once everything in it is in the
//! tables, so a record counts only if its number is larger than the one before it: what is behind the last one is older.
//!
//! Files are kept and written again because a sync is quicker when it has no file to grow. The next one is always the first
//! that is free, so no more of them are ever written than were needed at once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::bodies::WriteAt;

/// Files of the journal. A version that knows fewer must not open what this one left: the tables' schema says so.
const FILES: usize = 8;

/// Most bytes of one file.
pub(super) const FILE_BYTES: u64 = 32 << 20;

const HEADER_BYTES: usize = 16;

/// Most bytes that the buffer keeps.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// A record that was found when the files were opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// The files, and where the next record goes.
pub(super) struct Journal {
    files: Vec<JournalFile>,
    write_at: WriteAt,
    file_bytes: u64,
    current: usize,
    end: u64,
    /// The number of the next record.
    next: u64,
    /// After a failed sync nobody knows what the disk has.
    broken: bool,
    /// Kept from one append to the next.
    buffer: Vec<u8>,
}

struct JournalFile {
    file: File,
    /// The number of the last record in it, 0 if it is empty.
    last: u64,
}

impl Journal {
    /// Opens the files, each of which may have so many bytes, and reads what is in it behind the record `applied`, oldest
    /// first. Writing begins with a file that has nothing of that.
    pub(super) fn open(folder: &Path, applied: u64, file_bytes: u64) -> io::Result<(Self, Vec<Found>)> {
        Self::with_write(folder, applied, file_bytes, Box::new(|file, bytes, offset| file.write_all_at(bytes, offset)))
    }

    fn with_write(folder: &Path, applied: u64, file_bytes: u64, write_at: WriteAt) -> io::Result<(Self, Vec<Found>)> {
        std::fs::create_dir_all(folder)?;
        let mut files = Vec::with_capacity(FILES);
        let mut found = Vec::new();
        for number in 0..FILES {
            let path = folder.join(format!("{number}.journal"));
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            let records = records(&std::fs::read(&path)?);
            files.push(JournalFile { file, last: records.last().map_or(0, |record| record.number) });
            found.extend(records.into_iter().filter(|record| record.number > applied));
        }
        File::open(folder)?.sync_all()?;
        found.sort_unstable_by_key(|record| record.number);
        let last = files.iter().map(|file| file.last).max().unwrap_or(0);
        let current = files.iter().position(|file| file.last == last).unwrap_or(0);
        let journal = Self {
            files,
            write_at,
            file_bytes,
            current,
            end: if last == 0 { 0 } else { file_bytes },
            next: 1 + last.max(applied),
            broken: false,
            buffer: Vec::new(),
        };
        Ok((journal, found))
    }

    /// True if so many bytes in so many records can be appended while everything up to the record `applied` is in the
    /// tables.
    pub(super) fn has_room(&self, bytes: usize, records: usize, applied: u64) -> bool {
        self.place((bytes + records * HEADER_BYTES) as u64, applied).is_some()
    }

    /// Where so many bytes go: the file, and where in it. What has more than a file may have gets one of its own.
    fn place(&self, bytes: u64, applied: u64) -> Option<(usize, u64)> {
        if self.end + bytes <= self.file_bytes {
            return Some((self.current, self.end));
        }
        self.files.iter().position(|file| file.last <= applied).map(|free| (free, 0))
    }

    /// The number of the next record.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// Appends records and returns once all are durable. There must be room while everything up to the record `applied` is in
    /// the tables. Their numbers are used also if it fails; then they may or may not be found when the files are opened again.
    pub(super) fn append<'r>(&mut self, records: impl Iterator<Item = &'r [u8]>, applied: u64) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_MAX);
        for record in records {
            write_record(&mut self.buffer, self.next, record)?;
            self.next += 1;
        }
        let buffer = &self.buffer;
        if self.broken {
            return Err(io::Error::other("an earlier sync failed; restart to see what is durable"));
        }
        if buffer.is_empty() {
            return Ok(());
        }
        let bytes = buffer.len() as u64;
        let (current, end) = self.place(bytes, applied).ok_or_else(|| io::Error::other("the journal has no room"))?;
        let file = &mut self.files[current];
        (self.write_at)(&file.file, buffer, end)?;
        if let Err(error) = file.file.sync_data() {
            self.broken = true;
            return Err(error);
        }
        file.last = self.next - 1;
        (self.current, self.end) = (current, end + bytes);
        Ok(())
    }

    /// Removes every byte. Everything must be in the tables.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        for file in &mut self.files {
            file.file.set_len(0)?;
            file.file.sync_all()?;
            file.last = 0;
        }
        (self.current, self.end) = (0, 0);
        Ok(())
    }
}

fn write_record(buffer: &mut Vec<u8>, number: u64, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let start = buffer.len();
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.extend_from_slice(bytes);
    let crc = crc32fast::hash(&buffer[start + 8..]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The records of a file, up to the first one that is torn or older.
fn records(mut bytes: &[u8]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) {
        let field = |range: std::ops::Range<usize>| {
            let mut field = [0; 8];
            field[..range.len()].copy_from_slice(&header[range]);
            u64::from_le_bytes(field)
        };
        let (length, crc, number) = (field(0..4) as usize, field(4..8), field(8..16));
        let follows = found.last().map_or(number > 0, |last| number > last.number);
        if !follows || rest.len() < length || u64::from(crc32fast::hash(&bytes[8..HEADER_BYTES + length])) != crc {
            break;
        }
        found.push(Found { number, bytes: rest[..length].to_vec() });
        bytes = &rest[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn small(folder: &Path, applied: u64) -> (Journal, Vec<Found>) {
        Journal::open(folder, applied, 100).expect("opens")
    }

    /// The number of the first of them. Nothing is in the tables yet.
    fn append(journal: &mut Journal, records: &[&str]) -> u64 {
        append_after(journal, records, 0)
    }

    /// The same when everything up to the record `applied` is in the tables.
    fn append_after(journal: &mut Journal, records: &[&str], applied: u64) -> u64 {
        let first = journal.next_number();
        journal.append(records.iter().map(|record| record.as_bytes()), applied).expect("appended");
        first
    }

    fn numbers(found: &[Found]) -> Vec<u64> {
        found.iter().map(|found| found.number).collect()
    }

    fn texts(found: &[Found]) -> Vec<(u64, &str)> {
        found.iter().map(|found| (found.number, std::str::from_utf8(&found.bytes).expect("text"))).collect()
    }

    #[test]
    fn records_come_back_in_their_order_behind_what_is_applied() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut journal, found) = small(folder.path(), 0);
        assert_eq!(found, []);
        assert_eq!(append(&mut journal, &["one", ""]), 1);
        assert_eq!(append(&mut journal, &["three"]), 3);
        drop(journal);
        let (mut journal, found) = small(folder.path(), 1);
        assert_eq!(texts(&found), [(2, ""), (3, "three")]);
        assert_eq!(append(&mut journal, &["four"]), 4);
        drop(journal);
        let (journal, found) = small(folder.path(), 0);
        assert_eq!(texts(&found), [(1, "one"), (2, ""), (3, "three"), (4, "four")]);
        drop(journal);
        assert_eq!(small(folder.path(), 9).0.next, 10, "no number comes twice");
    }

    /// Three records of 26 bytes have room in a file of 100.
    #[test]
    fn a_file_is_written_again_once_everything_in_it_is_in_the_tables() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut journal, _) = small(folder.path(), 0);
        let all = FILES as u64 * 3;
        while journal.has_room(10, 1, 0) {
            append(&mut journal, &["0123456789"]);
        }
        assert_eq!(journal.next_number(), all + 1);
        assert!(
            journal.append([&b"0123456789"[..]].into_iter(), 2).is_err(),
            "the first file has one that is not there"
        );
        assert!(!journal.has_room(10, 1, 2) && journal.has_room(10, 1, 3));
        let new = append_after(&mut journal, &["new"], 3);
        drop(journal);
        let (_, found) = small(folder.path(), 3);
        let wanted: Vec<u64> = (4..=all).chain([new]).collect();
        assert_eq!(numbers(&found), wanted, "the old records behind the new one do not count, though two are whole");
    }

    #[test]
    fn no_more_files_are_written_than_were_needed_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut journal, _) = small(folder.path(), 0);
        let bytes = |file: usize| {
            let path = folder.path().join(format!("{file}.journal"));
            std::fs::metadata(path).expect("metadata").len()
        };
        for number in 1..100 {
            assert_eq!(append_after(&mut journal, &["0123456789"], number - 1), number, "all before are in the tables");
        }
        assert!(bytes(0) > 0 && (1..FILES).all(|file| bytes(file) == 0));
        for number in 100..200 {
            append_after(&mut journal, &["0123456789"], number - 4);
        }
        assert!(bytes(1) > 0 && (3..FILES).all(|file| bytes(file) == 0));
        drop(journal);
        let (mut journal, found) = small(folder.path(), 195);
        assert_eq!(numbers(&found), [196, 197, 198, 199]);
        append_after(&mut journal, &["0123456789"], 195);
        drop(journal);
        assert_eq!(numbers(&small(folder.path(), 195).1), [196, 197, 198, 199, 200]);
    }

    #[test]
    fn torn_and_broken_records_end_a_file_and_nothing_panics() {
        let mut whole = Vec::new();
        write_record(&mut whole, 7, b"seven").expect("written");
        write_record(&mut whole, 8, b"eight").expect("written");
        for length in 0..whole.len() {
            assert!(records(&whole[..length]).len() <= 1);
        }
        for broken in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[broken] ^= 0x10;
            let expected = if broken < whole.len() / 2 { 0 } else { 1 };
            assert_eq!(records(&bytes).len(), expected, "byte {broken}");
        }
        assert_eq!(records(&[0xff; 64]), []);
        assert_eq!(records(&[0; 64]), []);
        assert_eq!(records(&whole).len(), 2);
    }

    #[test]
    fn a_failed_write_is_overwritten_and_clearing_leaves_no_byte() {
        let folder = tempfile::tempdir().expect("folder");
        let full = Arc::new(AtomicBool::new(false));
        let disk = full.clone();
        let write_at: WriteAt = Box::new(move |file, bytes, offset| {
            if disk.load(Ordering::SeqCst) {
                file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.write_all_at(bytes, offset)
        });
        let (mut journal, _) = Journal::with_write(folder.path(), 0, 1_000, write_at).expect("opens");
        append(&mut journal, &["one"]);
        full.store(true, Ordering::SeqCst);
        assert!(journal.append([&b"lost"[..]].into_iter(), 0).is_err());
        full.store(false, Ordering::SeqCst);
        assert_eq!(append(&mut journal, &["three"]), 3, "what failed may be in the tables under its number");
        drop(journal);
        let (mut journal, found) = small(folder.path(), 0);
        assert_eq!(texts(&found), [(1, "one"), (3, "three")]);
        journal.clear().expect("cleared");
        assert_eq!(append(&mut journal, &["four"]), 4);
        journal.clear().expect("cleared");
        for file in std::fs::read_dir(folder.path()).expect("folder") {
            assert_eq!(file.expect("file").metadata().expect("metadata").len(), 0);
        }
    }
}
