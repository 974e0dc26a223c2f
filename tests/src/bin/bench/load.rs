//! The load generator: HTTP/1.1 over kept connections, prebuilt bytes, the same for every server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use freshet_domain::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Semaphore};

use crate::numbers::percentile;

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 64;

/// What is sent where, and how fast.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    /// How often the requests are sent; more than once only where nobody remembers them.
    pub(crate) passes: usize,
    /// Requests a second, whatever the answers do; `None`: as fast as the answers come.
    pub(crate) pace: Option<f64>,
    /// Keep each answer's delivery id and the time of sending.
    pub(crate) keep_ids: bool,
}

/// What came back.
#[derive(Default)]
pub(crate) struct Outcome {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Microseconds, sorted. With a pace they count from when the request was due, so that a server that stalls cannot
    /// hide it by slowing the generator down.
    pub(crate) latencies: Vec<u32>,
    /// Deliveries and when they were sent, if they were to be kept.
    pub(crate) ids: Vec<(String, Timestamp)>,
    /// Answers other than 202 `accepted`.
    pub(crate) wrong: BTreeMap<String, u64>,
}

impl Outcome {
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Milliseconds that this share of the answers did not exceed.
    pub(crate) fn millis(&self, share: f64) -> f64 {
        percentile(&self.latencies, share) / 1e3
    }

    /// Fails unless every answer was right: a fast wrong answer is worth nothing.
    pub(crate) fn checked(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.wrong.is_empty(), "not every delivery was accepted: {:?}", self.wrong);
        Ok(self)
    }
}

struct Shared {
    load: Load,
    next: AtomicUsize,
    total: usize,
    barrier: Barrier,
    start: std::sync::OnceLock<Instant>,
    due: Semaphore,
}

impl Load {
    pub(crate) fn new(address: SocketAddr, requests: &Arc<Vec<Vec<u8>>>) -> Self {
        Self { address, requests: requests.clone(), passes: 1, pace: None, keep_ids: false }
    }

    /// Sends everything over all connections.
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let total = self.requests.len() * self.passes;
        let pace = self.pace;
        let shared = Arc::new(Shared {
            load: self,
            next: AtomicUsize::new(0),
            total,
            barrier: Barrier::new(CONNECTIONS + 1),
            start: std::sync::OnceLock::new(),
            due: Semaphore::new(0),
        });
        let tasks: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(connection(shared.clone()))).collect();
        shared.barrier.wait().await;
        let start = *shared.start.get_or_init(Instant::now);
        let pacer = pace.map(|rate| {
            let shared = shared.clone();
            std::thread::spawn(move || pace_out(&shared, start, rate))
        });
        let mut outcome = Outcome::default();
        for task in tasks {
            let part = task.await??;
            outcome.latencies.extend(part.latencies);
            outcome.ids.extend(part.ids);
            for (answer, count) in part.wrong {
                *outcome.wrong.entry(answer).or_default() += count;
            }
        }
        outcome.elapsed = start.elapsed();
        if let Some(pacer) = pacer {
            let _ = pacer.join();
        }
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }
}

/// Releases one request after the other. On a thread of its own, because the runtime's timer counts in milliseconds.
fn pace_out(shared: &Shared, start: Instant, rate: f64) {
    for index in 0..shared.total {
        let due = start + Duration::from_secs_f64(index as f64 / rate);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        shared.due.add_permits(1);
    }
    // So that every connection comes to its end.
    shared.due.add_permits(CONNECTIONS);
}

async fn connection(shared: Arc<Shared>) -> anyhow::Result<Outcome> {
    let load = &shared.load;
    let mut stream = TcpStream::connect(load.address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4 << 10];
    let mut outcome = Outcome::default();
    shared.barrier.wait().await;
    let start = *shared.start.get_or_init(Instant::now);
    loop {
        if load.pace.is_some() {
            shared.due.acquire().await?.forget();
        }
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        if index >= shared.total {
            return Ok(outcome);
        }
        let begun = match load.pace {
            Some(rate) => start + Duration::from_secs_f64(index as f64 / rate),
            None => Instant::now(),
        };
        let sent_at = if load.keep_ids { Timestamp::now() } else { Timestamp::EPOCH };
        stream.write_all(&load.requests[index % load.requests.len()]).await?;
        let length = read_answer(&mut stream, &mut buffer).await?;
        outcome.latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        let answer = &buffer[..length];
        let accepted = answer.starts_with(b"HTTP/1.1 202") && find(answer, br#""status":"accepted""#).is_some();
        if !accepted {
            *outcome.wrong.entry(String::from_utf8_lossy(answer).into_owned()).or_default() += 1;
        }
        if load.keep_ids
            && let Some(at) = find(answer, b"dlv_")
        {
            let id = answer.get(at..at + 36).context("an id cut short")?;
            outcome.ids.push((String::from_utf8_lossy(id).into_owned(), sent_at));
        }
    }
}

/// Reads one response; how many bytes of the buffer it has.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<usize> {
    let mut filled = 0;
    let mut whole = usize::MAX;
    while filled < whole {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let count = stream.read(&mut buffer[filled..]).await?;
        anyhow::ensure!(count > 0, "the server closed the connection");
        filled += count;
        if whole == usize::MAX
            && let Some(head) = find(&buffer[..filled], b"\r\n\r\n")
        {
            let name = b"content-length: ";
            let at = find(&buffer[..head], name).context("an answer without its length")? + name.len();
            let digits = buffer[at..head].iter().take_while(|byte| byte.is_ascii_digit());
            let length = digits.fold(0_usize, |length, digit| length * 10 + usize::from(digit - b'0'));
            whole = head + 4 + length;
        }
    }
    Ok(filled)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
