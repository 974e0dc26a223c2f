//! The spool in S3: one object for each delivery, by the time of its arrival.
//!
//! Not in SQS, although that is a queue: the spool must give the oldest delivery first, show what was put aside and why,
//! and take bodies of 25 MiB. See `docs/decisions/0012-the-spool-is-in-s3.md`.
//!
//! | key | what |
//! | --- | --- |
//! | `{prefix}waiting/{number}` | a delivery that waits; 20 digits, so that the order of keys is the order of numbers |
//! | `{prefix}aside/{number}` | one that will never be taken, with the reason |

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use freshet_aws::{Headers, Objects};
use freshet_kit::retry::chance;
use freshet_kit::{Clock, Error};
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::validation::v1::ValidateDeliveryRequest;
use futures::{StreamExt as _, TryStreamExt as _};
use prost::Message as _;

use super::{Spool, Spooled};

/// Objects read at once.
const READS: usize = 8;

/// Tasks that choose a number in the same microsecond differ by these bits, or choose again.
const CHANCE_BITS: u32 = 10;

/// Attempts to find a number that nobody has.
const NUMBERS_MAX: usize = 8;

/// The spool of the AWS engine. Several tasks share one: each replays what it finds, and a delivery that two of them
/// replay has effect once.
#[derive(Clone)]
pub struct S3Spool {
    objects: Objects,
    prefix: String,
    clock: Arc<dyn Clock>,
    last: Arc<AtomicI64>,
}

/// What an object has.
#[derive(Clone, PartialEq, prost::Message)]
struct Kept {
    #[prost(message, optional, tag = "1")]
    verified: Option<IngestDeliveryRequest>,
    #[prost(message, optional, tag = "2")]
    unverified: Option<ValidateDeliveryRequest>,
    /// Of an unverified delivery; a verified one has them inside.
    #[prost(string, tag = "3")]
    delivery_id: String,
    #[prost(string, tag = "4")]
    traceparent: String,
    /// Why it was put aside.
    #[prost(string, tag = "5")]
    reason: String,
}

impl S3Spool {
    /// Below `prefix` of a bucket, which must be private and encrypted: headers can hold secrets.
    pub fn new(objects: Objects, prefix: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { objects, prefix: prefix.into(), clock, last: Arc::default() }
    }

    /// Fails unless the bucket is there: for readiness.
    pub async fn check(&self) -> Result<(), Error> {
        self.objects.probe().await
    }

    fn waiting(&self, number: i64) -> String {
        format!("{}waiting/{number:020}", self.prefix)
    }

    fn aside(&self, number: i64) -> String {
        format!("{}aside/{number:020}", self.prefix)
    }

    /// Larger than every number that this task has given before.
    fn next_number(&self) -> i64 {
        let now = self.clock.now().as_micros() << CHANCE_BITS | i64::from(chance() >> (u32::BITS - CHANCE_BITS));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        now.max(last.unwrap_or_default() + 1)
    }

    async fn read(&self, key: &str) -> Result<Option<Kept>, Error> {
        let Some(object) = self.objects.get(key).await? else { return Ok(None) };
        let kept = Kept::decode(object.body);
        kept.map(Some).map_err(|error| Error::internal(format!("{key} of the spool cannot be read")).with_source(error))
    }

    async fn numbers(&self, folder: &str) -> Result<Vec<i64>, Error> {
        let prefix = format!("{}{folder}/", self.prefix);
        let listed = self.objects.list(&prefix).await?;
        Ok(listed.iter().filter_map(|object| object.key.strip_prefix(&prefix)?.parse().ok()).collect())
    }
}

impl From<Spooled> for Kept {
    fn from(spooled: Spooled) -> Self {
        match spooled {
            Spooled::Verified(request) => Self { verified: Some(request), ..Self::default() },
            Spooled::Unverified { id, traceparent, request } => {
                Self { unverified: Some(request), delivery_id: id.to_string(), traceparent, ..Self::default() }
            }
        }
    }
}

impl TryFrom<Kept> for Spooled {
    type Error = Error;

    fn try_from(kept: Kept) -> Result<Self, Error> {
        match kept {
            Kept { verified: Some(request), .. } => Ok(Self::Verified(request)),
            Kept { unverified: Some(request), delivery_id, traceparent, .. } => {
                let id = delivery_id.parse();
                let id = id.map_err(|_| Error::internal("an object of the spool has no delivery id"))?;
                Ok(Self::Unverified { id, traceparent, request })
            }
            _ => Err(Error::internal("an object of the spool has no delivery")),
        }
    }
}

