use super::*;

const TABLES: &[Migrations] =
    &[Migrations { component: "test", scripts: &["CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)"] }];

fn db(folder: &Path) -> Db {
    Db::open(&folder.join("t.db"), TABLES, DbOptions::default()).expect("opens")
}

async fn count(db: &Db) -> i64 {
    db.read(|connection| Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?))
        .await
        .expect("count")
}

fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<(), DbError> + Send {
    move |connection| {
        connection.execute("INSERT INTO t VALUES (?1, 'x')", [n])?;
        Ok(())
    }
}

#[tokio::test]
async fn many_writers_are_all_answered_after_their_commit() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    let writes = (0..2_000).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { db.write(insert(n)).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("ran").expect("written");
    }
    assert_eq!(count(&db).await, 2_000);
}

#[tokio::test]
async fn a_failed_or_panicking_job_takes_only_its_own_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    let good = db.write(insert(1));
    let bad = db.write(|connection| {
        connection.execute("INSERT INTO t VALUES (2, 'x')", [])?;
        Err::<(), _>(Error::invalid("n", "is even").into())
    });
    let worse = db.write(|connection| {
        connection.execute("INSERT INTO t VALUES (3, 'x')", [])?;
        panic!("on purpose");
        #[allow(unreachable_code)]
        Ok(())
    });
    let (good, bad, worse) = tokio::join!(good, bad, worse);
    good.expect("stays");
    assert_eq!(bad.expect_err("refused").kind(), ErrorKind::Invalid);
    assert_eq!(worse.expect_err("refused").kind(), ErrorKind::Unavailable);
    assert_eq!(count(&db).await, 1);
    db.write(insert(4)).await.expect("the writer goes on");
}

#[tokio::test]
async fn a_checked_job_that_fails_late_takes_its_group_with_it_and_nobody_is_told_otherwise() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    let early = db.write_checked(|_| Err::<(), _>(Error::invalid("n", "is odd").into()), |()| {});
    assert_eq!(early.await.expect_err("refused").kind(), ErrorKind::Invalid);
    let writes = (0..50).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            let job = move |connection: &Connection| {
                connection.execute("INSERT INTO t VALUES (?1, 'x')", [n])?;
                if n == 25 { Err(Error::invalid("n", "is 25").into()) } else { Ok(()) }
            };
            db.write_checked(job, |()| {}).await.is_ok()
        })
    });
    let mut answered = 0;
    for write in writes.collect::<Vec<_>>() {
        answered += i64::from(write.await.expect("ran"));
    }
    assert!(answered < 50);
    assert_eq!(count(&db).await, answered, "what was answered is there, and nothing else");
}

#[tokio::test]
async fn a_job_in_two_steps_is_told_of_its_commit_only_if_its_rows_are_there() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    let (tell, told) = std::sync::mpsc::channel();
    let committed = |name: &'static str| {
        let tell = tell.clone();
        move || tell.send(name).expect("somebody listens")
    };
    let good = db.begin_checked(insert(1), committed("good"), |()| {}).expect("begun");
    let refuse = |_: &Connection| Err::<(), _>(Error::invalid("n", "is odd").into());
    let bad = db.begin_checked(refuse, committed("bad"), |()| {}).expect("begun");
    let results = tokio::task::spawn_blocking(move || (good.wait_blocking(), bad.wait_blocking()));
    let (good, bad) = results.await.expect("ran");
    good.expect("durable");
    assert_eq!(bad.expect_err("refused").kind(), ErrorKind::Invalid);
    drop(tell);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["good"]);
    assert_eq!(count(&db).await, 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_long_job_lets_others_have_the_processor() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    let switches = db.write(|connection| {
        let switches = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("read");
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.expect("there").trim().parse::<u64>().expect("a number")
        };
        let before = switches();
        connection.execute(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300000) INSERT INTO t SELECT n, 'x' FROM n",
            [],
        )?;
        Ok(switches() - before)
    });
    assert!(switches.await.expect("written") >= 10);
}

#[tokio::test]
async fn p1_an_answered_write_is_there_after_reopening() {
    let folder = tempfile::tempdir().expect("folder");
    let first = db(folder.path());
    first.write(insert(1)).await.expect("written");
    drop(first);
    assert_eq!(count(&db(folder.path())).await, 1);
}

#[tokio::test]
async fn p1_after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let first = db(folder.path());
    first.write(insert(1)).await.expect("written");
    first.before_answer(|| Err(std::io::Error::other("the disk is gone")));
    let error = first.write(insert(2)).await.expect_err("not durable");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "STORE_IO"));
    assert_eq!(first.write(insert(3)).await.expect_err("refused").reason(), "STORE_IO");
    drop(first);
    let second = db(folder.path());
    assert!(count(&second).await <= 2, "the third was never written");
    second.write(insert(4)).await.expect("a restart helps");
}

