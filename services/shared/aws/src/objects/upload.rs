//! Writing an object whose size is not known before, part by part.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use freshet_kit::Error;
use tokio::task::JoinSet;

use super::{Headers, Objects, WRITER, writer};
use crate::code;

/// Parts but the last must have 5 MiB, and there may be 10,000: together 80 GB.
pub(super) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts on their way at the same time; with the one being filled, they bound the memory that an upload takes.
const PARTS_AT_ONCE: usize = 3;

/// An object that is being written. It appears, as a whole, with [`Upload::finish`].
///
/// Small ones are put with one call. If it is dropped before its end, what was sent so far is thrown away; a rule of the
/// bucket for incomplete uploads does the same after a crash.
#[derive(Debug)]
pub struct Upload {
    objects: Objects,
    key: String,
    headers: Headers,
    writer: String,
    buffer: BytesMut,
    multipart: Option<Multipart>,
}

#[derive(Debug)]
struct Multipart {
    id: String,
    sent: i32,
    running: JoinSet<Result<CompletedPart, Error>>,
    parts: Vec<CompletedPart>,
}

impl Objects {
    /// Begins to write an object whose size is not known.
    pub fn upload(&self, key: &str, headers: Headers) -> Upload {
        Upload {
            objects: self.clone(),
            key: key.to_owned(),
            headers,
            writer: writer(),
            buffer: BytesMut::new(),
            multipart: None,
        }
    }
}

impl Upload {
    /// Adds to the object. Waits while too many parts are on their way.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let free = PART_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(free.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            // Only when more follows: a last part may have any size, and one part alone needs no multipart upload.
            if self.buffer.len() == PART_BYTES && !bytes.is_empty() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left and makes the object appear. Returns its ETag.
    pub async fn finish(mut self) -> Result<String, Error> {
        if self.multipart.is_none() {
            let body = self.buffer.split().freeze();
            return self.objects.put(&self.key, body, &self.headers).await;
        }
        self.send_part().await?;
        self.complete().await
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        let part = self.buffer.split().freeze();
        if self.multipart.is_none() {
            self.multipart = Some(self.create().await?);
        }
        let Some(multipart) = &mut self.multipart else { unreachable!("it was made above") };
        while multipart.running.len() >= PARTS_AT_ONCE {
            multipart.collect_one().await?;
        }
        multipart.sent += 1;
        let (objects, key) = (self.objects.clone(), self.key.clone());
        let (id, number) = (multipart.id.clone(), multipart.sent);
        multipart.running.spawn(async move { objects.put_part(&key, &id, number, part).await });
        Ok(())
    }

    async fn create(&self) -> Result<Multipart, Error> {
        let created = self
            .objects
            .client
            .create_multipart_upload()
            .bucket(&*self.objects.bucket)
            .key(&self.key)
            .set_content_type(self.headers.content_type.clone())
            .set_content_encoding(self.headers.content_encoding.clone())
            .set_cache_control(self.headers.cache_control.clone())
            .metadata(WRITER, &self.writer)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(|failed| self.objects.failed("CreateMultipartUpload", &self.key, failed))?;
        let id = created.upload_id.ok_or_else(|| Error::unavailable("CreateMultipartUpload gave no id"))?;
        Ok(Multipart { id, sent: 0, running: JoinSet::new(), parts: Vec::new() })
    }

    async fn complete(&mut self) -> Result<String, Error> {
        let Some(multipart) = &mut self.multipart else { unreachable!("only called for multipart uploads") };
        while !multipart.running.is_empty() {
            multipart.collect_one().await?;
        }
        let mut parts = multipart.parts.clone();
        parts.sort_by_key(|part| part.part_number);
        let completed = self
            .objects
            .client
            .complete_multipart_upload()
            .bucket(&*self.objects.bucket)
            .key(&self.key)
            .upload_id(&multipart.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await;
        let etag = match completed {
            Ok(done) => done.e_tag.unwrap_or_default(),
            // An earlier attempt may have completed it and its answer was lost: then the object is there, and ours.
            Err(failed) if code(&failed) == "NoSuchUpload" => match self.own_object().await? {
                Some(etag) => etag,
                None => return Err(self.objects.failed("CompleteMultipartUpload", &self.key, failed)),
            },
            Err(failed) => return Err(self.objects.failed("CompleteMultipartUpload", &self.key, failed)),
        };
        self.multipart = None;
        Ok(etag)
    }

    async fn own_object(&self) -> Result<Option<String>, Error> {
        self.objects.tag_if_by(&self.key, &self.writer).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut multipart) = self.multipart.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (objects, key) = (self.objects.clone(), std::mem::take(&mut self.key));
        runtime.spawn(async move {
            // First the parts: one that arrives after the abort would stay, and be paid for.
            multipart.running.shutdown().await;
            let abort = objects.client.abort_multipart_upload().bucket(&*objects.bucket).key(&key);
            if let Err(failed) = abort.upload_id(&multipart.id).send().await {
                let failed = objects.failed("AbortMultipartUpload", &key, failed);
                tracing::warn!(error = %freshet_kit::error::chain(&failed), "an incomplete upload is left to the bucket's rule");
            }
        });
    }
}

impl Multipart {
    async fn collect_one(&mut self) -> Result<(), Error> {
        match self.running.join_next().await {
            None => Ok(()),
            Some(Ok(part)) => {
                self.parts.push(part?);
                Ok(())
            }
            Some(Err(broken)) => Err(Error::internal("the sending of a part ended").with_source(broken)),
        }
    }
}

impl Objects {
    async fn put_part(&self, key: &str, id: &str, number: i32, body: Bytes) -> Result<CompletedPart, Error> {
        let limits = self.limits.moving(body.len() as u64);
        let sent = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(key)
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body))
            .customize()
            .config_override(limits)
            .send()
            .await
            .map_err(|failed| self.failed("UploadPart", key, failed))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }
}