#[async_trait]
impl Spool for S3Spool {
    async fn put(&self, spooled: Spooled) -> Result<(), Error> {
        let body = bytes::Bytes::from(Kept::from(spooled).encode_to_vec());
        let headers = Headers::of_type("application/x-protobuf");
        for _ in 0..NUMBERS_MAX {
            if self.objects.put_new(&self.waiting(self.next_number()), body.clone(), &headers).await? {
                return Ok(());
            }
            // Two tasks that count on from the same number would meet again and again.
            self.last.fetch_add(i64::from(chance() >> (u32::BITS - CHANCE_BITS)), Ordering::Relaxed);
        }
        Err(Error::unavailable("the spool gave every number away"))
    }

    async fn oldest(&self, max: usize) -> Result<Vec<(i64, Spooled)>, Error> {
        let prefix = format!("{}waiting/", self.prefix);
        let page = self.objects.list_page(&prefix, None).await?;
        let numbers = page.objects.iter().filter_map(|object| object.key.strip_prefix(&prefix)?.parse::<i64>().ok());
        let numbers: Vec<i64> = numbers.take(max).collect();
        let read = |number| async move { Ok::<_, Error>((number, self.read(&self.waiting(number)).await?)) };
        let reads: Vec<_> = numbers.into_iter().map(read).collect();
        let found: Vec<(i64, Option<Kept>)> = futures::stream::iter(reads).buffered(READS).try_collect().await?;
        // Another task may have replayed some since they were listed.
        let there = found.into_iter().filter_map(|(number, kept)| Some((number, kept?)));
        there.map(|(number, kept)| Ok((number, kept.try_into()?))).collect()
    }

    async fn remove(&self, number: i64) -> Result<(), Error> {
        self.objects.delete(&self.waiting(number)).await
    }

    /// Writes the copy first: a crash in between leaves both, and the delivery is put aside again.
    async fn set_aside(&self, number: i64, reason: &str) -> Result<(), Error> {
        let Some(kept) = self.read(&self.waiting(number)).await? else { return Ok(()) };
        let body = Kept { reason: reason.to_owned(), ..kept }.encode_to_vec();
        let headers = Headers::of_type("application/x-protobuf");
        self.objects.put(&self.aside(number), body.into(), &headers).await?;
        self.remove(number).await
    }

    async fn count(&self) -> Result<(u64, u64), Error> {
        let (waiting, aside) = tokio::try_join!(self.numbers("waiting"), self.numbers("aside"))?;
        Ok((waiting.len() as u64, aside.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use freshet_aws::testing;
    use freshet_domain::Timestamp;
    use freshet_kit::{ManualClock, SystemClock};

    use super::*;
    use crate::spool::contract::Harness;

    struct S3;

    async fn spool(bucket: &str, clock: impl Clock + 'static) -> S3Spool {
        let config = testing::config().expect("an emulator");
        // There already after a restart.
        let _ = aws_sdk_s3::Client::new(&config).create_bucket().bucket(bucket).send().await;
        S3Spool::new(Objects::new(&config, bucket), "spool/", Arc::new(clock))
    }

    impl Harness for S3 {
        type Place = String;

        fn place() -> String {
            testing::name("spool")
        }

        async fn open(place: &String) -> Arc<dyn Spool> {
            Arc::new(spool(place, SystemClock).await)
        }
    }

    crate::spool_contract!(S3, if testing::endpoint().is_some());

    fn verified(id: usize) -> Spooled {
        Spooled::Verified(IngestDeliveryRequest { delivery_id: id.to_string(), ..Default::default() })
    }

    #[tokio::test]
    async fn p1_tasks_that_share_a_spool_overwrite_nothing() {
        if testing::endpoint().is_none() {
            return;
        }
        let bucket = S3::place();
        // Their clocks stand still, so that every number is in the same microsecond.
        let clock = ManualClock::at(Timestamp::now());
        let tasks = [spool(&bucket, clock.clone()).await, spool(&bucket, clock).await];
        let puts = (0..40).map(|id| tasks[id % 2].put(verified(id)));
        futures::future::try_join_all(puts).await.expect("kept");
        let found = tasks[0].oldest(100).await.expect("read");
        let mut ids: Vec<usize> = found
            .iter()
            .map(|(_, spooled)| match spooled {
                Spooled::Verified(request) => request.delivery_id.parse().expect("a number"),
                Spooled::Unverified { .. } => panic!("was verified"),
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..40).collect::<Vec<_>>());
        assert!(found.is_sorted_by_key(|(number, _)| *number));
    }

    #[tokio::test]
    async fn numbers_grow_even_if_the_clock_does_not() {
        let config = testing::config_for("http://127.0.0.1:1");
        let clock = ManualClock::at(Timestamp::now());
        let spool = S3Spool::new(Objects::new(&config, "none"), "", Arc::new(clock.clone()));
        let mut last = 0;
        for step in 0..2_000_i64 {
            if step == 1_000 {
                clock.set(clock.now().minus(std::time::Duration::from_secs(60)));
            }
            let number = spool.next_number();
            assert!(number > last, "{number} after {last}");
            last = number;
        }
        assert_eq!(spool.waiting(last).len(), "waiting/".len() + 20);
    }
}
