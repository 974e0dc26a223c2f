//! Objects in one S3 bucket: claim checks, snapshots, the catalogue, sites.

mod copy;
mod list;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, ErrorKind};

pub use list::{Level, Listed, Page};
pub use upload::Upload;

use crate::{code, error};

/// What an object says about itself to those who read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`, such as `text/html; charset=utf-8`.
    pub content_type: Option<String>,
    /// `Content-Encoding`, such as `zstd`.
    pub content_encoding: Option<String>,
    /// `Cache-Control`, for what a browser or CloudFront reads.
    pub cache_control: Option<String>,
}

impl Headers {
    /// Only the type.
    pub fn of_type(content_type: &str) -> Self {
        Self { content_type: Some(content_type.to_owned()), ..Self::default() }
    }
}

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The content.
    pub body: Bytes,
    /// Changes whenever the content does.
    pub etag: String,
}

/// An object that may not have changed since it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is still the one with the ETag that was asked about.
    Unchanged,
    /// There is none.
    Missing,
    /// It is another one, or there was no ETag to compare with.
    Changed(Object),
}

/// The objects of one bucket. Cheap to clone.
///
/// Every call that changes something may be repeated. A call that failed with a kind that is transient may have had its
/// effect.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
    bucket: Arc<str>,
    limits: Limits,
}

/// Marks who put an object, so that a repeated conditional write recognises its own first attempt.
const WRITER: &str = "freshet-writer";
/// The slowest transfer that is waited for.
const BYTES_PER_SECOND_MIN: u64 = 512 * 1024;
/// Attempts at a body that broke off or a key that is being written; the SDK repeats the rest.
const ATTEMPTS: u32 = 3;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(2) };

impl Objects {
    /// The bucket `bucket`, reached with `config`.
    pub fn new(config: &SdkConfig, bucket: impl Into<Arc<str>>) -> Self {
        Self { client: Client::new(config), bucket: bucket.into(), limits: Limits::of(config) }
    }

    /// With a client of the caller's making; for tests with canned answers.
    pub fn with_client(client: Client, config: &SdkConfig, bucket: impl Into<Arc<str>>) -> Self {
        Self { client, bucket: bucket.into(), limits: Limits::of(config) }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Writes an object, whether or not there is one. Returns its ETag.
    pub async fn put(&self, key: &str, body: Bytes, headers: &Headers) -> Result<String, Error> {
        let limits = self.limits.moving(body.len() as u64);
        let put = self.put_request(key, body, headers).customize().config_override(limits).send().await;
        put.map(|done| done.e_tag.unwrap_or_default()).map_err(|failed| self.failed("PutObject", key, failed))
    }

    /// Writes an object if there is none with this key. False if there is one that somebody else wrote.
    ///
    /// True also if an earlier attempt of this very call wrote it and its answer was lost.
    pub async fn put_new(&self, key: &str, body: Bytes, headers: &Headers) -> Result<bool, Error> {
        let writer = writer();
        let mut attempt = 1;
        loop {
            let limits = self.limits.moving(body.len() as u64);
            let put = self.put_request(key, body.clone(), headers).if_none_match("*").metadata(WRITER, &writer);
            let Err(failed) = put.customize().config_override(limits).send().await else { return Ok(true) };
            match code(&failed) {
                "PreconditionFailed" => return self.is_by(key, &writer).await,
                // Somebody is writing this key at this moment: S3 asks to try again.
                "ConditionalRequestConflict" if attempt < ATTEMPTS => pause(&mut attempt).await,
                _ => return Err(self.failed("PutObject", key, failed)),
            }
        }
    }

    /// Writes an object if the present one has this ETag, or if there is none where `None` is expected. Returns the new
    /// ETag, or `None` if somebody else wrote meanwhile.
    ///
    /// A write of this very call whose answer was lost counts as done.
    pub async fn put_over(
        &self,
        key: &str,
        body: Bytes,
        headers: &Headers,
        expected: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let writer = writer();
        let mut attempt = 1;
        loop {
            let limits = self.limits.moving(body.len() as u64);
            let put = self.put_request(key, body.clone(), headers).metadata(WRITER, &writer);
            let put = match expected {
                Some(etag) => put.if_match(etag),
                None => put.if_none_match("*"),
            };
            let failed = match put.customize().config_override(limits).send().await {
                Ok(done) => return Ok(Some(done.e_tag.unwrap_or_default())),
                Err(failed) => failed,
            };
            match code(&failed) {
                "PreconditionFailed" | "NoSuchKey" => return self.tag_if_by(key, &writer).await,
                "ConditionalRequestConflict" if attempt < ATTEMPTS => pause(&mut attempt).await,
                _ => return Err(self.failed("PutObject", key, failed)),
            }
        }
    }

    fn put_request(
        &self,
        key: &str,
        body: Bytes,
        headers: &Headers,
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        self.client
            .put_object()
            .bucket(&*self.bucket)
            .key(key)
            .set_content_type(headers.content_type.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_cache_control(headers.cache_control.clone())
            .body(ByteStream::from(body))
    }

    /// True if the object was put by this writer.
    async fn is_by(&self, key: &str, writer: &str) -> Result<bool, Error> {
        self.tag_if_by(key, writer).await.map(|tag| tag.is_some())
    }

    /// The ETag of the object if it was put by this writer.
    async fn tag_if_by(&self, key: &str, writer: &str) -> Result<Option<String>, Error> {
        let head = self.client.head_object().bucket(&*self.bucket).key(key).send().await;
        match head {
            Ok(head) => {
                let by_writer = head.metadata().and_then(|all| all.get(WRITER)).is_some_and(|by| by == writer);
                Ok(by_writer.then(|| head.e_tag.unwrap_or_default()))
            }
            // It was deleted since. Whoever did that had seen it.
            Err(failed) if is_missing(&failed) => Ok(None),
            Err(failed) => Err(self.failed("HeadObject", key, failed)),
        }
    }

    /// Reads an object, or `None` if there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        match self.get_if_changed(key, None).await? {
            Fetched::Changed(object) => Ok(Some(object)),
            Fetched::Missing | Fetched::Unchanged => Ok(None),
        }
    }

