use std::sync::Mutex;

use super::*;

/// A writer as the program has it, with a table.
fn writer(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("opens");
    connection.busy_timeout(Duration::ZERO).expect("set");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT);",
        )
        .expect("set up");
    connection
}

fn insert(connection: &Connection, rows: i64) {
    for _ in 0..rows {
        connection.execute("INSERT INTO t (text) VALUES (?1)", ["x".repeat(5_000)]).expect("inserted");
    }
}

fn checkpointer(path: &Path, sync: impl Fn(Which, &File) -> io::Result<()> + Send + 'static) -> Checkpointer {
    let database = Arc::new(File::open(path).expect("opens"));
    let opened = Checkpointer::open(path, database, Copying::default(), LogPages::default(), 0, Broken::default())
        .expect("opens");
    Checkpointer { sync: Box::new(sync), ..opened }
}

/// What each beginning of the log draws anew: bytes 16 to 24 of its header.
fn salts(path: &Path) -> Vec<u8> {
    std::fs::read(log_path(path)).expect("read")[16..24].to_vec()
}

/// How many pages the log has.
fn pages(path: &Path) -> u32 {
    u32::try_from((std::fs::metadata(log_path(path)).expect("there").len() - 32) / (4_096 + 24)).expect("few")
}

#[test]
fn p1_a_page_is_durable_in_the_log_before_it_is_copied_and_in_the_database_before_the_log_is_begun_again() {
    for between in [Which::Log, Which::Database] {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.db");
        let connection = Arc::new(Mutex::new(writer(&path)));
        insert(&connection.lock().expect("free"), 20);
        let (durable, salts_before) = (pages(&path), salts(&path));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (at, other, told) = (path.clone(), connection.clone(), seen.clone());
        let database_before = std::fs::read(&path).expect("read");
        let checkpointer = checkpointer(&path, move |which, _| {
            if which == Which::Log {
                assert_eq!(std::fs::read(&at).expect("read"), database_before, "nothing is copied yet");
            }
            if which == between {
                // At the log: not durable. At the database: everything before is copied, which lets SQLite begin the log again.
                insert(&other.lock().expect("free"), 5);
            }
            assert_eq!(salts(&at), salts_before, "the log goes on");
            told.lock().expect("free").push(which);
            Ok(())
        });
        assert_eq!(checkpointer.round(true), Some(durable), "and no page that came later");
        assert_eq!(*seen.lock().expect("free"), [Which::Log, Which::Database]);
        assert!(durable < pages(&path));
    }
}

#[test]
fn the_log_is_begun_again_behind_a_round_in_which_nothing_was_written() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.db");
    let connection = writer(&path);
    insert(&connection, 20);
    let before = salts(&path);
    assert!(checkpointer(&path, |_, _| Ok(())).round(true).is_some());
    assert_eq!(salts(&path), before);
    insert(&connection, 1);
    assert_ne!(salts(&path), before);
}

#[test]
fn p1_after_a_failed_sync_the_log_is_never_begun_again() {
    for failing in [Which::Log, Which::Database] {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.db");
        let connection = writer(&path);
        insert(&connection, 20);
        let before = salts(&path);
        let checkpointer =
            checkpointer(
                &path,
                move |which, _| {
                    if which == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
                },
            );
        let database_before = std::fs::read(&path).expect("read");
        assert_eq!(checkpointer.round(true), None);
        assert!(checkpointer.broken.load(Ordering::Acquire));
        if failing == Which::Log {
            assert_eq!(std::fs::read(&path).expect("read"), database_before, "nothing is copied");
        }
        insert(&connection, 20);
        assert_eq!(salts(&path), before);
        let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        assert_eq!(busy.expect("asked"), 1, "somebody reads it");
        let database_before = std::fs::read(&path).expect("read");
        assert_eq!(checkpointer.round(true), None);
        assert_eq!(std::fs::read(&path).expect("read"), database_before, "nothing more is copied");
        // Also when it is closed while others still write.
        let (alive, ended) = mpsc::channel();
        drop(alive);
        checkpointer.run(&mpsc::sync_channel(1).0, &ended);
        insert(&connection, 20);
        assert_eq!(salts(&path), before);
    }
}

#[test]
fn the_writer_pauses_for_the_last_round_and_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.db");
    let connection = writer(&path);
    insert(&connection, 20);
    let before = salts(&path);
    let counter = Arc::new(AtomicU32::new(0));
    let rounds = counter.clone();
    let checkpointer = checkpointer(&path, move |which, _| {
        rounds.fetch_add(u32::from(which == Which::Database), Ordering::SeqCst);
        Ok(())
    });
    checkpointer.pages.store(pages(&path), Ordering::Relaxed);
    let (jobs, queue) = mpsc::sync_channel(1);
    let left = checkpointer.pages.clone();
    let at_work = std::thread::spawn(move || checkpointer.checkpoint(&jobs));
    let Ok(Job::Pause(pause)) = queue.recv_timeout(Duration::from_secs(20)) else { panic!("asked to pause") };
    assert_eq!(counter.load(Ordering::SeqCst), 1, "one round before");
    pause.keep();
    assert_eq!(counter.load(Ordering::SeqCst), 2, "one meanwhile");
    at_work.join().expect("ends");
    assert_eq!(left.load(Ordering::Relaxed), 0, "nothing to do before the next commit");
    insert(&connection, 1);
    assert_ne!(salts(&path), before);
}