#[tokio::test]
async fn what_rows_point_to_is_synced_before_the_answer() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    let synced = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = synced.clone();
    db.before_answer(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    });
    db.write(insert(1)).await.expect("written");
    assert_eq!(synced.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// Every commit writes the pages again that its group has changed, so what could not be answered sooner shares one.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_disk_works_shares_a_commit() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    db.write(insert(0)).await.expect("written");
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    db.before_answer(move || {
        let _ = begun.send(());
        let _ = may_go_on.recv_timeout(Duration::from_secs(20));
        Ok(())
    });
    let write = |n| {
        let db = db.clone();
        tokio::spawn(async move { db.write_checked(insert(n), |()| {}).await })
    };
    let log = || std::fs::metadata(folder.path().join("t.db-wal")).expect("log").len();
    let first = write(1);
    has_begun.recv_timeout(Duration::from_secs(20)).expect("the disk works");
    let before = log();
    let others: Vec<_> = (2..40).map(write).collect();
    // Not before the disk is done with the first.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(log(), before, "nothing was committed");
    go_on.send(()).expect("waits");
    first.await.expect("ran").expect("written");
    has_begun.recv_timeout(Duration::from_secs(20)).expect("the disk works on the others");
    go_on.send(()).expect("waits");
    for other in others {
        other.await.expect("ran").expect("written");
    }
    assert_eq!(count(&db).await, 40);
    let page: i64 = db.read(|db| Ok(db.query_row("PRAGMA page_size", [], |row| row.get(0))?)).await.expect("read");
    let page = page.unsigned_abs();
    assert!(log() - before <= 2 * (page + 24), "{} bytes for one changed page", log() - before);
}

#[tokio::test]
async fn a_full_disk_is_refused_and_recovers() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    db.write(insert(1)).await.expect("written");
    let set_pages = |pages: i64| {
        db.write(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(())
        })
    };
    set_pages(1).await.expect("set");
    let big = |n: i64| {
        db.write(move |connection| {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", (n, "x".repeat(1 << 20)))?;
            Ok(())
        })
    };
    let (first, second) = tokio::join!(big(10), db.write(insert(11)));
    assert_eq!(first.expect_err("full").reason(), "STORE_FULL");
    // Whether the small one went into the same group or not, its answer is true.
    let kept = 1 + i64::from(second.is_ok());
    assert_eq!(count(&db).await, kept);
    set_pages(1 << 30).await.expect("set");
    big(12).await.expect("space again");
    assert_eq!(count(&db).await, kept + 1);
}

#[test]
fn a_damaged_or_newer_file_is_told_apart() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.db");
    std::fs::write(&path, vec![b'x'; 8192]).expect("written");
    let error = Db::open(&path, TABLES, DbOptions::default()).err().expect("refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");

    let path = folder.path().join("newer.db");
    let more = Migrations { component: "test", scripts: &["SELECT 1", "SELECT 1"] };
    drop(Db::open(&path, &[more], DbOptions::default()).expect("opens"));
    let error = Db::open(&path, TABLES, DbOptions::default()).err().expect("refused");
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn a_locked_file_is_told_apart() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.db");
    let other = Connection::open(&path).expect("opens");
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE x (y);").expect("locked");
    let error = Db::open(&path, TABLES, DbOptions::default()).err().expect("refused");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

#[tokio::test]
async fn the_log_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().expect("folder");
    let options = DbOptions { log_bytes: 1 << 20, ..DbOptions::default() };
    let db = Db::open(&folder.path().join("t.db"), TABLES, options).expect("opens");
    for n in 0..400 {
        db.write(move |connection| {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", (n, "x".repeat(64 << 10)))?;
            Ok(())
        })
        .await
        .expect("written");
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
    let log = std::fs::metadata(folder.path().join("t.db-wal")).expect("log").len();
    assert!(log < 20 << 20, "the log has {log} bytes after 25 MiB of rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_see_what_was_answered_also_those_that_have_no_cache_of_their_own() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db(folder.path());
    db.write(insert(1)).await.expect("written");
    fn all(db: &Db, depth: usize) -> i64 {
        let scan = |connection: &mut Connection| {
            let deeper = if depth > 0 { all(db, depth - 1) } else { 0 };
            Ok(deeper + connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?)
        };
        db.scan_blocking(scan).expect("read")
    }
    let scans = db.clone();
    assert_eq!(tokio::task::spawn_blocking(move || all(&scans, 4)).await.expect("ran"), 5);
    assert_eq!(db.shared.scanning.available_permits(), SCANNERS_MAX, "their room is given back");
}