    /// Reads an object unless it is the one with this ETag.
    pub async fn get_if_changed(&self, key: &str, etag: Option<&str>) -> Result<Fetched, Error> {
        let mut attempt = 1;
        loop {
            let get = self.client.get_object().bucket(&*self.bucket).key(key);
            let got = match get.set_if_none_match(etag.map(str::to_owned)).send().await {
                Ok(got) => got,
                Err(failed) if is_missing(&failed) => return Ok(Fetched::Missing),
                Err(failed) if failed.raw_response().is_some_and(|answer| answer.status().as_u16() == 304) => {
                    return Ok(Fetched::Unchanged);
                }
                Err(failed) => return Err(self.failed("GetObject", key, failed)),
            };
            let tag = got.e_tag.unwrap_or_default();
            let time_max = self.limits.time(u64::try_from(got.content_length.unwrap_or_default()).unwrap_or_default());
            // The SDK repeats a request, but not the reading of its answer's body.
            let broke: Error = match tokio::time::timeout(time_max, got.body.collect()).await {
                Ok(Ok(body)) => return Ok(Fetched::Changed(Object { body: body.into_bytes(), etag: tag })),
                Ok(Err(broke)) => Error::unavailable(self.what("GetObject", key)).with_source(broke),
                Err(_) => Error::new(ErrorKind::TimedOut, "AWS_CALL_FAILED", self.what("GetObject", key)),
            };
            if attempt >= ATTEMPTS {
                return Err(broke);
            }
            pause(&mut attempt).await;
        }
    }

    /// True if there is such an object.
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        match self.client.head_object().bucket(&*self.bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(failed) if is_missing(&failed) => Ok(false),
            Err(failed) => Err(self.failed("HeadObject", key, failed)),
        }
    }

    /// Deletes an object if there is one.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let deleted = self.client.delete_object().bucket(&*self.bucket).key(key).send().await;
        deleted.map(drop).map_err(|failed| self.failed("DeleteObject", key, failed))
    }

    /// Checks that the bucket is there and may be read. For the start: a clear message before the first real use.
    pub async fn probe(&self) -> Result<(), Error> {
        let listed = self.client.list_objects_v2().bucket(&*self.bucket).max_keys(1).send().await;
        match listed {
            Ok(_) => Ok(()),
            Err(failed) if code(&failed) == "NoSuchBucket" => Err(Error::new(
                ErrorKind::Unavailable,
                "NO_SUCH_BUCKET",
                format!("the bucket {} does not exist in this region and account", self.bucket),
            )),
            Err(failed) => Err(self.failed("ListObjectsV2", "", failed)),
        }
    }

    fn what(&self, operation: &str, key: &str) -> String {
        format!("{operation} s3://{}/{key}", self.bucket)
    }

    fn failed<E>(&self, operation: &str, key: &str, failed: aws_sdk_s3::error::SdkError<E>) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        error(&self.what(operation, key), failed)
    }
}

/// A bucket that is missing is a fault of the set-up, not an object that is missing.
fn is_missing<E>(failed: &aws_sdk_s3::error::SdkError<E>) -> bool
where
    E: aws_sdk_s3::error::ProvideErrorMetadata,
{
    matches!(code(failed), "NoSuchKey" | "NotFound")
}

fn writer() -> String {
    crate::random::hex()
}

async fn pause(attempt: &mut u32) {
    tokio::time::sleep(BACKOFF.jittered(*attempt, chance())).await;
    *attempt += 1;
}

/// Time limits that grow with what has to be moved; those of other calls are too short for that.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connect: Option<Duration>,
    attempt: Duration,
    operation: Duration,
}

impl Limits {
    fn of(config: &SdkConfig) -> Self {
        let limits = config.timeout_config();
        Self {
            connect: limits.and_then(TimeoutConfig::connect_timeout),
            attempt: limits.and_then(TimeoutConfig::operation_attempt_timeout).unwrap_or(Duration::from_secs(5)),
            operation: limits.and_then(TimeoutConfig::operation_timeout).unwrap_or(Duration::from_secs(20)),
        }
    }

    /// The longest time for one attempt at this many bytes.
    fn time(self, bytes: u64) -> Duration {
        self.attempt + Duration::from_millis(bytes.saturating_mul(1_000) / BYTES_PER_SECOND_MIN)
    }

    fn moving(self, bytes: u64) -> Builder {
        let attempt = self.time(bytes);
        let mut timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(attempt)
            .operation_timeout(self.operation + (attempt - self.attempt) * ATTEMPTS);
        timeouts.set_connect_timeout(self.connect);
        Builder::new().timeout_config(timeouts.build())
    }
}

#[cfg(test)]
mod tests;
